"""Every fault that a live feed must survive: 1..n, in order, once, for every reader, and soon.

The bars are those of an idle machine (bench/live_recovery.py measures them exactly); here each may
be missed by a factor, for a machine that does much else.
"""

import asyncio
import os
import time
from collections.abc import Callable

import psycopg
import pytest

from customer_tickets import FeedState, FeedStopped
from customer_tickets.devstack import LocalStack
from faces import Client, Feed, got, next_event, opened, thread_of, until
from live_faults import FAULTS, Stage
from live_harness import (
    AsyncReader,
    Audience,
    BlockingReader,
    ImpatientReader,
    Scene,
    nothing_left,
    writing,
)
from tcp_proxy import TcpProxy

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.faults,
    # The realtime package's own, at each connection that breaks.
    pytest.mark.filterwarnings(r"ignore:ConnectionClosed.(code|reason) is:DeprecationWarning"),
]

SLACK = float(os.environ.get("CUSTOMER_TICKETS_TEST_SLACK", "3"))


@pytest.mark.parametrize("name", FAULTS)
async def test_every_reader_gets_everything_once_and_in_order(
    scene: Scene, proxy: TcpProxy, name: str
) -> None:
    fault = FAULTS[name]
    stage = Stage(scene, scene.ticket(), proxy)
    audience = Audience(scene, stage.ticket, proxy.url, **fault.options)
    async with nothing_left(), audience.reading():
        with writing(scene, stage.ticket):
            await asyncio.sleep(0.3)
            await asyncio.to_thread(fault.strike, stage)
            wanted = await asyncio.to_thread(scene.write, stage.ticket)
            back = await audience.has(wanted, SLACK * fault.bar)
            print(f"back after {back:.2f} s")
            await asyncio.to_thread(fault.heal, stage)
        await audience.caught_up(SLACK * fault.bar)
        assert await audience.judge() >= 40


def unreachable(stage: Stage) -> None:
    stage.proxy.refuse()
    stage.scene.write(stage.ticket)
    stage.proxy.heal()


def server_away(stage: Stage) -> None:
    realtime = stage.scene.stack.realtime
    realtime.kill()
    stage.scene.write(stage.ticket)
    realtime.start()


@pytest.mark.parametrize("fault", [unreachable, server_away])
async def test_what_nobody_rang_for_is_there_once_the_line_is_up(
    scene: Scene, proxy: TcpProxy, fault: Callable[[Stage], None]
) -> None:
    stage = Stage(scene, scene.ticket(), proxy)
    kinds = (AsyncReader, BlockingReader)
    # No timer helps, and nothing is written after.
    audience = Audience(scene, stage.ticket, proxy.url, kinds, check_every=600, poll_every=600)
    async with nothing_left(), audience.reading():
        await asyncio.to_thread(fault, stage)
        await audience.has(2, SLACK * 2)
        assert await audience.judge() == 2


@pytest.mark.slow
async def test_a_storm_is_met_with_less_than_ten_connections_in_ten_seconds(
    scene: Scene, proxy: TcpProxy
) -> None:
    ticket = scene.ticket()
    audience = Audience(scene, ticket, proxy.url, (AsyncReader, BlockingReader))
    async with nothing_left(), audience.reading():
        before = proxy.upgrades
        with writing(scene, ticket, each=10, pace=0.9):
            proxy.slam()
            await asyncio.sleep(10)
            made = proxy.upgrades - before
            proxy.heal()
        assert 2 <= made < 30 * len(audience.readers)
        await audience.caught_up(SLACK * 4)
        await audience.judge()


@pytest.mark.slow
async def test_tokens_that_expire_every_few_seconds_are_no_pause(
    scene: Scene, proxy: TcpProxy, stack: LocalStack
) -> None:
    stack.faults.token_lifetime(8)
    ticket = scene.ticket()
    kinds = (AsyncReader, ImpatientReader, BlockingReader)
    audience = Audience(scene, ticket, proxy.url, kinds, check_every=600, poll_every=600)
    async with nothing_left(), audience.reading():
        upgrades, began = proxy.upgrades, time.monotonic()
        while time.monotonic() - began < 15:
            wanted = await asyncio.to_thread(scene.write, ticket)
            await audience.has(wanted, SLACK * 0.5)
            assert all(reader.live for reader in audience.readers), audience.report()
        # Once, since a busy machine may renew too late; each expiry of each reader would be six.
        assert proxy.upgrades - upgrades <= 1
        await audience.judge()


async def test_a_lost_last_broadcast_is_noticed_when_it_is_time_to_check(
    scene: Scene, proxy: TcpProxy, stack: LocalStack
) -> None:
    ticket = scene.ticket()
    audience = Audience(scene, ticket, proxy.url, check_every=1.5)
    async with audience.reading():
        stack.faults.spoil_rows("drop", topic=f"ticket:{ticket}")
        await asyncio.to_thread(scene.write, ticket)
        assert await audience.caught_up(1.5 + SLACK * 0.5) > 0.1  # nobody was told
        await audience.judge()


