"""Version 2.0.0 of the protocol, which supabase-js speaks: arrays, and binary broadcasts."""

import asyncio
import json
from typing import Any

import pytest

from realtime_client import Frames, Realtime

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


@pytest.mark.parametrize(
    "frame",
    [
        "{}",
        "[]",
        "[1,2,3,4,5]",
        b"",
        b"\x03",
        b"\x03\xff\xff\xff\xff\xff\x01",
        b"\x00\x01\x01\x01\x01\x01",
        user_push("t", "e", b"no json", is_json=True),
    ],
    ids=range(8),
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
