"""The page of recipes: every block as it stands there, with shorter times, does what the page says."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys

import pytest

from synckairos.client import Change, Session, State, SyncKairos
from synckairos.client.errors import InvalidSessionState, SessionNotFound
from synckairos.client.model import instant_ms
from tests.recipes.conftest import PAGE, SERVICE, block, recipe
from tests.support.live import PATIENCE_S, Service
from tests.support.pages import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOON_MS = 50
"""What a clock is set to that is to run out."""


def ids(state: State) -> dict[str, str]:
    """The ids of a session's people, by their names."""
    return {name: who for who, name in state.metadata["names"].items()}


async def out_of_time(client: SyncKairos, session: Session) -> None:
    """Waits until the deadline is over by the server's clock, which goes on whether or not anybody looks."""
    async with asyncio.timeout(PATIENCE_S):
        while await left(client, session) > 0:
            await asyncio.sleep(0.01)


async def left(client: SyncKairos, session: Session) -> int:
    """What the running clock has left, as the server says."""
    remaining = (await client.get(session.id)).time_remaining_ms
    assert remaining is not None
    return remaining


async def test_a_backend_reads_the_presets(service: Service) -> None:
    text = block("Before you begin").replace(SERVICE, f"http://127.0.0.1:{service.port}")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    printed, said = await asyncio.wait_for(process.communicate(), 60)
    assert said == b""
    assert " Thirty seconds for every question" in printed.decode()


class TestChess:
    async def test_each_move_presses_the_clock_once_and_only_in_turn(self, client: SyncKairos) -> None:
        chess = recipe("Chess")
        game = await chess.new_game(client, "Anna", "Ben")
        async with client.session(game) as session:
            white, black = ids(session.state)["Anna"], ids(session.state)["Ben"]
            assert not await chess.move(session, white), "it has not begun"
            await session.start()
            assert session.state.active_participant_id == white
            assert not await chess.move(session, black)
            assert sorted(await asyncio.gather(*(chess.move(session, white) for _ in range(2)))) == [
                True,
                True,
            ]
            assert (session.state.active_participant_id, session.state.cycle_count) == (black, 1)
            assert not await chess.move(session, white)
            mover = session.state.participant(white)
            assert mover is not None
            assert mover.total_time_ms == 182_000 - mover.time_used_ms, "the service added the two seconds"
            await session.complete()
            assert await chess.result(session) is None

    async def test_whose_flag_falls_has_lost(self, client: SyncKairos) -> None:
        chess = recipe("Chess", TIME_CONTROL="5")
        async with client.session(await chess.new_game(client, "Anna", "Ben")) as session:
            white, black = ids(session.state)["Anna"], ids(session.state)["Ben"]
            await session.start()
            assert await chess.move(session, white)
            waiting = asyncio.create_task(chess.result(session))
            await session.set(black, SOON_MS)
            assert await asyncio.wait_for(waiting, PATIENCE_S) == black
            assert not await chess.move(session, black)
            assert await chess.result(session) == black, "whoever asks later hears the same"

    async def test_a_move_that_comes_when_time_is_up_is_none(self, unattended: SyncKairos) -> None:
        chess = recipe("Chess")
        async with unattended.session(await chess.new_game(unattended, "Anna", "Ben")) as session:
            white = ids(session.state)["Anna"]
            await session.start()
            await session.set(white, SOON_MS)
            await out_of_time(unattended, session)
            assert session.state.status == "running"
            assert not await chess.move(session, white)
            assert session.state.status == "expired"
            assert await chess.result(session) == white

    async def test_a_time_can_be_corrected(self, client: SyncKairos) -> None:
        chess = recipe("Chess")
        async with client.session(await chess.new_game(client, "Anna", "Ben")) as session:
            black = ids(session.state)["Ben"]
            await session.start()
            await session.add(black, 60_000, reason="illegal move")
            assert session.remaining(black) == 240_000


