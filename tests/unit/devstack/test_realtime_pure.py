"""The small pure parts: joins as they are read, rates, presence, the log, days."""

import struct
from datetime import date
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customer_tickets.devstack.realtime.joining import JoinRequest, Replay, read_join, topic_name
from customer_tickets.devstack.realtime.limits import Rate, Window
from customer_tickets.devstack.realtime.partitions import wanted_days
from customer_tickets.devstack.realtime.presence import Presences
from customer_tickets.devstack.realtime.profile import FAITHFUL, FAST, profile_named
from customer_tickets.devstack.realtime.values import parse_json, to_json
from customer_tickets.devstack.realtime.wal import Inserted, KeepAlive, Reader, status_update

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["config", "private", "broadcast", "replay", "since", "limit", "presence", "key"]
            ),
            inner,
        )
    ),
)


@given(ANYTHING)
def test_any_payload_is_a_join(payload: object) -> None:
    assert isinstance(read_join(payload), JoinRequest)


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), ("TRUE", True), ("no", False), (1, False), (None, False)]
)
def test_flags_may_be_words(value: object, expected: bool) -> None:
    assert read_join({"config": {"private": value}}).private is expected


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, 25), (0, 1), (7, 7), (99, 25), (True, "invalid")]
)
def test_the_limit_of_a_replay_is_clamped(limit: object, expected: int | str) -> None:
    config = {"broadcast": {"replay": {"since": 5, "limit": limit}}}
    replay = read_join({"config": config}).replay
    assert replay == (Replay(5, expected) if isinstance(expected, int) else expected)


def test_a_presence_key_may_be_anything() -> None:
    assert read_join({"config": {"presence": {"key": 7}}}).presence_key == "7"


@pytest.mark.parametrize(
    ("topic", "name"), [("realtime:a:b", "a:b"), ("realtime:", ""), ("phoenix", None)]
)
def test_topics_and_names(topic: str, name: str | None) -> None:
    assert topic_name(topic) == name


def test_a_rate_is_an_average_over_up_to_a_minute() -> None:
    rate = Rate(2)
    for now in (0.0, 1.0, 2.0):
        rate.count(now, 3)
    assert rate.average(2.0) == 9 / 5
    assert not rate.exceeded(2.0)
    rate.count(3.0)
    assert rate.exceeded(3.0)
    assert rate.average(6.0) == 1.0
    assert rate.average(59.0) == 10 / 60
    assert rate.average(60.0) == 0
    assert not Rate(None).exceeded(0.0)


def test_a_window_begins_anew_once_it_is_over() -> None:
    window = Window(2, 30.0)
    allowed = [window.allows(now) for now in (0.0, 29.0, 29.5, 30.1, 31.0, 60.0, 60.2)]
    assert allowed == [True, True, False, True, True, False, True]
    assert all(Window(None, 1.0).allows(0.0) for _ in range(9))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.integers(0, 2))))
def test_following_the_diffs_gives_the_state(
    steps: list[tuple[str, str, int]],
) -> None:
    presences = Presences()
    followed: dict[str, object] = {}
    keys: dict[str, str] = {}
    for owner, key, n in steps:
        own_key = keys.setdefault(owner, key)
        diff = presences.untrack(owner) if n == 0 else presences.track(owner, own_key, {"n": n})
        if diff is None:
            continue
        for metas in diff.leaves.values():
            for meta in metas["metas"]:
                followed.pop(str(meta["phx_ref"]))
        for metas in diff.joins.values():
            for meta in metas["metas"]:
                followed[str(meta["phx_ref"])] = meta["n"]
    state = {
        str(meta["phx_ref"]): meta["n"]
        for metas in presences.state().values()
        for meta in metas["metas"]
    }
    assert followed == state


RELATION = (
    b"R" + struct.pack("!I", 9) + b"realtime\0messages_1\0d" + struct.pack("!h", 3)
    + b"".join(b"\0" + name + b"\0" + struct.pack("!Ii", 25, -1) for name in (b"id", b"a", b"b"))
)  # fmt: skip
ROW_ID = UUID(int=5)


def data(change: bytes, end: int = 100) -> bytes:
    return b"w" + struct.pack("!qqq", 1, end, 0) + change


def text(value: str) -> bytes:
    return b"t" + struct.pack("!i", len(value.encode())) + value.encode()


def test_rows_are_read_from_the_log() -> None:
    reader = Reader()
    assert reader.read(data(b"B" + bytes(20))) is None
    assert reader.read(data(RELATION)) is None
    insert = b"I" + struct.pack("!I", 9) + b"N" + struct.pack("!h", 3)
    row = reader.read(data(insert + text(str(ROW_ID)) + b"n" + text("ü"), end=500))
    assert isinstance(row, Inserted)
    assert row.columns == {"id": str(ROW_ID), "a": None, "b": "ü"}
    assert row.id == str(ROW_ID)
    assert reader.position == 500
    assert reader.read(data(b"U" + bytes(9))) is None


def test_keepalives_move_the_position_and_are_answered_with_it() -> None:
    reader = Reader()
    assert reader.read(b"k" + struct.pack("!qqB", 700, 0, 1)) == KeepAlive(700, reply=True)
    assert reader.position == 700
    assert status_update(700) == b"r" + struct.pack("!qqqqB", 700, 700, 700, 0, 0)
    assert reader.read(b"?") is None


def test_days() -> None:
    days = wanted_days(date(2024, 2, 28))
    assert [str(day) for day in days][0::4] == ["2024-02-27", "2024-03-02"]


def test_profiles() -> None:
    assert profile_named("fast") is FAST
    assert profile_named("faithful") is FAITHFUL
    assert (FAITHFUL.connect_error_delay, FAITHFUL.join_error_delay) == (2.0, 5.0)
    limits = {name: getattr(FAITHFUL, name) for name in FAITHFUL_LIMITS}
    assert limits == FAITHFUL_LIMITS


FAITHFUL_LIMITS = {
    "sockets": 200,
    "channels_per_socket": 100,
    "joins_per_second": 100,
    "events_per_second": 100,
    "presence_per_second": 1000,
    "presence_per_channel": 5,
    "idle_timeout": 60,
    "empty_sweep": 600,
    "ready_timeout": 60,
    "token_check": 300,
    "max_frame": 5_000_000,
    "max_payload": 3_000_500,
    "capture_retry": (5, 300),
    "capture_linger": 690,
    "private_only": False,
}


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_what_is_read_can_be_written_further_down_the_stack(opening: str) -> None:
    def deeper(steps: int, value: object) -> str:
        return deeper(steps - 1, value) if steps else to_json(value)

    closing = "]" if opening == "[" else "}"
    for depth in (499, 500, 501, 900, 1000):
        text = opening * depth + "1" + closing * depth
        try:
            value = parse_json(text)
        except ValueError:
            assert depth > 500
            continue
        assert depth <= 500
        assert deeper(300, value) == text
    # Many side by side are not deep.
    wide = "[" + ",".join(["[]"] * 5000) + "]"
    assert parse_json(wide.encode()) == [[]] * 5000
