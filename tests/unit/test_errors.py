"""Errors: what a refusal of the library becomes, and the one body that all of them have."""

import pytest

from synckairos import errors
from synckairos.errors import SyncKairosError, from_refusal


@pytest.mark.parametrize(
    ("code", "status", "retryable"),
    [
        ("VALIDATION_ERROR", 400, False),
        ("INVALID_SESSION_STATE", 400, False),
        ("PARTICIPANT_EXPIRED", 400, False),
        ("UNAUTHENTICATED", 401, False),
        ("FORBIDDEN", 403, False),
        ("SESSION_NOT_FOUND", 404, False),
        ("PARTICIPANT_NOT_FOUND", 404, False),
        ("NOT_FOUND", 404, False),
        ("METHOD_NOT_ALLOWED", 405, False),
        ("UNSUPPORTED_MEDIA_TYPE", 415, False),
        ("SESSION_EXISTS", 409, False),
        ("CONCURRENT_MODIFICATION", 409, True),
        ("PAYLOAD_TOO_LARGE", 413, False),
        ("RATE_LIMIT_EXCEEDED", 429, True),
        ("QUOTA_EXCEEDED", 429, False),
        ("STORAGE_UNAVAILABLE", 503, True),
        ("CIRCUIT_OPEN", 503, True),
        ("MESSAGE_BROKER_ERROR", 503, True),
        ("NOT_REPLICATED", 503, True),
        ("SESSION_MOVING", 503, True),
        ("SESSION_MOVED", 421, False),
        ("NETWORK_TIMEOUT", 504, True),
        ("INTERNAL_ERROR", 500, False),
    ],
)
def test_every_code_has_its_status_and_says_whether_to_try_again(
    code: str, status: int, retryable: bool
) -> None:
    error = errors.CODES[code]()
    assert (error.code, error.status, error.retryable) == (code, status, retryable)
    assert error.body()["error"] == {
        "code": code,
        "message": error.message,
        "retryable": retryable,
        "context": {},
    }
    assert error.message


def test_no_code_is_left_out() -> None:
    assert len(errors.CODES) == 23
    assert all(issubclass(kind, SyncKairosError) for kind in errors.CODES.values())


def test_a_refusal_without_context() -> None:
    error = from_refusal("SESSION_NOT_FOUND no session with this id")
    assert isinstance(error, errors.SessionNotFound)
    assert (error.message, error.context, error.details) == ("no session with this id", {}, [])


def test_a_refusal_with_context() -> None:
    error = from_refusal(
        "CONCURRENT_MODIFICATION the session is at version 47, not 46 "
        '{"expected_version":46,"actual_version":47}'
    )
    assert isinstance(error, errors.ConcurrentModification)
    assert error.message == "the session is at version 47, not 46"
    assert error.context == {"expected_version": 46, "actual_version": 47}


def test_how_long_to_wait_is_no_context() -> None:
    error = from_refusal('RATE_LIMIT_EXCEEDED too many {"limit":"switch","retry_after_ms":250}')
    assert isinstance(error, errors.RateLimitExceeded)
    assert (error.context, error.retry_after_ms) == ({"limit": "switch"}, 250)


def test_details_stand_beside_the_context() -> None:
    error = from_refusal(
        'VALIDATION_ERROR 2 problems {"details":[{"field":"a.0.b","message":"must be a UUID"},'
        '{"field":"sync_mode","message":"must be one of x, y"}]}'
    )
    assert isinstance(error, errors.ValidationError)
    assert [detail["field"] for detail in error.details] == ["a.0.b", "sync_mode"]
    assert error.context == {}
    assert error.body()["error"]["details"] == error.details


def test_a_sentence_that_only_looks_like_it_has_context_stays_whole() -> None:
    error = from_refusal('VALIDATION_ERROR REASON must not be {"a": }')
    assert error is not None
    assert (error.message, error.context) == ('REASON must not be {"a": }', {})


@pytest.mark.parametrize(
    "text", ["ERR Function not found", "WRONGTYPE Operation against a key", "", "session_not_found x"]
)
def test_what_is_no_refusal_is_no_error_of_ours(text: str) -> None:
    assert from_refusal(text) is None


def test_a_code_alone_has_a_message_for_people() -> None:
    error = from_refusal("FORBIDDEN")
    assert error is not None
    assert error.message == errors.Forbidden.default_message


def test_when_to_come_back_does_not_travel_in_the_body() -> None:
    error = errors.RateLimitExceeded(retry_after_ms=1500)
    assert error.retry_after_ms == 1500
    assert "retry" not in str(error.body()["error"]["context"])


def test_an_error_without_a_text_is_described_by_its_type() -> None:
    assert errors.error_text(TimeoutError()) == "TimeoutError"
    assert errors.error_text(OSError("no route")) == "no route"
