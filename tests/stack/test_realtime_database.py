"""Broadcasts from the database: order, what arrives, what is lost, what can be had again."""

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from customer_tickets.devstack.realtime.partitions import keep_partitions
from customer_tickets.devstack.realtime.profile import FAST
from realtime_client import Frames, Realtime, serve, token

pytest_plugins = ("fix_realtime",)
pytestmark = pytest.mark.anyio


async def heard(client: Frames) -> Any:
    """The payload that the next broadcast carries."""
    return (await client.until("broadcast"))["payload"]["payload"]


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


async def test_every_json_arrives_as_it_is_stored(realtime: Realtime, topic: str) -> None:
    payload = {"id": 5, "text": 'ü "quoted" \\ \U0001f600 \n', "deep": [[{"a": None}], 1.5, 10**30]}
    async with realtime.client() as client:
        await client.join_ready(topic)
        await realtime.announce(topic, json.dumps(payload), private=False)
        await realtime.announce(topic, '["id"]', private=False)
        await realtime.announce(topic, '"id"', private=False)
        assert [await heard(client) for _ in range(3)] == [payload, ["id"], "id"]


async def test_order_of_commits_and_nothing_that_was_rolled_back(
    realtime: Realtime, topic: str
) -> None:
    # Whoever holds the counter's row is the next to commit, so the numbers say the order.
    await realtime.execute(f'create table public."{topic}" as select 0 as n')

    async def write(writer: int) -> None:
        connection = await psycopg.AsyncConnection.connect(realtime.dsn)
        try:
            for turn in range(20):
                await connection.execute(
                    f'with next as (update public."{topic}" set n = n + 1 returning n)'
                    " select realtime.send(jsonb_build_object('n', n, 'part', part), 'event',"
                    " %s, false) from next, generate_series(1, 2) part",
                    (topic,),
                )
                if (writer + turn) % 5 == 0:
                    await connection.rollback()
                else:
                    await connection.commit()
        finally:
            await connection.close()

    async with realtime.client() as client:
        await client.join_ready(topic)
        await asyncio.gather(*(write(writer) for writer in range(8)))
        expected = [(n, part) for n in range(1, 8 * 16 + 1) for part in (1, 2)]
        messages = [await heard(client) for _ in expected]
        assert [(message["n"], message["part"]) for message in messages] == expected
        await client.nothing_more()
    await realtime.execute(f'drop table public."{topic}"')


async def test_a_commit_is_heard_within_milliseconds(realtime: Realtime, topic: str) -> None:
    async with realtime.client() as client:
        await client.join_ready(topic)
        waits: list[float] = []
        for _ in range(20):
            await realtime.announce(topic, private=False)
            committed = time.monotonic()
            await heard(client)
            waits.append(time.monotonic() - committed)
    assert sorted(waits)[10] < 0.1


async def test_what_was_committed_before_anybody_joined_is_never_pushed(
    realtime: Realtime, topic: str
) -> None:
    await realtime.announce(topic, '{"n": 0}', private=False)
    async with realtime.client() as client:
        assert not realtime.project.capture.ready.is_set()
        await client.join_ready(topic)
        await realtime.announce(topic, '{"n": 1}', private=False)
        assert (await heard(client))["n"] == 1


@pytest.mark.parametrize("call", ["null, 'event', %s, false", "'{}', null, %s, false"])
async def test_a_row_that_is_incomplete_is_dropped_on_the_way_out(
    realtime: Realtime, topic: str, call: str
) -> None:
    async with realtime.client() as client:
        await client.join_ready(topic)
        await realtime.execute(f"select realtime.send({call})", topic)
        await realtime.execute("select realtime.send('{}', 'event', %s, null)", topic)
        await realtime.announce(topic, '{"n": "last"}', private=False)
        assert (await heard(client))["n"] == "last"
    rows = await realtime.execute("select 1 from realtime.messages where topic = %s", topic)
    assert len(rows) == 3


async def test_more_than_a_mebibyte_arrives_and_more_than_the_limit_does_not(
    realtime: Realtime, topic: str
) -> None:
    send = "select realtime.send(jsonb_build_object('x', repeat('x', %s)), 'event', %s, false)"
    async with realtime.client() as client:
        await client.join_ready(topic)
        await realtime.execute(send, 3_100_000, topic)
        await realtime.execute(send, 2_900_000, topic)
        assert len((await heard(client))["x"]) == 2_900_000


async def test_binary_payloads_are_not_delivered_to_version_1(
    realtime: Realtime, topic: str
) -> None:
    async with realtime.client() as client:
        await client.join_ready(topic)
        await realtime.execute("select realtime.send_binary('\\x00ff', 'event', %s, false)", topic)
        await realtime.announce(topic, private=False)
        assert "id" in await heard(client)


