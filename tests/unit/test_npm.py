"""What the npm package says of itself is what the Python package says."""

import json

from synckairos import __version__
from tests.support.pages import ROOT

WEB = ROOT / "synckairos/web"


def test_the_npm_package_has_the_version_and_the_licence_of_the_release() -> None:
    about = json.loads((WEB / "package.json").read_text())
    assert (about["version"], about["license"]) == (__version__, "MIT")
    assert (WEB / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert "dependencies" not in about