def delete(scene: Scene, ticket: object) -> None:
    with psycopg.connect(scene.stack.database_url) as connection:
        for table in ("ticket_reads", "ticket_events", "ticket_messages"):
            connection.execute(
                f"delete from public.{table} where ticket_id = %s".encode(), [ticket]
            )
        connection.execute("delete from public.tickets where id = %s", [ticket])


async def live(feed: Feed) -> None:
    while feed.state is not FeedState.LIVE:
        assert not isinstance(await got(feed.next(timeout=0.05)), FeedStopped)


async def test_revocation_ends_one_feed_at_once_and_leaves_the_others_alone(
    scene: Scene, client: Client, proxy: TcpProxy, stack: LocalStack
) -> None:
    lost, kept = scene.ticket(), scene.ticket()
    async with (
        opened((await thread_of(client, lost)).live(check_every=600)) as ending,
        opened((await thread_of(client, kept)).live(check_every=600)) as going_on,
    ):
        await live(ending)
        await live(going_on)
        upgrades = proxy.upgrades
        delete(scene, lost)
        words = f"You no longer have permission to read from this Channel topic: ticket:{lost}"
        stack.faults.spoil_channels("end", topic=f"ticket:{lost}", message=words)
        last = await got(ending.next(timeout=SLACK))
        assert isinstance(last, FeedStopped)
        assert (last.reason, last.after_seq) == ("access_lost", 1)
        assert await got(ending.next(timeout=0.2)) is None
        for number in (2, 3, 4):
            scene.write(kept)
            assert (await next_event(going_on, SLACK)).seq == number
            assert going_on.state is FeedState.LIVE
        assert proxy.upgrades == upgrades


async def test_a_refused_join_is_not_repeated_and_the_table_serves_instead(
    scene: Scene, client: Client, proxy: TcpProxy, stack: LocalStack
) -> None:
    refused, other = scene.ticket(), scene.ticket()
    words = "Unauthorized: You do not have permissions to read from this Channel topic"
    stack.faults.refuse_joins(words, topic=f"ticket:{refused}", times=1)
    async with (
        opened((await thread_of(client, other)).live(check_every=600)) as well,
        opened((await thread_of(client, refused)).live(poll_every=0.5)) as polling,
    ):
        await live(well)
        await until(polling, FeedState.POLLING)
        assert (polling.reason or "").startswith("Unauthorized")
        for number in range(2, 6):
            for ticket, feed in ((refused, polling), (other, well)):
                scene.write(ticket)
                assert (await next_event(feed, 0.5 + SLACK)).seq == number
        # A second attempt would have been let in.
        assert polling.state is FeedState.POLLING
        assert well.state is FeedState.LIVE
        assert proxy.upgrades == 1


async def test_a_program_that_fails_while_it_reads_harms_nobody_and_goes_on_later(
    scene: Scene, client: Client
) -> None:
    ticket = scene.ticket()
    thread = await thread_of(client, ticket)
    seen = []
    async with opened(thread.live(after=0, check_every=600)) as other:
        await live(other)
        for _ in range(5):
            scene.write(ticket)
        feed = thread.live(after=0)

        async def fail_at_three() -> None:
            async with opened(feed):
                while True:
                    seen.append((await next_event(feed)).seq)
                    _ = 1 / (seen[-1] - 3)

        with pytest.raises(ZeroDivisionError):
            await fail_at_three()
        assert feed.last_seq == 3
        scene.write(ticket)
        assert [(await next_event(other)).seq for _ in range(6)] == [2, 3, 4, 5, 6, 7]
        async with opened(thread.live(after=feed.last_seq)) as again:
            seen += [(await next_event(again)).seq for _ in range(4)]
    assert seen == [1, 2, 3, 4, 5, 6, 7]


async def test_a_slow_reader_is_served_from_the_table_and_delays_nobody(
    scene: Scene, client: Client
) -> None:
    ticket = scene.ticket()
    thread = await thread_of(client, ticket)
    async with (
        opened(thread.live(after=0, check_every=600)) as slow,
        opened(thread.live(after=0, check_every=600)) as quick,
    ):
        for feed in (slow, quick):
            assert (await next_event(feed)).seq == 1
            await live(feed)
        with writing(scene, ticket, each=40, pace=0.002):
            pass
        last = scene.last(ticket)
        assert [(await next_event(quick)).seq for _ in range(2, last + 1)] == list(
            range(2, last + 1)
        )
        assert slow.last_seq == 1
        numbers = []
        for number in range(2, last + 1):
            numbers.append((await next_event(slow)).seq)
            if number % 30 == 0:
                await asyncio.sleep(0.1)
                scene.write(ticket)
        assert numbers == list(range(2, last + 1))


async def test_nothing_is_delivered_after_a_sign_out_that_returned(
    scene: Scene, client: Client
) -> None:
    ticket = scene.ticket()
    thread = await thread_of(client, ticket)
    seen: list[tuple[float, object]] = []

    async with opened(thread.live(after=0)) as feed:
        await live(feed)
        with writing(scene, ticket):
            began = time.monotonic()
            while time.monotonic() - began < 0.5:
                await got(feed.next(timeout=0.05))
            await got(client.sign_out())
            while (event := await got(feed.next(timeout=1))) is not None:
                seen.append((time.monotonic(), event))
    assert [type(event) for _, event in seen] == [FeedStopped]
