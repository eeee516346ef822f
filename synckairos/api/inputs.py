"""Reading a request's input. All problems are found, and one refusal lists them."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import islice
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec

from synckairos.api.request import ApiRequest
from synckairos.api.schemas import Body, Input
from synckairos.api.suggestions import MOST, UNKNOWN, unknown
from synckairos.core import keys
from synckairos.core.model import Options
from synckairos.errors import Detail, UnsupportedMediaType, ValidationError

T = TypeVar("T", bound=Input)

MATCH = re.compile(r'"([0-9]{1,15})(?:@([!#-~]{1,64}))?"')
"""The value of `If-Match`: an ETag, or a quoted version."""
VISIBLE = re.compile(r"[!-~]{1,255}")
"""The value of `Idempotency-Key`."""
_UTF8 = re.compile(r"utf-?8", re.IGNORECASE)
MAX_DEPTH = 64
"""How deep a body for the function library may be nested. The library has the same limit."""
MAX_TRANSITION = 16 * 1024
"""The largest body (bytes) of a call that changes a session, far more than any such call needs."""
MAX_CONFIG = 512 * 1024
"""The largest config (bytes). The function library has the same limit."""
MAX_PARTICIPANT = 8 * 1024
"""The largest description of a joining participant (bytes). The function library has the same limit."""
MAX_PATCH = 33 * 1024
"""The largest body (bytes) with a patch of metadata. The function library takes a patch of 32 KB, with which
all of a session's metadata can be replaced by other metadata."""
MAX_PROBLEMS = 100
"""How many problems an answer lists. Further ones are left out."""
MAX_NAME = 256
"""How many characters of a field's dotted path an answer shows."""
_MAX_INLINE = 32 * 1024
"""In how many bytes of JSON the event loop looks for what is wrong. In more of them, a thread does that."""
BYTES_OF_WEIGHT = 1024
"""How many bytes of JSON take as long to read as a unit of weight takes Redis: see `HeavyCalls`."""

_decoders: dict[type[Input], Callable[[bytes], Any]] = {}


