"""The client that the library is built on, unchanged, against this server."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from realtime import AsyncRealtimeChannel, AsyncRealtimeClient, RealtimeSubscribeStates
from realtime.types import RealtimeChannelOptions

from realtime_client import ANON_KEY, Realtime, token

pytest_plugins = ("fix_realtime",)
pytestmark = pytest.mark.anyio

States = asyncio.Queue[tuple[RealtimeSubscribeStates, Exception | None]]


@asynccontextmanager
async def connected(
    server: Realtime, user: str | None = None
) -> AsyncGenerator[AsyncRealtimeClient]:
    client = AsyncRealtimeClient(f"{server.url}/realtime/v1", ANON_KEY)
    await client.connect()
    if user is not None:
        await client.set_auth(user)
    try:
        yield client
    finally:
        await client.close()
        await asyncio.sleep(0)  # what was cancelled ends


async def subscribe(channel: AsyncRealtimeChannel) -> States:
    """Subscribe; what the client says of its state comes through the queue."""
    states: States = asyncio.Queue()
    await channel.subscribe(lambda state, error: states.put_nowait((state, error)))
    return states


def private(**broadcast: bool) -> RealtimeChannelOptions:
    return {
        "config": {
            "private": True,
            "broadcast": {"ack": False, "self": False, **broadcast},  # type: ignore[typeddict-item]  # all are bool
            "presence": {"key": "", "enabled": False},
        }
    }


async def test_a_private_channel_hears_the_database(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    heard: asyncio.Queue[Any] = asyncio.Queue()
    ready = asyncio.Event()
    async with connected(realtime, token("ana")) as client, asyncio.timeout(10):
        channel = client.channel(topic, private(replication_ready=True))
        channel.on_broadcast("event", heard.put_nowait)
        channel.on_system(lambda payload: ready.set())
        states = await subscribe(channel)
        assert (await states.get())[0] == RealtimeSubscribeStates.SUBSCRIBED
        await ready.wait()
        await realtime.announce(topic, '{"n": 1}')
        message = await heard.get()
        assert message["payload"]["n"] == 1
        await client.set_auth(token("ana", lifetime=1000))
        await realtime.announce(topic, '{"n": 2}')
        assert (await heard.get())["payload"]["n"] == 2
        await channel.unsubscribe()


async def test_a_stranger_s_subscription_ends_in_an_error(
    realtime: Realtime, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(realtime, token("ben")) as client, asyncio.timeout(10):
        channel = client.channel(topic, private())
        states = await subscribe(channel)
        state, error = await states.get()
        await channel.unsubscribe()
    assert state == RealtimeSubscribeStates.CHANNEL_ERROR
    assert "Unauthorized: You do not have permissions" in str(error)
    caplog.clear()


async def test_broadcasts_and_presence_between_two(realtime: Realtime, topic: str) -> None:
    heard: asyncio.Queue[Any] = asyncio.Queue()
    came: asyncio.Queue[str] = asyncio.Queue()
    async with (
        connected(realtime) as ana,
        connected(realtime) as ben,
        asyncio.timeout(10),
    ):
        listener = ben.channel(topic)
        listener.on_broadcast("*", heard.put_nowait)
        listener.on_presence_join(lambda key, current, new: came.put_nowait(key))
        await subscribe(listener)
        speaker = ana.channel(
            topic,
            {
                "config": {
                    "private": False,
                    "broadcast": {"ack": True, "self": False},
                    "presence": {"key": "ana", "enabled": True},
                }
            },
        )
        await subscribe(speaker)
        await speaker.send_broadcast("said", {"n": 1})
        assert (await heard.get())["payload"] == {"n": 1}
        await speaker.track({"mood": "good"})
        assert await came.get() == "ana"
        await speaker.http_send("said", {"n": 2})
        assert (await heard.get())["payload"] == {"n": 2}


async def test_an_expired_token_ends_the_channel(
    realtime: Realtime, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    async with connected(realtime, token("ana", lifetime=1)) as client, asyncio.timeout(10):
        states = await subscribe(client.channel(topic, private()))
        seen = [(await states.get())[0] for _ in range(3)]
    assert seen == [
        RealtimeSubscribeStates.SUBSCRIBED,
        RealtimeSubscribeStates.CHANNEL_ERROR,
        RealtimeSubscribeStates.CLOSED,
    ]
    caplog.clear()