class TestQuiz:
    async def test_questions_follow_each_other_with_breaks_that_the_service_counts(
        self, client: SyncKairos
    ) -> None:
        quizzes = recipe("Quiz", BREAK_S=1, GRACE_MS=0)
        state = await client.get(await quizzes.new_quiz(client, "Capitals", 3))
        first, second, third = (ids(state)[f"Question {number}"] for number in (1, 2, 3))
        told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

        async def next_told() -> tuple[str, str]:
            return await asyncio.wait_for(told.get(), PATIENCE_S)

        async with client.session(state.session_id) as session:
            quiz = quizzes.Quiz(client, session)
            assert not quiz.is_in_time(first), "it has not been asked"
            run = asyncio.create_task(
                quiz.run(
                    lambda question: told.put_nowait(("ask", question)),
                    lambda question: told.put_nowait(("reveal", question)),
                )
            )
            assert await next_told() == ("ask", first)
            assert quiz.is_in_time(first)
            assert not quiz.is_in_time(second)

            await session.switch()  # all have answered
            assert await next_told() == ("reveal", first)
            assert await next_told() == ("ask", second)  # nobody but the service ended the break
            assert not quiz.is_in_time(first)
            assert quiz.is_in_time(second)

            await session.set(None, SOON_MS)
            assert await next_told() == ("reveal", second)
            assert await next_told() == ("ask", third)
            assert not quiz.is_in_time(second)

            await session.add(None, 600_000, reason="a cable")
            async with asyncio.timeout(PATIENCE_S):
                while quiz.closes[third] != session.state.deadline_ms:
                    await asyncio.sleep(0.01)
            await session.set(None, SOON_MS)
            assert await next_told() == ("reveal", third)
            await asyncio.wait_for(run, PATIENCE_S)
            assert session.state.status == "completed"

            events = await session.events()
            timeouts = [each.payload for each in events if each.event == "participant.expired"]
            assert [each.expired_participant_id for each in timeouts] == [second, third]
            assert [quiz.closes[each] for each in (second, third)] == [
                each.expired_deadline_ms for each in timeouts
            ], "a question closes at its deadline, however late the message of it came"
            breaks = [each.payload for each in events if each.event == "session.resumed"]
            assert [each.reason for each in breaks] == ["auto", "auto"]

    async def test_a_question_lasts_as_long_as_the_page_says(self, client: SyncKairos) -> None:
        quizzes = recipe("Quiz")
        state = await client.get(await quizzes.new_quiz(client, "Capitals", 2))
        assert (state.time_per_cycle_ms, state.max_pause_ms) == (30_000, 8_000)


class TestAuction:
    async def test_a_late_bid_prolongs_the_lot_and_an_early_one_does_not(self, client: SyncKairos) -> None:
        auction = recipe("Auction")
        async with client.session(await auction.new_lot(client, "A chair")) as session:
            lot = auction.Lot(client, session)
            assert not await lot.bid("Anna", 10), "it has not begun"
            await session.start()
            before = session.state.version
            assert await lot.bid("Anna", 10)
            assert not await lot.bid("Ben", 10), "not more than the highest"
            assert session.state.version == before, "there was time enough"
            await session.set(None, 9_000)
            before_it = await client.get(session.id)
            assert await lot.bid("Ben", 11)
            after_it = await client.get(session.id)
            assert before_it.deadline_ms is not None
            assert after_it.deadline_ms == before_it.deadline_ms + 10_000
            waiting = asyncio.create_task(lot.sold())
            await session.set(None, SOON_MS)
            assert await asyncio.wait_for(waiting, PATIENCE_S) == ("Ben", 11)
            assert not await lot.bid("Cleo", 100), "the hammer has fallen"

    async def test_a_bid_that_raced_the_end_and_lost_does_not_count(self, unattended: SyncKairos) -> None:
        auction = recipe("Auction")
        async with unattended.session(await auction.new_lot(unattended, "A chair")) as session:
            lot = auction.Lot(unattended, session)
            await session.start()
            assert await lot.bid("Anna", 10)
            await session.set(None, SOON_MS)
            await out_of_time(unattended, session)
            assert session.state.status == "running", "nobody has noticed"
            assert not await lot.bid("Ben", 11)
            assert await asyncio.wait_for(lot.sold(), PATIENCE_S) == ("Anna", 10)
            assert (await session.events())[-1].event == "session.expired"

    async def test_bids_at_once_come_one_after_the_other(self, client: SyncKairos) -> None:
        auction = recipe("Auction")
        async with client.session(await auction.new_lot(client, "A chair")) as session:
            lot = auction.Lot(client, session)
            await session.start()
            counted = await asyncio.gather(*(lot.bid("Anna", amount) for amount in (3, 1, 4, 1, 5)))
            assert counted == [True, False, True, False, True]
            await session.complete()
            assert await lot.sold() == ("Anna", 5)

    async def test_time_from_now_is_another_call(self, client: SyncKairos) -> None:
        auction = recipe("Auction")
        async with client.session(await auction.new_lot(client, "A chair")) as session:
            await session.start()
            await session.set(None, 9_000)
            (body,) = re.findall(r'`(\{"total_time_ms".*?\})`', PAGE.text)
            change = await client.request("PATCH", f"/v1/sessions/{session.id}/clock", eval(body))
            assert change["deadline_ms"] - change["server_time_ms"] == 10_000


