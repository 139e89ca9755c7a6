"""Private channels: the policies of realtime.messages decide, asked as the caller."""

import asyncio
from typing import Any

import pytest

from realtime_client import Realtime, serve, token

pytest_plugins = ("fix_realtime",)
pytestmark = pytest.mark.anyio

BROADCAST = {"type": "broadcast", "event": "said", "payload": {"n": 1}}


def unauthorized(topic: str) -> dict[str, object]:
    reason = f"Unauthorized: You do not have permissions to read from this Channel topic: {topic}"
    return {"status": "error", "response": {"reason": reason}}


async def test_a_select_policy_that_lets_read_lets_join(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    async with realtime.client() as client:
        joined = await client.join(topic, private=True, access_token=token("ana"))
        stranger = await client.join(topic, private=True, access_token=token("ben"))
    assert joined["status"] == "ok"
    assert stranger == unauthorized(topic)


async def test_without_a_token_the_socket_s_key_counts(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    async with realtime.client(key=token("ana")) as client, realtime.client() as anonymous:
        assert (await client.join(topic, private="TRUE"))["status"] == "ok"
        assert await anonymous.join(topic, private="true") == unauthorized(topic)


async def test_writing_alone_is_not_enough_to_join(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", writes=["broadcast", "presence"])
    async with realtime.client() as client:
        reply = await client.join(topic, private=True, access_token=token("ana"))
    assert reply == unauthorized(topic)


async def test_presence_alone_lets_join_but_withholds_broadcasts(
    realtime: Realtime, topic: str
) -> None:
    await realtime.allow(topic, "ana", reads=["presence"])
    async with realtime.client() as client:
        ana = token("ana")
        refused = await client.join(topic, private=True, access_token=ana)
        assert refused == unauthorized(topic)  # presence is asked about only when it is wanted
        await client.join_ready(topic, private=True, access_token=ana, presence={"enabled": True})
        await realtime.announce(topic)
        await asyncio.sleep(0.1)
        await client.send("phoenix", "heartbeat")
        await client.until("phx_reply")
    events = [frame["event"] for frame in client.seen]
    assert "presence_state" in events
    assert "broadcast" not in events


async def test_presence_alone_may_say_that_no_broadcast_is_wanted_again(
    realtime: Realtime, topic: str
) -> None:
    await realtime.allow(topic, "ana", reads=["presence"])
    async with realtime.client() as client:
        reply = await client.join(
            topic,
            private=True,
            access_token=token("ana"),
            presence={"enabled": True},
            broadcast={"replay": None},
        )
        assert reply["status"] == "ok"


async def test_presence_alone_has_no_broadcasts_sent_again(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", reads=["presence"])
    await realtime.announce(topic)
    async with realtime.client() as client:
        reply = await client.join(
            topic,
            private=True,
            access_token=token("ana"),
            presence={"enabled": True},
            broadcast={"replay": {"since": 0}},
        )
        assert reply == unauthorized(topic)
        await client.nothing_more()


@pytest.mark.parametrize("role", ["nobody", "postgres", "supabase_admin", "none", ""])
async def test_a_role_that_the_api_cannot_take_on_opens_nothing(
    realtime: Realtime, topic: str, role: str
) -> None:
    async with realtime.client() as client:
        reply = await client.join(topic, private=True, access_token=token("ana", role=role))
    assert reply == unauthorized(topic)


async def test_the_service_role_passes_every_policy(realtime: Realtime, topic: str) -> None:
    async with realtime.client() as client, realtime.client() as other:
        service = token(role="service_role")
        config: dict[str, Any] = {
            "private": True,
            "access_token": service,
            "broadcast": {"ack": True},
        }
        await client.join(topic, **config)
        await other.join(topic, **config)
        await client.send(f"realtime:{topic}", "broadcast", BROADCAST)
        assert (await client.receive())["payload"]["status"] == "ok"
        assert (await other.receive())["payload"] == BROADCAST


async def test_a_policy_that_raises_is_a_refusal(realtime: Realtime, topic: str) -> None:
    await realtime.execute(
        'create policy "raises" on realtime.messages for select to authenticated'
        f" using (case when realtime.topic() = '{topic}' then 1 / (length('') * 1) = 1 end)"
    )
    try:
        async with realtime.client() as client:
            reply = await client.join(topic, private=True, access_token=token("ana"))
    finally:
        await realtime.execute('drop policy "raises" on realtime.messages')
    assert reply == unauthorized(topic)


async def test_what_a_policy_sees(realtime: Realtime, topic: str) -> None:
    condition = f"""
        realtime.topic() = '{topic}' and topic = '{topic}' and extension = 'broadcast'
        and private is false and event is null and payload is null and binary_payload is null
        and current_setting('request.jwt.claims')::jsonb ->> 'plan' = 'gold'
        and current_setting('request.jwt.claim.sub') = 'ana'
        and current_setting('request.jwt.claim.role') = 'authenticated'
        and current_setting('request.headers')::jsonb ->> 'x-region' = 'north'
        and not current_setting('request.headers')::jsonb ? 'authorization'
        and current_user = 'authenticated'"""
    await realtime.execute(
        f'create policy "sees" on realtime.messages for select to authenticated using ({condition})'
    )
    headers = {"X-Region": "north", "Authorization": "Bearer x"}
    try:
        async with realtime.client(headers=headers) as client:
            gold = await client.join(topic, private=True, access_token=token("ana", plan="gold"))
            other = await client.join(topic, private=True, access_token=token("ana", plan="tin"))
    finally:
        await realtime.execute('drop policy "sees" on realtime.messages')
    assert gold["status"] == "ok"
    assert other == unauthorized(topic)


async def test_a_token_without_a_subject_has_an_empty_one(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "", reads=["broadcast"])
    async with realtime.client() as client:
        reply = await client.join(topic, private=True, access_token=token(None))
    assert reply["status"] == "ok"


async def test_the_probes_leave_no_row_and_are_never_heard(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"], writes=["broadcast"])
    async with realtime.client() as listener, realtime.client() as client:
        await listener.join_ready(topic, private=True, access_token=token("ana"))
        await client.join(topic, private=True, access_token=token("ana"))
        await client.send(f"realtime:{topic}", "broadcast", BROADCAST)
        assert (await listener.receive())["payload"] == BROADCAST
        await listener.nothing_more()
    assert await realtime.execute("select 1 from realtime.messages where topic = %s", topic) == []


async def test_a_denied_broadcast_is_dropped_without_a_word_and_remembered(
    realtime: Realtime, topic: str
) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    async with realtime.client() as client:
        own = {"ack": True, "self": True}
        await client.join(topic, private=True, access_token=token("ana"), broadcast=own)
        await client.send(f"realtime:{topic}", "broadcast", BROADCAST)
        await asyncio.sleep(0.1)
        await client.nothing_more()
        await realtime.allow(topic, "ana", reads=["broadcast"], writes=["broadcast"])
        await client.send(f"realtime:{topic}", "broadcast", BROADCAST)
        await asyncio.sleep(0.1)
        await client.nothing_more()


async def test_a_right_to_write_is_remembered_too(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"], writes=["broadcast"])
    async with realtime.client() as client:
        await client.join(topic, private=True, access_token=token("ana"), broadcast={"ack": True})
        for _ in range(2):
            await client.send(f"realtime:{topic}", "broadcast", BROADCAST)
            assert (await client.receive())["payload"]["status"] == "ok"
            await realtime.allow(topic, "ana", reads=["broadcast"])


async def test_taking_the_right_to_read_away_changes_nothing_for_a_live_channel(
    realtime: Realtime, topic: str
) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    async with realtime.client() as client:
        await client.join_ready(topic, private=True, access_token=token("ana"))
        await realtime.allow(topic, "ana")
        await realtime.announce(topic)
        assert (await client.receive())["event"] == "broadcast"


async def test_a_token_that_runs_out_ends_its_channel_and_no_other(
    realtime: Realtime, topic: str
) -> None:
    async with realtime.client() as client:
        await client.join(f"{topic}:long")
        await client.join(topic, access_token=token("ana", lifetime=1))
        frame = await client.receive()
        assert frame["payload"] == {
            "extension": "system",
            "status": "error",
            "message": "Token has expired 0 seconds ago",
            "channel": topic,
        }
        assert (await client.receive())["event"] == "phx_close"
        await client.send(f"realtime:{topic}:long", "phx_leave")
        assert (await client.receive())["payload"]["status"] == "ok"


async def test_a_missing_partition_is_told(realtime_dsn: str, topic: str) -> None:
    async with serve(realtime_dsn) as server, server.client() as client:
        [(name,)] = await server.execute("select to_char(now(), '\"messages_\"YYYY_MM_DD')")
        await server.execute(f"alter table realtime.messages detach partition realtime.{name}")
        try:
            reply = await client.join(topic, private=True, access_token=token("ana"))
        finally:
            await server.execute(
                f"alter table realtime.messages attach partition realtime.{name} for values"
                " from (current_date) to (current_date + 1)"
            )
    assert reply["response"]["reason"].startswith("MissingPartition: ")
