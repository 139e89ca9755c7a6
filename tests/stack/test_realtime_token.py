"""A token pushed to a live channel: never answered, but it may end the channel."""

import asyncio
from typing import Any

import jwt
import pytest

from realtime_client import SECRET, Frames, Realtime, token

pytest_plugins = ("fix_realtime",)
pytestmark = pytest.mark.anyio


async def push(client: Frames, topic: str, value: object) -> None:
    await client.send(f"realtime:{topic}", "access_token", {"access_token": value})


async def ended(client: Frames, topic: str) -> str:
    """The message of the system error with which a channel ended."""
    payload: dict[str, Any] = (await client.receive())["payload"]
    assert (payload["extension"], payload["status"]) == ("system", "error")
    assert payload["channel"] == topic
    closed = await client.receive()
    assert (closed["event"], closed["ref"]) == ("phx_close", "1")
    return str(payload["message"])


REFUSED = {
    "The token provided is not a valid JWT": "nonsense",
    "Fields `role` and `exp` are required in JWT": jwt.encode({"exp": 1e10}, SECRET),
    ":signature_error": jwt.encode({"role": "anon", "exp": 1e10}, "x" * 40),
}


@pytest.mark.parametrize("message", REFUSED)
async def test_a_bad_token_ends_the_channel(realtime: Realtime, topic: str, message: str) -> None:
    async with realtime.client() as client:
        await client.join(topic)
        await push(client, topic, REFUSED[message])
        assert await ended(client, topic) == message
        await client.nothing_more()


async def test_an_old_token_ends_the_channel_and_says_how_old(
    realtime: Realtime, topic: str
) -> None:
    async with realtime.client() as client:
        await client.join(topic)
        await push(client, topic, token("ana", lifetime=-3.5))
        assert await ended(client, topic) == "Token has expired 3 seconds ago"


async def test_an_empty_token_is_a_bad_one(realtime: Realtime, topic: str) -> None:
    async with realtime.client() as client:
        await client.join(topic)
        await push(client, topic, "")
        assert await ended(client, topic) == "The token provided is not a valid JWT"


async def test_no_token_a_key_and_the_same_token_are_ignored(
    realtime: Realtime, topic: str
) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    ana = token("ana")
    async with realtime.client() as client:
        await client.join_ready(topic, private=True, access_token=ana)
        await realtime.allow(topic, "ana")
        for value in (None, "sb_publishable_key", ana):
            await push(client, topic, value)
        await asyncio.sleep(0.1)
        await client.nothing_more()
        await realtime.announce(topic)
        assert (await client.receive())["event"] == "broadcast"


async def test_a_good_token_is_not_answered(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    async with realtime.client() as client:
        await client.join(topic, private=True, access_token=token("ana"))
        await push(client, topic, token("ana", lifetime=1000))
        await asyncio.sleep(0.1)
        await client.nothing_more()


async def test_a_new_token_asks_the_policies_to_read_again(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    async with realtime.client() as client:
        await client.join(topic, private=True, access_token=token("ana"))
        await push(client, topic, token("ben"))
        message = await ended(client, topic)
    assert message == f"You do not have permissions to read from this Channel topic: {topic}"


async def test_losing_one_of_two_rights_ends_the_channel(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast", "presence"])
    await realtime.allow(topic, "ben", reads=["broadcast"])
    async with realtime.client() as client:
        presence = {"enabled": True}
        await client.join(topic, private=True, access_token=token("ana"), presence=presence)
        await client.until("presence_state")
        await push(client, topic, token("ben"))
        message = await ended(client, topic)
    assert message == f"You no longer have permission to read from this Channel topic: {topic}"


async def test_a_new_token_asks_the_policies_to_write_again(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    async with realtime.client() as client:
        own = {"self": True}
        await client.join(topic, private=True, access_token=token("ana"), broadcast=own)
        said = {"type": "broadcast", "event": "said", "payload": {}}
        await client.send(f"realtime:{topic}", "broadcast", said)
        await realtime.allow(topic, "ana", reads=["broadcast"], writes=["broadcast"])
        await push(client, topic, token("ana", lifetime=1000))
        await client.send(f"realtime:{topic}", "broadcast", said | {"event": "again"})
        assert (await client.receive())["payload"]["event"] == "again"


async def test_a_new_token_moves_the_moment_of_expiry(realtime: Realtime, topic: str) -> None:
    async with realtime.client() as client:
        await client.join(topic, access_token=token("ana", lifetime=0.6))
        await push(client, topic, token("ana", lifetime=100))
        await asyncio.sleep(0.8)
        await client.nothing_more()
        await push(client, topic, token("ana", lifetime=0.4))
        assert await ended(client, topic) == "Token has expired 0 seconds ago"