class TestTeamContest:
    async def test_members_take_turns_and_the_last_team_with_time_wins(self, client: SyncKairos) -> None:
        contest = recipe("Team contest", TIME_CONTROL="10+1x1")
        teams = {"Red": ["Rosa", "Ralf"], "Blue": ["Bea", "Bo"], "Green": ["Gil"]}
        async with client.session(await contest.new_contest(client, "Relay", teams)) as session:
            who = ids(session.state)
            await session.start()
            waiting = asyncio.create_task(contest.last_one(session))
            for member in ("Rosa", "Bea", "Gil", "Ralf", "Bo", "Gil"):
                assert session.state.active_participant_id == who[member]
                assert not await contest.solved(session, who["Gil" if member != "Gil" else "Bo"])
                assert await contest.solved(session, who[member])
            for team in ("Red", "Blue"):
                expired = asyncio.get_running_loop().create_future()
                stop = session.on_expire(expired.set_result)
                assert session.state.active_group_id == who[team]
                await session.set(who[team], 0)
                face = session.clock(who[team])
                assert face is not None
                assert face.periods_left == 1
                change = await asyncio.wait_for(expired, PATIENCE_S)
                stop()
                assert change.payload.expired_group_id == who[team]
            assert await asyncio.wait_for(waiting, PATIENCE_S) == who["Green"]
            assert session.state.status == "completed"

    async def test_a_solution_that_comes_when_time_is_up_is_none(self, unattended: SyncKairos) -> None:
        contest = recipe("Team contest", TIME_CONTROL="10+1x1")
        teams = {"Red": ["Rosa"], "Blue": ["Bea"], "Green": ["Gil"]}
        async with unattended.session(await contest.new_contest(unattended, "Relay", teams)) as session:
            who = ids(session.state)
            await session.start()
            await session.set(who["Red"], 0)
            await out_of_time(unattended, session)
            assert not await contest.solved(session, who["Rosa"])
            assert session.state.active_group_id == who["Blue"], "the others go on"

    async def test_of_two_teams_the_other_one_wins(self, client: SyncKairos) -> None:
        state = await client.create(
            preset="team",
            participants=[
                {
                    "participant_id": f"{n}0000000-0000-4000-8000-000000000000",
                    "group_id": f"{n}0000000-0000-4000-8000-00000000000f",
                }
                for n in (1, 2)
            ],
        )
        async with client.session(state.session_id) as session:
            await session.start()
            changes = session.changes()
            await session.set(state.groups[0].group_id, SOON_MS)
            while (change := await asyncio.wait_for(anext(changes), PATIENCE_S)).event != "session.expired":
                pass
            assert change.payload.action_applied is not None
            assert change.payload.action_applied["winner"] == state.groups[1].group_id

    async def test_a_substitute_takes_over(self, client: SyncKairos) -> None:
        contest = recipe("Team contest")
        teams = {"Red": ["Rosa", "Ralf"], "Blue": ["Bea"]}
        async with client.session(await contest.new_contest(client, "Relay", teams)) as session:
            who = ids(session.state)
            await session.start()
            new = "30000000-0000-4000-8000-000000000000"
            await session.leave(who["Ralf"])
            await session.join(participant_id=new, group_id=who["Red"])
            assert await contest.solved(session, who["Rosa"])
            assert await contest.solved(session, who["Bea"])
            assert session.state.active_participant_id == new


