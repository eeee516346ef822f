"""Forms: what a value has to look like, for files that have no schema which can be had."""

from __future__ import annotations

from typing import Any

from tests.operations.deploy_check.programs import Problems


def unlike(given: Any, form: Any, path: str = "") -> Problems:
    """Where a value differs from its form: a type, or names with a form each, or a list of one form."""
    if isinstance(form, type):
        if not isinstance(given, form):
            yield f"{path}: not a {form.__name__}"
    elif isinstance(form, list):
        for number, item in enumerate(given):
            yield from unlike(item, form[0], f"{path}.{number}")
    else:
        for name, value in given.items():
            if name in form:
                yield from unlike(value, form[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}: unknown"
