"""Version 2.0.0 of the protocol, which supabase-js speaks: arrays, and binary broadcasts."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from realtime_client import ANON_KEY, Frames, Realtime, token

pytest_plugins = ("fix_realtime",)
pytestmark = pytest.mark.anyio


async def receive(client: Frames) -> Any:
    """The next frame: an array, or the bytes of a binary one."""
    async with asyncio.timeout(10):
        data = await client.socket.recv()
    return data if isinstance(data, bytes) else json.loads(data)


async def join(client: Frames, topic: str, **config: object) -> None:
    frame = ["1", "1", f"realtime:{topic}", "phx_join", {"config": config}]
    await client.socket.send(json.dumps(frame))
    reply = {"status": "ok", "response": {"postgres_changes": []}}
    assert await receive(client) == ["1", "1", f"realtime:{topic}", "phx_reply", reply]


def user_push(topic: str, event: str, payload: bytes, *, is_json: bool) -> bytes:
    strings = [b"1", b"7", f"realtime:{topic}".encode(), event.encode(), b'{"x":1}']
    sizes = bytes(map(len, strings))
    return b"\x03" + sizes + bytes([is_json]) + b"".join(strings) + payload


def user_broadcast(data: bytes) -> tuple[str, str, str, bool, bytes]:
    """Topic, event, metadata, is it JSON, payload."""
    kind, *sizes, is_json = data[:5]
    assert kind == 4
    at, strings = 5, []
    for size in sizes:
        strings.append(data[at : at + size].decode())
        at += size
    return (*strings, bool(is_json), data[at:])  # type: ignore[return-value]  # three of them


async def test_replies_and_closes_tell_both_refs(realtime: Realtime, topic: str) -> None:
    async with realtime.client(vsn="2.0.0") as client:
        await client.socket.send('[null,"5","phoenix","heartbeat",{}]')
        ok = {"status": "ok", "response": {}}
        assert await receive(client) == [None, "5", "phoenix", "phx_reply", ok]
        await join(client, topic)
        await client.socket.send(json.dumps(["1", "2", f"realtime:{topic}", "phx_leave", {}]))
        assert await receive(client) == ["1", "2", f"realtime:{topic}", "phx_reply", ok]
        assert await receive(client) == ["1", "1", f"realtime:{topic}", "phx_close", {}]


async def test_joining_again_answers_first_and_closes_the_old_channel_with_its_refs(
    realtime: Realtime, topic: str
) -> None:
    name = f"realtime:{topic}"
    async with realtime.client(vsn="2.0.0") as client:
        await join(client, topic)
        await client.socket.send(json.dumps(["new", "2", name, "phx_join", {}]))
        reply = {"status": "ok", "response": {"postgres_changes": []}}
        assert await receive(client) == ["new", "2", name, "phx_reply", reply]
        assert await receive(client) == ["1", "1", name, "phx_close", {}]


async def test_more_than_five_in_an_array_are_as_good_as_five(realtime: Realtime) -> None:
    async with realtime.client(vsn="2.0.0") as client:
        await client.socket.send('[null,"5","phoenix","heartbeat",{},"more"]')
        assert (await receive(client))[1] == "5"


@pytest.mark.parametrize(
    "frame",
    [
        "{}",
        "[]",
        "[1,2,3,4,5]",
        '[null,"1","phoenix","heartbeat"]',
        b"",
        b"\x03",
        b"\x03\xff\xff\xff\xff\xff\x01",
        b"\x00\x01\x01\x01\x01\x01",
        b"\x01\x01\x01\x01\x01tttt",
        user_push("t", "e", b"no json", is_json=True),
    ],
    ids=range(10),
)
async def test_malformed_frames_are_dropped(realtime: Realtime, frame: str | bytes) -> None:
    async with realtime.client(vsn="2.0.0") as client:
        await client.socket.send(frame)
        await client.socket.send('[null,"5","phoenix","heartbeat",{}]')
        assert (await receive(client))[1] == "5"


async def test_the_database_s_messages_come_as_binary_frames(
    realtime: Realtime, topic: str
) -> None:
    async with realtime.client(vsn="2.0.0") as client:
        await join(client, topic, broadcast={"replication_ready": True})
        assert (await receive(client))[3] == "system"
        await realtime.announce(topic, '{"id": 1}', private=False)
        name, event, meta, is_json, payload = user_broadcast(await receive(client))
        assert (name, event, is_json) == (f"realtime:{topic}", "event", True)
        assert set(json.loads(meta)) == {"id"}
        assert json.loads(payload) == {"id": 1}
        await realtime.execute("select realtime.send_binary('\\x00ff', 'b', %s, false)", topic)
        _, event, meta, is_json, payload = user_broadcast(await receive(client))
        assert (event, is_json, payload) == ("b", False, b"\x00\xff")


async def test_binary_pushes_reach_both_versions(realtime: Realtime, topic: str) -> None:
    async with (
        realtime.client(vsn="2.0.0") as sender,
        realtime.client(vsn="2.0.0") as new,
        realtime.client() as old,
    ):
        await join(sender, topic, broadcast={"ack": True})
        await join(new, topic)
        await old.join(topic)
        await sender.socket.send(user_push(topic, "said", b'{"n": 1}', is_json=True))
        assert (await receive(sender))[1] == "7"
        # What the client wrote as metadata is not passed on.
        assert user_broadcast(await receive(new)) == (
            f"realtime:{topic}",
            "said",
            "",
            True,
            b'{"n": 1}',
        )
        heard = {"type": "broadcast", "event": "said", "payload": {"n": 1}}
        assert (await old.receive())["payload"] == heard
        await sender.socket.send(user_push(topic, "raw", b"\x00\x01", is_json=False))
        assert user_broadcast(await receive(new))[3:] == (False, b"\x00\x01")
        await old.nothing_more()


async def test_text_pushes_and_batches_come_as_text_single_messages_binary(
    realtime: Realtime, topic: str
) -> None:
    said = {"type": "broadcast", "event": "said", "payload": {"n": 1}}
    async with realtime.client(vsn="2.0.0") as client, realtime.client() as old:
        await join(client, topic)
        await old.join(topic)
        await old.send(f"realtime:{topic}", "broadcast", said)
        text = [None, None, f"realtime:{topic}", "broadcast", said]
        assert await receive(client) == text
        message = {"topic": topic, "event": "said", "payload": {"n": 1}}
        await realtime.post("/api/broadcast", {"messages": [message]})
        assert await receive(client) == text
        await realtime.post(f"/api/broadcast/{topic}/events/said", {"n": 1})
        assert user_broadcast(await receive(client))[1:] == ("said", "", True, b'{"n":1}')
        kind = {"content-type": "application/octet-stream", "authorization": f"Bearer {ANON_KEY}"}
        url = f"{realtime.url}/api/broadcast/{topic}/events/raw"
        async with aiohttp.ClientSession() as session:
            await session.post(url, data=b"\x00", headers=kind)
        assert user_broadcast(await receive(client))[1:] == ("raw", "", False, b"\x00")
        for event in ("said", "said"):
            assert (await old.receive())["payload"]["event"] == event
        await old.nothing_more()


def push(topic: str, event: str, payload: bytes = b"") -> bytes:
    """A binary frame that is any event, with bytes for a payload."""
    strings = [b"1", b"8", topic.encode(), event.encode()]
    return b"\x00" + bytes(map(len, strings)) + b"".join(strings) + payload


async def test_any_event_may_come_as_a_binary_push(realtime: Realtime, topic: str) -> None:
    name = f"realtime:{topic}"
    ok = {"status": "ok", "response": {}}
    async with realtime.client(vsn="2.0.0") as client, realtime.client(vsn="2.0.0") as other:
        await client.socket.send(push("phoenix", "heartbeat"))
        assert await receive(client) == ["1", "8", "phoenix", "phx_reply", ok]
        await client.socket.send(push(name, "phx_join", b"\xff"))
        assert (await receive(client))[4]["status"] == "ok"
        await join(other, topic)
        async with realtime.client() as old:
            await old.join(topic)
            await client.socket.send(push(name, "broadcast", b"\x00\xff"))
            head = bytes([2, len(name), len("broadcast")])
            assert await receive(other) == head + name.encode() + b"broadcast" + b"\x00\xff"
            await old.nothing_more()
        await client.socket.send(push(name, "phx_leave"))
        assert await receive(client) == ["1", "8", name, "phx_reply", ok]


async def test_what_is_no_object_reaches_version_1_and_crashes_its_sender_at_version_2(
    realtime: Realtime, topic: str
) -> None:
    async with realtime.client() as sender, realtime.client() as old:
        await sender.join(topic)
        await old.join(topic)
        for payload in ("text", [1], 5):
            await sender.send(f"realtime:{topic}", "broadcast", payload)
            assert (await old.receive())["payload"] == payload
        async with realtime.client(vsn="2.0.0") as new:
            await join(new, topic)
            await sender.send(f"realtime:{topic}", "broadcast", "text")
            crashed = await sender.receive()
            assert crashed["event"] == "phx_error"
            assert crashed["payload"] == {"reason": "channel_crash"}


async def test_a_replay_of_bytes_reaches_version_2_alone(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    await realtime.execute("select realtime.send_binary('\\x00ff', 'b', %s)", topic)
    config: dict[str, Any] = {"private": True, "broadcast": {"replay": {"since": 0}}}
    async with realtime.client(key=token("ana")) as old:
        assert (await old.join(topic, **config))["status"] == "ok"
        await old.nothing_more()
    async with realtime.client(key=token("ana"), vsn="2.0.0") as new:
        await join(new, topic, **config)
        name, event, meta, is_json, payload = user_broadcast(await receive(new))
    assert (name, event, is_json, payload) == (f"realtime:{topic}", "b", False, b"\x00\xff")
    assert json.loads(meta)["replayed"] is True


async def test_a_replay_of_json_comes_as_text_that_tells_the_join(
    realtime: Realtime, topic: str
) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    await realtime.announce(topic, '{"id": 1}')
    async with realtime.client(key=token("ana"), vsn="2.0.0") as client:
        await join(client, topic, private=True, broadcast={"replay": {"since": 0}})
        join_ref, ref, name, event, payload = await receive(client)
    assert (join_ref, ref, name, event) == ("1", None, f"realtime:{topic}", "broadcast")
    assert (payload["event"], payload["payload"]) == ("event", {"id": 1})
    assert payload["meta"]["replayed"] is True