class TestExam:
    async def test_everybody_has_exactly_the_time_allowed(self, client: SyncKairos) -> None:
        exam = recipe("Exam")
        sessions = await exam.new_exam(client, "Maths", {"Anna": 60, "Ben": 75, "The room": 60})
        began = await exam.together(client, list(sessions.values()), "start", "start")
        assert list(began) == list(sessions.values())
        lengths = [each["deadline_ms"] - instant_ms(each["session_started_at"]) for each in began.values()]
        assert lengths == [3_600_000, 4_500_000, 3_600_000]
        again = await exam.together(client, list(sessions.values()), "start", "start")
        assert [each["version"] for each in again.values()] == [2, 2, 2], "done already is not done twice"

    async def test_a_fire_alarm_stops_all_and_wakes_nobody_who_was_at_rest(self, client: SyncKairos) -> None:
        exam = recipe("Exam")
        sessions = await exam.new_exam(client, "Maths", {"Anna": 60, "Ben": 75, "Cleo": 60})
        everybody = list(sessions.values())
        await exam.together(client, everybody, "start", "start")
        await exam.together(client, [sessions["Ben"]], "pause", "rest-of-ben")
        assert await exam.hand_in(client, sessions["Cleo"])
        stopped = await exam.together(client, everybody, "pause", "fire-alarm-1")
        assert list(stopped) == [sessions["Anna"]]
        left = stopped[sessions["Anna"]]["time_remaining_ms"]
        state = await client.get(sessions["Anna"])
        assert (state.status, state.time_remaining_ms) == ("paused", left)
        going = await exam.together(client, list(stopped), "resume", "fire-alarm-1-over")
        resumed = going[sessions["Anna"]]
        assert resumed["deadline_ms"] - resumed["server_time_ms"] == resumed["time_remaining_ms"] <= left
        assert (await client.get(sessions["Ben"])).status == "paused"
        assert (await client.get(sessions["Cleo"])).status == "completed"

    async def test_one_gets_more_time_than_the_others(self, client: SyncKairos) -> None:
        exam = recipe("Exam")
        sessions = await exam.new_exam(client, "Maths", {"Anna": 60, "Ben": 60})
        began = await exam.together(client, list(sessions.values()), "start", "start")
        await exam.give(client, sessions["Ben"], 5, "a machine broke")
        moved = [(await client.get(each)).deadline_ms for each in sessions.values()]
        before = [began[each]["deadline_ms"] for each in sessions.values()]
        assert [now - then for now, then in zip(moved, before, strict=True) if now is not None] == [
            0,
            300_000,
        ]
        await exam.together(client, [sessions["Anna"]], "pause", "machine-of-anna")
        await exam.give(client, sessions["Anna"], 1, "while the clock stands")
        assert ((await client.get(sessions["Anna"])).time_remaining_ms or 0) > 3_600_000

    async def test_who_hands_in_after_the_end_is_late(self, client: SyncKairos) -> None:
        exam = recipe("Exam")
        sessions = await exam.new_exam(client, "Maths", {"Anna": 60, "Ben": 60})
        await exam.together(client, list(sessions.values()), "start", "start")
        assert await exam.hand_in(client, sessions["Anna"])
        assert not await exam.hand_in(client, sessions["Anna"]), "once"
        async with client.session(sessions["Ben"]) as session:
            expired = asyncio.get_running_loop().create_future()
            session.on_expire(expired.set_result)
            await session.set(None, SOON_MS)
            await asyncio.wait_for(expired, PATIENCE_S)
        assert not await exam.hand_in(client, sessions["Ben"])
        with pytest.raises(InvalidSessionState):
            await exam.give(client, sessions["Ben"], 5, "too late")

    async def test_who_hands_in_before_anybody_noticed_the_end_is_late_too(
        self, unattended: SyncKairos
    ) -> None:
        exam = recipe("Exam")
        sessions = await exam.new_exam(unattended, "Maths", {"Anna": 60})
        await exam.together(unattended, [sessions["Anna"]], "start", "start")
        async with unattended.session(sessions["Anna"]) as session:
            await session.set(None, SOON_MS)
            await out_of_time(unattended, session)
            assert session.state.status == "running"
            assert not await exam.hand_in(unattended, sessions["Anna"])

    @pytest.mark.parametrize("more", [True, False])
    async def test_under_notify_time_can_be_given_after_the_end(self, client: SyncKairos, more: bool) -> None:
        exam = recipe("Exam")
        state = await client.create(
            preset="exam",
            participants=[{"participant_id": "10000000-0000-4000-8000-000000000000"}],
            action_on_timeout={"type": "notify"},
        )
        async with client.session(state.session_id) as session:
            await session.start()
            expired = asyncio.get_running_loop().create_future()
            session.on_expire(expired.set_result)
            await session.set(None, SOON_MS)
            await asyncio.wait_for(expired, PATIENCE_S)
            assert (session.state.status, session.remaining()) == ("running", 0)
            if more:
                await exam.give(client, state.session_id, 5, "by ruling")
                assert ((await client.get(state.session_id)).time_remaining_ms or 0) > 0
            assert await exam.hand_in(client, state.session_id) is more


