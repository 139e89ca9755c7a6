"""What docs/live.md promises beyond order: at odd moments, in a crowd, after a restore."""

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from uuid import UUID

import psycopg
import pytest

from customer_tickets import (
    AsyncCustomerTickets,
    FeedState,
    FeedStopped,
    SignInRequired,
)
from customer_tickets.devstack import LocalStack
from faces import Client, Feed, Office, Thread, got, next_event, opened, thread_of, until
from fix_stack import People
from live_harness import PASSWORD, Scene
from tcp_proxy import TcpProxy

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.faults,
    # The realtime package's own, at each connection that breaks.
    pytest.mark.filterwarnings(r"ignore:ConnectionClosed.(code|reason) is:DeprecationWarning"),
]


async def stopped(feed: Feed, within: float) -> FeedStopped:
    event = await got(feed.next(timeout=within))
    assert isinstance(event, FeedStopped), event
    return event


async def test_a_program_that_only_glances_at_a_feed_misses_nothing(
    scene: Scene, client: Client
) -> None:
    ticket = scene.ticket()
    seen: list[int] = []
    async with opened((await thread_of(client, ticket)).live(after=0)) as feed:
        deadline = time.monotonic() + 10
        while seen != [1, 2, 3] and time.monotonic() < deadline:
            event = await got(feed.next(timeout=0))
            if event is not None:
                assert not isinstance(event, FeedStopped)
                seen.append(event.seq)
                if event.seq < 3:
                    scene.write(ticket)
            await asyncio.sleep(0.01)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("wait", [float("inf"), 1e300, 10**400])
async def test_any_wait_may_be_asked_for(scene: Scene, client: Client, wait: float) -> None:
    async with opened((await thread_of(client, scene.ticket())).live(after=0)) as feed:
        assert (await next_event(feed, wait)).seq == 1


async def test_in_a_crowd_a_refused_topic_is_still_read_and_its_end_told(
    scene: Scene, client: Client, stack: LocalStack
) -> None:
    tickets = [scene.ticket() for _ in range(5)]
    words = "Unauthorized: You do not have permissions to read from this Channel topic"
    stack.faults.refuse_joins(words, topic=f"ticket:{tickets[0]}", times=1)
    async with AsyncExitStack() as stays:
        feeds = [
            await stays.enter_async_context(
                opened((await thread_of(client, ticket)).live(poll_every=0.5))
            )
            for ticket in tickets
        ]
        for feed in feeds[1:]:
            await until(feed, FeedState.LIVE)
        await until(feeds[0], FeedState.POLLING)
        assert feeds[0].reason is not None
        scene.write(tickets[0])
        assert (await next_event(feeds[0], 5)).seq == 2
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("delete from public.tickets where id = %s", [tickets[0]])
        assert (await stopped(feeds[0], 5)).reason == "access_lost"


async def test_one_question_for_all_stays_one_when_it_fails(
    scene: Scene, stack: LocalStack, caplog: pytest.LogCaptureFixture
) -> None:
    """Not a question of each feed, just when the server is in trouble."""
    async with (
        AsyncCustomerTickets(stack.url, stack.publishable_key) as client,
        AsyncExitStack() as stays,
    ):
        await client.sign_in(scene.email, PASSWORD)
        threads = [await client.thread(scene.ticket()) for _ in range(8)]
        feeds = [
            await stays.enter_async_context(thread.live(check_every=1.5)) for thread in threads
        ]
        for feed in feeds:
            await until(feed, FeedState.LIVE)
        stack.faults.answer_with(503, "/rest/v1/rpc/ticket_heads", times=50)
        with caplog.at_level(logging.DEBUG, "customer_tickets"):
            await asyncio.gather(*(feed.next(timeout=5) for feed in feeds))
        asked = [record.getMessage().partition(":")[0] for record in caplog.records]
        assert asked.count("ticket_heads") >= 3
        assert asked.count("ticket_events_after") == 0


@pytest.mark.parametrize("crowd", [0, 4])
async def test_a_reader_further_than_a_restored_table_is_told(
    scene: Scene, client: Client, stack: LocalStack, crowd: int
) -> None:
    ticket = scene.ticket()
    for _ in range(5):
        scene.write(ticket)
    async with AsyncExitStack() as stays:
        for _ in range(crowd):
            other = (await thread_of(client, scene.ticket())).live()
            await until(await stays.enter_async_context(opened(other)), FeedState.LIVE)
        live = (await thread_of(client, ticket)).live(after=0, check_every=1)
        feed = await stays.enter_async_context(opened(live))
        assert [(await next_event(feed)).seq for _ in range(6)] == [1, 2, 3, 4, 5, 6]
        await until(feed, FeedState.LIVE)
        restore(stack, ticket, to=3)
        end = await stopped(feed, 15)
        assert (end.reason, end.after_seq) == ("ahead", 6)


def restore(stack: LocalStack, ticket: UUID, *, to: int) -> None:
    """As a backup would: what came after a number has never been."""
    with psycopg.connect(stack.postgres.dsn(user="supabase_admin")) as connection:
        connection.execute("set local session_replication_role = replica")
        for table in ("ticket_events", "ticket_messages"):
            connection.execute(
                f"delete from public.{table} where ticket_id = %s and seq > %s".encode(),
                [ticket, to],
            )
        connection.execute("update public.tickets set last_seq = %s where id = %s", [to, ticket])


