"""Logs: one pipe to standard error, for our loggers and everybody's, in a form that fits who reads them."""

import json
import subprocess
import sys

import pytest

SAYS = """
import logging, structlog
from synckairos import logs
logs.configure({options})
structlog.get_logger("ours").info("said", number=1)
structlog.get_logger("ours").debug("whispered")
logging.getLogger("theirs").error("said %s", "too")
logging.getLogger("sanic.access").info("one line a request")
"""


def say(options: str) -> list[str]:
    """What a program with these options says, a fresh one, as logging is set up once in a process."""
    program = SAYS.format(options=options)
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == ""
    return said.stderr.splitlines()


def test_development_is_read_by_people() -> None:
    ours, theirs = say("'info'")
    assert "said" in ours
    assert "number=1" in ours
    assert "said too" in theirs
    assert "error" in theirs


def test_the_level_counts_for_everybody() -> None:
    (theirs,) = say("'error'")
    assert "said too" in theirs


def test_production_is_read_by_machines() -> None:
    lines = say("'info', production=True")
    ours, theirs = (json.loads(line) for line in lines)
    assert (ours["event"], ours["number"], ours["level"], ours["logger"]) == ("said", 1, "info", "ours")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("said too", "error", "theirs")
    assert ours["timestamp"].endswith("Z")


@pytest.mark.parametrize("options", ["'info'", "'info', production=True"])
def test_a_traceback_has_no_local_variables(options: str) -> None:
    program = f"""
import logging, structlog
from synckairos import logs
logs.configure({options})
def fails(bearer):
    words = bearer.split()
    raise ValueError("no")
for write in (structlog.get_logger("ours").exception, logging.getLogger("theirs").exception):
    try:
        fails("canary " * 2)
    except ValueError:
        write("failed")
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stderr.count("ValueError: no") == 2
    assert said.stderr.count("in fails") == 2
    assert "canary canary" not in said.stderr
    assert "['canary" not in said.stderr
