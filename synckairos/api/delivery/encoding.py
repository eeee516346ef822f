"""How a file is compressed for whoever asks: by what `Accept-Encoding` says."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Mapping

import brotli

IDENTITY = "identity"

ENCODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "br": lambda body: brotli.compress(body, quality=11),
    "gzip": lambda body: gzip.compress(body, 9, mtime=0),
}
"""The encodings, best first. A file is compressed once, so it may take half a second."""

QUICK: Mapping[str, Callable[[bytes], bytes]] = {
    "br": lambda body: brotli.compress(body, quality=5),
    "gzip": lambda body: gzip.compress(body, 6, mtime=0),
}
"""The same in some milliseconds and a tenth longer, for those who ask until the small form is there."""

LEAST = 512
"""A smaller file is sent as it is."""

_ENTRY = re.compile(r"\s*([\w.*-]+)\s*(?:;\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?", re.ASCII)


def chosen(accepted: str) -> str:
    """The encoding to send, of those that the header accepts: the one with the highest `q`, then the best.

    An entry that cannot be read counts as not there. Without any that we have, it is IDENTITY.
    """
    weights: dict[str, float] = {}
    for entry in accepted.lower().split(","):
        found = _ENTRY.fullmatch(entry)
        if found is not None:
            weights[found[1]] = 1.0 if found[2] is None else float(found[2])
    every = weights.get("*", 0.0)
    ours = {name: weights.get(name, every) for name in ENCODERS}
    best = max(ours, key=lambda name: ours[name])
    return best if ours[best] > 0 and ours[best] >= weights.get(IDENTITY, 0.0) else IDENTITY
