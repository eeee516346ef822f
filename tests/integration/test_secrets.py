"""No secret of the settings is in anything that a program says, and none is in its command line."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any
from urllib.error import HTTPError

import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from structlog.testing import capture_logs

from synckairos.audit import alerts
from synckairos.config import Settings, load
from synckairos.run.processes import free_port
from tests.support.canaries import CANARY
from tests.support.programs import Program, get, run
from tests.support.servers import Server

NO_SECRETS = re.compile(r"jwt_jwks_url|public_url|.*_file|.*_endpoint")
"""Settings that sound like a secret, or like an address that may have one, and are none."""


def canaries(redis_port: int) -> dict[str, str]:
    """A secret for every setting that is secret. Nobody knows these users."""
    nobody = free_port()
    special = {
        "REDIS_URL": f"redis://somebody:{CANARY}@127.0.0.1:{redis_port}/0",
        "RQ_REDIS_URL": f"redis://somebody:{CANARY}@127.0.0.1:{nobody}/0",
        "DATABASE_URL": f"postgresql://somebody:{CANARY}@127.0.0.1:{nobody}/none",
        "SENTRY_DSN": f"http://{CANARY}@127.0.0.1:{nobody}/1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://somebody:{CANARY}@127.0.0.1:{nobody}",
        "MOVED_TO": f"redis://:{CANARY}@127.0.0.1:{nobody}/0",
        "JWT_PREVIOUS_SECRET": "",
    }
    secret = [field.name.upper() for field in dataclasses.fields(Settings) if not field.repr]
    return {name: special.get(name, f"{CANARY}-{CANARY}") for name in secret}


def test_every_setting_that_may_hold_a_secret_is_marked_as_one() -> None:
    for field in dataclasses.fields(Settings):
        kind = type(field.metadata["kind"]).__name__
        sounds = re.search(r"secret|password|token|_key$|dsn", field.name) or "Url" in kind
        if sounds and not NO_SECRETS.fullmatch(field.name):
            assert not field.repr, f"{field.name} has to be declared with secret=True"


def test_no_program_says_a_secret(own_redis: Server) -> None:
    """Servers that refuse the password, or are away: when most of the errors are told."""
    given = {**canaries(own_redis.port), "LOG_LEVEL": "debug", "ENABLE_METRICS": "true"}
    given["OTEL_TRACES_SAMPLER_ARG"] = "1"
    with own_redis.sync_client() as client:
        client.execute_command("ACL", "SETUSER", "somebody", "on", ">other", "+@all", "~*", "&*")
        port = free_port()
        with Program("serve", PORT=str(port), HOST="127.0.0.1", **given) as service:
            said: list[bytes] = []
            service.until(lambda: bool(service.errors), "a first error")
            service.until(lambda: _answers(port), "an answer")
            address = f"http://127.0.0.1:{port}"
            said += [_body(address + path) for path in ("/ready", "/metrics", "/v1/sessions", "/health")]
            client.execute_command("ACL", "SETUSER", "somebody", "resetpass", f">{CANARY}")
            service.until(lambda: b'"redis":{"status":"ok"' in _body(f"{address}/ready"), "Redis")
            said += [_body(address + path) for path in ("/ready", "/metrics", "/v1/sessions")]
            for process in service.processes():
                assert CANARY not in " ".join(process.cmdline())
        assert CANARY.encode() not in b"".join(said)
        assert CANARY not in "".join(service.lines + service.errors)
    for arguments in (("doctor",), ("audit", "status")):
        ended = run(*arguments, **given)
        assert CANARY not in ended.stdout + ended.stderr, arguments


def _answers(port: int) -> bool:
    try:
        return bool(get(f"http://127.0.0.1:{port}/health"))
    except OSError:
        return False


def _body(url: str) -> bytes:
    try:
        return get(url)[1]
    except HTTPError as error:
        with error:
            return error.read()


class _Kept(Transport):
    """Keeps what would be sent to Sentry."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Any] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.sent += [item.payload.json for item in envelope.items]


def test_what_is_sent_to_sentry_has_no_secrets() -> None:
    kept = _Kept()
    settings = load({"SENTRY_DSN": "http://key@127.0.0.1:1/1"})
    alerts.configure(settings, transport=kept)
    try:
        with capture_logs():
            alerts.alert(
                "a batch could not be stored",
                reason=f"cannot connect to postgresql://me:{CANARY}@host/db",
                more=[{"token": f"?token={CANARY}"}],
            )
        sentry_sdk.capture_exception(ValueError(f"redis://:{CANARY}@host is no address"))
    finally:
        # Nothing is sent any more, and nothing is patched: by itself Sentry would change Sanic.
        sentry_sdk.init(default_integrations=False, auto_enabling_integrations=False)
    assert len(kept.sent) == 2
    said = json.dumps(kept.sent, default=str)
    assert "postgresql://me:***@host/db" in said
    assert CANARY not in said
