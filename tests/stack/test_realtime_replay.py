"""Stored messages that are sent again, and the order of all that follows a join."""

import json
import time

import pytest

from realtime_client import Realtime, token

pytest_plugins = ("fix_realtime",)
pytestmark = pytest.mark.anyio


async def test_replay_sends_the_newest_again_the_oldest_of_them_first(
    realtime: Realtime, topic: str
) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    for n in range(30):
        await realtime.announce(topic, json.dumps({"n": n}))
    await realtime.announce(topic, '{"n": "public"}', private=False)
    since = int(time.time() * 1000) - 60_000
    async with realtime.client() as client:
        for limits, expected in (
            ({}, 25),
            ({"limit": None}, 25),
            ({"limit": 3}, 3),
            ({"limit": 0}, 1),
            ({"limit": 1000}, 25),
        ):
            replay = {"since": since, **limits}
            broadcast = {"replay": replay}
            reply = await client.join(
                topic, private=True, access_token=token("ana"), broadcast=broadcast
            )
            assert reply["status"] == "ok"
            frames = [await client.until("broadcast") for _ in range(expected)]
            numbers = [frame["payload"]["payload"]["n"] for frame in frames]
            assert numbers == list(range(30))[-expected:]
            assert all(frame["payload"]["meta"]["replayed"] is True for frame in frames)
            assert all(set(frame["payload"]["meta"]) == {"id", "replayed"} for frame in frames)
        late = {"replay": {"since": since + 120_000}}
        await client.join(topic, private=True, access_token=token("ana"), broadcast=late)
        await client.until("phx_close")
        await client.nothing_more()


async def test_nothing_is_replayed_when_none_is_asked_for(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    await realtime.announce(topic)
    async with realtime.client() as client:
        reply = await client.join(
            topic, private=True, access_token=token("ana"), broadcast={"replay": None}
        )
        assert reply["status"] == "ok"
        await client.nothing_more()


async def test_what_was_replayed_is_not_heard_again(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    await realtime.announce(topic, '{"n": 1}')
    async with realtime.client() as client:
        await client.join_ready(
            topic,
            private=True,
            access_token=token("ana"),
            broadcast={"replay": {"since": 0}},
        )
        [replayed] = [frame for frame in client.seen if frame["event"] == "broadcast"]
        [(row_id,)] = await realtime.execute(
            "delete from realtime.messages where topic = %s returning id::text", topic
        )
        assert replayed["payload"]["meta"] == {"id": row_id, "replayed": True}
        await realtime.execute(
            "insert into realtime.messages (id, payload, event, topic, private, extension)"
            " values (%s, '{}', 'event', %s, true, 'broadcast')",
            row_id,
            topic,
        )
        await realtime.announce(topic, '{"n": 2}')
        assert (await client.until("broadcast"))["payload"]["payload"]["n"] == 2


async def test_what_is_replayed_is_of_this_topic_private_and_not_from_the_future(
    realtime: Realtime, topic: str
) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    insert = (
        "insert into realtime.messages (topic, event, payload, extension, private, inserted_at)"
        " values (%s, %s, '{}', %s, %s, now() + %s * interval '1 second')"
    )
    for name, event, extension, private, seconds in (
        (topic, "soon", "broadcast", True, 30),
        (topic, "old", "broadcast", True, -60),
        (topic, "later", "broadcast", True, 90),
        (topic, "before", "broadcast", True, -200),
        (topic, "public", "broadcast", False, 0),
        (topic, "presence", "presence", True, 0),
        (f"{topic}:2", "elsewhere", "broadcast", True, 0),
    ):
        await realtime.execute(insert, name, event, extension, private, seconds)
    await realtime.execute("select realtime.send(null, 'empty', %s)", topic)
    since = int(time.time() * 1000) - 120_000
    async with realtime.client() as client:
        broadcast = {"replay": {"since": since}}
        await client.join(topic, private=True, access_token=token("ana"), broadcast=broadcast)
        events = [(await client.receive())["payload"]["event"] for _ in range(2)]
        assert events == ["old", "soon"]
        await client.nothing_more()


async def test_what_clients_send_is_not_stored(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"], writes=["broadcast"])
    ana = token("ana")
    message = {"topic": topic, "event": "said", "payload": {}, "private": True}
    path = f"/api/broadcast/{topic}/events/said?private=true"
    async with realtime.client() as client:
        await client.join(topic, private=True, access_token=ana, broadcast={"self": True})
        await client.send(f"realtime:{topic}", "broadcast", message)
        await realtime.post("/api/broadcast", {"messages": [message]}, ana)
        await realtime.post(path, {}, ana)
        for _ in range(3):
            assert (await client.receive())["event"] == "broadcast"
    assert await realtime.execute("select 1 from realtime.messages where topic = %s", topic) == []


async def test_the_order_of_what_follows_a_join(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast", "presence"])
    await realtime.announce(topic)
    async with realtime.client() as client:
        await client.join_ready(f"{topic}:2", private=False)
        await client.send(
            f"realtime:{topic}",
            "phx_join",
            {
                "access_token": token("ana"),
                "config": {
                    "private": True,
                    "broadcast": {"replay": {"since": 0}, "replication_ready": True},
                    "presence": {"enabled": True},
                    "postgres_changes": [{"event": "*", "schema": "public"}],
                },
            },
        )
        frames = [await client.receive() for _ in range(5)]
    assert [frame["event"] for frame in frames] == [
        "phx_reply", "broadcast", "system", "system", "presence_state"
    ]  # fmt: skip
    assert [frame["payload"]["extension"] for frame in frames[2:4]] == [
        "postgres_changes",
        "system",
    ]
    assert all(frame["ref"] is None for frame in frames[1:])
