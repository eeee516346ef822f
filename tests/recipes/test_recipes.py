"""The page of recipes: every block as it stands there, with shorter times, does what the page says."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from synckairos.client import Change, Session, State, SyncKairos
from synckairos.client.errors import (
    InvalidSessionState,
    ParticipantExpired,
    SessionNotFound,
    ValidationError,
)
from synckairos.client.model import instant_ms
from tests.recipes.conftest import SERVICE, block, printed, recipe, server_now
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


class TestArbiter:
    @staticmethod
    async def played(client: SyncKairos, moves: int = 2) -> tuple[str, dict[str, str]]:
        """A game in which so many moves were made, and the ids of its players."""
        state = await client.get(await recipe("Chess").new_game(client, "Anna", "Ben"))
        handle = client.handle(state.session_id)
        await handle.start()
        for _ in range(moves):
            await handle.switch()
        return state.session_id, ids(state)

    async def test_moves_are_taken_back_as_both_agree(self, client: SyncKairos) -> None:
        arbiter = recipe("Arbiter")
        game, who = await self.played(client, 3)
        offered = await arbiter.offer(client, game)
        assert await arbiter.take_back(client, game, offered, 2) == who["Ben"]
        assert (await client.get(game)).cycle_count == 1
        again = await arbiter.offer(client, game)
        assert await arbiter.take_back(client, game, again, 2) is None, "so many were not made"
        await client.handle(game).add(who["Anna"], 60_000)
        with pytest.raises(InvalidSessionState, match=r"time\.adjusted"):
            await client.handle(game).takeback()

    async def test_an_offer_is_good_for_one_position(self, client: SyncKairos) -> None:
        arbiter = recipe("Arbiter")
        game, _ = await self.played(client)
        offered = await arbiter.offer(client, game)
        await client.handle(game).switch()
        assert not await arbiter.draw(client, game, offered)
        assert await arbiter.take_back(client, game, offered) is None
        assert await arbiter.draw(client, game, await arbiter.offer(client, game))
        assert (await client.get(game)).status == "completed"
        assert not await arbiter.draw(client, game, await arbiter.offer(client, game)), "it is over"

    async def test_the_turn_is_somebody_elses(self, client: SyncKairos) -> None:
        arbiter = recipe("Arbiter")
        game, who = await self.played(client)
        before = await client.get(game)
        await arbiter.set_turn(client, game, who["Ben"])
        state = await client.get(game)
        assert (state.status, state.active_participant_id) == ("running", who["Ben"])
        anna, then = state.participant(who["Anna"]), before.participant(who["Anna"])
        assert anna is not None
        assert then is not None
        assert anna.total_time_ms == (then.total_time_ms or 0) - anna.time_used_ms + then.time_used_ms
        assert state.cycle_count == before.cycle_count, "it was no move"
        with pytest.raises(InvalidSessionState):
            await client.handle(game).turn(who["Anna"])

    async def test_a_flag_that_fell_wrongly_stands_again(self, client: SyncKairos) -> None:
        arbiter = recipe("Arbiter")
        game, who = await self.played(client, 1)
        handle = client.handle(game)
        with pytest.raises(InvalidSessionState):
            await handle.reopen()
        async with client.session(game) as session:
            waiting = asyncio.create_task(recipe("Chess").result(session))
            await session.set(who["Ben"], SOON_MS)
            assert await asyncio.wait_for(waiting, PATIENCE_S) == who["Ben"]
        await handle.reopen(idempotency_key="board-7-flag-reopen")  # as if the backend had died after this
        with pytest.raises(ParticipantExpired):
            await handle.resume()
        await arbiter.let_go_on(client, game, 60_000, "board-7-flag")
        await arbiter.let_go_on(client, game, 60_000, "board-7-flag")
        state = await client.get(game)
        assert (state.status, state.active_participant_id) == ("running", who["Ben"])
        assert recipe("Chess").fallen(state) is None
        events = [each.event for each in await handle.events()]
        assert events[-3:] == ["session.reopened", "time.adjusted", "session.resumed"], "each of them once"

    async def test_a_rematch_is_the_same_session(self, client: SyncKairos) -> None:
        arbiter = recipe("Arbiter")
        game, who = await self.played(client, 3)
        async with client.session(game) as session:
            await session.complete()
            await arbiter.rematch(client, game, who["Ben"])
            assert (await session.start()).payload.active_participant_id == who["Ben"]
            assert session.state.cycle_count == 0
            assert session.remaining(who["Anna"]) == 180_000
            assert session.connection == "live"


class TestDays:
    async def test_a_move_counts_once_and_has_days(self, client: SyncKairos) -> None:
        days = recipe("Days instead of minutes")
        game = await days.new_game(client, "Anna", "Ben")
        state = await client.get(game)
        who = ids(state)
        assert (state.deadline_ms or 0) - instant_ms(state.cycle_started_at or "") == 3 * 86_400_000
        assert not await days.move(client, game, who["Ben"], 1)
        assert await days.move(client, game, who["Anna"], 1)
        assert await days.move(client, game, who["Anna"], 1), "the same move"
        assert not await days.move(client, game, who["Anna"], 2)
        assert (await client.get(game)).cycle_count == 1
        await client.handle(game).pause()
        state = await client.get(game)
        assert (state.resumes_at_ms or 0) - state.server_time_ms == state.pause_remaining_ms
        assert not await days.move(client, game, who["Ben"], 2), "a holiday"

    async def test_a_move_that_ends_the_holidays_counts(self, unattended: SyncKairos) -> None:
        days = recipe("Days instead of minutes", PRESET="daily", HOLIDAYS_MS=SOON_MS)
        game = await days.new_game(unattended, "Anna", "Ben")
        await unattended.handle(game).pause()
        await asyncio.sleep(2 * SOON_MS / 1000)
        state = await unattended.get(game)
        assert state.status == "paused", "nobody has noticed"
        assert [await days.move(unattended, game, ids(state)["Anna"], 1) for _ in range(2)] == [True, True]
        assert [each.event for each in await unattended.handle(game).events(state.version)] == [
            "session.resumed",
            "cycle.switched",
        ]

    async def test_who_is_late_is_named(self, client: SyncKairos) -> None:
        days = recipe("Days instead of minutes")
        game = await days.new_game(client, "Anna", "Ben")
        handle = client.handle(game)
        await handle.set(None, SOON_MS)
        assert (await handle.over(timeout=PATIENCE_S)).status == "expired"
        who = ids(await handle.get())
        last = (await handle.events())[-1]
        assert last.payload.expired_participant_id == who["Anna"]
        assert not await days.move(client, game, who["Anna"], 1)

    async def test_more_than_a_day_needs_the_setting(self, unattended: SyncKairos) -> None:
        days = recipe("Days instead of minutes")
        with pytest.raises(ValidationError):
            await days.new_game(unattended, "Anna", "Ben")
        assert await recipe("Days instead of minutes", PRESET="daily").new_game(unattended, "Anna", "Ben")

    async def test_a_hackathon_starts_by_itself(self, client: SyncKairos) -> None:
        days = recipe("Days instead of minutes")
        start = await server_now(client) + 1_000
        async with client.session(await days.new_hackathon(client, "Jam", start)) as session:
            async with asyncio.timeout(PATIENCE_S):
                while session.state.status != "running":
                    await asyncio.sleep(0.01)
            assert session.state.deadline_ms == start + 48 * 3_600_000


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
            timeouts = [each.payload for each in events if each.payload.expired_participant_id]
            assert [each.event for each in timeouts] == ["participant.expired", "session.completed"]
            assert [each.expired_participant_id for each in timeouts] == [second, third]
            assert [quiz.closes[each] for each in (second, third)] == [
                each.expired_deadline_ms for each in timeouts
            ], "a question closes at its deadline, however late the message of it came"
            breaks = [each.payload for each in events if each.event == "session.resumed"]
            assert [each.reason for each in breaks] == ["auto", "auto"]

    async def test_a_quiz_that_is_ended_in_a_break_reveals_nothing_more(self, client: SyncKairos) -> None:
        quizzes = recipe("Quiz")
        revealed: list[str] = []
        state = await client.get(await quizzes.new_quiz(client, "Capitals", 3))
        async with client.session(state.session_id) as session:
            asked = asyncio.Event()
            run = asyncio.create_task(
                quizzes.Quiz(client, session).run(lambda _: asked.set(), revealed.append)
            )
            await asyncio.wait_for(asked.wait(), PATIENCE_S)
            await session.switch()
            async with asyncio.timeout(PATIENCE_S):
                while session.state.status != "paused":
                    await asyncio.sleep(0.01)
            await session.cancel()
            await asyncio.wait_for(run, PATIENCE_S)
        assert revealed == [ids(state)["Question 1"]]

    async def test_a_question_lasts_as_long_as_the_page_says(self, client: SyncKairos) -> None:
        quizzes = recipe("Quiz")
        state = await client.get(await quizzes.new_quiz(client, "Capitals", 2))
        assert (state.time_per_cycle_ms, state.max_pause_ms) == (30_000, 8_000)


class TestAuction:
    async def test_a_late_bid_prolongs_the_lot_and_an_early_one_does_not(self, client: SyncKairos) -> None:
        auction = recipe("Auction")
        async with client.session(await auction.new_lot(client, "A chair")) as session:
            lot = auction.Lot(session)
            assert not await lot.bid("Anna", 10), "it has not begun"
            await session.start()
            before = session.state.version
            assert await lot.bid("Anna", 10)
            assert not await lot.bid("Ben", 10), "not more than the highest"
            assert (session.state.version, lot.added_ms) == (before, 0), "there was time enough"
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
            lot = auction.Lot(session)
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
            lot = auction.Lot(session)
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
            change = await eval(printed(r"`await (session\.set\(None, 10_000.*?\))`"))
            assert change.payload.deadline_ms - change.server_time_ms == 10_000

    async def test_no_bid_prolongs_a_lot_beyond_its_cap(self, client: SyncKairos) -> None:
        auction = recipe("Auction", LONGEST_S=31)
        async with client.session(await auction.new_lot(client, "A chair")) as session:
            lot = auction.Lot(session)
            await session.start()
            assert await lot.bid("Anna", 10)
            await session.set(None, 9_000)
            added = []
            for amount in (11, 12, 13):
                assert await lot.bid("Ben", amount)
                added.append(lot.added_ms)
                await session.set(None, 9_000)
            assert added == [10_000, 10_000, 10_000]
            await session.add(None, -22_000, clock="total")
            total = session.state.total_remaining_ms
            assert await lot.bid("Cleo", 14)
            assert lot.added_ms == 0, "the end of the lot comes first"
            assert len(lot.bids) == 5, "but it counts"
            assert total is not None

    async def test_all_lots_may_end_at_one_moment(self, client: SyncKairos) -> None:
        auction = recipe("Auction")
        async with client.session(await auction.new_lot(client, "A chair")) as session:
            lot = auction.Lot(session)
            await session.start()
            await session.set(None, 9_000)
            await session.schedule(ends_at_ms=await server_now(client) + 60_000)
            assert await lot.bid("Anna", 10)
            assert lot.added_ms == 10_000
            await session.schedule(ends_at_ms=await server_now(client) + 50)
            assert await asyncio.wait_for(lot.sold(), PATIENCE_S) == ("Anna", 10)
            assert session.state.status == "completed"
            assert not await lot.bid("Ben", 11)


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
    @staticmethod
    async def started(client: SyncKairos, minutes: dict[str, int]) -> dict[str, str]:
        """An exam that was started by hand."""
        exam = recipe("Exam")
        now = await server_now(client)
        sessions: dict[str, str] = await exam.new_exam(
            client, "Maths", minutes, now + 600_000, now + 7_200_000
        )
        began = await exam.together(client, sessions.values(), eval(printed(r"lambda one: one\.start\(\)")))
        assert list(began) == list(sessions.values())
        return sessions

    async def test_everybody_starts_at_the_same_moment_and_has_exactly_the_time_allowed(
        self, client: SyncKairos
    ) -> None:
        exam = recipe("Exam")
        start = await server_now(client) + 1_000
        sessions = await exam.new_exam(
            client, "Maths", {"Anna": 60, "Ben": 75, "The room": 60}, start, start + 7_200_000
        )
        states = [await client.get(session) for session in sessions.values()]
        async with asyncio.timeout(PATIENCE_S):
            while any(state.status == "pending" for state in states):
                await asyncio.sleep(0.02)
                states = [await client.get(session) for session in sessions.values()]
        assert [(state.deadline_ms or 0) - start for state in states] == [3_600_000, 4_500_000, 3_600_000]

    async def test_a_fire_alarm_stops_all_and_wakes_nobody_who_was_at_rest(self, client: SyncKairos) -> None:
        exam = recipe("Exam")
        sessions = await self.started(client, {"Anna": 60, "Ben": 75, "Cleo": 60})
        await client.handle(sessions["Ben"]).pause()
        assert await exam.hand_in(client, sessions["Cleo"])
        calls = {
            name: printed(rf"lambda one: one\.{name}\(.*?alarm.*?\)(?=\))") for name in ("pause", "resume")
        }
        stopped = await exam.together(client, sessions.values(), eval(calls["pause"]))
        assert list(stopped) == [sessions["Anna"]]
        again = await exam.together(client, sessions.values(), eval(calls["pause"]))
        assert [each.version for each in again.values()] == [each.version for each in stopped.values()]
        state = await client.get(sessions["Anna"])
        assert (state.status, state.pauses_left) == ("paused", 2), "it is nobody's break"
        await exam.together(client, stopped, eval(calls["resume"]))
        going = await client.get(sessions["Anna"])
        assert (going.deadline_ms or 0) - going.server_time_ms == going.time_remaining_ms
        assert (going.time_remaining_ms or 0) <= (state.time_remaining_ms or 0)
        assert (await client.get(sessions["Ben"])).status == "paused"
        assert (await client.get(sessions["Cleo"])).status == "completed"

    async def test_breaks_are_few_and_short(self, client: SyncKairos) -> None:
        handle = client.handle((await self.started(client, {"Anna": 60}))["Anna"])
        for _ in range(2):
            await handle.pause()
            assert (await handle.get()).resumes_at_ms is not None
            await handle.resume()
        with pytest.raises(InvalidSessionState) as refusal:
            await handle.pause()
        assert refusal.value.context["pauses_left"] == 0

    async def test_one_gets_more_time_than_the_others(self, client: SyncKairos) -> None:
        exam = recipe("Exam")
        sessions = await self.started(client, {"Anna": 60, "Ben": 60})
        before = [(await client.get(each)).deadline_ms or 0 for each in sessions.values()]
        assert await exam.give(client, sessions["Ben"], 5, "a machine broke")
        moved = [(await client.get(each)).deadline_ms or 0 for each in sessions.values()]
        assert [now - then for now, then in zip(moved, before, strict=True)] == [0, 300_000]
        await client.handle(sessions["Anna"]).pause()
        assert await exam.give(client, sessions["Anna"], 1, "while the clock stands")
        assert ((await client.get(sessions["Anna"])).time_remaining_ms or 0) > 3_600_000

    async def test_who_hands_in_after_the_end_is_late_and_may_be_let_go_on(self, client: SyncKairos) -> None:
        exam = recipe("Exam", ASK_EVERY_S=0.1)
        sessions = await self.started(client, {"Anna": 60, "Ben": 60})
        waiting = asyncio.create_task(exam.all_over(client, sessions.values()))
        assert await exam.hand_in(client, sessions["Anna"])
        assert not await exam.hand_in(client, sessions["Anna"]), "once"
        assert not waiting.done()
        ben = client.handle(sessions["Ben"])
        await ben.set(None, SOON_MS)
        await asyncio.wait_for(waiting, PATIENCE_S)
        assert not await exam.hand_in(client, sessions["Ben"])
        assert not await exam.give(client, sessions["Ben"], 5, "too late")
        await exam.go_on(client, sessions["Ben"], 5, "by ruling")
        state = await ben.get()
        assert (state.status, state.total_time_ms) == ("running", 300_000)
        await exam.go_on(client, sessions["Anna"], 1, "handed in by mistake")
        assert ((await client.get(sessions["Anna"])).time_remaining_ms or 0) > 3_600_000
        assert await exam.hand_in(client, sessions["Ben"])

    async def test_the_room_closes_whatever_the_clocks_say(self, client: SyncKairos) -> None:
        exam = recipe("Exam")
        sessions = await self.started(client, {"Anna": 60})
        closes = await server_now(client) + 1_000
        await exam.together(client, sessions.values(), lambda one: one.schedule(ends_at_ms=closes))
        state = await client.handle(sessions["Anna"]).over(timeout=PATIENCE_S, every_s=0.1)
        assert (state.status, instant_ms(state.session_completed_at or "")) == ("completed", closes)

    async def test_who_is_late_before_anybody_noticed_is_late_too(self, unattended: SyncKairos) -> None:
        exam = recipe("Exam")
        sessions = await self.started(unattended, {"Anna": 60, "Ben": 60})
        for each in sessions.values():
            async with unattended.session(each) as session:
                await session.set(None, SOON_MS)
                await out_of_time(unattended, session)
                assert session.state.status == "running"
        assert not await exam.hand_in(unattended, sessions["Anna"])
        assert not await exam.give(unattended, sessions["Ben"], 5, "too late")


class TestMeeting:
    async def test_an_item_that_runs_over_shows_by_how_much(self, client: SyncKairos) -> None:
        meeting = recipe("Meeting")
        agenda = {"Minutes": 5, "Budget": 20, "Any other business": 10}
        made = await meeting.new_meeting(client, "Board", agenda, fixed=False)
        async with client.session(made) as session:
            item = ids(session.state)
            assert meeting.ends_in_ms(session) == 35 * 60_000
            await session.start()
            await session.set(item["Minutes"], SOON_MS)
            async with asyncio.timeout(PATIENCE_S):
                while await left(client, session) > -100 or (session.remaining() or 0) > 0:
                    await asyncio.sleep(0.01)
            assert session.state.active_participant_id == item["Minutes"], "nobody is cut off"
            bells = [
                each.payload.warning_ms for each in await session.events() if each.event == "time.warning"
            ]
            assert bells == [0], "an adjust is no fall, so the one a minute before does not come"
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
            await session.complete()

    async def test_it_ends_with_its_last_item(self, client: SyncKairos) -> None:
        meeting = recipe("Meeting")
        agenda = {"Minutes": 5, "Budget": 20}
        async with client.session(await meeting.new_meeting(client, "Board", agenda)) as session:
            await session.start()
            assert await meeting.next_item(session)
            assert not await meeting.next_item(session)
            assert (await session.over()).status == "completed"

    async def test_an_item_may_come_up(self, client: SyncKairos) -> None:
        meeting = recipe("Meeting")
        made = await meeting.new_meeting(client, "Board", {"Budget": 20}, fixed=False)
        async with client.session(made) as session:
            await session.start()
            new = "10000000-0000-4000-8000-000000000000"
            await session.join(participant_id=new, total_time_ms=300_000)
            assert await meeting.next_item(session)
            assert session.state.active_participant_id == new
            assert await meeting.next_item(session), "and then the first one again"


class TestDebate:
    async def test_bells_ring_and_speakers_follow_each_other(self, client: SyncKairos) -> None:
        debates = recipe("Debate")
        rung: asyncio.Queue[int] = asyncio.Queue()
        made = await debates.new_debate(client, "Homework", ["Anna", "Ben"])
        async with client.session(made) as session:
            debates.ring_bells(session, rung.put_nowait)
            await session.start()
            anna, ben = ids(session.state)["Anna"], ids(session.state)["Ben"]
            strokes = []
            for bell in (420_000, 60_000, 0):
                await session.set(anna, bell + SOON_MS)
                strokes.append(await asyncio.wait_for(rung.get(), PATIENCE_S))
            assert strokes == [1, 1, 2]
            assert session.state.active_participant_id == anna
            assert await debates.next_speech(session)
            assert session.state.active_participant_id == ben
            assert not await debates.next_speech(session)
            assert rung.empty()
            assert (await session.over()).status == "completed"

    async def test_the_last_bell_cuts_nobody_off(self, client: SyncKairos) -> None:
        rung: asyncio.Queue[int] = asyncio.Queue()
        control = {**eval(printed(r"time_control=(\{\"notation\".*?\})")), "overtime_ms": SOON_MS}
        speakers = [{"participant_id": f"{n}0000000-0000-4000-8000-000000000000"} for n in (1, 2)]
        state = await client.create(preset="debate", time_control=control, participants=speakers)
        async with client.session(state.session_id) as session:
            recipe("Debate").ring_bells(session, rung.put_nowait)
            await session.start()
            assert session.remaining(speakers[1]["participant_id"]) == 300_000
            await session.set(speakers[0]["participant_id"], SOON_MS)
            assert [await asyncio.wait_for(rung.get(), PATIENCE_S) for _ in range(2)] == [2, 3]
            assert session.state.active_participant_id == speakers[0]["participant_id"]
            assert session.state.status == "running"


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
            events = await session.events()
            at = {each.event: each.server_time_ms for each in events}
            paused = at["session.resumed"] - at["session.paused"]
            whole = at["session.completed"] - at["session.started"]
            assert times["Dragon"] == whole - paused, "to the millisecond, pauses left out"
            assert times["Dragon"] == events[-1].payload.participants[0].time_used_ms

    async def test_a_split_too_many_is_taken_back(self, client: SyncKairos) -> None:
        speedrun = recipe("Speedrun")
        async with client.session(await speedrun.new_run(client, "Dungeon", "Anna")) as session:
            await session.start()
            assert await speedrun.split(session)
            forest = await speedrun.splits(session)
            assert await speedrun.split(session)
            await speedrun.undo(session)
            assert await speedrun.splits(session) == forest
            assert await speedrun.split(session)
            assert not await speedrun.split(session)
            await speedrun.undo(session)
            assert (session.state.status, len(await speedrun.splits(session))) == ("running", 2)
            assert not await speedrun.split(session)
            times = await speedrun.splits(session)
            at = [each for each in await session.events() if each.event.startswith("session.")]
            assert [each.event for each in at] == [
                "session.created",
                "session.started",
                "session.completed",
                "session.reopened",
                "session.resumed",
                "session.completed",
            ]
            _, started, ended, _, resumed, over = (each.server_time_ms for each in at)
            assert times["Dragon"] == (ended - started) + (over - resumed)


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
