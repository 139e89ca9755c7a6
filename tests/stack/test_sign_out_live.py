"""Signing out in the middle: nothing is delivered after it returns, whoever reads and writes."""

import asyncio
import inspect
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from uuid import UUID

import pytest

from customer_tickets import CustomerTickets, FeedState, FeedStopped
from customer_tickets.devstack import LocalStack
from faces import (
    Client,
    Office,
    closed,
    got,
    next_event,
    opened,
    opened_list,
    thread_of,
    until,
)
from fix_stack import People
from stack.conftest import Opener
from tcp_proxy import TcpProxy

pytestmark = [pytest.mark.anyio, pytest.mark.faults]


class Reader:
    """Reads a feed to its end, and notes what came when."""

    def __init__(self, feed: object, over: threading.Event) -> None:
        self._feed, self._over = feed, over
        self.before: list[object] = []
        self.after: list[object] = []

    def note(self, event: object) -> None:
        (self.after if self._over.is_set() else self.before).append(event)

    def read(self) -> None:
        for event in self._feed:  # type: ignore[attr-defined] # of either kind
            self.note(event)

    async def aread(self) -> None:
        async for event in self._feed:  # type: ignore[attr-defined] # of either kind
            self.note(event)


@contextmanager
def busy(stack: LocalStack, people: People, ticket: UUID) -> Iterator[None]:
    """Two employees who write without a pause."""
    end = threading.Event()

    def write() -> None:
        office = Office(stack, people.eva)
        while not end.is_set():
            office.answer(ticket, "x")
        office.close()

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        end.set()
        for writer in writers:
            writer.join()


async def test_nothing_is_delivered_after_sign_out_returns(
    tickets: Client, people: People, stack: LocalStack
) -> None:
    over = threading.Event()
    ticket = await got(tickets.create(organization=people.organization_id, subject="x"))
    thread = await thread_of(tickets, ticket)
    async with AsyncExitStack() as feeds:
        own = await feeds.enter_async_context(opened(thread.live()))
        every = await feeds.enter_async_context(opened_list(tickets.live()))
        readers = [Reader(own, over), Reader(every, over)]
        with busy(stack, people, ticket.id):
            tasks = [
                asyncio.create_task(
                    reader.aread()
                    if inspect.iscoroutinefunction(own.next)
                    else asyncio.to_thread(reader.read)
                )
                for reader in readers
            ]
            for _ in range(500):
                if min(len(reader.before) for reader in readers) >= 5:
                    break
                await asyncio.sleep(0.02)
            if isinstance(tickets, CustomerTickets):
                await asyncio.to_thread(tickets.sign_out)
            else:
                await tickets.sign_out()
            over.set()
            shown = (thread.messages, thread.history, thread.ticket)
            await asyncio.wait_for(asyncio.gather(*tasks), timeout=5)
            await asyncio.sleep(0.5)
        assert (thread.messages, thread.history, thread.ticket) == shown
    for reader in readers:
        late = [event for event in reader.after if not isinstance(event, FeedStopped)]
        assert late == []
        last = (reader.before + reader.after)[-1]
        assert isinstance(last, FeedStopped)
        assert last.reason == "signed_out"


async def test_an_answer_that_comes_after_sign_out_is_dropped(
    opener: Opener, people: People, stack: LocalStack, proxy: TcpProxy, office: Office
) -> None:
    """A read is under way while the user signs out; its answer comes seconds later."""
    tickets = await opener(people.ana, url=proxy.url)
    ticket = await got(tickets.create(organization=people.organization_id, subject="x"))
    thread = await thread_of(tickets, ticket)
    async with opened(thread.live(after=0)) as feed:
        office.answer(ticket.id, "too late")
        proxy.latency = 1.0
        assert await got(feed.next(timeout=0.2)) is None
        proxy.latency = 0.0
        began = time.monotonic()
        await got(tickets.sign_out())
        shown = thread.messages
        assert time.monotonic() - began < 0.6  # the read is still under way
        event = await got(feed.next(timeout=5))
        assert isinstance(event, FeedStopped)
        await asyncio.sleep(max(0.0, began + 1.5 - time.monotonic()))
        assert thread.messages == shown


@pytest.mark.parametrize("end", ["sign out", "close"])
async def test_a_feed_whose_topic_was_refused_ends_like_any_other(
    opener: Opener, people: People, stack: LocalStack, office: Office, end: str
) -> None:
    tickets = await opener(people.ana)
    ticket = await got(tickets.create(organization=people.organization_id, subject="x"))
    words = "Unauthorized: You do not have permissions to read from this Channel topic"
    stack.faults.refuse_joins(words, topic=f"ticket:{ticket.id}", times=1)
    thread = await thread_of(tickets, ticket)
    async with opened(thread.live(poll_every=0.2)) as feed:
        await until(feed, FeedState.POLLING)
        assert feed.reason is not None
        for text in ("read with the next one", "and not handed out"):
            office.answer(ticket.id, text)
        assert (await next_event(feed)).seq == 2
        await (got(tickets.sign_out()) if end == "sign out" else closed(tickets))
        last = await got(feed.next(timeout=5))
        assert isinstance(last, FeedStopped)
        assert (last.reason, last.after_seq) == ("signed_out", 2)
        assert feed.state is FeedState.STOPPED
        assert await got(feed.next(timeout=1)) is None


def test_a_loop_in_a_thread_ends_when_another_thread_closes_the_client(
    stack: LocalStack, people: People
) -> None:
    tickets = CustomerTickets(stack.url, stack.publishable_key)
    tickets.sign_in(people.ana.email, people.ana.password)
    ticket = tickets.create(organization=people.organization_id, subject="x")
    over = threading.Event()
    with tickets.thread(ticket).live() as feed, ThreadPoolExecutor() as pool:
        reader = Reader(feed, over)
        reading = pool.submit(reader.read)
        time.sleep(0.3)
        tickets.close()
        reading.result(timeout=5)
    assert [type(event) for event in reader.before] == [FeedStopped]
