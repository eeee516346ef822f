"""What the packages say of themselves: what each part of the Python package needs, and its version."""

import ast
import importlib.metadata
import json
import re
import sys
import tomllib

from synckairos import __version__
from tests.support.pages import ROOT

WEB = ROOT / "synckairos/web"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OF_THE_CLIENT = (
    "client",
    "watch",
    "cli.py",
    "errors.py",
    "output.py",
    "recover.py",
    "__init__.py",
    "__main__.py",
)
"""What has to run where the package is installed without extras."""

BROUGHT = {"cryptography", "opentelemetry-api"}
"""What is imported, and comes with PyJWT[crypto] and with the SDK of OpenTelemetry."""


def named(requirements: list[str]) -> set[str]:
    """The names of the packages in a list of requirements, without our own."""
    names = {re.split(r"[^\w.-]", each, maxsplit=1)[0].lower() for each in requirements}
    return {name.replace("_", "-") for name in names} - {"synckairos"}


def imported(*places: str) -> set[str]:
    """The packages that the code at these places imports."""
    providers = importlib.metadata.packages_distributions()
    paths = [ROOT / "synckairos" / place for place in places]
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))]
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            found |= {module.partition(".")[0] for module in modules}
    others = found - sys.stdlib_module_names - {"synckairos"}
    return {providers[module][0].lower().replace("_", "-") for module in others}


def test_the_package_alone_needs_what_the_client_and_its_commands_import_and_no_more() -> None:
    assert named(PROJECT["dependencies"]) == imported(*OF_THE_CLIENT)


def test_whatever_is_imported_is_in_one_of_the_parts() -> None:
    extras = PROJECT["optional-dependencies"]
    parts = [named(PROJECT["dependencies"]), named(extras["server"]), named(extras["dev-servers"])]
    assert imported(".") <= set.union(*parts) | BROUGHT
    assert sum(map(len, parts)) == len(set.union(*parts)), "one stands in two parts"


def test_the_npm_package_has_the_version_and_the_licence_of_the_release() -> None:
    about = json.loads((WEB / "package.json").read_text())
    assert (about["version"], about["license"]) == (__version__, "MIT")
    assert (WEB / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert "dependencies" not in about
