"""Who types and who is there, decided from claims: bounded, never wrong, never an error."""

from typing import Any
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from customer_tickets._live.attendance import (
    LONGEST_NAME,
    MOST_WINDOWS,
    Attendance,
    claimed_name,
    claimed_user,
)
from customer_tickets._live.room import Room
from customer_tickets._live.typists import LAPSES_AFTER, MOST_TYPISTS, Throttle, Typists

PEOPLE = [UUID(int=number) for number in range(1, 6)]
seconds = st.floats(0, 20, allow_nan=False)


@given(st.lists(st.tuples(st.sampled_from(PEOPLE), seconds)), seconds)
def test_whoever_said_it_in_the_last_six_seconds_types(
    steps: list[tuple[UUID, float]], wait: float
) -> None:
    typists, now, last = Typists(), 0.0, dict[UUID, float]()
    for user, pause in steps:
        now += pause
        typists.heard(user, "", now, 0)
        last[user] = now
        expected = {who for who, at in last.items() if at + LAPSES_AFTER > now}
        assert {typing.user for typing in typists.at(now)} == expected
    now += wait
    typing = {user: at for user, at in last.items() if at + LAPSES_AFTER > now}
    assert {word.user for word in typists.at(now)} == set(typing)
    lapse = typists.next_lapse(now)
    assert lapse == (min(typing.values()) + LAPSES_AFTER if typing else None)
    if lapse is not None:
        assert len(typists.at(lapse)) < len(typing)


def test_typists_stay_in_the_order_in_which_they_began() -> None:
    typists = Typists()
    for user, at in ((PEOPLE[0], 0.0), (PEOPLE[1], 1.0), (PEOPLE[0], 2.0)):
        typists.heard(user, "", at, 0)
    assert [word.user for word in typists.at(3.0)] == PEOPLE[:2]


def test_a_crowd_of_typists_is_cut_off_and_those_known_stay() -> None:
    typists = Typists()
    typists.heard(PEOPLE[0], "", 0.0, 0)
    for _ in range(3 * MOST_TYPISTS):
        typists.heard(uuid4(), "", 1.0, 0)
    typists.heard(PEOPLE[0], "Ana", 2.0, 7)
    assert len(typists.at(2.0)) == MOST_TYPISTS
    first = typists.at(2.0)[0]
    assert (first.user, first.claim, first.read_to) == (PEOPLE[0], "Ana", 7)


@given(st.lists(seconds, max_size=60))
def test_one_word_in_three_seconds_passes_and_none_is_kept_back_longer(
    pauses: list[float],
) -> None:
    throttle, now, passed = Throttle(3.0), 0.0, list[float]()
    for pause in pauses:
        now += pause
        due = not passed or now >= passed[-1] + 3.0
        assert throttle.passes(now) is due
        if due:
            passed.append(now)


# What the server tells, by people whose windows come, change and go.


def metas(*windows: tuple[str, str]) -> dict[str, list[dict[str, str]]]:
    return {"metas": [{"phx_ref": ref, "name": name} for ref, name in windows]}


steps = st.lists(st.tuples(st.sampled_from(PEOPLE), st.integers(0, 2), st.booleans()), max_size=40)


@given(steps, st.data())
def test_people_are_there_while_one_of_their_windows_is(
    moves: list[tuple[UUID, int, bool]], data: st.DataObject
) -> None:
    truth: dict[UUID, dict[int, str]] = {}
    attendance = Attendance()
    told_after = data.draw(st.integers(0, len(moves)))
    for number, (user, window, stays) in enumerate(moves):
        if number == told_after:
            # The whole picture may come after changes that it already holds.
            state = {
                str(who): metas(*((ref, "") for ref in refs.values()))
                for who, refs in truth.items()
                if refs
            }
            attendance.show(state)
        windows = truth.setdefault(user, {})
        old = windows.pop(window, None)
        joins = leaves = {}
        if stays:
            windows[window] = f"ref {number}"
            joins = {str(user): metas((f"ref {number}", ""))}
        if old is not None:
            leaves = {str(user): metas((old, ""))}
        attendance.change(joins, leaves)
        if number >= told_after:
            assert attendance.known
            assert set(attendance.here) == {who for who, refs in truth.items() if refs}
    assert attendance.known is (told_after < len(moves))


