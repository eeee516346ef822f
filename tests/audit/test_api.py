"""What is read from the audit store over HTTP: events, lists, pictures, and what each store has."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import uuid
import xml.etree.ElementTree as ET
from typing import Any

import httpx
import pytest

from synckairos.audit import reading, timeline
from synckairos.audit.rows import Batch, Entry
from synckairos.core.keys import SessionKeys
from synckairos.core.model import Options
from tests.contract.conftest import at, chess, error, fields_of, new_id
from tests.support.audit_service import Audited, Machines, audited
from tests.support.live import game
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.one_kind

Json = dict[str, Any]


async def page(running: Audited, session: Json, since: int = 0) -> tuple[list[Json], int]:
    response = await running.api.get(at(session, "/events"), params={"since": since})
    assert response.status_code == 200, response.text
    data = response.json()["data"]
    return data["events"], data["next_since"]


def forget(running: Audited, session: Json, *, up_to: int) -> None:
    """The log has nothing up to this version any more."""
    with running.redis() as client:
        client.xtrim(SessionKeys.of(session["session_id"]).log, minid=f"{up_to + 1}-0", approximate=False)


# Events


async def test_events_across_log_and_store(running: Audited) -> None:
    """The oldest are in the store alone, the newest in the log alone, and nobody notices."""
    session = await running.play(6)
    await running.archived()
    for _ in range(4):
        await running.sessions.switch(session["session_id"])
    forget(running, session, up_to=5)
    events, next_since = await page(running, session)
    assert [event["version"] for event in events] == list(range(1, 13))
    assert next_since == 12
    assert (await page(running, session, 7))[0] == events[7:]
    assert await page(running, session, 12) == ([], 12)
    assert fields_of(await running.api.get(at(session, "/events"), params={"since": 13})) == ["since"]


async def test_events_come_back_as_they_were(running: Audited) -> None:
    session = await running.play()
    before = (await running.api.get(at(session, "/events"))).content
    await running.archived()
    forget(running, session, up_to=4)
    assert (await running.api.get(at(session, "/events"))).content == before


async def test_pages_of_five_hundred(running: Audited) -> None:
    session = await running.play(1)
    session_id = session["session_id"]
    await asyncio.gather(*(running.sessions.switch(session_id) for _ in range(600)))
    await running.archived()
    forget(running, session, up_to=550)
    first, next_since = await page(running, session)
    assert ([event["version"] for event in first], next_since) == (list(range(1, 501)), 500)
    second, next_since = await page(running, session, next_since)
    assert ([event["version"] for event in second], next_since) == (list(range(501, 604)), 603)


async def test_events_over_a_restore(running: Audited) -> None:
    """Versions go on, so that whoever reads on by `since` needs to know nothing of epochs."""
    session = await running.play()
    await running.archived()
    running.lose_all()
    await running.sessions.switch(session["session_id"])
    events, _ = await page(running, session)
    assert [event["version"] for event in events] == list(range(1, 8))
    assert [event["payload"]["event"] for event in events[-2:]] == ["session.recovered", "cycle.switched"]
    assert events[-1]["epoch"] == events[-2]["epoch"] != events[-3]["epoch"]


async def test_events_of_one_that_is_over(running: Audited) -> None:
    session = await running.play()
    await running.sessions.complete(session["session_id"])
    await running.archived()
    running.lose_all()
    events, _ = await page(running, session)
    assert [event["version"] for event in events] == list(range(1, 7))
    assert await page(running, session, 6) == ([], 6)
    assert fields_of(await running.api.get(at(session, "/events"), params={"since": 7})) == ["since"]
    assert not running.has(session["session_id"])


async def test_events_never_have_a_gap(running: Audited) -> None:
    session = await running.play(10)
    await running.archived()
    forget(running, session, up_to=9)
    session_id = session["session_id"]
    async with running.store.connection() as connection:
        await connection.execute(
            "DELETE FROM sync_events WHERE session_id = $1 AND version IN (1, 5)", session_id
        )
    response = await running.api.get(at(session, "/events"))
    assert error(response, 503, "STORAGE_UNAVAILABLE")["context"] == {"since": 0, "version": 12}
    assert [event["version"] for event in (await page(running, session, 1))[0]] == [2, 3, 4]
    error(await running.api.get(at(session, "/events"), params={"since": 4}), 503, "STORAGE_UNAVAILABLE")


async def test_events_of_one_that_was_created_again(running: Audited) -> None:
    """Until its first event is stored, the store has those of the one before."""
    session = await running.play()
    await running.archived()
    session_id = session["session_id"]
    await running.sessions.delete(session_id)
    config = {**chess(), "session_id": session_id}
    await asyncio.sleep(0.01)  # it is not older than the last event
    assert (await running.api.post("/v1/sessions", json=config)).status_code == 201
    for _ in range(3):
        await running.sessions.adjust(
            session_id, participant=config["participants"][0]["participant_id"], add_ms=1
        )
    forget(running, session, up_to=2)
    error(await running.api.get(at(session, "/events")), 503, "STORAGE_UNAVAILABLE")
    await running.archived()
    events, _ = await page(running, session)
    assert [event["payload"]["event"] for event in events] == ["session.created"] + ["time.adjusted"] * 3


@pytest.mark.parametrize("what", ["events", "timeline.svg"])
async def test_events_that_are_not_stored_yet(running: Audited, what: str) -> None:
    """Nothing stores the batches in the queue: no worker runs, or PostgreSQL is away."""
    session = await running.play(10)
    forget(running, session, up_to=5)

    async def asked(since: int) -> httpx.Response:
        return await running.api.get(at(session, f"/{what}"), params={"since": since})

    for since in (0, 4):
        response = await asked(since)
        assert error(response, 503, "STORAGE_UNAVAILABLE")["context"] == {"since": since, "version": 12}
        assert response.headers["retry-after"] == "1"
    assert [(await asked(since)).status_code for since in (5, 12)] == [200, 200]
    await running.archived()
    assert [(await asked(since)).status_code for since in (0, 4)] == [200, 200]


@pytest.mark.parametrize("switches", [1, 2])
async def test_events_after_a_version_that_comes_while_they_are_read(
    running: Audited, monkeypatch: pytest.MonkeyPatch, switches: int
) -> None:
    """The log was asked too early to know of it, and still has all that is newer."""
    session = await running.play()
    asked = running.sessions.log

    async def then_switched(*arguments: Any, **named: Any) -> list[bytes] | None:
        monkeypatch.undo()
        found = await asked(*arguments, **named)
        for _ in range(switches):
            await running.sessions.switch(session["session_id"])
        return found

    monkeypatch.setattr(running.sessions, "log", then_switched)
    events, next_since = await page(running, session, 6)
    assert [event["version"] for event in events] == [7][: switches - 1]
    assert next_since == 5 + switches


# Lists


async def listed(running: Audited, **query: Any) -> tuple[list[Json], str | None]:
    response = await running.api.get("/v1/sessions", params=query)
    assert response.status_code == 200, response.text
    data = response.json()["data"]
    return data["sessions"], data["next_cursor"]


async def test_a_list_is_as_redis_has_it_without_participants(running: Audited) -> None:
    session = await running.play()
    await running.archived()
    await running.sessions.switch(session["session_id"])
    [shown], cursor = await listed(running)
    assert cursor is None
    now = (await running.api.get(at(session))).json()["data"]
    assert shown.keys() == now.keys() - {"participants"}
    assert shown["version"] == now["version"] == session["version"] + 1
    assert shown["time_remaining_ms"] <= now["total_time_ms"]


async def test_pages_newest_first(running: Audited) -> None:
    made = []
    for _ in range(5):
        made.append(await game(running.sessions, start=False))
        await asyncio.sleep(0.002)
    await running.archived()
    found, cursor = [], None
    for count in (2, 2, 1):
        sessions, cursor = await listed(running, limit=2, **({"cursor": cursor} if cursor else {}))
        assert len(sessions) == count
        found += [session["session_id"] for session in sessions]
    assert (found, cursor) == (made[::-1], None)


async def test_a_list_of_one_status(running: Audited) -> None:
    pending = await game(running.sessions, start=False)
    done = await running.play()
    await running.sessions.complete(done["session_id"])
    going, ending = await running.play(), await running.play()
    await running.archived()
    await running.sessions.cancel(ending["session_id"])
    for status, expected in (
        ("pending", [pending]),
        ("running", [going["session_id"]]),
        ("completed", [done["session_id"]]),
    ):
        sessions, _ = await listed(running, status=status)
        assert [(each["session_id"], each["status"]) for each in sessions] == [
            (session_id, status) for session_id in expected
        ]


async def test_a_list_of_what_redis_has_lost(running: Audited) -> None:
    """As it was when it was stored; looking at a list restores nothing. What was deleted is not there."""
    live, over, gone, going = [await running.play() for _ in range(4)]
    await running.sessions.complete(over["session_id"])
    await running.sessions.delete(gone["session_id"])
    await running.archived()
    for session in (live, over):
        running.lose(session["session_id"])
    await running.sessions.delete(going["session_id"])
    sessions, _ = await listed(running)
    assert {each["session_id"]: each["status"] for each in sessions} == {
        live["session_id"]: "running",
        over["session_id"]: "completed",
    }
    assert all("internal" not in each and "participants" not in each for each in sessions)
    assert not running.has(live["session_id"])


async def test_a_list_is_the_tenants(running: Audited) -> None:
    config = b'{"sync_mode":"count_up","participants":[{"participant_id":"%b"}]}' % new_id().encode()
    await running.sessions.create(new_id(), config, Options(tenant="acme"))
    own = await game(running.sessions)
    await running.archived()
    sessions, _ = await listed(running)
    assert [each["session_id"] for each in sessions] == [own]


async def tagged(running: Audited, tags: object, *, tenant: str | None = None, people: int = 1) -> str:
    """A session whose metadata has these tags."""
    session_id = new_id()
    config = {
        "sync_mode": "count_up",
        "participants": [{"participant_id": new_id()} for _ in range(people)],
        "metadata": {"tags": tags},
    }
    await running.sessions.create(session_id, json.dumps(config).encode(), Options(tenant=tenant))
    return session_id


async def ids_of(running: Audited, tag: str, **query: Any) -> list[str]:
    sessions, _ = await listed(running, tag=tag, **query)
    return [each["session_id"] for each in sessions]


async def test_a_list_of_one_tag(running: Audited) -> None:
    """Newest first, page by page, of one tenant; whatever is no tag is none."""
    others = [await game(running.sessions) for _ in range(3)]
    made = []
    for _ in range(3):
        made.append(await tagged(running, ["Club-Night", "u9"]))
        await asyncio.sleep(0.002)
    await tagged(running, ["club-night"], tenant="acme")
    for odd in ("club-night", {"club-night": 1}, [["club-night"]], ["club-night"] * 17, ["club night"], None):
        await tagged(running, odd)
    turkish = await tagged(running, ["\u212b-1", "x" * 65, "..", 7])
    await running.archived()
    assert await ids_of(running, "club-night") == await ids_of(running, "CLUB-night") == made[::-1]
    assert await ids_of(running, "\u00e5-1") == [turkish]
    assert await ids_of(running, "nothing") == []
    found, cursor = [], None
    for count in (2, 1):
        sessions, cursor = await listed(running, tag="u9", limit=2, **({"cursor": cursor} if cursor else {}))
        assert len(sessions) == count
        found += [each["session_id"] for each in sessions]
    assert (found, cursor) == (made[::-1], None)
    assert await ids_of(running, "u9", status="running") == []
    assert not {*others} & {*found}


async def test_a_list_of_a_tag_with_participants(running: Audited) -> None:
    """Only those of sessions with few of them."""
    small, large = await tagged(running, ["room"]), await tagged(running, ["room"], people=200)
    await running.archived()
    sessions, _ = await listed(running, tag="room", participants="true")
    found = {each["session_id"]: each for each in sessions}
    assert found[small] == {**(await running.state(small)), "server_time_ms": found[small]["server_time_ms"]}
    assert "participants" not in found[large]
    assert found[large]["version"] == 1


@pytest.mark.parametrize("tag", ["", "club night", "a/b", "..", "x" * 65, "x" * 300, "%00"])
async def test_tags_that_are_none(running: Audited, tag: str) -> None:
    answer = await running.api.get("/v1/sessions", params={"tag": tag})
    assert fields_of(answer) == ["tag"]
    [problem] = answer.json()["error"]["details"]
    assert problem["message"].startswith("must be 1 to 64 letters, digits, -, _ and .")


async def test_tags_follow_the_metadata_in_whatever_order_batches_are_stored(running: Audited) -> None:
    session_id = await tagged(running, ["old", "both"])
    await running.archived()
    before = await running.store.session(session_id)
    assert before is not None
    assert before.snapshot is not None

    async def change(tags: object) -> set[str]:
        """The tags that are kept after a change, also when the batch before it is stored once more."""
        address = f"/v1/sessions/{session_id}/metadata"
        answer = await running.api.patch(address, json={"metadata": {"tags": tags}})
        assert answer.status_code == 200, answer.text
        await running.archived()
        assert before is not None
        assert before.snapshot is not None
        await running.store.insert_batch(Batch([], [before.snapshot]))
        async with running.store.connection() as connection:
            return {row[0] for row in await connection.fetch("SELECT tag FROM sync_tags")}

    assert await change(["both", "new"]) == {"both", "new"}
    assert await ids_of(running, "old") == []
    assert await ids_of(running, "new") == await ids_of(running, "both") == [session_id]
    assert await change(None) == set()
    # Whatever is kept, the state decides.
    async with running.store.connection() as connection:
        await connection.execute(
            "INSERT INTO sync_tags SELECT session_id, 'never', '', created_at FROM sync_sessions"
        )
    assert await ids_of(running, "never") == []
    running.lose(session_id)
    assert await ids_of(running, "never") == []


def made_up(place: str) -> str:
    """A cursor with a place of one's own."""
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


