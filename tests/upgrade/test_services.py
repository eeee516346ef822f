"""The service of the last release and this one's side by side over one Redis, in both orders and back."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from synckairos.audit import schema
from synckairos.audit.jobs import READS, WRITES, Counts, Jobs, decode_job, encode_job
from synckairos.audit.rows import Batch, Entry
from synckairos.audit.store import Store
from synckairos.audit.verify import verify
from synckairos.core.keys import SessionKeys
from synckairos.core.library import Library
from tests.support import servers
from tests.support.live import eventually, settings
from tests.support.programs import Program
from tests.support.servers import Server
from tests.upgrade.releases import (
    PATIENCE_S,
    Json,
    Release,
    Socket,
    last_library,
    last_revision,
    unpack,
    until,
)

LONG_MS = 600_000
SHORT_MS = 1000

Start = Callable[[], Release]


@pytest.fixture(scope="module")
def last_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the last release."""
    folder = tmp_path_factory.mktemp("last_release")
    unpack(folder)
    return folder


TOMORROW = """
from alembic import op

revision, down_revision, oldest = "{revision}", "{before}", "1"


def upgrade():
    op.execute("ALTER TABLE sync_events ADD COLUMN later text, ADD COLUMN more int NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE sync_sessions ADD COLUMN later text")
    op.execute("CREATE TABLE sync_later (id bigint PRIMARY KEY)")


def downgrade():
    op.execute("DROP TABLE sync_later")
    op.execute("ALTER TABLE sync_sessions DROP COLUMN later")
    op.execute("ALTER TABLE sync_events DROP COLUMN later, DROP COLUMN more")
"""


