"""`deploy/environment.example`: every setting, with what it means and what it may be.

    python -m tests.operations.deploy_check.environment      writes it anew

It is made from the table in `deploy/README.md` and from `synckairos/config.py`.
"""

from __future__ import annotations

import dataclasses
import re
import textwrap
from pathlib import Path

from synckairos.config import Settings
from tests.support.pages import ROOT, Page, codes

FILE = "environment.example"
WIDTH = 110

SET = {
    "redis_url": "redis://application:password@10.0.0.21:6379/0",
    "database_url": "postgresql://synckairos_app:password@10.0.0.31:5432/synckairos?sslmode=verify-full",
    "host": "10.0.0.11",
    "workers": "4",
    "auth_mode": "jwt",
    "jwt_secret": "",
    "environment": "production",
    "trusted_proxies": "10.0.0.10",
    "metrics_port": "9464",
}
"""What nearly every installation sets, with an example of it."""

HEAD = """\
# Every setting of SyncKairos, as the environment has them: for EnvironmentFile= of systemd and env_file of
# compose. Copy it to /etc/synckairos/environment (mode 0600), fill in what is not commented out, and change
# what you need. `synckairos doctor` says whether it works. The example has no JWT_SECRET, so that nobody runs
# with one that others know: openssl rand -hex 32 makes one.
"""


def made(readme: Path) -> str:
    """The file's text, from that page."""
    rows = Page(readme).section("Settings").tables[0].rows
    meanings = {codes(row["setting"])[0]: row["meaning"] for row in rows}
    return HEAD + "".join(
        _entry(field, meanings[field.name.upper()]) for field in dataclasses.fields(Settings)
    )


def _entry(field: dataclasses.Field[object], meaning: str) -> str:
    plain = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", meaning).replace("`", "").rstrip(".")
    if not meaning.startswith("`"):
        plain = plain[0].upper() + plain[1:]
    allowed = field.metadata["kind"].may_be
    paragraphs = [f"{plain}.", *([] if allowed == "text" else [f"Allowed: {allowed}."])]
    comment = "\n".join(
        textwrap.fill(each, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
        for each in paragraphs
    )
    name = field.name.upper()
    line = f"{name}={SET[field.name]}" if field.name in SET else f"#{name}={_shown(field.default)}"
    return f"\n{comment}\n{line}\n"


def _shown(default: object) -> str:
    if default is None or default == ():
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)


if __name__ == "__main__":
    deploy = ROOT / "deploy"
    (deploy / FILE).write_text(made(deploy / "README.md"), encoding="utf-8")
