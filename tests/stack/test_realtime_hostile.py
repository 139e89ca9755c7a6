"""Clients that are slow, rude or gone: the others do not notice."""

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import replace

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from customer_tickets.devstack.realtime.profile import FAST
from realtime_client import ANON_KEY, Realtime, serve, token

pytest_plugins = ("fix_realtime",)
pytestmark = pytest.mark.anyio


async def test_a_client_that_does_not_read_is_cut_and_holds_nobody_up(
    realtime_dsn: str, topic: str
) -> None:
    profile = replace(FAST, max_backlog=1_000_000)
    payload = {"type": "broadcast", "event": "e", "payload": {"x": "x" * 100_000}}
    async with (
        serve(realtime_dsn, profile) as server,
        server.client() as talker,
        server.client() as listener,
    ):
        await talker.join(topic)
        await listener.join(topic)
        url = f"{server.url.replace('http', 'ws', 1)}/socket/websocket?apikey={ANON_KEY}"
        async with connect(url, max_queue=1, max_size=None) as deaf:
            join = {"topic": f"realtime:{topic}", "event": "phx_join", "payload": {}, "ref": "1"}
            await deaf.send(json.dumps(join))
            await deaf.recv()
            for _ in range(150):
                await talker.send(f"realtime:{topic}", "broadcast", payload)
                await listener.receive()
            with suppress(ConnectionClosed):
                async with asyncio.timeout(10):
                    while True:
                        await deaf.recv()
            assert deaf.close_code == 1006


async def test_clients_that_vanish_while_joining_leave_the_database_usable(
    realtime: Realtime, topic: str
) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"], writes=["broadcast"])
    ana = token("ana")

    async def vanish(after: float) -> None:
        async with realtime.client() as client:
            payload = {"config": {"private": True}, "access_token": ana}
            for _ in range(3):
                await client.send(f"realtime:{topic}", "phx_join", payload)
                await client.send(f"realtime:{topic}", "broadcast", {"event": "e"})
            await asyncio.sleep(after)
            assert client.socket.transport is not None
            client.socket.transport.abort()

    dice = random.Random(5)
    async with asyncio.timeout(30):
        await asyncio.gather(*(vanish(dice.random() / 20) for _ in range(40)))
        async with realtime.client() as client:
            await client.join_ready(topic, private=True, access_token=ana)
            await realtime.announce(topic, '{"n": 1}')
            while (await client.until("broadcast"))["payload"]["payload"].get("n") != 1:
                pass
    assert len(realtime.project.joined_sockets) == 0


async def test_random_frames_do_not_end_a_connection(realtime: Realtime, topic: str) -> None:
    dice = random.Random(7)
    values: list[object] = [None, True, -1, 1.5, "", "x", [], [1], {}, {"event": "track"}]
    values += [{"config": {"broadcast": {"replay": {"since": -1}}}}, {"access_token": 5}]
    events = [
        "phx_join",
        "phx_leave",
        "broadcast",
        "presence",
        "access_token",
        "heartbeat",
        "",
        "x",
    ]
    topics = [f"realtime:{topic}", f"realtime:{topic}\x00", "realtime:", "phoenix", "", "x"]
    async with realtime.client() as client:
        for _ in range(500):
            frame = {
                "topic": dice.choice(topics),
                "event": dice.choice(events),
                "payload": dice.choice(values),
                "ref": dice.choice(values),
                "join_ref": dice.choice(values),
            }
            await client.socket.send(json.dumps(frame))
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout(0.3):
                    await client.socket.recv()
        await client.join(f"{topic}:after")
        await client.nothing_more()
    assert not [f for f in client.seen if f["event"] == "phx_error"]


async def test_leaving_and_joining_at_once_ends_joined(realtime: Realtime, topic: str) -> None:
    name = f"realtime:{topic}"
    async with realtime.client() as client:
        await client.join(topic, broadcast={"self": True})
        config = {"config": {"broadcast": {"self": True}}}
        await client.send(name, "phx_leave", {}, ref="leave", join_ref="1")
        await client.send(name, "phx_join", config, ref="join", join_ref="join")
        frames = [await client.receive() for _ in range(3)]
        assert {(f["event"], f["ref"]) for f in frames} == {
            ("phx_reply", "leave"),
            ("phx_close", "1"),
            ("phx_reply", "join"),
        }
        await client.send(name, "broadcast", {"event": "e"})
        assert (await client.receive())["event"] == "broadcast"
