"""Limits and quotas of callers with tokens, over HTTP, as whoever wants more than their share tries them."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from synckairos.auth.caller import Caller
from synckairos.errors import Unauthenticated
from tests.support import servers
from tests.support.live import PATIENCE_S, Service, eventually, service, settings


class Tokens:
    """Stands for `AUTH_MODE=jwt`: a bearer is the caller as JSON, and anything else is a wrong token."""

    required = True

    def __init__(self) -> None:
        self.looked_at = 0

    def remembered(self, bearer: str) -> Caller | None:
        return self._caller(bearer) if '"known"' in bearer else None

    async def caller(self, bearer: str) -> Caller:
        self.looked_at += 1
        return self._caller(bearer)

    def _caller(self, bearer: str) -> Caller:
        try:
            fields = json.loads(bearer)
        except ValueError:
            raise Unauthenticated from None
        fields.pop("known", None)
        return Caller(**{**fields, "roles": frozenset(fields["roles"])})

    async def confirm(self, _caller: Caller, /) -> None:
        """All links are good."""

    def check_revoked(self, _caller: Caller, /) -> None:
        """Nothing is revoked."""

    async def aclose(self) -> None:
        """Nothing runs."""


class Unwritten:
    """Stands for the access log, without which admins may do nothing. It keeps nothing."""

    async def check(self) -> None:
        """It can be written."""

    async def store_now(self, _entry: Any, /) -> None:
        """It was written."""

    def add(self, _entry: Any, /) -> None:
        """It will be written."""

    def refuse(self, _entry: Any, /) -> None:
        """It will be written."""


def token(subject: str, *roles: str, tenant: str = "club", **fields: Any) -> dict[str, str]:
    """The header of a caller."""
    caller = {"subject": subject, "tenant": tenant, "roles": list(roles), **fields}
    return {"authorization": f"Bearer {json.dumps(caller)}"}


@asynccontextmanager
async def limited(redis: servers.Server, **environ: str) -> AsyncIterator[tuple[Service, httpx.AsyncClient]]:
    """A service with limits whose callers have tokens, and a client of it."""
    async with (
        service(settings(redis.url, RATE_LIMIT_ENABLED="true", **environ)) as running,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}", timeout=20) as api,
    ):
        running.context.bearers = Tokens()
        running.context.access_log = cast(Any, Unwritten())
        yield running, api


def people(number: int = 2) -> list[dict[str, Any]]:
    return [{"participant_id": str(uuid.uuid4()), "total_time_ms": 600_000} for _ in range(number)]


def config(number: int = 2, **fields: Any) -> dict[str, Any]:
    return {"sync_mode": "per_participant", "participants": people(number), **fields}


async def created(api: httpx.AsyncClient, by: dict[str, str], **fields: Any) -> dict[str, Any]:
    answer = await api.post("/v1/sessions", json=config(**fields), headers=by)
    assert answer.status_code == 201, answer.text
    state: dict[str, Any] = answer.json()["data"]
    return state


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"] if answer.status_code >= 400 else ""


def limit_of(answer: httpx.Response) -> str:
    """The limit that turned a request away."""
    assert code(answer) == (429, "RATE_LIMIT_EXCEEDED"), answer.text
    assert int(answer.headers["retry-after"]) >= 1
    assert int(answer.headers["ratelimit-limit"]) > int(answer.headers["ratelimit-remaining"])
    return str(answer.json()["error"]["context"]["limit"])


SERVICE = token("backend", "service")


@pytest.fixture(autouse=True)
def nothing_taken_yet(redis: servers.Server) -> None:
    """Limits and quotas are those of names, and the tests share their names."""
    with redis.sync_client() as client:
        client.flushall()


async def test_switches_that_cannot_succeed_do_not_close_the_session_for_the_rightful_player(
    redis: servers.Server,
) -> None:
    async with limited(redis) as (_, api):
        session = await created(api, SERVICE)
        at = f"/v1/sessions/{session['session_id']}"
        first, second = (each["participant_id"] for each in session["participants"])
        bound = {"session": session["session_id"]}
        player = token("anna", "player", participant=first, **bound)
        stranger = token("eve", "player", participant=second, **bound)
        await api.post(at + "/start", headers=SERVICE)
        # At once, as a slow machine would let through ten a second for ever.
        tries = await asyncio.gather(*(api.post(at + "/switch", headers=stranger) for _ in range(60)))
        assert {code(each) for each in tries} == {(403, "FORBIDDEN"), (429, "RATE_LIMIT_EXCEEDED")}
        assert sum(each.status_code == 403 for each in tries) >= 10
        assert {limit_of(each) for each in tries if each.status_code == 429} == {"refused switch"}
        done = await api.post(at + "/switch", headers=player)
        assert done.status_code == 200
        assert (done.headers["ratelimit-policy"], done.headers["ratelimit-remaining"]) == ("10;w=1", "9")
        # Now it is her turn, and her bucket is her own: what she was refused took nothing of it.
        hers = await api.post(at + "/switch", headers=stranger)
        assert (hers.status_code, hers.headers["ratelimit-remaining"]) == (200, "9")
        # A repeat is a replay, and takes nothing.
        key = {"idempotency-key": "once"}
        answers = [await api.post(at + "/switch", headers={**player, **key}) for _ in range(30)]
        assert {each.status_code for each in answers} == {200}


async def test_changes_of_metadata_take_from_the_limit_of_changes(redis: servers.Server) -> None:
    """Everybody who watches gets all of it each time."""
    async with limited(redis) as (_, api):
        session = await created(api, SERVICE)
        at, leader = f"/v1/sessions/{session['session_id']}", token("lea", "moderator")
        patches = [{"metadata": {"text": f"{number}" * 2000}} for number in range(90)]
        answers = await asyncio.gather(
            *(api.patch(at + "/metadata", json=each, headers=leader) for each in patches)
        )
        assert {each.status_code for each in answers} == {200, 429}
        assert {limit_of(each) for each in answers if each.status_code == 429} == {"change"}
        assert code(await api.post(at + "/start", headers=leader)) == (429, "RATE_LIMIT_EXCEEDED")
        assert answers[0].headers["ratelimit-policy"] == "60;w=60"
        for role in ("player", "viewer"):
            refused = await api.patch(at + "/metadata", json=patches[0], headers=token("pia", role))
            assert code(refused) == (403, "FORBIDDEN")


async def test_each_kind_of_call_has_its_limit_and_a_service_only_that_of_the_session(
    redis: servers.Server,
) -> None:
    async with limited(redis, RATE_LIMIT_MAX_REQUESTS="4", RATE_LIMIT_WINDOW_MS="86400000") as (_, api):
        session, other = await created(api, SERVICE), await created(api, SERVICE)
        at, beside = (f"/v1/sessions/{each['session_id']}" for each in (session, other))
        admin = token("ada", "admin")
        changes = await asyncio.gather(*(api.patch(at + "/clock", headers=admin) for _ in range(90)))
        assert changes[0].headers["ratelimit-policy"] == "60;w=60"
        assert {each.status_code for each in changes} == {400, 429}
        assert sum(each.status_code == 400 for each in changes) >= 60
        assert {limit_of(each) for each in changes if each.status_code == 429} == {"change"}
        assert (await api.post(beside + "/start", headers=admin)).status_code == 200
        # Everybody has their own, also where names could be written the same.
        for who in (token("b:c", "viewer", tenant="a"), token("c", "viewer", tenant="a:b")):
            answers = [await api.get("/v1/sessions/x", headers=who) for _ in range(5)]
            assert [each.status_code for each in answers] == [400] * 4 + [429]
            assert limit_of(answers[-1]) == "read"
        # A role's 403 comes before the limit, and the limit before the binding's 404 and the input's 400.
        bound = token("bob", "viewer", session=session["session_id"])
        answers = [await api.get(beside, headers=bound) for _ in range(5)]
        assert [each.status_code for each in answers] == [404] * 4 + [429]
        assert code(await api.post(at + "/pause", headers=bound)) == (403, "FORBIDDEN")
        many = [await api.get(at, headers=SERVICE) for _ in range(8)]
        many += [await api.post("/v1/sessions", json=config(), headers=SERVICE) for _ in range(7)]
        assert {each.status_code for each in many} == {200, 201}
        await api.post(at + "/start", headers=SERVICE)
        switches = await asyncio.gather(*(api.post(at + "/switch", headers=SERVICE) for _ in range(60)))
        assert {limit_of(each) for each in switches if each.status_code == 429} == {"switch"}
        assert sum(each.status_code == 200 for each in switches) >= 10


@pytest.mark.parametrize("call", ["switch", "pause"])
async def test_nobody_finds_sessions_by_trying_calls_with_a_limit_of_each_session(
    redis: servers.Server, call: str
) -> None:
    async with limited(redis, RATE_LIMIT_MAX_REQUESTS="5", RATE_LIMIT_WINDOW_MS="86400000") as (_, api):
        foreign = await created(api, token("backend", "service", tenant="others"))
        ids = [foreign["session_id"], *(str(uuid.uuid4()) for _ in range(6))]
        seeker = token("eve", "admin")
        answers = [await api.post(f"/v1/sessions/{each}/{call}", headers=seeker) for each in ids]
        assert [each.status_code for each in answers] == [404] * 5 + [429] * 2
        assert {limit_of(each) for each in answers[5:]} == {"read"}
        assert limit_of(await api.get(f"/v1/sessions/{ids[0]}", headers=seeker)) == "read"
        # A session that is not there has no bucket, however many of them somebody names.
        with redis.sync_client() as client:
            left = {key.decode().partition("{")[2].partition(":")[0] for key in client.keys("sk:rl:*")}
        assert left == {"read"}


async def test_what_a_role_does_not_allow_is_403_and_takes_of_the_subjects_limit(
    redis: servers.Server,
) -> None:
    async with limited(redis, RATE_LIMIT_MAX_REQUESTS="4", RATE_LIMIT_WINDOW_MS="86400000") as (running, api):
        session_id = (await created(api, SERVICE))["session_id"]
        at, viewer = f"/v1/sessions/{session_id}", token("eve", "viewer")
        tried = [await api.post(f"{at}/{call}", headers=viewer) for call in ("switch", "start", "pause")]
        assert [code(each) for each in tried] == [(403, "FORBIDDEN")] * 3
        assert [each.headers["ratelimit-remaining"] for each in tried] == ["3", "2", "1"]
        async with running.follow(session_id, additional_headers=viewer) as watcher:
            assert (await watcher.ask(type="SWITCH", request_id="1"))["error"]["code"] == "FORBIDDEN"
        assert limit_of(await api.get(at, headers=viewer)) == "read"
        assert code(await api.post(f"{at}/switch", headers=viewer)) == (403, "FORBIDDEN")
        creations = [await api.post("/v1/sessions", headers=viewer) for _ in range(7)]
        assert [code(each) for each in creations] == [(403, "FORBIDDEN")] * 7
        assert creations[5].headers["ratelimit-remaining"] == "0"


async def test_a_socket_too_many_without_a_token_is_told_its_limit(redis: servers.Server) -> None:
    async with limited(redis) as (running, _), AsyncExitStack() as open_:
        for _ in range(5):
            await open_.enter_async_context(running.watch(str(uuid.uuid4())))
        with pytest.raises(InvalidStatus) as refused:
            await open_.enter_async_context(running.watch(str(uuid.uuid4())))
        response = refused.value.response
        assert response.status_code == 429
        assert (response.headers["ratelimit-policy"], response.headers["ratelimit-remaining"]) == (
            "5;w=60",
            "0",
        )
        assert 0 < int(response.headers["retry-after"]) <= 60


async def test_naming_sessions_that_are_not_there_leaves_nothing_behind_and_is_soon_not_looked_into(
    redis: servers.Server,
) -> None:
    """Each name would be a new bucket in Redis, and have outboxes and PostgreSQL searched."""
    async with limited(redis, RATE_LIMIT_MAX_REQUESTS="5", RATE_LIMIT_WINDOW_MS="86400000") as (running, api):
        session = await created(api, SERVICE)
        at = f"/v1/sessions/{session['session_id']}"
        await api.post(at + "/start", headers=SERVICE)
        admin, bound = token("ada", "admin"), token("bob", "admin", session=session["session_id"])
        client = await running.context.connection.primary_for("sk")

        async def buckets() -> int:
            return len([name async for name in client.scan_iter("sk:rl:*")])

        async def asked() -> int:
            calls: int = (await client.info("commandstats"))["cmdstat_fcall"]["calls"]
            return calls

        for who, names in (
            (token("eve", "admin"), [f"no-{number}" for number in range(12)]),
            (bound, [str(uuid.uuid4()) for _ in range(12)]),
        ):
            before = await buckets()
            answers = [await api.post(f"/v1/sessions/{name}/pause", headers=who) for name in names]
            assert [each.status_code for each in answers[5:]] == [429] * 7
            assert {limit_of(each) for each in answers[5:]} == {"read"}
            assert await buckets() == before + 1  # that of reads
        for method, call in (("POST", "/pause"), ("DELETE", "")) * 3:
            await api.request(method, f"/v1/sessions/{uuid.uuid4()}{call}", headers=admin)
        then = await buckets(), await asked()
        for method, call in (("POST", "/pause"), ("DELETE", ""), ("POST", "/switch"), ("PATCH", "/clock")):
            path = f"/v1/sessions/{uuid.uuid4()}{call}"
            assert limit_of(await api.request(method, path, headers=admin)) == "read"
        assert (await buckets(), await asked()) == then
        # Whoever has a session goes on with it.
        assert (await api.post(at + "/pause", headers=admin)).status_code == 200


async def test_a_big_config_counts_for_more(redis: servers.Server) -> None:
    async with limited(redis) as (_, api):
        admin = token("ada", "admin")
        assert (await api.post("/v1/sessions", json=config(1000), headers=admin)).status_code == 201
        again = await api.post("/v1/sessions", json=config(1000), headers=admin)
        assert limit_of(again) == "create"
        assert int(again.headers["retry-after"]) > 12
        # What is refused with all that is wrong with it has its price as well.
        wrong = token("bob", "admin")
        answers = [await api.post("/v1/sessions", json={}, headers=wrong) for _ in range(6)]
        assert [each.status_code for each in answers] == [400] * 5 + [429]


async def test_unknown_names_never_reach_redis(redis: servers.Server) -> None:
    async with limited(redis) as (running, api):
        client = await running.context.connection.primary_for("sk")
        before = (await client.info("commandstats")).get("cmdstat_fcall", {"calls": 0})["calls"]
        body = config(1, **{str(number): 0 for number in range(30_000)})
        answer = await api.post("/v1/sessions", json=body, headers=SERVICE)
        assert code(answer) == (400, "VALIDATION_ERROR")
        assert len(answer.json()["error"]["details"]) == 100
        assert (await client.info("commandstats")).get("cmdstat_fcall", {"calls": 0})["calls"] == before


async def test_wrong_logins_are_soon_not_looked_at_any_more(redis: servers.Server) -> None:
    async with limited(redis) as (running, api):
        tokens = running.context.bearers
        assert isinstance(tokens, Tokens)
        answers = await asyncio.gather(
            *(api.get("/v1/sessions/x", headers={"authorization": "Bearer wrong"}) for _ in range(60))
        )
        refused = [each for each in answers if each.status_code == 429]
        assert {code(each) for each in answers} == {
            (401, "UNAUTHENTICATED"),
            (429, "RATE_LIMIT_EXCEEDED"),
        }
        assert len(answers) - len(refused) >= 30
        assert {limit_of(each) for each in refused} == {"failed logins"}
        looked_at = tokens.looked_at
        new = await api.get("/v1/sessions/x", headers=SERVICE)
        if new.status_code == 429:  # one comes back every 2 s
            assert tokens.looked_at == looked_at
        known = await api.get("/v1/sessions/x", headers=token("ada", "admin", known=1))
        assert code(known) == (400, "VALIDATION_ERROR")
        # Without a token it is no login, and public pages ask for none.
        assert code(await api.get("/v1/sessions/x")) == (401, "UNAUTHENTICATED")
        assert (await api.get("/v1/presets")).status_code == 200


async def test_wrong_tokens_of_sockets_are_failed_logins_too(redis: servers.Server) -> None:
    async with limited(redis) as (running, api):
        tokens = running.context.bearers
        assert isinstance(tokens, Tokens)
        address, statuses = running.url(str(uuid.uuid4())), []
        for _ in range(33):
            try:
                async with connect(address, additional_headers={"authorization": "Bearer wrong"}) as socket:
                    await socket.wait_closed()
            except InvalidStatus as refused:
                statuses.append(refused.response.status_code)
        assert statuses == [429] * 28
        assert tokens.looked_at == 30
        assert limit_of(await api.get("/v1/sessions/x", headers=SERVICE)) == "failed logins"
        known = await api.get("/v1/sessions/x", headers=token("ada", "admin", known=1))
        assert code(known) == (400, "VALIDATION_ERROR")


TENANTS = """
tenants:
  club:
    quotas: {sessions: 2, participants: 6, sockets: 1, creates_per_day: 6}
    limits: {read: 3/h, switch: 2/s}
  left:
    suspended: true
