"""The fault switches: what is asked for goes wrong, and nothing else."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed

from realtime_client import Frames, Realtime, serve

pytest_plugins = ("fix_realtime",)
pytestmark = [pytest.mark.anyio, pytest.mark.faults]

CONTROL_KEY = "opens the fault switches"


@asynccontextmanager
async def joined(dsn: str, topic: str) -> AsyncGenerator[tuple[Realtime, Frames]]:
    """A server with fault switches, and a client that hears the database."""
    async with serve(dsn, control_key=CONTROL_KEY) as server, server.client() as client:
        await client.join_ready(topic)
        yield server, client


async def fault(server: Realtime, kind: str, **fields: object) -> None:
    status, body = await server.post(f"/faults/{kind}", fields, CONTROL_KEY)
    assert status == 204, body


async def tell(server: Realtime, topic: str, count: int) -> None:
    for n in range(count):
        await server.announce(topic, f'{{"n": {n}}}', private=False)


async def numbers(client: Frames, count: int) -> list[Any]:
    frames = [await client.until("broadcast") for _ in range(count)]
    return [frame["payload"]["payload"]["n"] for frame in frames]


async def test_there_is_none_unless_asked_for(realtime: Realtime) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{realtime.url}/faults/rows", json={"action": "drop"}) as answer,
    ):
        assert answer.status == 404


@pytest.mark.parametrize(
    ("fields", "heard"),
    [
        ({"action": "drop"}, [1, 2, 3]),
        ({"action": "drop", "times": 2}, [2, 3]),
        ({"action": "repeat"}, [0, 0, 1, 2, 3]),
        ({"action": "swap"}, [1, 0, 2, 3]),
        ({"action": "delay", "seconds": 2.0}, [1, 2, 3, 0]),
        ({"action": "drop", "topic": "another"}, [0, 1, 2, 3]),
    ],
    ids=str,
)
async def test_rows(
    realtime_dsn: str, topic: str, fields: dict[str, object], heard: list[int]
) -> None:
    async with joined(realtime_dsn, topic) as (server, client):
        await fault(server, "rows", **fields)
        await tell(server, topic, 4)
        assert await numbers(client, len(heard)) == heard
        await client.nothing_more()


async def test_joins(realtime_dsn: str, topic: str) -> None:
    async with joined(realtime_dsn, topic) as (server, client):
        await fault(server, "joins", reason="RealtimeRestarting: soon", topic=f"{topic}:2")
        reply = await client.join(f"{topic}:2")
        assert reply == {"status": "error", "response": {"reason": "RealtimeRestarting: soon"}}
        assert (await client.join(f"{topic}:2"))["status"] == "ok"


async def test_replication(realtime_dsn: str, topic: str) -> None:
    async with joined(realtime_dsn, topic) as (server, client):
        await fault(server, "replication", running=False)
        await asyncio.sleep(0)
        await tell(server, topic, 1)
        assert (await client.join(f"{topic}:2"))["status"] == "ok"  # does not bring it back
        await client.nothing_more()
        await fault(server, "replication", running=True)
        await server.project.capture.ready.wait()
        await tell(server, topic, 1)
        assert await numbers(client, 1) == [0]
        await client.nothing_more()


@pytest.mark.parametrize(("code", "seen"), [(1001, 1001), (1012, 1012), (None, 1006)])
async def test_sockets(realtime_dsn: str, topic: str, code: int | None, seen: int) -> None:
    async with joined(realtime_dsn, topic) as (server, client):
        await fault(server, "sockets", code=code)
        with pytest.raises(ConnectionClosed):
            await client.until("never")
        assert client.socket.close_code == seen


async def test_a_stale_close_leaves_the_channel_joined(realtime_dsn: str, topic: str) -> None:
    async with joined(realtime_dsn, topic) as (server, client):
        await fault(server, "channels", event="stale_close", topic=topic)
        frame = await client.receive()
        assert (frame["event"], frame["ref"]) == ("phx_close", "stale")
        await tell(server, topic, 1)
        assert await numbers(client, 1) == [0]


async def test_a_crash_and_an_end(realtime_dsn: str, topic: str) -> None:
    async with joined(realtime_dsn, topic) as (server, client):
        await client.join(f"{topic}:2")
        await fault(server, "channels", event="error", topic=f"{topic}:2")
        assert (await client.receive())["event"] == "phx_error"
        await fault(server, "channels", event="end", message="Too many messages per second")
        assert (await client.receive())["payload"]["message"] == "Too many messages per second"
        assert (await client.receive())["event"] == "phx_close"


async def test_back_to_normal(realtime_dsn: str, topic: str) -> None:
    async with joined(realtime_dsn, topic) as (server, client):
        await fault(server, "rows", action="drop", times=99)
        await fault(server, "replication", running=False)
        async with (
            aiohttp.ClientSession() as session,
            session.delete(
                f"{server.url}/faults", headers={"Authorization": f"Bearer {CONTROL_KEY}"}
            ) as answer,
        ):
            assert answer.status == 204
        await server.project.capture.ready.wait()
        await tell(server, topic, 2)
        assert await numbers(client, 2) == [0, 1]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("rows", []),
        ("rows", {"action": "burn"}),
        ("rows", {"action": "drop", "times": "x"}),
        ("rows", {"action": "drop", "topic": 5}),
        ("rows", {"action": "delay", "seconds": "x"}),
        ("replication", {"running": 1}),
        ("sockets", {}),
        ("sockets", {"code": 5}),
        ("channels", {"event": "burn"}),
        ("channels", {"event": []}),
        ("sockets", {"code": 1006}),
        ("rows", {"action": "drop", "times": 0}),
        ("rows", {"action": "delay", "seconds": -1}),
        ("tokens", {"seconds": 1}),
        ("weather", {}),
    ],
)
async def test_what_is_not_understood_is_refused(
    realtime_dsn: str, kind: str, body: object
) -> None:
    async with serve(realtime_dsn, control_key=CONTROL_KEY) as server:
        status, _ = await server.post(f"/faults/{kind}", body, CONTROL_KEY)
        assert status == 400


@pytest.mark.parametrize("sent", [None, "Bearer ", "Bearer opens", CONTROL_KEY, "Bearer \xff"])
async def test_they_are_open_to_the_control_key_only(
    realtime_dsn: str, topic: str, sent: str | None
) -> None:
    async with joined(realtime_dsn, topic) as (server, client):
        headers = {} if sent is None else {"Authorization": sent}
        async with aiohttp.ClientSession(headers=headers) as session:
            drop = {"action": "drop"}
            async with session.post(f"{server.url}/faults/rows", json=drop) as answer:
                assert answer.status == 401
            async with session.delete(f"{server.url}/faults") as answer:
                assert answer.status == 401
        await tell(server, topic, 1)
        assert await numbers(client, 1) == [0]