class Reader:
    """Reads the parts of one request and collects all problems. `check` raises them as a ValidationError."""

    __slots__ = ("problems", "request")

    def __init__(self, request: ApiRequest) -> None:
        self.request = request
        self.problems: list[Detail] = []

    def problem(self, field: str, message: str) -> None:
        """Add a problem."""
        self.problems.append({"field": field, "message": message})

    def check(self) -> None:
        """Raise ValidationError if there are problems."""
        if self.problems:
            refuse(self.problems)

    def session_id(self, text: str) -> str:
        """The session id in the path, in lower case."""
        try:
            return keys.session_id(text)
        except ValidationError as error:
            self.problems += error.details
            return text

    def id(self, field: str, text: str) -> str:
        """Another id of the path, in lower case."""
        try:
            return keys.session_id(text)
        except ValidationError:
            self.problem(field, "must be a UUID")
            return text

    def text(self) -> bytes:
        """The body as it came. Raises UnsupportedMediaType when the headers say that it is not JSON."""
        request = self.request
        body: bytes = request.body
        if not body:
            return body
        headers = request.headers
        content_type = headers.get("content-type")
        if content_type is not None and content_type != "application/json":
            kind, _, parameters = content_type.partition(";")
            if kind.strip().lower() != "application/json":
                raise UnsupportedMediaType
            for parameter in parameters.split(";"):
                name, _, value = parameter.partition("=")
                if name.strip().lower() == "charset" and not _UTF8.fullmatch(value.strip(' "')):
                    raise UnsupportedMediaType("the body has to be JSON in UTF-8")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedMediaType("the body must not be compressed")
        return body

    def body(self, kind: type[T]) -> T:
        """The body as `kind`. A request without a body counts as one without fields."""
        text = self.text()
        if len(text) > MAX_TRANSITION:
            self.problem("", f"must be at most {MAX_TRANSITION} bytes")
            return kind()
        if text:
            decode = _decoders.get(kind)
            if decode is None:
                decode = _decoders[kind] = msgspec.json.Decoder(kind).decode
            try:
                value: T = decode(text)
            except (ValueError, RecursionError):  # the errors of msgspec and of UTF-8 are ValueErrors
                try:
                    given = dict(_parse(text))
                except _NotJsonError as error:
                    self.problem("", str(error))
                    return kind()
                return self._converted(kind, given)
        else:
            value = kind()
        if (wrong := value.problem()) is not None:
            self.problem(*wrong)
        return value

    def _converted(self, kind: type[T], given: dict[str, Any], *, strict: bool = True) -> T:
        """Decoded fields as `kind`. strict: False for a query, where numbers come as text."""
        given, valid = with_integers(kind, given), dict[str, Any]()
        problems = islice(_problems_of_fields(kind, given, valid, strict=strict), MAX_PROBLEMS + 1)
        self.problems += problems
        return kind(**valid)  # without those that are wrong, so that a route can look at the others

    def fields(self, kind: type[T], given: dict[str, msgspec.Raw]) -> T:
        """Some fields of a body, as `kind`."""
        return self._converted(kind, {name: decoded(raw) for name, raw in given.items()})

    def query(self, kind: type[T]) -> T:
        """The query parameters as `kind`."""
        query = self.request.query_string
        if not query:
            return kind()
        given: dict[str, str] = {}
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=100, errors="strict")
        except ValueError:
            self.problem("", "the query must be up to 100 pairs of name=value in UTF-8")
            return kind()
        for name, value in pairs:
            if name in given:
                self.problem(name, "must be given once")
            given[name] = value
        return self._converted(kind, given, strict=False)

    def options(self, body: Body) -> Options:
        """The options of a change: the caller, and the conditions (`If-Match`, `expected_version`)."""
        version, epoch = body.expected_version, None
        headers = self.request.headers
        if "if-match" in headers:
            given = headers.getall("if-match")
            match = MATCH.fullmatch(given[0].strip()) if len(given) == 1 else None
            if match is None:
                self.problem(
                    "If-Match",
                    'must be an ETag of the session ("<version>@<epoch>") or a version ("<version>")',
                )
            elif version is not None and int(match[1]) != version:
                self.problem("expected_version", "must be the version in If-Match, or absent")
            else:
                version, epoch = int(match[1]), match[2]
        caller = self.request.caller
        return Options(
            tenant=caller.tenant,
            version=version,
            actor=caller.actor,
            player=self.request.player,
            trace=self.request.trace_id,
            traceparent=self.request.traceparent,
            request=self.request_key(),
            epoch=epoch,
        )

    def request_key(self) -> str | None:
        """The `Idempotency-Key`."""
        headers = self.request.headers
        if "idempotency-key" not in headers:
            return None
        given = headers.getall("idempotency-key")
        if len(given) == 1 and VISIBLE.fullmatch(given[0]):
            return str(given[0])
        self.problem("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
        return None

    async def object(self, most: int, known: frozenset[str] = frozenset()) -> dict[str, msgspec.Raw] | None:
        """The body as a JSON object, each field's value as the text that came; None when it is no object.

        most: how many bytes it may have
        known: the names that a large body may have. One with very many others is not read any further.

        This is for bodies that the function library judges. JSON parsers differ on some texts, so a text that
        two parsers could read differently is refused here: names given twice, NaN and Infinity, invalid
        UTF-8, half surrogate pairs.
        """
        text = self.text()
        if not text:
            self.problem("", "must be a JSON object")
            return None
        if len(text) > most:
            self.problem("", f"must be at most {most} bytes")
            return None
        # Nothing else is done in this process while a text is read. So large ones come one at a time.
        async with self.request.context.heavy_calls.turn(len(text) // BYTES_OF_WEIGHT):
            is_large = len(text) > _MAX_INLINE
            problems = _unknown_names(text, known) if is_large else []
            if not problems and not _is_unambiguous(text):
                problems = await asyncio.to_thread(_unreadable, text) if is_large else _unreadable(text)
        if problems:
            self.problems += problems
            return None
        fields: dict[str, msgspec.Raw] = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        return fields


def decoded(raw: bytes | msgspec.Raw) -> Any:
    """The value of a text from `Reader.object`. A number that is too large becomes infinity."""
    return _decoder.decode(bytes(raw).decode())


def _unknown_names(text: bytes, known: frozenset[str]) -> list[Detail]:
    """The unknown names of a JSON object, when there are more than an answer lists. It takes milliseconds."""
    try:
        names = msgspec.json.decode(text, type=dict[str, msgspec.Raw]).keys()
    except (ValueError, RecursionError):
        return []
    strange = list(islice((name for name in names if name not in known), MAX_PROBLEMS + 1)) if known else []
    return [_problem(name, UNKNOWN) for name in strange] if len(strange) > MAX_PROBLEMS else []


def _is_unambiguous(text: bytes) -> bool:
    """Whether a text is a JSON object that all parsers read alike. It takes a millisecond for 100 KB.

    It may say no about a few texts that are fine. What is wrong with the others, `_unreadable` finds out.
    """
    try:
        value = msgspec.json.decode(text)
        again = msgspec.json.encode(value)
    except (ValueError, RecursionError, OverflowError):  # half a surrogate pair and NaN are among these
        return False
    # A name that was given twice is written once. A colon in a string may have been written as an escape.
    colons = text.count(b":") + text.lower().count(b"\\u003a")
    return isinstance(value, dict) and colons == again.count(b":") and not _is_deep(value)


def _is_deep(value: dict[str, Any]) -> bool:
    """Whether lists and objects are nested deeper than MAX_DEPTH."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return False
    return True


def _unreadable(text: bytes) -> list[Detail]:
    """The problems of a text that is no JSON object, or that parsers could read differently."""
    try:
        return list(islice(_ambiguities(_parse(text)), MAX_PROBLEMS + 1))
    except _NotJsonError as error:
        return [_problem("", str(error))]


def refuse(problems: list[Detail]) -> NoReturn:
    """Raise ValidationError with the first MAX_PROBLEMS of these problems."""
    named = problems[:MAX_PROBLEMS]
    sentences = [f"{problem['field'] or 'the input'} {problem['message']}" for problem in named]
    if len(problems) > MAX_PROBLEMS:
        sentences.append("and more")
    raise ValidationError("; ".join(sentences), details=named)


_FIELDS_OF_OPTIONS = {
    "REQUEST": "Idempotency-Key",
    "STARTS": "starts_at_ms",
    "ENDS": "ends_at_ms",
    "CLOCK": "clock",
    "SET": "total_time_ms",
    "ADD": "add_ms",
    "PARTICIPANT": "participant_id",
    "GROUP": "group_id",
}
"""What an option of the function library was in a request, for those that it judges itself."""


@contextmanager
def named_as_given(request: str | None = None) -> Iterator[None]:
    """Within it, the library's refusals name what the caller gave instead of the options of the call.

    request: what the request id is called here, where that is no header
    """
    try:
        yield
    except ValidationError as error:
        names = _FIELDS_OF_OPTIONS if request is None else {**_FIELDS_OF_OPTIONS, "REQUEST": request}
        # What is unknown is a field that the caller made up, whatever it is called.
        renamed = [
            {**each, "field": names[each["field"]]}
            if each["field"] in names and each["message"] != UNKNOWN
            else each
            for each in error.details
        ]
        if renamed == error.details:
            raise
        refuse(renamed)


def _problems_of_fields(
    kind: type[Input], given: dict[str, Any], valid: dict[str, Any], *, strict: bool
) -> Iterator[Detail]:
    """All problems of these fields, first of each by itself, then of their combination.

    valid: gets the fields that are right by themselves
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    looked_at = 0
    for name, value in given.items():
        if name not in fields:
            looked_at += 1
            yield _problem(name, unknown(name, fields.keys()) if looked_at <= MOST else UNKNOWN)
            continue
        if isinstance(value, str) and not _encodable(value):
            yield _problem(name, "has half a surrogate pair")
            continue
        if not strict and isinstance(value, str) and value.lower() == "null":
            # A query has no null, but msgspec takes this text for one.
            yield _problem(name, requirement(fields[name].type))
            continue
        try:
            valid[name] = msgspec.convert(value, fields[name].type, strict=strict)
        except msgspec.ValidationError:
            yield _problem(name, requirement(fields[name].type))
    if len(valid) == len(given.keys() & fields.keys()) and (wrong := kind(**valid).problem()) is not None:
        yield _problem(*wrong)


def with_integers(kind: type[Input], given: dict[str, Any]) -> dict[str, Any]:
    """The fields with whole numbers as integers, where `kind` takes integers only.

    JSON has one type of number: 5000, 5000.0 and 5e3 are the same. Beyond 2^53 a float no longer stands for
    one exact whole number, so it is not converted, and is refused later.
    """
    integers = _integer_fields(kind)
    return {
        name: int(value)
        if name in integers and isinstance(value, float) and value.is_integer() and abs(value) <= 2**53
        else value
        for name, value in given.items()
    }


@cache
def _integer_fields(kind: type[Input]) -> frozenset[str]:
    """The names of the fields that take integers and no other numbers."""
    fields = {field.encode_name: set(_types_of(field.type)) for field in msgspec.structs.fields(kind)}
    return frozenset(name for name, types in fields.items() if int in types and float not in types)


def _types_of(kind: Any) -> Iterator[Any]:
    """The plain types in a union, an annotated type or a literal."""
    if get_origin(kind) is Literal:
        yield from map(type, get_args(kind))
    elif parts := get_args(kind):
        for part in parts:
            yield from _types_of(part)
    else:
        yield kind


def requirement(kind: Any) -> str:
    """The message for a value that is not of this type."""
    if isinstance(kind, msgspec.Meta):
        return str((kind.extra or {}).get("must", ""))
    if get_origin(kind) is Literal:
        return "must be one of " + ", ".join(get_args(kind))
    return next(
        (
            must
            for part in (*getattr(kind, "__metadata__", ()), *get_args(kind))
            if (must := requirement(part))
        ),
        "",
    )


def _problem(field: str, message: str) -> Detail:
    return {"field": printable(field), "message": message}


class _NotJsonError(ValueError):
    """Why a text is no JSON object."""


class _Object(list[tuple[str, Any]]):
    """A JSON object as a list of pairs, in which a name that was given twice is found."""


def _constant(word: str) -> NoReturn:
    raise _NotJsonError(f"must be JSON: {word} is no number")


def _integer(digits: str) -> int | float:
    """An integer. One of 400 digits or more becomes infinity: it is above all limits, and slow to convert."""
    return int(digits) if len(digits) < 400 else math.inf


_decoder = json.JSONDecoder(parse_int=_integer)
_strict_decoder = json.JSONDecoder(object_pairs_hook=_Object, parse_constant=_constant, parse_int=_integer)


def _parse(text: bytes) -> _Object:
    """The JSON object that a text is. Raises _NotJsonError."""
    try:
        value = _strict_decoder.decode(text.decode())
    except UnicodeDecodeError as error:
        raise _NotJsonError(f"must be UTF-8; byte {error.start} is not") from error
    except json.JSONDecodeError as error:
        what = error.msg[0].lower() + error.msg[1:]
        raise _NotJsonError(f"must be JSON: {what} (line {error.lineno}, column {error.colno})") from error
    except RecursionError as error:
        raise _NotJsonError("is nested too deeply") from error
    if isinstance(value, _Object):
        return value
    raise _NotJsonError("must be a JSON object")


def _ambiguities(value: Any, path: str = "", depth: int = 1) -> Iterator[Detail]:
    """The parts of a JSON text that parsers read differently."""
    if depth > MAX_DEPTH:
        yield _problem(path, f"is nested deeper than {MAX_DEPTH}")
    elif isinstance(value, _Object):
        names = set()
        for name, inner in value:
            place = f"{path}.{name}" if path else name
            if name in names:
                yield _problem(place, "is given twice")
            names.add(name)
            if not _encodable(name):
                yield _problem(place, "has half a surrogate pair in its name")
            yield from _ambiguities(inner, place, depth + 1)
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            if inner is not None:
                yield from _ambiguities(inner, f"{path}.{position}", depth + 1)
    elif isinstance(value, str) and not _encodable(value):
        yield _problem(path, "has half a surrogate pair")


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(text: str) -> str:
    """A field's path for an answer: shortened, and with escapes for what UTF-8 cannot encode."""
    if len(text) > MAX_NAME:
        text = text[: MAX_NAME - 3] + "..."
    return text.encode(errors="backslashreplace").decode()