async def test_broadcast_changes_tells_the_rows_and_is_private(
    realtime: Realtime, topic: str
) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    async with realtime.client() as client:
        await client.join_ready(topic, private=True, access_token=token("ana"))
        await realtime.execute(
            "select realtime.broadcast_changes(%s, 'changed', 'UPDATE', 'tickets', 'public',"
            " row(1, 'new'), row(1, 'old'))",
            topic,
        )
        message = (await client.receive())["payload"]
    assert message["event"] == "changed"
    assert message["payload"] == {
        "id": message["meta"]["id"],
        "schema": "public",
        "table": "tickets",
        "operation": "UPDATE",
        "record": {"f1": 1, "f2": "new"},
        "old_record": {"f1": 1, "f2": "old"},
    }


async def test_replication_comes_back_after_a_loss_and_nobody_is_told(
    realtime_dsn: str, topic: str
) -> None:
    profile = replace(FAST, capture_retry=(0.5, 0.5))
    async with serve(realtime_dsn, profile) as server, server.client() as client:
        await client.join_ready(topic)
        ready = server.project.capture.ready
        await server.execute(
            "select pg_terminate_backend(pid) from pg_stat_replication"
            " join pg_stat_activity using (pid) where datname = current_database()"
        )
        async with asyncio.timeout(10):
            while ready.is_set():  # noqa: ASYNC110 - there is no event for a loss
                await asyncio.sleep(0.01)
            await server.announce(topic, '{"n": "lost"}', private=False)
            await ready.wait()
        await server.announce(topic, '{"n": "heard"}', private=False)
        assert (await client.receive())["payload"]["payload"]["n"] == "heard"


async def test_a_dead_database_connection_is_replaced(realtime: Realtime, topic: str) -> None:
    async with realtime.client() as client:
        await client.join(topic)
        await realtime.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'realtime' and datname = current_database()"
        )
        assert (await client.join(topic))["status"] == "ok"


async def test_partitions_for_the_next_days_are_made_and_old_ones_dropped(
    realtime: Realtime,
) -> None:
    await realtime.execute(
        "create table realtime.messages_2020_02_03 partition of realtime.messages"
        " for values from ('2020-02-03') to ('2020-02-04')"
    )
    await realtime.execute("select realtime.send('{}', 'e', 't') from generate_series(1, 3)")
    await realtime.execute("""
        do $$ begin
          for ago in 3..4 loop
            execute format('create table realtime.%%I partition of realtime.messages'
              ' for values from (%%L) to (%%L)', to_char(now() - ago * interval '1 day',
              '"messages_"YYYY_MM_DD'), current_date - ago, current_date - ago + 1);
          end loop;
        end $$
    """)
    await keep_partitions(realtime.project.database)
    kept = await realtime.execute(
        "select ago, to_regclass('realtime.' || to_char(now() - ago * interval '1 day',"
        " '\"messages_\"YYYY_MM_DD')) is not null from generate_series(3, 4) ago"
    )
    assert kept == [(3, True), (4, False)]
    rows = await realtime.execute(
        "select inhrelid::regclass::text, relowner::regrole::text, to_char(now() + (i || ' days')"
        "::interval, '\"realtime.messages_\"YYYY_MM_DD') from generate_series(-1, 3) i"
        " left join (pg_inherits join pg_class c on c.oid = inhrelid)"
        " on relname = to_char(now() + (i || ' days')::interval, '\"messages_\"YYYY_MM_DD')"
    )
    assert [(name, owner) for name, owner, _ in rows] == [
        (wanted, "supabase_realtime_admin") for *_, wanted in rows
    ]
    assert await realtime.execute("select to_regclass('realtime.messages_2020_02_03')") == [(None,)]


async def test_the_log_is_followed_no_longer_some_time_after_the_last_client_left(
    realtime_dsn: str, topic: str
) -> None:
    profile = replace(FAST, capture_linger=0.2)
    async with serve(realtime_dsn, profile) as server:
        ready = server.project.capture.ready
        async with server.client() as client:
            await client.join_ready(topic)
            await asyncio.sleep(0.3)
            assert ready.is_set()
        async with asyncio.timeout(10):
            while ready.is_set():  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)
        async with server.client() as client:
            await client.join_ready(topic)


async def test_over_the_event_rate_the_database_s_messages_are_dropped_silently(
    realtime_dsn: str, topic: str
) -> None:
    profile = replace(FAST, events_per_second=1)
    async with serve(realtime_dsn, profile) as server, server.client() as client:
        await client.join_ready(topic)
        await server.execute(
            "select realtime.send('{}', 'event', %s, false) from generate_series(1, 20)",
            f"{topic}:of nobody",
        )
        await server.announce(topic, private=False)
        await asyncio.sleep(0.1)
        await client.nothing_more()