def test_nobody_is_known_before_the_server_has_said_who_is_there() -> None:
    attendance = Attendance()
    attendance.change({str(PEOPLE[0]): metas(("a", "Ana"))}, {})
    assert (attendance.known, attendance.here) == (False, {})
    attendance.show({str(PEOPLE[1]): metas(("b", "Ben"))})
    assert attendance.here == {PEOPLE[1]: "Ben", PEOPLE[0]: "Ana"}


def test_a_name_is_that_of_the_newest_window_that_has_one() -> None:
    attendance = Attendance()
    attendance.show({str(PEOPLE[0]): metas(("a", "Ana"), ("b", "Anna"), ("c", ""))})
    assert attendance.here == {PEOPLE[0]: "Anna"}


def test_a_flood_of_windows_is_cut_off() -> None:
    attendance = Attendance()
    attendance.show({})
    for start in range(10):
        refs = [f"{start} {number}" for number in range(2 * MOST_WINDOWS)]
        attendance.change({str(uuid4()): metas((ref, "x")) for ref in refs}, {})
    assert len(attendance.here) > MOST_WINDOWS
    assert len(attendance.here) <= 2 * MOST_WINDOWS
    attendance.show({str(PEOPLE[0]): metas(("a", "Ana"))})
    assert attendance.here == {PEOPLE[0]: "Ana"}


def test_a_name_is_cut_and_holds_nothing_that_turns_a_line_around() -> None:
    assert claimed_name("x" * 10_000_000) == "x" * LONGEST_NAME
    assert claimed_name(" A\u202eB\n\x1b[31m\ud800 ") == "AB[31m"
    assert [claimed_name(value) for value in (None, 7, ["x"], {"a": 1})] == [""] * 4


def test_only_a_user_is_a_user() -> None:
    user = uuid4()
    assert claimed_user(str(user)) == claimed_user(str(user).upper()) == user
    wrong: list[object] = [
        None,
        7,
        user,
        user.hex,
        f"{{{user}}}",
        str(user)[:-1],
        str(user)[:-1] + "x",
        [],
    ]
    for value in wrong:
        assert claimed_user(value) is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["metas", "phx_ref", "name", "user_id", str(PEOPLE[0])])
            | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(anything, anything, anything)
def test_whatever_is_claimed_is_no_error(state: Any, joins: Any, word: Any) -> None:
    attendance = Attendance()
    attendance.change(joins, state)
    attendance.show(state)
    attendance.change(joins, joins)
    assert set(attendance.here) <= {PEOPLE[0]}
    room = Room("ticket:x:presence", PEOPLE[1], "Ben", lambda: 0)
    room.typed(word)
    assert all(isinstance(typing.user, UUID) for typing in room.typists())


def test_a_room_leaves_oneself_out_and_forgets_everybody_when_it_closes() -> None:
    room = Room("ticket:x:presence", PEOPLE[0], "Ana", lambda: 3)
    attendance = Attendance()
    attendance.show({str(user): metas((str(user), "")) for user in PEOPLE[:3]})
    room.join()
    room.meet(attendance)
    for user in PEOPLE[:2]:
        room.typed({"user_id": str(user), "name": ["no name"]})
    assert room.current
    assert set(room.here()) == set(PEOPLE[1:3])
    assert [(word.user, word.claim, word.read_to) for word in room.typists()] == [
        (PEOPLE[1], "", 3)
    ]
    attendance.change({}, {str(PEOPLE[1]): metas((str(PEOPLE[1]), ""))})
    room.meet(attendance)
    assert (set(room.here()), room.typists()) == ({PEOPLE[2]}, [])
    room.typed({"user_id": str(PEOPLE[1])})
    room.fail()
    assert not room.current
    assert set(room.here()) == {PEOPLE[2]}
    room.close()
    assert (room.here(), room.typists()) == ({}, [])
