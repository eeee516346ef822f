"""The W3C `traceparent`: by which a trace goes on in another process.

It is `<version>-<trace id>-<span id>-<flags>` in hexadecimal digits. The last bit of the flags says whether
the caller's spans are kept (sampled).
"""

from __future__ import annotations

import re

_FORM = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{0,72})?"
)
"""Later versions may have more at the end. It is at most 128 characters."""
TRACE_ID = slice(3, 35)
SPAN_ID = slice(36, 52)
_FLAGS = slice(53, 55)
_SAMPLED = 1


def is_traceparent(text: str) -> bool:
    """Whether a text is one. Version 00 has nothing after the flags."""
    found = _FORM.fullmatch(text)
    return found is not None and not (found[1] is not None and text.startswith("00"))


def is_sampled(text: str) -> bool:
    """Whether the caller's spans are kept. The text is a traceparent."""
    return bool(int(text[_FLAGS], 16) & _SAMPLED)


def kept(text: str) -> str | None:
    """A text that anybody may have written, if it is a traceparent whose spans are kept."""
    return text if is_traceparent(text) and is_sampled(text) else None


def traceparent(trace_id: str, span_id: str) -> str:
    """That of a span that is kept."""
    return f"00-{trace_id}-{span_id}-01"
