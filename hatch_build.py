"""The package's description is README.md, with links that also work where the repository is not around it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


def description(text: str, address: str) -> str:
    """README.md with links and pictures below `address`, the raw files of the repository, ending in `/`.

    With an empty address a link keeps only its words, and pictures are left out.
    """
    if address:
        text = re.sub(r"\]\((?!https?:|#)", f"]({address}", text)
        return re.sub(r'<img src="(?!https?:)', f'<img src="{address}', text)
    text = re.sub(r"\[([^\]]+)\]\((?!https?:|#)[^)]+\)", r"\1", text)
    return re.sub(r'<img src="(?!https?:)[^>]*>\n\n', "", text)


class Description(MetadataHookInterface):
    """Fills in `readme`; the address is `repository-files` of this hook in pyproject.toml."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Sets the description."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        address: str = self.config.get("repository-files", "")
        metadata["readme"] = {"content-type": "text/markdown", "text": description(text, address)}
