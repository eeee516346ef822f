"""Whatever is sent: an answer in one of the two shapes, and never a failure of ours."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synckairos.api import schemas
from tests.contract.conftest import Service, error, new_id, running

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40)
    | st.sampled_from(
        [
            new_id(),
            "per_participant",
            "5+3",
            "pgn 40/5400:1800+30",
            "40/",
            "fischer",
            "end_session",
            "meeting",
        ]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KNOWN = sorted(
    {
        field.encode_name
        for kind in (schemas.SessionConfig, schemas.JoinBody, schemas.GroupConfig, schemas.TimeControl)
        for field in msgspec.structs.fields(kind)
    }
    | {"current_participant_id", "next_participant_id", "add_ms", "within_ms", "reason", "type"}
)
NAMES = st.text(max_size=10) | st.sampled_from(KNOWN)
BODIES = st.dictionaries(NAMES, VALUES, max_size=8) | VALUES
IDS = st.sampled_from(["{session}", "{participant}", "x", "%00", new_id()])
PATHS = st.one_of(
    st.just("/v1/sessions"),
    st.just("/v1/presets"),
    st.builds(
        "/v1/sessions/{}{}".format,
        IDS,
        st.sampled_from(
            ["", "/switch", "/start", "/pause", "/resume", "/participants", "/clock", "/events", "/x"]
        ),
    ),
    st.builds("/v1/sessions/{}/{}/{}".format, IDS, st.sampled_from(["participants", "groups"]), IDS),
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["if-match", "if-none-match", "idempotency-key", "x-request-id", "traceparent", "content-type"]
    ),
    st.sampled_from(["", "application/json", '"1"', '"2@3"', "*", "x", "é"])
    | st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30),
    max_size=3,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    route=st.tuples(st.sampled_from(["GET", "POST", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"]), PATHS),
    query=st.dictionaries(
        st.sampled_from(["since", "limit", "status", "x"]), st.text(max_size=5), max_size=2
    ),
    headers=HEADERS,
    body=BODIES,
)
async def test_anything(
    service: Service, route: tuple[str, str], query: dict[str, str], headers: dict[str, str], body: Any
) -> None:
    method, path = route
    async with service.client() as api:
        session = await running(api)
        path = path.replace("{session}", session["session_id"])
        path = path.replace("{participant}", session["participants"][0]["participant_id"])
        encoded = {name: value.strip().encode("latin-1") for name, value in headers.items()}
        response = await api.request(method, path, params=query, headers=encoded, json=body)  # type: ignore[arg-type]
        if response.status_code >= 400:
            code = response.json()["error"]["code"]
            assert code == "STORAGE_UNAVAILABLE" or response.status_code < 500, response.text
            error(response, response.status_code, code)
        elif response.status_code == 304 or method == "OPTIONS" or response.status_code == 204:
            assert response.content == b""
        else:
            assert response.json().keys() == {"data"}
        assert (await api.get("/health")).status_code == 200
