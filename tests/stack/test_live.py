"""The live feed on the real realtime server: nothing lost, nothing twice, nothing out of order."""

import asyncio
import dataclasses
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from uuid import uuid4

import psycopg
import pytest

from customer_tickets import (
    AsyncCustomerTickets,
    FeedState,
    FeedStopped,
    MessageAdded,
    StatusChanged,
    TicketClosed,
    TicketReopened,
)
from customer_tickets._session import Session
from customer_tickets.devstack import LocalStack
from faces import Client, Feed, Office, Thread, got, next_event, opened, thread_of, until
from fix_stack import People
from stack.conftest import Opener
from tcp_proxy import TcpProxy

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("error")]


@pytest.fixture
async def thread(tickets: Client, people: People) -> Thread:
    ticket = await got(tickets.create(organization=people.organization_id, subject="Help"))
    return await thread_of(tickets, ticket)


async def read(feed: Feed, count: int, timeout: float = 20) -> list[int]:
    """Read exactly so many events, and see that no other follows at once."""
    numbers = [(await next_event(feed, timeout)).seq for _ in range(count)]
    assert await got(feed.next(timeout=0.1)) is None
    return numbers


async def test_what_happens_arrives_typed_and_the_thread_follows(
    thread: Thread, office: Office
) -> None:
    async with opened(thread.live(check_every=600)) as events:
        assert events.state is FeedState.CONNECTING
        await until(events, FeedState.LIVE)
        office.set_status(thread.ticket.id, "in-progress")
        match await next_event(events):
            case StatusChanged(seq=2, before="open", after="in-progress", actor_name="Eva"):
                pass
            case other:
                pytest.fail(f"{other!r}")
        office.answer(thread.ticket.id, "Between us", internal=True)
        office.answer(thread.ticket.id, "Hello")
        match await next_event(events):
            case MessageAdded(seq=3, message=message):
                assert (message.body, message.author_role) == ("Hello", "employee")
            case other:
                pytest.fail(f"{other!r}")
        await got(thread.close_ticket("done"))
        assert isinstance(await next_event(events), TicketClosed)
        await got(thread.reopen_ticket())
        assert isinstance(await next_event(events), TicketReopened)
        assert await got(events.next(timeout=0.1)) is None
        assert events.last_seq == 5
    assert str(events.state) == "stopped"
    assert [m.body for m in thread.messages] == ["Hello"]
    assert [e.seq for e in thread.history] == [1, 2, 3, 4, 5]
    assert thread.ticket.unread


async def test_a_feed_goes_on_where_another_stopped(
    opener: Opener, thread: Thread, office: Office, people: People
) -> None:
    async with opened(thread.live(after=0)) as events:
        office.answer(thread.ticket.id, "2")
        assert await read(events, 2) == [1, 2]
        saved = events.last_seq
    for text in ("3", "4", "5"):
        office.answer(thread.ticket.id, text)
    later = await thread_of((await opener(people.ana)), thread.ticket.id)
    async with opened(later.live(after=saved)) as events:
        assert await read(events, 3) == [3, 4, 5]


async def test_a_long_backlog_comes_whole_and_in_order(thread: Thread, stack: LocalStack) -> None:
    with psycopg.connect(stack.database_url) as connection:
        connection.execute(
            "insert into public.ticket_messages (id, ticket_id, body, author_id, message_type)"
            " select gen_random_uuid(), %s, 'Message ' || n, %s, 'public'"
            " from generate_series(1, 450) n",
            [thread.ticket.id, thread.ticket.user_id],
        )
    async with opened(thread.live()) as events:
        assert await read(events, 450) == list(range(2, 452))
    assert len(thread.messages) == 450


async def test_a_read_that_times_out_loses_nothing(thread: Thread, office: Office) -> None:
    async with opened(thread.live()) as events:
        for number in range(2, 12):
            office.answer(thread.ticket.id, str(number))
        seen: list[int] = []
        deadline = time.monotonic() + 20
        while len(seen) < 10 and time.monotonic() < deadline:
            event = await got(events.next(timeout=0.001))
            if event is not None:
                assert not isinstance(event, FeedStopped)
                seen.append(event.seq)
        assert seen == list(range(2, 12))


