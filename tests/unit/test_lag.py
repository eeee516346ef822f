"""Round trips and the lag that they make."""

from __future__ import annotations

from synckairos.api.websocket.lag import MOST_WAITING, RoundTrips


def test_there_is_no_lag_before_the_first_pong() -> None:
    trips = RoundTrips()
    assert trips.lag_ms is None
    trips.sent(1.0)
    assert trips.lag_ms is None


def test_the_round_trip_is_from_the_ping_to_its_pong() -> None:
    trips = RoundTrips()
    ping = trips.sent(10.0)
    assert trips.answered(ping, 10.25) == 0.25
    assert trips.lag_ms == 250


def test_the_lag_is_rounded_down() -> None:
    trips = RoundTrips()
    for round_trip, lag_ms in ((0.0625, 62), (0.0009765625, 0)):
        ping = trips.sent(1.0)
        trips.answered(ping, 1.0 + round_trip)
        assert trips.lag_ms == lag_ms


def test_the_lag_is_the_shortest_of_the_newest_eight() -> None:
    trips = RoundTrips()
    shortest = []
    for number, round_trip in enumerate((8, 3, 5, 4, 9, 9, 9, 9, 9, 7, 6, 9, 9, 9, 9, 9, 9, 9, 9, 2)):
        ping = trips.sent(100.0 * number)
        trips.answered(ping, 100.0 * number + round_trip)
        assert trips.lag_ms is not None
        shortest.append(trips.lag_ms // 1000)
    # The 3 counts until the eighth after it has come, as does the 6.
    assert shortest == [8, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 6, 6, 6, 6, 6, 6, 6, 9, 2]


def test_payloads_are_told_apart() -> None:
    trips = RoundTrips()
    assert len({trips.sent(1.0) for _ in range(1000)}) == 1000


def test_a_pong_that_answers_nothing_measures_nothing() -> None:
    trips = RoundTrips()
    assert trips.answered(b"", 1.0) is None
    ping = trips.sent(2.0)
    assert trips.answered(b"", 500.0) is None
    assert trips.answered(ping[:-1], 500.0) is None
    assert trips.answered(ping + b"\0", 500.0) is None
    assert trips.lag_ms is None
    assert trips.answered(ping, 2.5) == 0.5, "the ping still waits"


def test_a_pong_counts_once() -> None:
    trips = RoundTrips()
    ping = trips.sent(1.0)
    assert trips.answered(ping, 1.5) == 0.5
    assert trips.answered(ping, 900.0) is None
    assert trips.lag_ms == 500


def test_a_client_may_answer_only_the_newest_of_several_pings() -> None:
    trips = RoundTrips()
    first, second, third = trips.sent(1.0), trips.sent(2.0), trips.sent(3.0)
    assert trips.answered(second, 3.25) == 1.25
    assert trips.answered(first, 800.0) is None, "it was passed over"
    assert trips.answered(third, 5.0) == 2.0
    assert trips.lag_ms == 1250


def test_pings_that_overlap_are_measured_each_by_itself() -> None:
    trips = RoundTrips()
    first, second = trips.sent(1.0), trips.sent(2.0)
    assert trips.answered(first, 3.0) == 2.0
    assert trips.answered(second, 3.5) == 1.5


def test_only_a_few_pings_wait_for_their_pongs() -> None:
    """A client that always answers an old ping has a sign of life each time, and leaves others waiting."""
    trips = RoundTrips()
    sent = [trips.sent(float(number)) for number in range(1000)]
    assert {trips.answered(ping, 1000.0) for ping in sent[:-MOST_WAITING]} == {None}
    assert trips.answered(sent[-MOST_WAITING], 1000.0) == MOST_WAITING