class TestMeeting:
    async def test_an_item_that_runs_over_shows_by_how_much(self, client: SyncKairos) -> None:
        meeting = recipe("Meeting")
        agenda = {"Minutes": 5, "Budget": 20, "Any other business": 10}
        async with client.session(await meeting.new_meeting(client, "Board", agenda)) as session:
            item = ids(session.state)
            assert meeting.ends_in_ms(session) == 35 * 60_000
            await session.start()
            await session.set(item["Minutes"], 0)
            async with asyncio.timeout(PATIENCE_S):
                while await left(client, session) > -100 or (session.remaining() or 0) > 0:
                    await asyncio.sleep(0.01)
            assert session.state.active_participant_id == item["Minutes"], "nobody is cut off"
            assert meeting.ends_in_ms(session) == 30 * 60_000
            assert await meeting.next_item(session)
            took = meeting.minutes(session)
            over = session.remaining(item["Minutes"])
            assert over is not None
            assert over <= -100, "it stays written"
            assert took["Minutes"] * 60_000 >= -over
            assert took["Any other business"] == 0

            await session.switch(next=item["Minutes"])  # back to it: it has what it had
            now = session.remaining(item["Minutes"])
            assert now is not None
            assert now <= over
            await session.switch()
            assert session.state.active_participant_id == item["Budget"]
            assert await meeting.next_item(session)
            assert not await meeting.next_item(session)
            assert session.state.status == "completed"

    async def test_an_item_may_come_up(self, client: SyncKairos) -> None:
        meeting = recipe("Meeting")
        async with client.session(await meeting.new_meeting(client, "Board", {"Budget": 20})) as session:
            await session.start()
            new = "10000000-0000-4000-8000-000000000000"
            await session.join(participant_id=new, total_time_ms=300_000)
            assert await meeting.next_item(session)
            assert session.state.active_participant_id == new
            assert not await meeting.next_item(session)


class TestSpeedrun:
    async def test_splits_are_read_from_the_events(self, client: SyncKairos) -> None:
        speedrun = recipe("Speedrun")
        async with client.session(await speedrun.new_run(client, "Dungeon", "Anna")) as session:
            await session.start()
            assert await speedrun.splits(session) == {}
            assert await speedrun.split(session)
            assert list(await speedrun.splits(session)) == ["Forest"]
            await session.pause()
            await session.resume()
            assert await speedrun.split(session)
            assert not await speedrun.split(session)
            assert session.state.status == "completed"
            times = await speedrun.splits(session)
            assert list(times) == ["Forest", "Castle", "Dragon"]
            assert list(times.values()) == sorted(times.values())
            ends = {each.event: each for each in await session.events()}["session.completed"]
            events = await session.events()
            at = {each.event: each.server_time_ms for each in events}
            paused = at["session.resumed"] - at["session.paused"]
            whole = ends.server_time_ms - at["session.started"]
            assert times["Dragon"] == whole - paused, "to the millisecond, pauses left out"


class TestRestarts:
    async def test_who_comes_back_deals_with_each_change_once(self, client: SyncKairos) -> None:
        restarts = recipe("Restarts, and many sessions")
        state = await recipe_session(client)
        seen: list[int] = []
        started = asyncio.Event()

        async def deal_with(change: Change) -> None:
            if change.version == 3:
                started.set()
                await asyncio.Future()  # the backend dies in the middle of it
            seen.append(change.version)

        first = asyncio.create_task(restarts.each_change_once(client, state.session_id, 0, deal_with))
        await client.request("POST", f"/v1/sessions/{state.session_id}/start")
        await client.request("POST", f"/v1/sessions/{state.session_id}/switch")
        await asyncio.wait_for(started.wait(), PATIENCE_S)
        first.cancel()
        await asyncio.wait([first])
        await client.request("POST", f"/v1/sessions/{state.session_id}/complete")

        async def go_on(change: Change) -> None:
            seen.append(change.version)

        done = await asyncio.wait_for(
            restarts.each_change_once(client, state.session_id, seen[-1], go_on), PATIENCE_S
        )
        assert seen == [1, 2, 3, 4]
        assert done == 4
        again = restarts.each_change_once(client, state.session_id, done, go_on)
        assert await asyncio.wait_for(again, PATIENCE_S) == 4, "it is over, and nothing is left to do"

    async def test_a_session_that_is_gone_says_so(self, client: SyncKairos) -> None:
        restarts = recipe("Restarts, and many sessions")

        async def deal_with(_: Change) -> None:
            raise AssertionError

        with pytest.raises(SessionNotFound):
            await restarts.each_change_once(client, "10000000-0000-4000-8000-0000000000ff", 0, deal_with)


async def recipe_session(client: SyncKairos) -> State:
    chess = recipe("Chess")
    return await client.get(await chess.new_game(client, "Anna", "Ben"))