async def test_short_feeds_one_after_the_other_are_each_live_soon(
    scene: Scene, client: Client, proxy: TcpProxy
) -> None:
    thread = await thread_of(client, scene.ticket())
    proxy.latency = 0.02
    for _ in range(8):
        async with opened(thread.live()) as feed:
            await until(feed, FeedState.LIVE, 2)
        await asyncio.sleep(0.02)


async def test_a_feed_opened_again_over_a_slow_network_breaks_no_other(
    scene: Scene, client: Client, proxy: TcpProxy
) -> None:
    first, second = [await thread_of(client, scene.ticket()) for _ in range(2)]
    proxy.latency = 0.15
    async with opened(second.live(check_every=600)) as other:
        async with opened(first.live()) as feed:
            await until(feed, FeedState.LIVE)
            await until(other, FeedState.LIVE)
        async with opened(first.live()) as feed:
            await until(feed, FeedState.LIVE)
            assert await got(feed.next(timeout=1)) is None
            assert await got(other.next(timeout=0.1)) is None
            assert (feed.state, other.state) == (FeedState.LIVE, FeedState.LIVE)
    assert proxy.upgrades == 1


@pytest.mark.parametrize("resting", ["offline", "rate limited"])
async def test_a_sign_out_is_told_at_once_also_while_a_feed_rests(
    scene: Scene, proxy: TcpProxy, stack: LocalStack, resting: str
) -> None:
    async with AsyncCustomerTickets(proxy.url, stack.publishable_key) as client:
        await client.sign_in(scene.email, PASSWORD)
        thread = await client.thread(scene.ticket())
        async with thread.live(check_every=1, poll_every=120) as feed:
            await until(feed, FeedState.LIVE)
            if resting == "offline":
                proxy.refuse()
            else:
                path = "/rest/v1/rpc/ticket_events_after"
                stack.faults.answer_with(429, path, times=1, retry_after=40)
            waiting = asyncio.create_task(feed.next())
            for _ in range(400):
                if feed.error is not None:
                    break
                await asyncio.sleep(0.05)
            proxy.heal()
            await client.sign_out()
            event = await asyncio.wait_for(waiting, 0.5)
            assert isinstance(event, FeedStopped)
            assert event.reason == "signed_out"


@pytest.mark.parametrize("again", ["expired", "refused"])
async def test_what_one_user_asked_for_is_never_done_as_the_next_one(
    scene: Scene, stack: LocalStack, people: People, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as client:
        await client.sign_in(scene.email, PASSWORD)
        stack.faults.delay("/auth/v1/token", 2, times=1)
        if again == "expired":
            real = time.time
            monkeypatch.setattr("customer_tickets._session.time.time", lambda: real() + 3610)
        else:
            stack.faults.answer_with(401, "/rest/v1/rpc/create_ticket", times=1)
        creating = asyncio.create_task(
            client.create(organization=scene.organization, subject="Ana's own business")
        )
        await asyncio.sleep(0.5)
        monkeypatch.undo()
        await client.sign_in(people.ben.email, people.ben.password)
        with pytest.raises(SignInRequired):
            await creating
        assert (await client.page()).items == ()


async def test_a_thread_shows_what_lies_before_where_a_feed_goes_on(
    tickets: Client, thread: Thread, office: Office
) -> None:
    for text in ("two", "three", "four"):
        office.answer(thread.ticket.id, text)
    async with opened(thread.live(after=3)) as feed:
        assert (await next_event(feed)).seq == 4
        office.answer(thread.ticket.id, "five")
        assert (await next_event(feed)).seq == 5
    assert [event.seq for event in thread.history] == [1, 2, 3, 4, 5]
    assert [message.body for message in thread.messages] == ["two", "three", "four", "five"]


@pytest.fixture
async def thread(tickets: Client, people: People) -> Thread:
    ticket = await got(tickets.create(organization=people.organization_id, subject="Help"))
    return await thread_of(tickets, ticket)


async def test_people_end_too_when_the_session_is_ended_elsewhere(
    scene: Scene, stack: LocalStack
) -> None:
    stack.faults.token_lifetime(6)
    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as client:
        await client.sign_in(scene.email, PASSWORD)
        thread = await client.thread(scene.ticket())
        async with thread.people() as people:
            async with asyncio.timeout(10):
                while people.state != "live":
                    await people.next(timeout=0.1)
            with psycopg.connect(stack.postgres.dsn(user="supabase_admin")) as connection:
                connection.execute("delete from auth.sessions where user_id = %s", [scene.ana])
            async with asyncio.timeout(30):
                while people.state != "stopped":
                    await people.next(timeout=0.1)
            assert isinstance(people.error, SignInRequired)


async def test_a_proxy_that_answers_in_place_of_auth_ends_no_feed(
    scene: Scene, stack: LocalStack
) -> None:
    stack.faults.token_lifetime(4)
    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as client:
        await client.sign_in(scene.email, PASSWORD)
        thread = await client.thread(ticket := scene.ticket())
        async with thread.live(poll_every=0.5) as feed:
            await until(feed, FeedState.LIVE)
            stack.faults.answer_with(403, "/auth/v1/token", times=1000)
            deadline = time.monotonic() + 15
            while feed.error is None and time.monotonic() < deadline:
                assert await feed.next(timeout=0.1) is None
            assert feed.error is not None
            stack.faults.reset()
            scene.write(ticket)
            assert (await next_event(feed)).seq == 2
            await until(feed, FeedState.LIVE)