NO_YEARS = ("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00")
"""In UTC these are years that no calendar has."""


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "!",
        "%00",
        "2026-01-01",
        "MjAyNi0wMS0wMSB4",
        "é",
        *(made_up(f"{year} {uuid.UUID(int=0)}") for year in NO_YEARS),
    ],
)
async def test_cursors_that_are_none(running: Audited, cursor: str) -> None:
    assert fields_of(await running.api.get("/v1/sessions", params={"cursor": cursor})) == ["cursor"]


# Pictures


async def test_a_picture(running: Audited) -> None:
    session = await running.play()
    response = await running.api.get(at(session, "/timeline.svg"))
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/svg+xml"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    root = ET.fromstring(response.content)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    said = "".join(root.itertext())
    assert session["session_id"] in said
    assert all(each["participant_id"] in said for each in session["participants"])
    assert "versions 1 to 5" in said
    later = await running.api.get(at(session, "/timeline.svg"), params={"since": 3})
    assert "versions 4 to 5" in "".join(ET.fromstring(later.content).itertext())
    assert fields_of(await running.api.get(at(session, "/timeline.svg"), params={"since": 6})) == ["since"]


async def test_a_picture_from_postgresql_alone(running: Audited) -> None:
    """Redis does not answer at all."""
    session = await running.play()
    await running.archived()
    running.server.pause()
    try:
        response = await running.api.get(at(session, "/timeline.svg"))
        assert response.status_code == 200
        assert "versions 1 to 5" in "".join(ET.fromstring(response.content).itertext())
        error(await running.api.get(f"/v1/sessions/{new_id()}/timeline.svg"), 503, "STORAGE_UNAVAILABLE")
    finally:
        running.server.resume()


