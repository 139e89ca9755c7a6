"""A reader over a world that loses, repeats, reorders and reconnects ends with 1..n, once each."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customer_tickets._live.recovery import Ahead, Hole, Recovery


@dataclass(frozen=True)
class Event:
    seq: int


def page(table: int, after: int, size: int) -> list[Event]:
    return [Event(seq) for seq in range(after + 1, min(table, after + size) + 1)]


# What the world can do between two looks of the reader. A number is a doorbell's offset from the
# newest event: late, repeated and reordered ones are small or negative, false ones are positive.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.integers(1, 5)),
        st.tuples(st.just("doorbell"), st.integers(-20, 3)),
        st.tuples(st.just("ask"), st.just(0)),
        st.tuples(st.just("read"), st.just(0)),
        st.tuples(st.just("read, while events are committed"), st.integers(0, 5)),
        st.tuples(st.just("read, and fail"), st.just(0)),
        st.tuples(st.just("answer of an older moment"), st.integers(1, 5)),
    ),
    max_size=60,
)


@given(steps, st.integers(1, 7), st.integers(0, 9))
def test_any_mixture_of_faults_hands_out_every_event_once_in_order(
    world: list[tuple[str, int]], size: int, start: int
) -> None:
    table = start
    reader = Recovery(start)
    seen: list[int] = []
    for step, number in world:
        match step:
            case "commit":
                table += number
            case "doorbell":
                reader.doorbell(max(1, table + number))
            case "ask":
                reader.ask()
            case "read, and fail":
                reader.fetching()
                reader.failed()
            case "answer of an older moment":
                after = reader.fetching()
                then = max(after, table - number)
                seen += [e.seq for e in reader.fetched(page(then, after, size), then)]
            case _:
                after = reader.fetching()
                rows = page(table, after, size)
                newest = table
                table += number
                if number:
                    reader.doorbell(table)
                seen += [e.seq for e in reader.fetched(rows, newest)]
    # At last the slow timer comes round, whatever was lost before.
    reader.ask()
    for _ in range(table + 2):
        if not reader.behind:
            break
        after = reader.fetching()
        seen += [e.seq for e in reader.fetched(page(table, after, size), table)]
    assert seen == list(range(start + 1, table + 1))
    assert not reader.behind
    assert reader.last == table


def test_a_doorbell_that_rang_before_the_reading_began_does_not_ask_again() -> None:
    reader = Recovery(0)
    reader.doorbell(2)
    after = reader.fetching()
    assert [e.seq for e in reader.fetched(page(2, after, 10), 2)] == [1, 2]
    assert not reader.behind


def test_a_doorbell_during_the_reading_asks_again() -> None:
    reader = Recovery(0)
    reader.fetching()
    reader.doorbell(3)
    reader.fetched(page(2, 0, 10), 2)
    assert reader.behind


def test_an_announcement_that_the_table_does_not_bear_out_does_not_spin() -> None:
    reader = Recovery(5)
    reader.doorbell(1_000_000)
    reader.fetching()
    assert reader.fetched([], 5) == []
    assert not reader.behind
    assert reader.lagging


def test_overlapping_answers_hand_out_nothing_twice() -> None:
    reader = Recovery(0)
    first, second = reader.fetching(), reader.fetching()
    assert [e.seq for e in reader.fetched(page(3, first, 10), 3)] == [1, 2, 3]
    assert reader.fetched(page(3, second, 10), 3) == []


@pytest.mark.parametrize(("rows", "newest"), [([Event(2)], 2), ([], 1)])
def test_a_number_that_the_table_lacks_is_a_hole(rows: list[Event], newest: int) -> None:
    reader = Recovery(0)
    reader.fetching()
    with pytest.raises(Hole) as caught:
        reader.fetched(rows, newest)
    assert caught.value.missing == 1


def test_what_comes_before_a_hole_is_handed_out_first() -> None:
    reader = Recovery(0)
    reader.fetching()
    assert [e.seq for e in reader.fetched([Event(1), Event(2), Event(4)], 4)] == [1, 2]
    assert reader.behind
    assert reader.fetching() == 2
    with pytest.raises(Hole) as caught:
        reader.fetched([Event(4)], 4)
    assert caught.value.missing == 3


def test_a_place_that_the_ticket_has_not_reached_is_said() -> None:
    reader = Recovery(50)
    reader.fetching()
    with pytest.raises(Ahead):
        reader.fetched([], 5)


def test_a_replica_that_is_behind_where_a_reader_began_is_no_restored_table() -> None:
    recovery = Recovery(5)
    recovery.fetched([], 5)
    for _ in range(7):
        assert recovery.fetched([], 4) == []
    assert recovery.fetched([Event(6)], 6) == [Event(6)]


def test_a_table_that_ends_before_what_was_handed_out_was_restored() -> None:
    recovery = Recovery(0)
    recovery.fetching()
    recovery.fetched([Event(1), Event(2)], 2)
    for _ in range(7):
        assert recovery.fetched([], 1) == []
        assert recovery.lagging
    with pytest.raises(Ahead):
        recovery.fetched([], 1)


def test_a_replica_that_is_behind_for_a_while_is_no_restored_table() -> None:
    recovery = Recovery(0)
    recovery.fetched([Event(1), Event(2)], 2)
    for _ in range(3):
        for _ in range(7):
            recovery.fetched([], 1)
        recovery.fetched([], 2)
        assert not recovery.lagging
    assert recovery.fetched([Event(3)], 3) == [Event(3)]
    for number in range(4, 24):
        recovery.doorbell(number)  # asked about at once, so no time passes between the answers
        recovery.fetched([], 2)


def test_a_false_announcement_that_is_heard_again_and_again_does_not_spin() -> None:
    reader = Recovery(5)
    for _ in range(3):
        reader.doorbell(9)
    reader.fetching()
    reader.fetched([], 5)
    reader.doorbell(9)
    assert not reader.behind