@pytest.fixture
def tomorrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The revision of a step of the next release, which adds what the rules allow. `migrate` knows it here,
    so that there are newer tables also while this release has those of the last one."""
    newest = schema.revisions()[-1]
    revision = str(int(newest) + 1)
    (tmp_path / "tomorrow.py").write_text(TOMORROW.format(revision=revision, before=newest))
    config = schema._config()
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", f"synckairos.audit:migrations/versions\n{tmp_path}")
    monkeypatch.setattr(schema, "_config", lambda: config)
    assert schema.revisions()[-1] == revision
    return revision


@pytest.fixture
def primary() -> Iterator[Server]:
    with servers.start("valkey") as server:
        yield server


def version(server: Server) -> str:
    """The version of the library on a server."""
    with server.sync_client() as client:
        found: bytes = client.fcall("sk_info", 0)[0]
    return found.decode()


async def ended(release: Release) -> None:
    assert await asyncio.to_thread(release.end) == 0, "".join(release.errors)


async def agree(one: Release, other: Release, session_id: str) -> None:
    """Both show the same session."""
    volatile = {"server_time_ms", "time_remaining_ms", "cycle_elapsed_ms", "participants"}
    first, second = await one.state(session_id), await other.state(session_id)
    assert {key: first[key] for key in first.keys() - volatile} == {
        key: second[key] for key in second.keys() - volatile
    }
    for name in ("total_time_ms", "time_used_ms", "cycle_count", "is_active", "has_expired"):
        assert [each[name] for each in first["participants"]] == [
            each[name] for each in second["participants"]
        ]


async def heard_the_same(*sockets: Socket) -> None:
    """Each socket got each event once and in order, and all of them got the same."""
    newest = max(socket.line[-1][1] for socket in sockets)
    for socket in sockets:
        await socket.reaches(newest)
        socket.is_in_order()
    events: list[dict[tuple[str, int], Any]] = [
        {
            (message["epoch"], message["version"]): message
            for message in socket.messages
            if message["type"] != "STATE_SYNC"
        }
        for socket in sockets
    ]
    for one in events[1:]:
        both = events[0].keys() & one.keys()
        assert {at: events[0][at] for at in both} == {at: one[at] for at in both}


async def expires(session_id: str, *sockets: Socket) -> None:
    """The session ended because its time was up, and each socket heard that once.

    After a failover the first change of a session comes as the whole state.
    """
    for socket in sockets:
        await socket.hears(says_expired)
        said = [message for message in socket.messages if says_expired(message)]
        assert [message["session_id"] for message in said] == [session_id]


def says_expired(message: Json) -> bool:
    payload = message["payload"]
    if message["type"] == "STATE_SYNC":
        return bool(payload["full_state"]["status"] == "expired")
    return bool(payload["event"] == "session.expired")


async def side_by_side(one: Release, other: Release) -> None:
    """A session of one is switched, paused, read and watched at the other, and runs out at both."""
    session_id = await one.create(LONG_MS, LONG_MS)
    short = await one.create(SHORT_MS, LONG_MS)
    async with (
        one.watch(session_id) as here,
        other.watch(session_id) as there,
        one.watch(short) as here_too,
        other.watch(short) as there_too,
    ):
        for release in (other, one, other):
            await release.switch(session_id)
        await other.call("POST", f"/{session_id}/pause")
        await one.call("POST", f"/{session_id}/resume")
        await other.switch(session_id)
        await agree(one, other, session_id)
        await heard_the_same(here, there)
        assert here.messages[-1]["version"] == 8
        await expires(short, here_too, there_too)
    await agree(one, other, short)


@pytest.mark.parametrize("this_first", [False, True], ids=["the last one first", "this one first"])
async def test_side_by_side_and_back_again(
    primary: Server, last_release: Path, tmp_path: Path, *, this_first: bool
) -> None:
    """This one's service stores sessions in the newer schema, which the last one knows nothing of."""
    environ = {"REDIS_URL": primary.url}
    features = tmp_path / "features.yaml"
    features.write_text("features: {session_schema_2: {enabled: true}}")
    with_features = {**environ, "FEATURES_FILE": str(features)}
    starts: list[Start] = [lambda: Release(environ, last_release), lambda: Release(with_features)]
    start_first, start_second = reversed(starts) if this_first else starts
    async with AsyncExitStack() as stack:
        first = stack.enter_context(start_first())
        await first.answers()
        old = await first.create(LONG_MS, LONG_MS)
        socket = await stack.enter_async_context(first.watch(old))

        second = stack.enter_context(start_second())
        await second.answers()
        assert version(primary) == Library.assemble().version
        await second.switch(old)
        await first.switch(old)
        await agree(first, second, old)
        assert (await first.state(old))["schema"] == 2
        await heard_the_same(socket)
        assert socket.messages[-1]["version"] == 4
        await asyncio.gather(side_by_side(first, second), side_by_side(second, first))

        short = await first.create(SHORT_MS, LONG_MS)
        await ended(first)
        async with second.watch(short) as alone:
            await expires(short, alone)
        await second.switch(old)

        back = stack.enter_context(start_first())
        await back.answers()
        await side_by_side(back, second)
        short = await second.create(SHORT_MS, LONG_MS)
        await ended(second)
        async with back.watch(short) as alone:
            await expires(short, alone)
        assert (await back.switch(old))["version"] == 6
        assert version(primary) == Library.assemble().version
        await ended(back)


async def test_a_library_from_before_the_update_comes_back_under_this_release(
    primary: Server, last_release: Path, tmp_path: Path
) -> None:
    """As where a dump of Redis from before the update was restored. When the service asks for something that
    this library does not know, it loads its own again, and nobody gets an error."""
    environ = {"REDIS_URL": primary.url}
    features = tmp_path / "features.yaml"
    features.write_text("features: {session_schema_2: {enabled: true}}")
    with Release(environ, last_release) as last:
        await last.answers()
        made = [await last.create(LONG_MS, LONG_MS) for _ in range(2)]
        await ended(last)
    with Release({**environ, "FEATURES_FILE": str(features)}) as this:
        await this.answers()
        assert version(primary) == Library.assemble().version
        with primary.sync_client() as client:
            client.function_load(last_library().payload, replace=True)
        async with this.watch(made[0]) as socket:
            assert (await this.state(made[0]))["version"] == 2
            assert version(primary) == last_library().version
            for session_id in made:
                assert (await this.switch(session_id))["version"] == 3
            await heard_the_same(socket)
        created = await this.create(LONG_MS, LONG_MS)
        assert version(primary) == Library.assemble().version
        assert [(await this.state(each))["schema"] for each in (made[0], created)] == [2, 2]
        await ended(this)