"""


def quota_of(answer: httpx.Response) -> str:
    """The quota that something was refused for."""
    assert code(answer) == (429, "QUOTA_EXCEEDED"), answer.text
    error = answer.json()["error"]
    assert error["retryable"] is False
    assert ("retry-after" in answer.headers) == (error["context"]["quota"] == "creates_per_day")
    return str(error["context"]["quota"])


async def test_a_tenant_gets_no_more_than_its_quotas_and_what_runs_goes_on(
    redis: servers.Server, tmp_path: Path
) -> None:
    file = tmp_path / "tenants.yaml"
    file.write_text(TENANTS)
    # Two processes count together, and what one of them counted stays when it ends.
    async with (
        limited(redis, TENANTS_FILE=str(file)) as (one, api),
        limited(redis, TENANTS_FILE=str(file)) as (two, beside),
    ):
        answers = await asyncio.gather(
            *(each.post("/v1/sessions", json=config(), headers=SERVICE) for each in [api, beside] * 4)
        )
        made = [each.json()["data"]["session_id"] for each in answers if each.status_code == 201]
        assert len(made) == 2
        assert {quota_of(each) for each in answers if each.status_code != 201} == {"sessions"}
        at = f"/v1/sessions/{made[0]}"
        assert (await api.post(at + "/start", headers=SERVICE)).status_code == 200
        await two.stop()

        joined = [await api.post(at + "/participants", json=person, headers=SERVICE) for person in people(3)]
        assert [each.status_code for each in joined[:2]] == [201, 201]
        assert quota_of(joined[2]) == "participants"
        someone = json.loads(joined[0].request.content)["participant_id"]
        left = await api.delete(f"{at}/participants/{someone}", headers=SERVICE)
        assert left.status_code == 200
        again = await api.post(at + "/participants", json=people(1)[0], headers=SERVICE)
        assert again.status_code == 201
        assert (await api.post(at + "/switch", headers=SERVICE)).status_code == 200

        # A session that ends, and one that Redis has lost, make room.
        await api.post(at + "/complete", headers=SERVICE)
        third = await created(api, SERVICE, number=2)
        client = await one.context.connection.primary_for("sk")
        await client.delete(f"sk:{{{made[1][-2:]}}}:{made[1]}")
        fourth = await created(api, SERVICE, number=2)
        # What was refused does not count for the day, and a repeat counts once.
        await api.post(f"/v1/sessions/{third['session_id']}/cancel", headers=SERVICE)
        taken = await api.post("/v1/sessions", json=config(session_id=fourth["session_id"]), headers=SERVICE)
        assert code(taken) == (409, "SESSION_EXISTS")
        key = {**SERVICE, "idempotency-key": "once"}
        same = [await api.post("/v1/sessions", json=config(), headers=key) for _ in range(3)]
        assert [each.status_code for each in same] == [201] * 3
        await api.post(f"/v1/sessions/{fourth['session_id']}/cancel", headers=SERVICE)
        await created(api, SERVICE, number=2)
        for session_id in (same[0].json()["data"]["session_id"],):
            await api.post(f"/v1/sessions/{session_id}/cancel", headers=SERVICE)
        assert quota_of(await api.post("/v1/sessions", json=config(), headers=SERVICE)) == "creates_per_day"

        # The tenant's own limits, and those of another one.
        viewer = token("ada", "viewer")
        reads = [await api.get(at, headers=viewer) for _ in range(4)]
        assert [each.status_code for each in reads] == [200, 200, 200, 429]
        assert reads[0].headers["ratelimit-policy"] == "3;w=3600"
        other = token("ada", "viewer", tenant="others")
        assert (await api.get(at, headers=other)).headers["ratelimit-policy"] == "100;w=60"


async def test_no_quota_is_passed_by_under_an_id_that_was_counted_before(
    redis: servers.Server, tmp_path: Path
) -> None:
    file = tmp_path / "tenants.yaml"
    file.write_text("tenants: {club: {quotas: {participants: 5, creates_per_day: 4}}}")
    async with limited(redis, TENANTS_FILE=str(file)) as (running, api):
        admin, session_id = token("ada", "admin", "service"), str(uuid.uuid4())
        at = f"/v1/sessions/{session_id}"

        async def make(number: int) -> httpx.Response:
            return await api.post("/v1/sessions", json=config(number, session_id=session_id), headers=admin)

        assert (await make(1)).status_code == 201
        assert code(await make(1)) == (409, "SESSION_EXISTS")
        await api.delete(at, headers=admin)
        assert quota_of(await make(6)) == "participants"
        assert (await make(3)).status_code == 201
        # A repeat of a join is one participant, and there is room for two more.
        key = {**admin, "idempotency-key": "once"}
        person = people(1)[0]
        joined = [await api.post(at + "/participants", json=person, headers=key) for _ in range(4)]
        joined.append(await api.post(at + "/participants", json=people(1)[0], headers=admin))
        assert [each.status_code for each in joined] == [201] * 5
        assert (
            quota_of(await api.post(at + "/participants", json=people(1)[0], headers=admin)) == "participants"
        )
        for number in (1, 1):
            await api.delete(at, headers=admin)
            assert (await make(number)).status_code == 201
        await api.delete(at, headers=admin)
        assert quota_of(await make(1)) == "creates_per_day"
        # Of two at once under one id, the one that is refused takes nothing from the other.
        file.write_text("tenants: {club: {quotas: {sessions: 1}}}")
        await eventually(lambda: running.context.tenants.of("club").quotas.sessions == 1)
        await asyncio.gather(*(make(number) for number in (1, 2, 3, 2)))
        assert quota_of(await api.post("/v1/sessions", json=config(1), headers=admin)) == "sessions"


async def test_sockets_of_a_tenant(redis: servers.Server, tmp_path: Path) -> None:
    file = tmp_path / "tenants.yaml"
    file.write_text(TENANTS)
    async with (
        limited(redis, TENANTS_FILE=str(file)) as (running, api),
        limited(redis, TENANTS_FILE=str(file)) as (beside, _),
    ):
        session_id = (await created(api, SERVICE))["session_id"]
        async with running.follow(session_id, additional_headers=SERVICE) as watcher:
            with pytest.raises(InvalidStatus) as refused:
                async with beside.follow(session_id, additional_headers=SERVICE):
                    pass
            response = refused.value.response
            assert response.status_code == 429
            assert json.loads(response.body or b"")["error"]["code"] == "QUOTA_EXCEEDED"
            assert (await watcher.ask(type="PING", t1=1))["t1"] == 1
        await eventually(lambda: not running.context.websockets)
        async with running.follow(session_id, additional_headers=SERVICE):
            pass
        await running.stop()
        async with beside.follow(session_id, additional_headers=SERVICE):
            pass


async def test_a_suspended_tenant_goes_on_and_gets_nothing_new(redis: servers.Server, tmp_path: Path) -> None:
    file = tmp_path / "tenants.yaml"
    file.write_text("tenants: {}")
    async with limited(redis, TENANTS_FILE=str(file)) as (running, api):
        theirs = token("backend", "service", tenant="left")
        session = await created(api, theirs)
        at = f"/v1/sessions/{session['session_id']}"
        await api.post(at + "/start", headers=theirs)
        file.write_text(TENANTS)
        await eventually(lambda: running.context.tenants.of("left").suspended)
        assert quota_of(await api.post("/v1/sessions", json=config(), headers=theirs)) == "suspended"
        person = people(1)[0]
        assert quota_of(await api.post(at + "/participants", json=person, headers=theirs)) == "suspended"
        with pytest.raises(InvalidStatus):
            async with running.follow(session["session_id"], additional_headers=theirs):
                pass
        assert (await api.post(at + "/switch", headers=theirs)).status_code == 200
        assert (await api.get(at, headers=theirs)).status_code == 200


async def test_without_rate_limits_quotas_stay(redis: servers.Server, tmp_path: Path) -> None:
    file = tmp_path / "tenants.yaml"
    file.write_text(TENANTS)
    async with limited(redis, TENANTS_FILE=str(file)) as (running, api):
        settings = replace(running.context.settings, rate_limit_enabled=False)
        running.context.settings = settings
        admin = token("ada", "admin")
        answers = [await api.post("/v1/sessions", json=config(), headers=admin) for _ in range(8)]
        assert [each.status_code for each in answers[:2]] == [201, 201]
        assert {quota_of(each) for each in answers[2:]} == {"sessions"}
        wrong = {"authorization": "Bearer wrong"}
        assert {(await api.get("/v1/sessions/x", headers=wrong)).status_code for _ in range(40)} == {401}


async def test_full_states_on_a_socket_are_reads(redis: servers.Server) -> None:
    async with limited(redis, RATE_LIMIT_MAX_REQUESTS="3", RATE_LIMIT_WINDOW_MS="86400000") as (running, api):
        session = await created(api, SERVICE)
        viewer = token("ada", "viewer")
        async with running.follow(session["session_id"], additional_headers=viewer) as watcher:
            for _ in range(3):
                await watcher.say(type="RECONNECT", last_known_version=0)
                await watcher.next("RECONNECT_ACK")
                await watcher.next("STATE_SYNC")
            await watcher.say(type="RECONNECT", last_known_version=0)
            error = await watcher.next("ERROR")
            assert error["error"]["code"] == "RATE_LIMIT_EXCEEDED"
            # What the log has is no full state, and events go on.
            await watcher.say(type="RECONNECT", last_known_version=1, epoch=session["epoch"])
            assert (await watcher.next("RECONNECT_ACK"))["replayed"] == 0
            await api.post(f"/v1/sessions/{session['session_id']}/start", headers=SERVICE)
            assert (await watcher.next("STATE_UPDATE"))["version"] == 2


async def test_a_server_that_is_nearly_full_is_said_to_be(redis: servers.Server) -> None:
    async with limited(redis) as (running, api):
        client = await running.context.connection.primary_for("sk")
        used = (await client.info("memory"))["used_memory"]
        try:
            await client.config_set("maxmemory", int(used / 0.9))
            # What takes long is looked at in the background, and the answer is that of the look before.
            async with asyncio.timeout(PATIENCE_S):
                while "message" not in (found := (await api.get("/ready")).json())["checks"]["redis"]:
                    await asyncio.sleep(0.05)
            assert found["status"] == "degraded"
            assert "of maxmemory is used" in found["checks"]["redis"]["message"]
        finally:
            await client.config_set("maxmemory", 0)


async def test_every_operation_says_its_limit(redis: servers.Server) -> None:
    async with limited(redis) as (_, api):
        paths = (await api.get("/openapi.json")).json()["paths"]
        for path, methods in paths.items():
            for operation in methods.values():
                told = "Rate limit" in operation.get("description", "")
                assert told == ("429" in operation["responses"]) == (path not in ("/health", "/ready"))
        created = paths["/v1/sessions"]["post"]
        assert "Rate limit (create): 5 in 60 s per subject" in created["description"]
        assert created["responses"]["429"]["description"] == "QUOTA_EXCEEDED, RATE_LIMIT_EXCEEDED"


async def test_a_request_id_that_another_client_used_is_a_new_one(redis: servers.Server) -> None:
    async with limited(redis) as (_, api):
        key = {"idempotency-key": "1"}
        one, other = ({**token(name, "service"), **key} for name in ("backend", "second"))
        config_of_one = config()
        made = [
            (await api.post("/v1/sessions", json=each, headers=by)).json()["data"]["session_id"]
            for each, by in ((config_of_one, one), (config(), other), (config_of_one, one))
        ]
        assert made[0] == made[2] != made[1]
        at = f"/v1/sessions/{made[0]}"
        assert (await api.post(at + "/start", headers=SERVICE)).status_code == 200
        key["idempotency-key"] = "2"
        answers = [await api.post(at + "/switch", headers={**by, **key}) for by in (one, other, one, other)]
        assert [each.status_code for each in answers] == [200] * 4
        assert ["idempotent-replayed" in each.headers for each in answers] == [False, False, True, True]
        versions = [each.json()["data"]["version"] for each in answers]
        assert versions == [3, 4, 3, 4]


async def test_a_known_state_costs_redis_no_state(redis: servers.Server) -> None:
    async with limited(redis) as (_, api):
        session = await created(api, SERVICE, number=50)
        at = f"/v1/sessions/{session['session_id']}"
        etag = (await api.get(at, headers=SERVICE)).headers["etag"]
        for known in (etag, "W/" + etag, f'"1@2", {etag}', "*"):
            answer = await api.get(at, headers={**SERVICE, "if-none-match": known})
            assert (answer.status_code, answer.headers["etag"], answer.content) == (304, etag, b"")
        await api.post(at + "/start", headers=SERVICE)
        changed = await api.get(at, headers={**SERVICE, "if-none-match": etag})
        assert changed.status_code == 200
        assert changed.headers["etag"] != etag
        foreign = token("eve", "viewer", tenant="others")
        hidden = await api.get(at, headers={**foreign, "if-none-match": changed.headers["etag"]})
        assert code(hidden) == (404, "SESSION_NOT_FOUND")
