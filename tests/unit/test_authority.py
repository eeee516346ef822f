"""What follows from the answers of several Sentinels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from synckairos.core import answers
from synckairos.core.answers import FRESH_S, LASTING_S, Answer, View, judge

A, B, C = ("a", 1), ("b", 1), ("c", 1)
NOW = 1000.0


def answer(
    primary: tuple[str, int] = A,
    epoch: int = 1,
    *,
    down: bool = False,
    unheard: bool = False,
    electable: tuple[tuple[str, int], ...] = (),
    replacing: bool = False,
    age: float = 0.0,
) -> Answer:
    return Answer(NOW - age, primary, epoch, down, unheard, frozenset(electable), replacing)


def judged(*told: Answer, before: View | None = None, sentinels: int = 3) -> View:
    return judge(before or View(), told, sentinels, NOW)


def test_without_an_answer_nothing_is_known() -> None:
    assert judged() == View()
    assert judged(answer(age=FRESH_S + 1)).primary is None


def test_they_agree() -> None:
    assert judged(answer(), answer(), answer()) == View(A, 1, down=False, majority=True, known=True)


def test_the_highest_epoch_counts_even_from_one_of_them() -> None:
    assert judged(answer(B, 2), answer(), answer()).primary == B


def test_one_that_missed_the_failover_is_not_believed_when_it_alone_answers() -> None:
    known = View(B, 2, majority=True)
    seen = judged(answer(A, 1), answer(A, 1), before=known)
    assert (seen.primary, seen.epoch) == (B, 2)


def test_all_of_them_with_a_lower_epoch_were_made_anew() -> None:
    assert judged(answer(A, 0), answer(A, 0), answer(A, 0), before=View(B, 7)).primary == A


def test_the_last_known_primary_stays_while_they_are_away() -> None:
    known = View(B, 2, electable=frozenset({C}), majority=True)
    assert judged(answer(B, 2, age=60), before=known) == View(B, 2, electable=frozenset({C}), majority=False)


def test_a_primary_is_down_when_most_of_them_say_so() -> None:
    assert not judged(answer(down=True), answer(), answer()).down
    assert judged(answer(down=True), answer(down=True), answer()).down
    assert not judged(answer(B, 2), answer(down=True), answer(down=True)).down


def test_a_primary_is_unheard_when_most_of_them_have_not_heard_from_it() -> None:
    assert not judged(answer(unheard=True), answer(), answer()).unheard
    assert judged(answer(unheard=True), answer(unheard=True), answer()).unheard
    assert not judged(answer(B, 2), answer(unheard=True), answer(unheard=True)).unheard


def test_whatever_one_of_them_may_elect_counts() -> None:
    """One that was cut off together with the primary still sees the replica that was cut off too."""
    seen = judged(answer(electable=(B,)), answer(electable=(C,)), answer(electable=(C,)))
    assert seen.electable == {B, C}


def test_the_new_primary_is_none_of_its_replicas() -> None:
    """The Sentinel that leads a failover still lists it as one when it names it already."""
    seen = judged(answer(B, 2, electable=(B, C)), answer(B, 2, electable=(C,)), answer(A, 1))
    assert (seen.primary, seen.electable) == (B, frozenset({C}))


@pytest.mark.parametrize(
    ("told", "majority"),
    [
        ((answer(B, 2), answer(B, 2)), True),
        ((answer(B, 2), answer(B, 2), answer(A, 1)), True),
        ((answer(B, 2), answer(A, 1), answer(A, 1)), False),
        ((answer(B, 2), answer(B, 1)), False),
        ((answer(B, 2), answer(B, 2, age=FRESH_S + 1)), False),
        ((answer(B, 2),), False),
        ((), False),
    ],
)
def test_a_majority_names_one_primary_with_one_epoch(told: tuple[Answer, ...], majority: bool) -> None:
    view = judged(*told, before=View(A, 1))
    assert (view.majority, view.stands(NOW), view.nobody_else(NOW)) == (majority, majority, majority)


def test_a_majority_that_knows_only_an_older_epoch_names_nobody() -> None:
    assert not judged(answer(A, 1), answer(A, 1), before=View(B, 2)).majority


def test_what_the_majority_said_counts_until_it_is_old() -> None:
    view = judged(answer(age=0.5), answer(age=2.0), answer(age=2.5))
    assert view.heard_at == NOW - 2.0
    assert view.nobody_else(NOW - 2.0 + FRESH_S)
    assert not view.stands(NOW - 2.0 + FRESH_S + 0.001)


def test_somebody_else_can_become_the_primary() -> None:
    assert not judged(answer(electable=(B,)), answer(), answer()).nobody_else(NOW)
    assert judged(answer(electable=(B,)), answer(), answer()).stands(NOW)
    assert not judged(answer(down=True), answer(down=True), answer()).stands(NOW)


def test_nobody_stands_behind_a_primary_that_one_of_them_is_replacing() -> None:
    """One Sentinel is enough, when somebody asks it to."""
    view = judged(answer(), answer(replacing=True), answer())
    assert not view.stands(NOW)
    assert not view.nobody_else(NOW)
    assert judged(answer(B, 2), answer(B, 2), answer(B, 2), before=view).nobody_else(NOW)
    assert not judged(before=view).replacing


def test_whom_a_sentinel_is_putting_in_the_primarys_place_has_to_confirm() -> None:
    """The Sentinel breaks all connections to the replica that it promotes."""
    known = judged(answer(electable=(B, C)), answer(electable=(B, C)), answer(electable=(B, C)))
    promoting = judged(answer(electable=(C,)), answer(electable=(C,), replacing=True), answer(), before=known)
    assert promoting.electable == {B, C}
    assert judged(*[answer(electable=(C,))] * 3, before=promoting).electable == {C}
    assert judged(*[answer(B, 2, electable=(C,))] * 3, before=promoting).electable == {C}


def replies(*, flags: str, named: tuple[bytes, bytes] = (b"a", b"1")) -> list[Any]:
    """What a Sentinel says of the primary a:1 and its replica b:1."""
    primary = {"ip": "a", "port": "1", "config-epoch": "1", "flags": flags}
    replica = {"ip": "b", "port": "1", "flags": "slave", "master-host": "a"}
    told = [[text.encode() for pair in each.items() for text in pair] for each in (primary, replica)]
    return [list(named), told[0], told[1:]]


def test_a_failover_under_way_is_of_the_one_that_is_still_named() -> None:
    assert answers.answer("game", replies(flags="master,failover_in_progress"), NOW).replacing
    assert not answers.answer("game", replies(flags="master"), NOW).replacing
    done = answers.answer("game", replies(flags="master,failover_in_progress", named=(b"b", b"1")), NOW)
    assert (done.primary, done.replacing) == (B, False)


def test_without_a_majority_those_that_may_be_chosen_stay_known() -> None:
    """A process that is cut off together with the primary sees only one side of its replicas."""
    known = View(A, 1, electable=frozenset({B, C}), majority=True, known=True)
    seen = judged(answer(electable=(B,)), before=known)
    assert (seen.electable, seen.majority, seen.known) == (frozenset({B, C}), False, True)


def test_a_majority_has_to_be_heard_once() -> None:
    assert not judged(answer(electable=(B,))).known
    assert judged(answer(), answer()).known


def test_sentinels_that_fall_silent_say_no_more_that_the_primary_is_down() -> None:
    seen = judged(answer(age=60), before=View(A, 1, down=True, unheard=True, majority=True))
    assert not seen.down
    assert not seen.unheard


def test_a_majority_with_a_lower_epoch_is_believed_after_a_while() -> None:
    first = judged(answer(A, 0), answer(A, 0), before=View(B, 7, majority=True))
    assert (first.primary, first.lower_since) == (B, NOW)
    early = replace(first, lower_since=NOW - LASTING_S + 1)
    assert judged(answer(A, 0), answer(A, 0), before=early).primary == B
    late = replace(first, lower_since=NOW - LASTING_S)
    assert judged(answer(A, 0), answer(A, 0), before=late).primary == A
    assert judged(answer(A, 0), before=late).primary == B