async def test_a_failover_in_the_middle(primary: Server, last_release: Path) -> None:
    """Nothing is lost of what the replica had, and both releases go on at the new primary."""
    with servers.start_replica(primary) as replica, servers.start_sentinel(primary, "main") as sentinel:
        environ = {
            "REDIS_SENTINEL_HOSTS": f"127.0.0.1:{sentinel.port}",
            "REDIS_SENTINEL_NAME": "main",
        }
        with sentinel.sync_client() as client:
            await eventually(lambda: client.sentinel_master("main")["num-slaves"] == 1, PATIENCE_S)
        with Release(environ, last_release) as last, Release(environ) as this:
            await asyncio.gather(last.answers(), this.answers())
            assert version(primary) == Library.assemble().version
            made = [await last.create(LONG_MS, LONG_MS), await this.create(LONG_MS, LONG_MS)]
            due = [await last.create(4000, LONG_MS), await this.create(4000, LONG_MS)]
            async with AsyncExitStack() as stack:
                watched = [
                    [await stack.enter_async_context(release.watch(each)) for release in (last, this)]
                    for each in (*made, *due)
                ]
                for each in made:
                    await last.switch(each)
                    await this.switch(each)
                with primary.sync_client() as client:
                    assert client.wait(1, 10_000) == 1
                primary.kill()
                for each in made:
                    await this.switch(each)
                    await last.switch(each)
                    await agree(last, this, each)
                for sockets in watched[: len(made)]:
                    await heard_the_same(*sockets)
                    assert sockets[0].messages[-1]["version"] == 6
                for session_id, sockets in zip(due, watched[len(made) :], strict=True):
                    await expires(session_id, *sockets)
            assert version(replica) == Library.assemble().version
            await side_by_side(last, this)
            await ended(this)
            assert (await last.switch(made[1]))["version"] == 7


@pytest.mark.one_kind
async def test_each_stores_what_the_other_has_queued(
    primary: Server, last_release: Path, database: str, store: Store, tomorrow: str
) -> None:
    """And brings back what Redis has lost, from what the other has stored.

    The tables are brought to a new revision while the last release works with them.
    """
    environ = {"REDIS_URL": primary.url, "DATABASE_URL": database}
    last_path = {**environ, "PYTHONPATH": str(last_release)}
    await schema.migrate(database, last_revision(last_release))
    with (
        Release(environ, last_release) as last,
        Program("worker", **last_path) as last_worker,
        Release(environ) as this,
    ):
        last_worker.until(lambda: "waiting for batches" in "".join(last_worker.errors), "its start")
        assert (await schema.migrate(database))[1] == tomorrow
        await asyncio.gather(last.answers(), this.answers())
        start_workers: list[Callable[[], Program]] = [
            lambda: last_worker,
            lambda: Program("worker", **environ),
        ]
        for start_worker in start_workers:
            with start_worker() as worker:
                made = [await release.create(LONG_MS, LONG_MS) for release in (last, this)]
                for session_id in made:
                    await last.switch(session_id)
                    await this.switch(session_id)

                async def stored(made: list[str] = made) -> bool:
                    found = [await store.session(session_id) for session_id in made]
                    return all(each is not None and each.version == 4 for each in found)

                await until(stored, lambda worker=worker: "".join(worker.errors)[-3000:])
                assert await asyncio.to_thread(worker.end) == 0
            with primary.sync_client() as client:
                for session_id in made:
                    client.delete(*SessionKeys.of(session_id).all[:2])
            for release, session_id in zip((this, last), made, strict=True):
                assert (await release.switch(session_id))["version"] == 6
                assert (await release.state(session_id))["recovered"]
    async for checked in verify(store, None):
        assert checked.sessions == 4
        assert checked.findings == []


async def switches(release: Release, session_id: str, going: asyncio.Event) -> int:
    """Switches a session until the event is unset. Returns the last version that was acknowledged."""
    version = 2
    while going.is_set():
        version = (await release.switch(session_id))["version"]
        await asyncio.sleep(0.05)
    return version


