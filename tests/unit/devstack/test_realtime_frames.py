import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customer_tickets.devstack.realtime.frames import (
    Codec,
    Frame,
    RawBroadcast,
    RelayedBroadcast,
    UserPush,
    Version1,
    Version2,
    Wire,
    codec_for,
)
from customer_tickets.devstack.realtime.values import as_list, as_object, parse_json, to_json

CODECS: list[Codec] = [Version1(), Version2()]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.parametrize("codec", CODECS)
@given(data=st.text() | st.binary() | JSON.map(json.dumps), binary=st.booleans())
def test_whatever_comes_is_a_frame_or_dropped(
    codec: Codec, data: str | bytes, binary: bool
) -> None:
    frame = codec.decode(data, binary=binary)
    assert frame is None or isinstance(frame, Frame)


@given(payload=JSON, ref=st.none() | st.text(), join_ref=st.none() | st.text())
def test_what_a_client_writes_is_read(payload: object, ref: object, join_ref: object) -> None:
    expected = Frame("realtime:ü", "event", payload, ref, join_ref)
    fields = {"topic": expected.topic, "event": "event", "payload": payload, "ref": ref}
    one = json.dumps(fields | {"join_ref": join_ref})
    two = json.dumps([join_ref, ref, expected.topic, "event", payload])
    assert CODECS[0].decode(one, binary=False) == expected
    assert CODECS[1].decode(two.encode(), binary=False) == expected


@given(payload=JSON)
def test_a_raw_payload_arrives_unchanged(payload: object) -> None:
    message = RawBroadcast("realtime:t", 'e"', json.dumps(payload).encode(), meta={"id": "1"})
    wire = message.wire(1)
    assert wire is not None
    assert json.loads(wire.data) == {
        "ref": None,
        "topic": "realtime:t",
        "event": "broadcast",
        "payload": {"type": "broadcast", "event": 'e"', "meta": {"id": "1"}, "payload": payload},
    }


@pytest.mark.parametrize("version", [1, 2])
def test_a_broadcast_is_encoded_once(version: int) -> None:
    for message in (RelayedBroadcast("t", "e", {}), RawBroadcast("t", "e", b"{}")):
        assert message.wire(version) is message.wire(version)  # type: ignore[arg-type]  # 1 or 2


def test_a_binary_payload_has_no_form_in_version_1() -> None:
    assert RawBroadcast("t", "e", b"\0", is_json=False).wire(1) is None


@pytest.mark.parametrize(("topic", "event"), [("t" * 256, "e"), ("t", "ü" * 128)])
def test_what_is_too_long_for_a_binary_frame_has_no_form_in_version_2(
    topic: str, event: str
) -> None:
    assert RawBroadcast(topic, event, b"{}").wire(2) is None
    assert RawBroadcast(topic, event, b"{}").wire(1) is not None


def test_a_lone_surrogate_does_not_break_the_encoding() -> None:
    wire = RelayedBroadcast("t", "e", {"x": "\ud800"}).wire(1)
    assert b"\\ud800" in wire.data


def test_a_binary_push_of_a_user() -> None:
    data = b"\x03\x01\x02\x01\x03\x00\x00" + b"1" + b"10" + b"t" + b"abc" + b"\xff"
    assert CODECS[1].decode(data, binary=True) == Frame(
        "t", "broadcast", UserPush("abc", b"\xff", is_json=False), "10", "1"
    )


def test_a_close_on_version_1_tells_the_join_ref_as_ref() -> None:
    close = CODECS[0].push("t", "phx_close", {}, join_ref="7")
    assert json.loads(close.data) == {"ref": "7", "topic": "t", "event": "phx_close", "payload": {}}
    push = CODECS[0].push("t", "system", {}, join_ref="7")
    assert json.loads(push.data)["ref"] is None


def test_helpers() -> None:
    assert codec_for("2.0.0") is not None
    assert codec_for("2") is None
    assert as_object([]) is None
    assert as_list({}) is None
    assert as_list([1]) == [1]
    assert to_json({"a": [1, None]}) == '{"a":[1,null]}'
    assert not Wire(b"").binary


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", "[1e999]", "[" * 100_000, "1" * 5000, b"\xff", "{'a':1}"]
)
def test_json_is_read_strictly(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_json(text)