@pytest.mark.faults
async def test_killing_the_realtime_server_loses_nothing(
    thread: Thread, office: Office, stack: LocalStack
) -> None:
    async with opened(thread.live(poll_every=0.3, check_every=600)) as events:
        await until(events, FeedState.LIVE)
        stack.realtime.kill()
        office.answer(thread.ticket.id, "While it is down")
        assert (await next_event(events)).seq == 2
        await until(events, FeedState.POLLING)
        stack.realtime.start()
        office.answer(thread.ticket.id, "While it comes back")
        assert (await next_event(events)).seq == 3
        await until(events, FeedState.LIVE, timeout=15)
        office.answer(thread.ticket.id, "When it is back")
        assert await read(events, 1) == [4]
    assert [m.body for m in thread.messages] == [
        "While it is down",
        "While it comes back",
        "When it is back",
    ]


FAULTS: dict[str, Callable[[TcpProxy], None]] = {
    "cut": lambda proxy: proxy.cut(),
    "refused": lambda proxy: proxy.refuse(),
    "half-open": lambda proxy: proxy.half_open(),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.faults
async def test_a_network_that_fails_and_heals_loses_nothing(
    opener: Opener, people: People, office: Office, proxy: TcpProxy, fault: str
) -> None:
    client = await opener(people.ana, url=proxy.url)
    ticket = await got(client.create(organization=people.organization_id, subject="Help"))
    thread = await thread_of(client, ticket)
    async with opened(thread.live(poll_every=0.3, check_every=600)) as events:
        await until(events, FeedState.LIVE)
        office.answer(ticket.id, "2")
        assert (await next_event(events)).seq == 2
        FAULTS[fault](proxy)
        for text in ("3", "4", "5"):
            office.answer(ticket.id, text)
        if fault != "cut":
            assert await got(events.next(timeout=1)) is None
        proxy.heal()
        assert [(await next_event(events, 30)).seq for _ in range(3)] == [3, 4, 5]
        await until(events, FeedState.LIVE, timeout=30)
        office.answer(ticket.id, "6")
        assert await read(events, 1) == [6]


@pytest.mark.faults
async def test_a_frozen_realtime_server_is_noticed_by_the_heartbeat(
    thread: Thread, office: Office, stack: LocalStack
) -> None:
    async with opened(thread.live(poll_every=0.5, check_every=600)) as events:
        await until(events, FeedState.LIVE)
        pid = stack.realtime.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            office.answer(thread.ticket.id, "Nobody rings for this one")
            began = time.monotonic()
            assert (await next_event(events, timeout=15)).seq == 2
            assert time.monotonic() - began < 10
        finally:
            os.kill(pid, signal.SIGCONT)
        await until(events, FeedState.LIVE, timeout=30)


async def test_a_lost_last_broadcast_is_noticed_by_the_slow_timer(
    thread: Thread, stack: LocalStack, people: People
) -> None:
    async with opened(thread.live(check_every=0.5)) as events:
        await until(events, FeedState.LIVE)
        with psycopg.connect(stack.database_url) as connection:
            # No trigger fires: the event is committed and nobody is told.
            connection.execute("set local session_replication_role = replica")
            connection.execute(
                "insert into public.ticket_events"
                " (ticket_id, seq, kind, actor_role, actor_name, data, created_at)"
                " values (%s, 2, 'reopened', 'system', 'System', '{}', now())",
                [thread.ticket.id],
            )
            connection.execute(
                "update public.tickets set last_seq = 2 where id = %s", [thread.ticket.id]
            )
        began = time.monotonic()
        event = None
        while event is None and time.monotonic() - began < 3:
            event = await got(events.next(timeout=0.05))  # in steps shorter than the timer
        assert not isinstance(event, FeedStopped)
        assert event is not None
        assert event.seq == 2


async def test_writers_at_once_with_rollbacks_are_read_in_order_by_every_reader(
    opener: Opener, thread: Thread, people: People, stack: LocalStack
) -> None:
    writers, each = 8, 12

    def write() -> None:
        with psycopg.connect(stack.database_url, autocommit=True) as connection:
            for number in range(each):
                with connection.transaction(force_rollback=number % 4 == 0):
                    connection.execute(
                        "insert into public.ticket_messages"
                        " (id, ticket_id, body, author_id, message_type)"
                        " values (%s, %s, 'x', %s, 'public')",
                        [uuid4(), thread.ticket.id, people.eva.id],
                    )

    expected = list(range(2, 2 + writers * (each - each // 4)))
    other = await thread_of((await opener(people.ana)), thread.ticket.id)
    async with AsyncExitStack() as feeds:
        readers = [
            await feeds.enter_async_context(opened(one.live(check_every=600)))
            for one in (thread, other)
        ]
        threads = [threading.Thread(target=write) for _ in range(writers)]
        for running in threads:
            running.start()
        for reader in readers:
            assert [(await next_event(reader, 30)).seq for _ in expected] == expected
        for running in threads:
            await asyncio.to_thread(running.join)
        for reader in readers:
            assert await got(reader.next(timeout=0.2)) is None


async def test_losing_access_is_the_last_event(thread: Thread, stack: LocalStack) -> None:
    async with opened(thread.live(check_every=0.3)) as events:
        await until(events, FeedState.LIVE)
        with psycopg.connect(stack.database_url) as connection:
            for table in ("ticket_reads", "ticket_events", "ticket_messages"):
                connection.execute(
                    f"delete from public.{table} where ticket_id = %s".encode(), [thread.ticket.id]
                )
            connection.execute("delete from public.tickets where id = %s", [thread.ticket.id])
        last = await got(events.next(timeout=10))
        assert isinstance(last, FeedStopped)
        assert (last.reason, last.after_seq) == ("access_lost", 1)
        assert str(events.state) == "stopped"
        assert await got(events.next(timeout=1)) is None


async def test_a_strangers_topic_is_refused_at_the_first_attempt(
    opener: Opener, thread: Thread, people: People
) -> None:
    ben = await opener(people.ben)
    inner = ben if isinstance(ben, AsyncCustomerTickets) else ben._async
    mine = await got(ben.create(organization=people.organization_id, subject="Mine"))
    own = await thread_of(ben, mine)
    async with opened(own.live()) as events:
        await until(events, FeedState.LIVE)

        async def listen() -> str | None:
            bell = inner._line.listen(f"ticket:{thread.ticket.id}")
            for _ in range(100):
                if bell.refused is not None:
                    break
                await asyncio.sleep(0.05)
            return bell.refused

        if isinstance(ben, AsyncCustomerTickets):
            refused = await listen()
        else:
            refused = ben._portal.run(listen)
        assert refused is not None
        assert refused.startswith("Unauthorized")
        assert events.state is FeedState.LIVE


async def test_signing_out_ends_the_feed_and_nothing_comes_after(
    tickets: Client, thread: Thread, office: Office
) -> None:
    async with opened(thread.live()) as events:
        await until(events, FeedState.LIVE)
        await got(tickets.sign_out())
        office.answer(thread.ticket.id, "Too late")
        last = await got(events.next(timeout=10))
        assert isinstance(last, FeedStopped)
        assert last.reason == "signed_out"
        assert await got(events.next(timeout=0.5)) is None


async def test_what_was_read_but_not_handed_out_is_not_counted_at_the_end(
    tickets: Client, thread: Thread, office: Office
) -> None:
    for text in ("2", "3", "4"):
        office.answer(thread.ticket.id, text)
    async with opened(thread.live(after=0)) as events:
        assert (await next_event(events)).seq == 1
        await got(tickets.sign_out())
        last = await got(events.next(timeout=10))
        assert isinstance(last, FeedStopped)
        assert (last.after_seq, events.last_seq) == (1, 1)


async def test_somebody_else_signing_in_ends_the_feeds_of_the_first(
    tickets: Client, thread: Thread, people: People
) -> None:
    async with opened(thread.live()) as events:
        await until(events, FeedState.LIVE)
        await got(tickets.sign_in(people.ben.email, people.ben.password))
        last = await got(events.next(timeout=5))
        assert isinstance(last, FeedStopped)
        assert last.reason == "signed_out"


@pytest.mark.faults
async def test_tokens_of_a_few_seconds_are_renewed_without_a_pause(
    tickets: Client, thread: Thread, office: Office, people: People, stack: LocalStack
) -> None:
    inner = tickets if isinstance(tickets, AsyncCustomerTickets) else tickets._async
    session = inner._session
    assert isinstance(session, Session)
    assert session._tokens is not None
    real = time.time
    began = real()
    # This session believes its token to live for four seconds; the next one is a real one again.
    session._tokens = dataclasses.replace(
        session._tokens,
        access=stack.mint_token(people.ana.id, lifetime=5),
        lifetime=4.0,
        expires_at=began + 4.0,
    )
    async with opened(thread.live(check_every=600, poll_every=600)) as events:
        await until(events, FeedState.LIVE)
        expected = 2
        while real() - began < 8:
            office.answer(thread.ticket.id, "tick")
            assert (await next_event(events, 3)).seq == expected
            assert events.state is FeedState.LIVE
            expected += 1
            await asyncio.sleep(0.4)


async def test_a_feed_that_was_not_opened_says_so(thread: Thread) -> None:
    with pytest.raises(RuntimeError, match="open the feed first"):
        await got(thread.live().next(timeout=1))
