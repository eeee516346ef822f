"""The console explains a text as the library reads it: the corpus of time controls, read by both."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.model import notation
from tests.web.node import program

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "synckairos" / "web" / "console" / "list" / "controls.js"
CORPUS = ROOT / "tests" / "core" / "corpus" / "time_controls.yaml"
TIMES = "\N{MULTIPLICATION SIGN}"
KEPT = "each kept by a move in it"
SCRIPT = """
const { explainControl, initialTime, readControl } = await import(process.argv[1]);
const { readFileSync } = await import("node:fs");
const texts = JSON.parse(readFileSync(0, "utf8"));
const shown = texts.map((text) => {
  const read = readControl(text);
  const said = read && explainControl(read.control, read);
  return { read, said, initial: read && initialTime({ sync_mode: "per_participant", time_control: text }) };
});
process.stdout.write(JSON.stringify(shown));
"""


def shown(texts: list[str]) -> list[dict[str, Any]]:
    """What the console's module reads and says, for each text."""
    ran = subprocess.run(
        [program(), "--input-type=module", "-e", SCRIPT, MODULE.as_uri()],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: list[dict[str, Any]] = json.loads(ran.stdout)
    return found


def test_the_corpus_is_read_as_the_library_reads_it() -> None:
    sources = msgspec.yaml.decode(CORPUS.read_text(encoding="utf-8"))
    entries = [entry for source in sources for entry in source["texts"]]
    for entry, found in zip(entries, shown([entry["text"] for entry in entries]), strict=True):
        if "means" in entry:
            assert found["read"] == {"bank_ms": entry["bank"], "control": entry["means"]}, entry["text"]
            assert found["said"].endswith("."), entry["text"]
        elif " must be " not in entry["because"]:  # bounds are the service's
            assert found["read"] is None, entry["text"]


TOKENS = [
    *"0159+/:.dbx*- |½¼,;",
    *("180", "300", "40/", "90", "SD/", "G/", ";d5", "inc5", "+3x5", "pgn ", "TM[60]", "OT[5x30 byo-yomi]"),
    *("OT[25/60 Canadian]", "TC[3]TT[30]", "hourglass ", "0.5", ":30", "+25/300"),
]
RANDOM_TEXTS = 4000


def test_texts_put_together_at_random_are_read_alike() -> None:
    draw = random.Random(5)
    texts = ["".join(draw.choices(TOKENS, k=draw.randint(1, 5))) for _ in range(RANDOM_TEXTS)]
    good = 0
    for text, found in zip(texts, shown(texts), strict=True):
        meaning = _meaning(text)
        good += isinstance(meaning, dict)
        # Numbers out of bounds are the service's to judge.
        assert found["read"] == meaning or isinstance(meaning, list), text
    assert good > RANDOM_TEXTS / 20


def _meaning(text: str) -> dict[str, Any] | list[int] | None:
    """What a text means; None when it cannot be read, or the positions of numbers that are out of bounds."""
    try:
        control, bank, _ = notation.read(text)
    except notation.Misread as misread:
        of_numbers = all(text[at - 1 : at].isnumeric() for at in misread.positions)
        return misread.positions if of_numbers or text[:3] in {"OT[", "TC["} else None
    first = control["stages"][0]["time_ms"] if "stages" in control else bank
    return {"bank_ms": first, "control": control}


@pytest.mark.parametrize(
    ("text", "said", "caption"),
    [
        ("5+3", "5 min each, plus 3 s after every move.", "+ 3 s"),
        (
            "10+5+3x30",
            f"10 min each, plus 5 s after every move of it, then 3 periods of 30 s, {KEPT}.",
            f"+ 5 s + 3 {TIMES} 30 s",
        ),
        (
            "0+1x30",
            f"No main time, then 1 period of 30 s, {KEPT}.",
            f"+ 1 {TIMES} 30 s",
        ),
        ("40/120", "2 h each for every 40 moves.", "every 40 moves"),
        (
            "40/120:20/60+30",
            "2 h each for the first 40 moves, then 1 h more for every 20 moves, plus 30 s after every move.",
            "then 1 h every 20 moves",
        ),
        ("1/259200", "3 days each for every move.", "every move"),
    ],
)
def test_the_words(text: str, said: str, caption: str) -> None:
    (found,) = shown([text])
    assert (found["said"], found["initial"]["caption"]) == (said, caption)
