"""Bytes that no client library sends, past any library: the socket ends, the server does not."""

import asyncio
import base64
import json
import logging
import random
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from realtime_client import ANON_KEY, Realtime, serve, token

pytest_plugins = ("fix_realtime",)
pytestmark = pytest.mark.anyio

HEARTBEAT = b'{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"1"}'
HEAD = (
    f"GET /socket/websocket?apikey={ANON_KEY} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n"
).encode()
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(server: Realtime) -> AsyncGenerator[Streams]:
    """A bare connection to the server."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


def frame(
    opcode: int,
    data: bytes = b"",
    *,
    final: bool = True,
    reserved: int = 0,
    says: int | None = None,
) -> bytes:
    """One frame, masked with zeros; `says` is the length that it pretends to have."""
    length = len(data) if says is None else says
    head = bytes([final << 7 | reserved << 4 | opcode])
    if length < 126:
        head += bytes([0x80 | length])
    elif length < 1 << 16:
        head += b"\xfe" + struct.pack("!H", length)
    else:
        head += b"\xff" + struct.pack("!Q", length)
    return head + bytes(4) + data


TEXT, PING, CLOSE, MORE = 1, 9, 8, 0
ENDS = {
    "a reserved bit": (frame(TEXT, HEARTBEAT, reserved=2), 1002),
    "compressed, though nobody agreed to it": (frame(TEXT, HEARTBEAT, reserved=4), 1002),
    "no such opcode": (frame(3, HEARTBEAT), 1002),
    "a long ping": (frame(PING, b"x" * 126), 1002),
    "half a ping": (frame(PING, b"x", final=False), 1002),
    "the end of nothing": (frame(MORE, b"x"), 1002),
    "a message in a message": (frame(TEXT, b"{", final=False) + frame(TEXT, HEARTBEAT), 1002),
    "half a close code": (frame(CLOSE, b"x"), 1002),
    "no close code": (frame(CLOSE, struct.pack("!H", 5)), 1002),
    "more than there are bytes": (frame(TEXT, says=2**63 - 1), 1009),
    "more than a number holds": (frame(TEXT, says=2**64 - 1), 1009),
    "too much in pieces": (
        frame(TEXT, b"x" * 4_000_000, final=False) + frame(MORE, b"x" * 1_000_001),
        1009,
    ),
}


@pytest.mark.parametrize("name", ENDS)
async def test_a_frame_that_is_none_ends_its_socket(
    realtime: Realtime, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent, code = ENDS[name]
    async with realtime.client() as other, connected(realtime) as (reader, writer):
        writer.write(HEAD + b"\r\n" + sent)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        async with asyncio.timeout(10):
            said = await reader.readexactly(4)
        assert said == b"\x88\x02" + struct.pack("!H", code)
        await other.nothing_more()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_pieces_pings_and_bytes_that_are_no_text_are_borne(realtime: Realtime) -> None:
    pieces = frame(TEXT, HEARTBEAT[:9], final=False) + frame(PING, b"p")
    pieces += frame(MORE, b"", final=False) * 1000 + frame(MORE, HEARTBEAT[9:])
    async with connected(realtime) as (reader, writer):
        writer.write(HEAD + b"\r\n" + frame(TEXT, b"\xff\xfe") + pieces)
        await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(10):
            assert await reader.readexactly(3) == b"\x8a\x01p"
            answer = await reader.readuntil(b"}}}")
    assert json.loads(answer[2:])["payload"] == {"status": "ok", "response": {}}


async def test_nothing_is_compressed(realtime: Realtime) -> None:
    async with connected(realtime) as (reader, writer):
        writer.write(HEAD + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
    assert b"sec-websocket-extensions" not in head.lower()


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD.replace(b"Upgrade: websocket\r\n", b"") + b"\r\n",
        HEAD.replace(b"Sec-WebSocket-Key", b"Nothing") + b"\r\n",
        HEAD.replace(b"Version: 13", b"Version: 99") + b"\r\n",
        HEAD.replace(b"GET", b"POST") + b"\r\n",
        HEAD + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
        HEAD + b"X: a\x00b\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        random.Random(7).randbytes(5000) + b"\r\n\r\n",
    ],
    ids=range(9),
)
async def test_a_handshake_that_is_none_is_refused(
    realtime: Realtime, request_bytes: bytes
) -> None:
    async with connected(realtime) as (reader, writer):
        writer.write(request_bytes)
        async with asyncio.timeout(10):
            line = await reader.readline()
    assert line.split()[1][:1] == b"4"


async def test_handshakes_that_never_end_hold_nobody_up(realtime: Realtime, topic: str) -> None:
    slow = [connected(realtime) for _ in range(60)]
    for number, connection in enumerate(slow):
        _, writer = await connection.__aenter__()
        writer.write(HEAD[: 20 + number])
    async with realtime.client() as client:
        assert (await client.join(topic))["status"] == "ok"
    for connection in slow:
        await connection.__aexit__(None, None, None)


async def test_a_socket_hears_on_when_a_channel_ends_that_it_has_flooded(
    realtime_dsn: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("customer_tickets.devstack.realtime.channel.MAILBOX", 2)
    async with serve(realtime_dsn) as server, server.client() as client:
        await server.allow(topic, "ana", reads=["broadcast"])
        await client.join(topic, private=True, access_token=token("ana", lifetime=1))
        await server.execute(
            'create policy "asleep" on realtime.messages for insert to authenticated'
            f" with check (case when topic = '{topic}' then pg_sleep(20) is null end)"
        )
        try:
            # The first waits for its policy, the next two in the mailbox, the rest on the socket.
            for _ in range(10):
                await client.send(f"realtime:{topic}", "broadcast", {"event": "e"})
            assert (await client.until("phx_close"))["ref"] == "1"
            ref = await client.send("phoenix", "heartbeat")
            while (await client.receive())["ref"] != ref:
                pass
        finally:
            await server.execute('drop policy "asleep" on realtime.messages')


async def test_json_as_deep_as_may_be_is_answered_and_deeper_is_dropped(
    realtime: Realtime, topic: str
) -> None:
    name = f"realtime:{topic}"
    async with realtime.client() as client:
        await client.join(topic, broadcast={"self": True})
        for depth in (*range(480, 500), *range(500, 1100, 7)):
            deep = "[" * depth + "]" * depth
            for event, ref in (("broadcast", "1"), ("phx_leave", deep), ("phx_join", deep)):
                ref = json.dumps(ref) if ref == "1" else ref
                await client.socket.send(
                    f'{{"topic":"{name}:{event}","event":"{event}","payload":{{"a":{deep}}},'
                    f'"ref":{ref}}}'
                )
        ref = await client.send(name, "broadcast", {"event": "last"})
        while (heard := await client.receive())["event"] != "broadcast":
            assert heard["topic"] != name
    assert heard["payload"] == {"event": "last"}
