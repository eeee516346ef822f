"""Logs: one pipe to standard error, for our loggers and everybody's, in a form that fits who reads them."""

import json
import subprocess
import sys

SAYS = """
import logging, structlog
from synckairos import logs
from synckairos.config import Settings
logs.configure({settings})
structlog.get_logger("ours").info("said", number=1)
structlog.get_logger("ours").debug("whispered")
logging.getLogger("theirs").error("said %s", "too")
logging.getLogger("sanic.access").info("one line a request")
"""


def say(settings: str) -> list[str]:
    """What a program with these settings says, a fresh one, as logging is set up once in a process."""
    program = SAYS.format(settings=settings)
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == ""
    return said.stderr.splitlines()


def test_development_is_read_by_people() -> None:
    ours, theirs = say("Settings()")
    assert "said" in ours
    assert "number=1" in ours
    assert "said too" in theirs
    assert "error" in theirs


def test_the_level_counts_for_everybody() -> None:
    (theirs,) = say("Settings(log_level='error')")
    assert "said too" in theirs


def test_production_is_read_by_machines() -> None:
    # The settings refuse production without tokens; what is tested here is the logs.
    lines = say("Settings(environment='production')")
    ours, theirs = (json.loads(line) for line in lines)
    assert (ours["event"], ours["number"], ours["level"], ours["logger"]) == ("said", 1, "info", "ours")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("said too", "error", "theirs")
    assert ours["timestamp"].endswith("Z")
