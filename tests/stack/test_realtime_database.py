"""Broadcasts from the database: order, what is lost, what arrives."""

import json

import pytest

from realtime_client import Realtime, token

pytest_plugins = ("fix_realtime",)
pytestmark = pytest.mark.anyio


async def test_a_committed_message_arrives_with_its_row_id(realtime: Realtime, topic: str) -> None:
    async with realtime.client() as client:
        await client.join_ready(topic)
        await realtime.announce(topic, '{"n": 1}', private=False)
        frame = await client.receive()
    [(row_id,)] = await realtime.execute(
        "select id::text from realtime.messages where topic = %s", topic
    )
    assert frame == {
        "topic": f"realtime:{topic}",
        "event": "broadcast",
        "ref": None,
        "payload": {
            "type": "broadcast",
            "event": "event",
            "payload": {"n": 1, "id": row_id},
            "meta": {"id": row_id},
        },
    }
