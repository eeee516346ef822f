"""Keys: one place builds them, and every key of a session has its partition as the hash tag."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synckairos.core import keys
from synckairos.core.keys import SessionKeys
from synckairos.errors import ValidationError

ID = "0f8fad5b-d9cb-469f-a165-70867728950e"


def test_the_four_keys_of_a_session() -> None:
    assert SessionKeys.of(ID).all == (
        f"sk:{{0e}}:{ID}",
        f"sk:{{0e}}:{ID}:log",
        "sk:{0e}:alarms",
        "sk:{0e}:outbox",
    )


def test_the_partition_is_the_last_two_digits() -> None:
    assert keys.partition(ID) == "0e"
    assert len(keys.PARTITIONS) == len(set(keys.PARTITIONS)) == 256
    assert keys.partition(ID) in keys.PARTITIONS


def test_what_a_partition_shares() -> None:
    assert keys.alarms("0e") == "sk:{0e}:alarms"
    assert keys.outbox("0e") == "sk:{0e}:outbox"
    assert keys.rate_limit("switch:" + ID) == f"sk:rl:{{switch:{ID}}}"


def test_ids_are_folded_to_lower_case() -> None:
    assert keys.session_id(ID.upper()) == ID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        ID[:-1],
        ID + "0",
        ID.replace("-", ""),
        f"{{{ID}}}",
        f"urn:uuid:{ID}",
        ID[:-1] + "g",
        ID + "\n",
        "\uff10" + ID[1:],
    ],
)
def test_what_is_no_uuid_is_refused(text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        keys.session_id(text)
    assert refused.value.details == [{"field": "session_id", "message": "must be a UUID"}]


@given(st.uuids())
def test_a_session_key_leads_back_to_its_id(value: uuid.UUID) -> None:
    key = SessionKeys.of(str(value)).session
    assert keys.parse_session_key(key) == str(value)
    assert keys.parse_session_key(key.encode()) == str(value)


@pytest.mark.parametrize(
    "key",
    [
        f"sk:{{0e}}:{ID}:log",
        "sk:{0e}:alarms",
        f"sk:{{0f}}:{ID}",
        f"sk:{{0e}}:{ID.upper()}",
        b"\xff\xfe",
        "",
        f"xsk:{{0e}}:{ID}",
    ],
)
def test_other_keys_lead_nowhere(key: str | bytes) -> None:
    assert keys.parse_session_key(key) is None