@pytest.mark.one_kind
async def test_tables_go_forward_and_back_under_traffic(
    primary: Server, last_release: Path, database: str, store: Store, tomorrow: str
) -> None:
    """Both services change sessions all the time, and one worker after the other stores what both tell.

    Nothing that was acknowledged is lost, stored twice, refused or given up, whatever the tables are.
    """
    environ = {"REDIS_URL": primary.url, "DATABASE_URL": database}
    last_path = {**environ, "PYTHONPATH": str(last_release)}
    older = last_revision(last_release)
    releases = (last_release, None)
    await schema.migrate(database, older)
    going = asyncio.Event()
    going.set()
    async with AsyncExitStack() as stack:
        services = [stack.enter_context(Release(environ, folder)) for folder in releases]
        await asyncio.gather(*(service.answers() for service in services))
        sessions = [(service, await service.create(LONG_MS, LONG_MS)) for service in services * 2]
        traffic = [asyncio.create_task(switches(*each, going)) for each in sessions]

        async def on_the_way() -> bool:
            """What has been acknowledged by now is stored."""
            versions = [(session_id, (await at.state(session_id))["version"]) for at, session_id in sessions]

            async def stored() -> bool:
                found = [await store.session(session_id) for session_id, _ in versions]
                return all(
                    each is not None and each.version >= version
                    for each, (_, version) in zip(found, versions, strict=True)
                )

            await until(stored, lambda: said(last_worker) + said(this_worker))
            return True

        def said(worker: Program | None) -> str:
            return "" if worker is None else "".join(worker.errors)[-2000:]

        this_worker: Program | None = None
        last_worker = stack.enter_context(Program("worker", **last_path))
        assert await on_the_way()
        # With the last release's worker and service.
        assert await schema.migrate(database) == (older, tomorrow)
        assert await on_the_way()
        this_worker = stack.enter_context(Program("worker", **environ))
        assert await on_the_way()  # both workers
        assert await asyncio.to_thread(last_worker.end) == 0
        assert await on_the_way()  # this release's worker, both services
        # And back, with all of this release still there.
        assert await schema.migrate(database, older) == (tomorrow, older)
        assert await on_the_way()
        last_worker = stack.enter_context(Program("worker", **last_path))
        assert await asyncio.to_thread(this_worker.end) == 0
        assert await on_the_way()  # the last release's worker, both services
        await schema.migrate(database)
        going.clear()
        versions = await asyncio.gather(*traffic)
        assert await on_the_way()

        async def whole() -> bool:
            """All events are stored, too: batches may come in any order."""
            for (_, session_id), version in zip(sessions, versions, strict=True):
                events = await store.events(session_id, 0, version + 1)
                if [event.version for event in events] != list(range(1, version + 1)):
                    return False
            return True

        await until(whole, lambda: said(last_worker))
        for service in services:
            await ended(service)
    for (_, session_id), version in zip(sessions, versions, strict=True):
        found = await store.session(session_id)
        assert found is not None
        assert found.version == version
    assert await store.count_refused() == 0
    with closing(Jobs.of(settings(primary.url))) as jobs:
        assert jobs.counts() == Counts(0, 0, 0, 0)
    async for checked in verify(store, None):
        assert checked.findings == []


DECODED = """
import json, sys
from synckairos.audit.jobs import decode_job, encode_job
batch = decode_job(sys.stdin.read())
print(json.dumps([[list(map(str, entry[:3])) for entry in batch.entries], list(map(str, batch.snapshots))]))
print(encode_job(batch))
"""


async def test_each_reads_batches_of_the_other(last_release: Path) -> None:
    """Of each entry its place, its session and its event. What else there is, the other may not know."""
    made = Batch([Entry("01/1-0", str(uuid.uuid4()), b'{"a": 1}'), Entry("01/2-0", "", b"")], [b'{"b": 2}'])
    last = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-P", "-c", DECODED],
        input=encode_job(made),
        env={"PYTHONPATH": str(last_release)},
        capture_output=True,
        text=True,
        check=True,
    )
    read, written = last.stdout.splitlines()
    assert json.loads(read) == [
        [list(map(str, entry[:3])) for entry in made.entries],
        list(map(str, made.snapshots)),
    ]
    assert decode_job(written) == made
    assert WRITES in READS


def test_the_last_release_does_not_use_what_steps_since_have_taken_away(last_release: Path) -> None:
    """And it is no older than the oldest one for which the tables do."""
    revision = last_revision(last_release)
    assert int(schema.oldest(schema.revisions()[-1])) <= int(revision)
    since = [each for each in schema.revisions() if int(each) > int(revision)]
    names = {name for each in since for name in schema.removed(each)}
    for file in (last_release / "synckairos").rglob("*.py"):
        if "migrations" not in file.parts:
            text = file.read_text(encoding="utf-8")
            assert not {name for name in names if name in text}, file