async def test_a_picture_of_many_events(running: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synckairos.audit.timeline.MAX_EVENTS", 20)
    session = await running.play(40)
    await running.archived()  # until then the first events may be in the queue only, and in no log
    response = await running.api.get(at(session, "/timeline.svg"))
    assert "versions 1 to 20 of 42" in "".join(ET.fromstring(response.content).itertext())


async def test_many_who_want_pictures_take_no_more_of_the_process_than_one(
    running: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture may take tenths of a second, and links have a limit of reads each."""
    under_way, most = 0, 0

    def drawn(*_: Any) -> bytes:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        time.sleep(0.02)
        under_way -= 1
        return b"<svg/>"

    monkeypatch.setattr(timeline, "draw", drawn)
    session = await running.play()
    wanted = (running.api.get(at(session, "/timeline.svg")) for _ in range(8))
    assert [each.status_code for each in await asyncio.gather(*wanted)] == [200] * 8
    assert most == 1


async def test_a_picture_without_an_audit_store(api: Any) -> None:
    response = await api.post("/v1/sessions", json=chess())
    picture = await api.get(at(response.json()["data"], "/timeline.svg"))
    assert picture.headers["content-type"] == "image/svg+xml"


# What each store has


async def inspected(running: Audited, session: Json) -> Json:
    response = await running.api.get(f"/debug/sessions/{session['session_id']}")
    assert response.status_code == 200, response.text
    found: Json = response.json()["data"]
    return found


async def test_stores_that_agree(running: Audited) -> None:
    session = await running.play()
    await running.archived()
    found = await inspected(running, session)
    assert (found["consistent"], found["findings"]) == (True, [])
    redis, postgresql = found["redis"], found["postgresql"]
    place = {"found": "session", "status": "running", "version": 5, "epoch": session["epoch"]}
    assert {name: redis[name] for name in place} == place
    assert {name: postgresql[name] for name in place} == place
    assert redis["ttl_ms"] > 0
    assert redis["alarm_ms"] == session["deadline_ms"]
    assert redis["state"]["participants"]
    assert (redis["logged"], redis["in_outbox"]) == (5, 0)
    assert "internal" not in postgresql["snapshot"]
    assert [event["version"] for event in found["newest_events"]] == [5, 4, 3, 2, 1]
    assert all(event["in_redis"] and event["in_postgresql"] for event in found["newest_events"])


async def test_events_on_their_way(running: Audited) -> None:
    session = await running.play()
    found = await inspected(running, session)
    assert found["consistent"] is False
    assert found["findings"][0].startswith("PostgreSQL has nothing of it")
    await running.archived()
    await running.sessions.switch(session["session_id"])
    found = await inspected(running, session)
    assert found["consistent"] is False
    assert f"PostgreSQL is at version 5 of epoch {session['epoch']}" in found["findings"][0]
    assert found["newest_events"][0]["in_postgresql"] is False


async def test_one_that_redis_has_lost(running: Audited) -> None:
    """Looking restores nothing."""
    session = await running.play()
    await running.archived()
    running.lose_all()
    found = await inspected(running, session)
    assert (found["redis"]["found"], found["postgresql"]["found"]) == ("nothing", "session")
    assert found["consistent"] is False
    assert found["findings"] == ["Redis has lost it; it is restored when it is next asked for"]
    assert not running.has(session["session_id"])
    await running.sessions.complete(session["session_id"])
    await running.archived()
    running.lose_all()
    found = await inspected(running, session)
    assert (found["consistent"], found["findings"]) == (True, [])


async def test_one_that_was_deleted(running: Audited) -> None:
    session = await running.play()
    await running.sessions.delete(session["session_id"])
    await running.archived()
    found = await inspected(running, session)
    assert (found["redis"]["found"], found["postgresql"]["found"]) == ("tombstone", "tombstone")
    assert (found["consistent"], found["findings"]) == (True, [])
    assert found["newest_events"][0]["event"] == "session.deleted"
    running.lose_all()
    assert (await inspected(running, session))["consistent"] is True


async def test_what_does_not_fit_together(running: Audited) -> None:
    session = await running.play()
    await running.archived()
    session_id = session["session_id"]
    async with running.store.connection() as connection:
        await connection.execute("DELETE FROM sync_events WHERE session_id = $1 AND version = 3", session_id)
        await connection.execute(
            "UPDATE sync_events SET body = '{}' WHERE session_id = $1 AND version = 4", session_id
        )
    with running.redis() as client:
        client.zrem(SessionKeys.of(session_id).alarms, session_id)
    findings = (await inspected(running, session))["findings"]
    assert findings == [
        "something is due later, and there is no alarm for it",
        f"the event of version 4 of epoch {session['epoch']} is not the same in Redis and PostgreSQL",
        f"in PostgreSQL no event comes between the versions 2 and 4 of epoch {session['epoch']}",
    ]


async def test_a_redis_that_went_back(running: Audited) -> None:
    session = await running.play()
    await running.archived()
    [newest] = await running.store.newest_events(session["session_id"], 1)
    later = json.loads(newest.body) | {"version": 6}
    entry = Entry("ab/1-0", session["session_id"], json.dumps(later).encode())
    await running.store.insert_batch(Batch([entry]))
    assert (await inspected(running, session))["findings"][0].startswith(
        "Redis went back: it is at version 5"
    )


@pytest.mark.own_keys(r"sk:\{..\}:[0-9a-f-]{36}")
async def test_a_key_that_holds_something_else(running: Audited) -> None:
    session_id = str(uuid.uuid4())
    with running.redis() as client:
        client.set(SessionKeys.of(session_id).session, "mine")
    found = await inspected(running, {"session_id": session_id})
    assert (found["redis"]["found"], found["consistent"]) == ("unknown", None)


async def test_nothing_to_look_at(running: Audited) -> None:
    error(await running.api.get(f"/debug/sessions/{new_id()}"), 404, "SESSION_NOT_FOUND")
    assert fields_of(await running.api.get("/debug/sessions/x")) == ["session_id"]


async def test_stores_that_are_away(there: Machines, own_postgres: PostgresServer) -> None:
    database = await asyncio.to_thread(own_postgres.database)
    async with audited(there.server, there.rq, database) as running:
        session = await running.play()
        await running.archived()
        running.server.pause()
        try:
            found = await inspected(running, session)
            assert (found["redis"]["found"], found["consistent"]) == ("unknown", None)
            assert found["postgresql"]["version"] == 5
        finally:
            running.server.resume()
        await asyncio.to_thread(own_postgres.kill)
        found = await inspected(running, session)
        assert (found["postgresql"]["found"], found["consistent"]) == ("unknown", None)
        assert found["redis"]["version"] == 5
        error(await running.api.get("/v1/sessions"), 503, "STORAGE_UNAVAILABLE")
        forget(running, session, up_to=2)
        error(await running.api.get(at(session, "/events")), 503, "STORAGE_UNAVAILABLE")
        assert [event["version"] for event in (await page(running, session, 2))[0]] == [3, 4, 5]


async def test_without_an_audit_store(api: Any) -> None:
    session = (await api.post("/v1/sessions", json=chess())).json()["data"]
    found = (await api.get(f"/debug/sessions/{session['session_id']}")).json()["data"]
    assert (found["consistent"], found["postgresql"]["found"]) == (None, "unknown")
    assert found["findings"] == ["the audit store does not answer, or there is none"]


async def test_states_after_events_with_a_schedule_and_bounded_pauses(running: Audited) -> None:
    """Of every event from the first one on."""
    now = int(time.time() * 1000)
    bounds: Json = {"max_pauses": 5, "max_total_pause_ms": 60_000, "max_cycles": 3}
    session_id = await game(
        running.sessions, start=False, starts_at_ms=now + 600, ends_at_ms=now + 600_000, **bounds
    )
    states: list[Json] = []

    async def see() -> None:
        await asyncio.sleep(0.02)
        states.append(json.loads((await running.sessions.get(session_id)).raw))

    await see()
    async with asyncio.timeout(20):
        while (await running.sessions.get(session_id)).status == "pending":
            await asyncio.sleep(0.05)
    await see()
    steps = ["pause", "resume", "switch", "FREE", "resume", "pause", "resume", "switch", "switch"]
    keys = SessionKeys.of(session_id).all
    for step in steps:
        if step == "FREE":
            await running.service.context.connection.fcall("sk_pause", keys, ("FREE",))
        else:
            await getattr(running.sessions, step)(session_id)
        await see()
    assert [state["status"] for state in (states[0], states[-1])] == ["pending", "completed"]
    events = await running.sessions.log(session_id, 1)
    assert events is not None
    assert len(events) == len(states) - 1 == len(steps) + 1
    names = ["status", "pauses_left", "starts_at_ms", "ends_at_ms", "session_started_at"]
    names += ["session_completed_at", "resumes_at_ms", "max_pauses", "max_total_pause_ms", "max_cycles"]
    for count, library in enumerate(states):
        made = reading.state_after(json.loads(json.dumps(states[0])), events[:count])
        assert [made[name] for name in names] == [library[name] for name in names], count
        # What is left of all pauses is as of the newest event here, and as of now in the library.
        passed = library["server_time_ms"] - made["server_time_ms"]
        runs_down = passed if library["resumes_at_ms"] is not None else 0
        assert made["pause_remaining_ms"] - runs_down == library["pause_remaining_ms"], count


async def test_states_after_events_are_those_of_the_library(running: Audited) -> None:
    """What `after` makes of a state and the events behind it, against what the library says."""
    session = await running.play(0, warnings_ms=[1000])
    session_id = session["session_id"]
    base: Json = json.loads((await running.sessions.get(session_id)).raw)
    first = session["participants"][0]["participant_id"]
    await running.sessions.switch(session_id)
    third = new_id()
    await running.sessions.join(
        session_id, json.dumps({"participant_id": third, "total_time_ms": 5000}).encode()
    )
    await running.sessions.adjust(session_id, participant=first, add_ms=5000)
    await running.sessions.leave(session_id, third)
    await running.sessions.patch_metadata(session_id, b'{"title":"Final","odd":[null,{}]}')
    await running.sessions.pause(session_id)
    await running.sessions.patch_metadata(session_id, b'{"title":null}')
    await running.sessions.complete(session_id)
    events = await running.sessions.log(session_id, base["version"])
    assert events is not None
    made = reading.state_after(base, events)
    library = json.loads((await running.sessions.get(session_id)).raw)
    assert made | {"server_time_ms": 0} == library | {"server_time_ms": 0}
