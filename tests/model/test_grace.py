"""Lag compensation to the millisecond: the grace before the alarm, a late switch in the grace, and the quota.

A bank of 60,000 ms without increment has G = 10 * floor(2 * 60 / 5) + 150 = 390. So its quota begins with
3 * G = 1,170 ms, and its grace is as long. Each test runs on the model and on the library.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.model.driver import Driver
from tests.model.tables import ANNA, BEN, CLEO, Json, LibraryTable, ModelTable, Table, begin, players

BANK, GAIN, QUOTA = 60_000, 390, 1170
UP = BANK + QUOTA


@pytest.fixture(params=["model", "library"])
def table(request: pytest.FixtureRequest, driver: Driver) -> Table:
    if request.param == "model":
        return ModelTable()
    driver.run("FLUSHALL")
    return LibraryTable(driver)


def lagging(*banks: int, **more: Any) -> Json:
    return players(*(banks or (BANK, BANK)), lag_compensation=True, **more)


def measured(lag: int | None) -> tuple[str | int, ...]:
    return () if lag is None else ("LAG", lag)


def owner(table: Table, at: int, who: str = ANNA) -> Json:
    return next(p for p in table.state(at)["participants"] if p["participant_id"] == who)


def test_the_alarm_is_the_deadline_and_the_grace(table: Table) -> None:
    begin(table, lagging())
    assert table.alarm() == UP
    assert table.call("expire", UP - 1) is None
    change = table.call("expire", UP)["payload"]
    assert change["event"] == "session.expired"
    assert change["late_ms"] == 0
    assert change["expired_deadline_ms"] % 1_000_000 == BANK


@pytest.mark.parametrize(("at", "late"), [(UP, 0), (UP + 1, 1), (UP + 5000, 5000)])
def test_lateness_counts_from_the_end_of_the_grace(table: Table, at: int, late: int) -> None:
    begin(table, lagging())
    assert table.call("expire", at)["payload"]["late_ms"] == late
    assert table.state(at)["session_completed_at"] == "2027-01-15T08:01:00.000Z"


@pytest.mark.parametrize(
    ("at", "lag", "bank"),
    [
        (BANK - 1, None, 1),
        (BANK - 1, 0, 1),
        (BANK, 1, 1),
        (BANK, 300, 300),
        (BANK + 500, 501, 1),
        (BANK + 500, 5000, 670),  # all of the quota and no more
        (UP - 1, QUOTA, 1),
        (UP - 1, 86_400_000, 1),
    ],
)
def test_a_late_switch_that_its_lag_credit_saves(table: Table, at: int, lag: int | None, bank: int) -> None:
    begin(table, lagging())
    change = table.call("switch", at, *measured(lag))["payload"]
    assert change["event"] == "cycle.switched"
    anna = owner(table, at)
    credit = min(lag or 0, QUOTA)
    assert (anna["total_time_ms"], anna["has_expired"]) == (bank, False)
    assert anna["time_used_ms"] == min(at, BANK)
    assert anna["clock"] == {"quota_ms": QUOTA + GAIN - credit}
    assert change.get("lag_credit_ms") == (None if lag is None else credit)


@pytest.mark.parametrize(
    ("at", "lag"),
    [
        (BANK, None),
        (BANK, 0),
        (BANK + 1, 1),
        (BANK + 500, 500),
        (UP - 1, QUOTA - 1),
        (UP, QUOTA),
        (UP, QUOTA + 1),
        (UP + 1, 86_400_000),
    ],
)
def test_a_late_switch_that_its_lag_credit_does_not_save(table: Table, at: int, lag: int | None) -> None:
    """The budget is used up, within the grace or after it, so the switch carries out the expiry."""
    begin(table, lagging())
    change = table.call("switch", at, *measured(lag))["payload"]
    assert change["event"] == "session.expired"
    assert change["late_ms"] == max(0, at - UP)
    assert "lag_credit_ms" not in change
    anna = owner(table, at)
    assert (anna["total_time_ms"], anna["time_used_ms"], anna["has_expired"]) == (0, BANK, True)
    assert anna["clock"] == {"quota_ms": QUOTA}


@pytest.mark.parametrize("function", ["switch", "expire"])
@pytest.mark.parametrize(
    ("control", "up"),
    [
        ({"kind": "fischer"}, 1000),
        ({"kind": "delay", "delay_ms": 500}, 1500),
        ({"kind": "delay", "delay_ms": 500, "overtime_ms": 200}, 1700),
        ({"kind": "byoyomi", "periods": 2, "period_ms": 300}, 1600),
        ({"kind": "canadian", "period_ms": 300, "moves": 2}, 1300),
    ],
    ids=["fischer", "delay", "overtime", "byoyomi", "canadian"],
)
@pytest.mark.parametrize("others", [(), (BANK,)], ids=["alone", "two"])
def test_a_clock_that_is_out_goes_on_after_a_pause_and_has_no_budget(
    table: Table, control: Json, up: int, others: tuple[int, ...], function: str
) -> None:
    """A turn set in a pause charged all of it. No credit saves a switch, and nothing more is charged."""
    skip = {"action_on_timeout": {"type": "skip_cycle"}, "max_pause_ms": 1000}
    begin(table, lagging(1000, *others, time_control=control, **skip))
    table.call("pause", up)
    table.call("turn", up, ANNA)
    assert table.call("expire", up + 1000)["payload"]["event"] == "session.resumed"
    assert table.alarm() == up + 1450
    at = up + (1449 if function == "switch" else 1450)
    change = table.call(function, at, *measured(400 if function == "switch" else None))["payload"]
    assert change["event"] == ("participant.expired" if others else "session.expired")
    assert change["late_ms"] == 0
    anna = owner(table, at)
    assert (anna["time_used_ms"], anna["cycle_count"], anna["has_expired"]) == (up, 1, True)
    assert anna["clock"]["quota_ms"] == 450


@pytest.mark.parametrize(
    ("at", "lag", "event", "bank"),
    [
        (601_999, 3000, "cycle.switched", 1001),
        (601_999, 2000, "cycle.switched", 1),
        (601_999, 1999, "session.expired", 0),
        (602_000, 3000, "session.expired", 0),
    ],
)
def test_the_grace_is_two_seconds_at_most(table: Table, at: int, lag: int, event: str, bank: int) -> None:
    """A bank of 600,000 has G = 1,000 and a quota of 3,000, which is more than the grace."""
    begin(table, lagging(600_000, 600_000))
    assert table.alarm() == 602_000
    assert table.call("switch", at, "LAG", lag)["payload"]["event"] == event
    assert owner(table, at)["total_time_ms"] == bank


@pytest.mark.parametrize(
    ("at", "args", "starts"),
    [
        (BANK + 400, (), BANK + 400),  # the budget was used up before the end of the grace: from now
        (BANK + 400, ("LAG", 400), BANK + 400),
        (UP - 1, ("LAG", 1), UP - 1),
        (UP, (), UP),
        (UP + 1000, ("LAG", QUOTA), UP),
        (UP + 1001, (), UP + 1001),  # noticed too late: from now
    ],
)
def test_where_the_cycle_after_a_late_switch_begins(
    table: Table, at: int, args: tuple[str | int, ...], starts: int
) -> None:
    begin(table, lagging(BANK, BANK, BANK, action_on_timeout={"type": "skip_cycle"}))
    change = table.call("switch", at, *args)["payload"]
    assert change["event"] == "participant.expired"
    assert change["active_participant_id"] == BEN
    assert table.alarm() == starts + UP
    assert table.state(at)["cycle_elapsed_ms"] == at - starts


def test_in_the_grace_time_is_not_up(table: Table) -> None:
    """A pause and an adjust are carried out until the end of the grace."""
    begin(table, lagging())
    assert table.call("pause", BANK + 500)["payload"]["event"] == "session.paused"
    assert owner(table, 200_000)["time_remaining_ms"] == -500
    assert table.call("resume", 200_000)["payload"]["event"] == "session.resumed"
    assert table.alarm() == 200_000 - 500 + QUOTA
    change = table.call("adjust", 200_100, "PARTICIPANT", ANNA, "ADD", 1000)["payload"]
    assert change["event"] == "time.adjusted"
    assert change["time_remaining_ms"] == 400
    assert table.alarm() == 200_500 + QUOTA
    assert table.call("pause", 200_500 + QUOTA)["payload"]["event"] == "session.expired"


def test_a_leave_in_the_grace_charges_the_budget(table: Table) -> None:
    begin(table, lagging(BANK, BANK, BANK))
    assert table.call("leave", UP - 1, ANNA)["payload"]["event"] == "participant.removed"
    state = table.state(UP - 1)
    assert (state["time_used_ms"], state["active_participant_id"]) == (BANK, BEN)
    assert table.call("leave", 2 * UP - 1, BEN)["payload"]["event"] == "session.expired"
    assert table.state(2 * UP)["status"] == "expired"


def test_a_complete_in_the_grace_charges_the_budget(table: Table) -> None:
    """A clock whose whole budget was charged has expired, however the cycle ended."""
    begin(table, lagging())
    assert table.call("complete", BANK + 1)["payload"]["event"] == "session.completed"
    anna = owner(table, BANK + 1)
    assert (anna["total_time_ms"], anna["time_used_ms"], anna["has_expired"]) == (0, BANK, True)


def test_how_the_quota_is_spent_and_fills_again(table: Table) -> None:
    """After a switch the quota is min(7 G, quota + G - credit), the credit at most lag, quota and cycle."""
    begin(table, lagging())
    at, bank, quota = 0, BANK, QUOTA
    for lag, ran, credit in [
        (300, 1000, 300),
        (0, 1000, 0),
        (5000, 100, 100),  # at most the time of the cycle
        (5000, 9000, 1940),  # at most the quota: 1170 + 390 * 3 - 300 - 100
        (5000, 9000, 390),  # what the quota gained since then
        *[(0, 1, 0)] * 6,
        (0, 1, 0),  # 7 G, and no more
        (0, 1, 0),
    ]:
        at += ran
        change = table.call("switch", at, "LAG", lag)["payload"]
        assert change["lag_credit_ms"] == credit
        bank, quota = bank - ran + credit, min(7 * GAIN, quota + GAIN - credit)
        anna = owner(table, at)
        assert (anna["total_time_ms"], anna["clock"]["quota_ms"]) == (bank, quota)
        table.call("switch", at, "NEXT", ANNA)
        assert table.alarm() == at + bank + min(quota, 2000)
    assert quota == 7 * GAIN


def test_without_lag_the_quota_fills_as_well(table: Table) -> None:
    begin(table, lagging())
    change = table.call("switch", 1000)["payload"]
    assert "lag_credit_ms" not in change
    assert owner(table, 1000)["clock"] == {"quota_ms": QUOTA + GAIN}


def test_a_clock_at_zero_neither_spends_nor_gains(table: Table) -> None:
    """Under `notify` the quota does not change until the clock is given time."""
    begin(table, lagging(action_on_timeout={"type": "notify"}))
    assert table.call("expire", UP - 1) is None
    assert table.call("expire", UP)["payload"]["event"] == "participant.expired"
    assert (table.alarm(), table.state(UP)["deadline_ms"]) == (None, None)
    change = table.call("switch", UP + 500, "LAG", 400)["payload"]
    assert change["event"] == "cycle.switched"
    assert "lag_credit_ms" not in change
    anna = owner(table, UP + 500)
    assert (anna["time_used_ms"], anna["cycle_count"], anna["clock"]) == (BANK, 1, {"quota_ms": QUOTA})
    table.call("switch", UP + 600, "LAG", 10)
    assert table.call("adjust", UP + 1000, "PARTICIPANT", ANNA, "ADD", 2000)["payload"]["adjusted_ms"] == 2000
    assert table.alarm() == UP + 3000 + QUOTA
    change = table.call("switch", UP + 3100, "LAG", 400)["payload"]
    assert change["lag_credit_ms"] == 400
    anna = owner(table, UP + 3100)
    assert (anna["total_time_ms"], anna["clock"]) == (300, {"quota_ms": QUOTA + GAIN - 400})


def test_a_late_switch_under_notify_does_not_change_the_active_participant(table: Table) -> None:
    begin(table, lagging(action_on_timeout={"type": "notify"}))
    change = table.call("switch", BANK + 10, "LAG", 10)["payload"]
    assert (change["event"], change["active_participant_id"]) == ("participant.expired", ANNA)
    assert table.call("switch", BANK + 11, "LAG", 11)["payload"]["active_participant_id"] == BEN


@pytest.mark.parametrize(
    ("control", "at", "lag", "shown"),
    [
        # u = 14,000 of which 5,000 are free; then u = 5,000, all free.
        ({"kind": "delay", "delay_ms": 5000}, 15_000, 1000, {"total_time_ms": 51_000}),
        ({"kind": "delay", "delay_ms": 5000}, 6000, 1000, {"total_time_ms": 60_000}),
        # Bronstein gives back what was charged, at most the delay: min(u, D).
        ({"kind": "bronstein", "delay_ms": 5000}, 5500, 1000, {"total_time_ms": 60_000}),
        ({"kind": "fischer", "increment_ms": 2000}, 10_000, 1000, {"total_time_ms": 53_000}),
        ({"kind": "hourglass"}, 10_000, 1000, {"total_time_ms": 51_000}),
        # A period is lost at its end, to the millisecond; the lag credit does not count.
        ({"kind": "byoyomi", "periods": 2, "period_ms": 5000}, 65_299, 300, {"periods_left": 2}),
        ({"kind": "byoyomi", "periods": 2, "period_ms": 5000}, 65_300, 300, {"periods_left": 1}),
        ({"kind": "canadian", "moves": 2, "period_ms": 5000}, 61_300, 300, {"block_remaining_ms": 4000}),
        ({"kind": "fischer", "overtime_ms": 5000}, 62_300, 300, {"overtime_used_ms": 2000}),
    ],
)
def test_every_control_charges_the_running_time_less_the_credit(
    table: Table, control: Json, at: int, lag: int, shown: Json
) -> None:
    begin(table, lagging(time_control=control))
    assert table.call("switch", at, "LAG", lag)["payload"]["lag_credit_ms"] == lag
    anna = owner(table, at)
    assert {name: (anna | anna["clock"])[name] for name in shown} == shown


def test_an_hourglass_transfers_the_charged_time(table: Table) -> None:
    begin(table, lagging(time_control={"kind": "hourglass"}))
    table.call("switch", 10_000, "LAG", 1000)
    state = table.state(10_000)
    assert [p["total_time_ms"] for p in state["participants"]] == [51_000, 69_000]


@pytest.mark.parametrize(
    ("bank", "increment", "quota"),
    [
        (BANK, 0, 1170),
        (1000, 0, 450),  # floor(2 * 1 / 5) = 0
        (2499, 0, 450),  # fractions of a second count: 2 * 2.499 < 5
        (2500, 0, 480),
        (BANK, 5000, 3 * 1000),  # G is 1,000 at most: 10 * 104 + 150 is more
        (BANK, 4000, 3 * 1000),
        (60_000, 1000, 3 * 550),
    ],
)
def test_where_the_quota_begins(table: Table, bank: int, increment: int, quota: int) -> None:
    begin(table, lagging(bank, bank, time_control={"kind": "fischer", "increment_ms": increment}))
    assert owner(table, 0)["clock"] == {"quota_ms": quota}
    assert owner(table, 0, BEN)["clock"] == {"quota_ms": quota}


def test_each_owner_has_a_quota_of_its_own(table: Table) -> None:
    """It depends on the owner's bank and increment. A participant who joins gets one, too."""
    config = lagging(BANK, 1000)
    config["participants"][0]["time_control"] = {"kind": "fischer", "increment_ms": 1000}
    begin(table, config)
    table.call("join", 0, f'{{"participant_id": "{CLEO}", "total_time_ms": 2500}}')
    assert [p["clock"]["quota_ms"] for p in table.state(0)["participants"]] == [1650, 450, 480]
    table.call("switch", 5000, "LAG", 200)
    assert [p["clock"]["quota_ms"] for p in table.state(5000)["participants"]] == [2000, 450, 480]
    assert table.alarm() == 5000 + 1000 + 450
