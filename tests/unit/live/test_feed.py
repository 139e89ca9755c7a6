"""A feed over a table and a bell of the test's own: what it asks, when, and what it says it is."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from customer_tickets import FeedState, FeedStopped, RateLimited, TicketReopened, Unavailable
from customer_tickets._errors import CustomerTicketsError
from customer_tickets._events import TicketEvent
from customer_tickets._live.bell import Bell, Topics
from customer_tickets._live.ticket_feed import AsyncTicketFeed

pytestmark = pytest.mark.anyio
TICKET = uuid4()


def event(seq: int) -> TicketReopened:
    return TicketReopened.model_validate(
        {
            "ticket_id": TICKET,
            "seq": seq,
            "created_at": datetime.now(UTC),
            "actor_id": None,
            "actor_role": "system",
            "actor_name": "System",
        }
    )


class Table:
    """What a feed reads: numbers up to `newest`, with faults."""

    def __init__(self, newest: int) -> None:
        self.newest = newest
        self.reads = 0
        self.error: CustomerTicketsError | None = None
        self.delay = 0.0

    async def fetch(self, after: int) -> tuple[Sequence[TicketEvent], int]:
        self.reads += 1
        newest = self.newest
        await asyncio.sleep(self.delay)
        if self.error is not None:
            raise self.error
        return [event(seq) for seq in range(after + 1, min(newest, after + 5) + 1)], newest


class Exchange:
    """Where a feed listens: the library's own list of topics, without a network below."""

    def __init__(self) -> None:
        self._topics = Topics()

    def listen(self, topic: str, ticket: UUID | None = None) -> Bell:
        bell = Bell(topic, ticket)
        self._topics.add(bell)
        return bell

    def leave(self, bell: Bell) -> None:
        self._topics.remove(bell)

    crowded = False

    async def check(self) -> None:
        raise AssertionError("nobody else is there")

    @property
    def bell(self) -> Bell:
        (bell,) = self._topics.bells()
        return bell


def feed_of(
    table: Table, exchange: Exchange, *, after: int = 0, check_every: float = 600.0
) -> AsyncTicketFeed:
    return AsyncTicketFeed(
        TICKET,
        after,
        line=exchange,
        fetch=table.fetch,
        check_every=check_every,
        poll_every=0.05,
    )


async def numbers(feed: AsyncTicketFeed, count: int) -> list[int]:
    found = [await feed.next(timeout=2) for _ in range(count)]
    return [one.seq for one in found if one is not None and not isinstance(one, FeedStopped)]


async def test_a_false_announcement_is_asked_about_soon_and_then_now_and_then() -> None:
    table, exchange = Table(0), Exchange()
    async with feed_of(table, exchange) as feed:
        exchange.bell.join()
        exchange.bell.ring(9)
        assert await feed.next(timeout=1.2) is None
        assert 3 <= table.reads <= 8
        before = table.reads
        assert await feed.next(timeout=2.2) is None
        assert 1 <= table.reads - before <= 4


async def test_an_announcement_that_overtakes_its_commit_is_followed_at_once() -> None:
    table, exchange = Table(1), Exchange()
    async with feed_of(table, exchange) as feed:
        exchange.bell.join()
        exchange.bell.flows()
        await numbers(feed, 1)
        assert await feed.next(timeout=0.05) is None
        exchange.bell.ring(2)
        assert await feed.next(timeout=0.01) is None
        table.newest = 2
        event = await feed.next(timeout=0.3)
        assert event is not None


@pytest.mark.parametrize("word", ["join", "flows"])
async def test_a_line_that_comes_up_is_a_reason_to_look(word: str) -> None:
    table, exchange = Table(1), Exchange()
    async with feed_of(table, exchange) as feed:
        if word == "flows":
            exchange.bell.join()
        assert await numbers(feed, 1) == [1]
        table.newest = 2  # and nobody rings
        getattr(exchange.bell, word)()
        assert await numbers(feed, 1) == [2]


async def test_it_is_live_only_after_the_catching_up_is_done() -> None:
    table, exchange = Table(12), Exchange()
    table.delay = 0.2
    async with feed_of(table, exchange) as feed:
        exchange.bell.join()
        exchange.bell.flows()
        assert await feed.next(timeout=0.05) is None
        assert str(feed.state) == "catching_up"
        assert await numbers(feed, 12) == list(range(1, 13))
        assert str(feed.state) == "live"
        exchange.bell.fail()
        assert str(feed.state) == "polling"


async def test_retry_after_is_obeyed_whoever_rings() -> None:
    table, exchange = Table(1), Exchange()
    table.error = RateLimited("x")
    table.error.retry_after = 0.6
    async with feed_of(table, exchange) as feed:
        exchange.bell.join()
        waiting = asyncio.create_task(feed.next(timeout=0.5))
        for seq in range(1, 30):
            exchange.bell.ring(seq)
            await asyncio.sleep(0.01)
        assert await waiting is None
        assert table.reads == 1
        table.error = None
        assert await numbers(feed, 1) == [1]


async def test_doorbells_do_not_cut_short_the_pauses_of_a_troubled_server() -> None:
    table, exchange = Table(1), Exchange()
    table.error = Unavailable("x")
    async with feed_of(table, exchange) as feed:
        exchange.bell.join()
        waiting = asyncio.create_task(feed.next(timeout=0.6))
        for seq in range(1, 60):
            exchange.bell.ring(seq)
            await asyncio.sleep(0.01)
        await waiting
        assert table.reads < 12


async def test_closing_while_it_reads_ends_the_reader_quietly() -> None:
    table, exchange = Table(1), Exchange()
    table.delay = 5
    async with feed_of(table, exchange) as feed:
        reader = asyncio.create_task(feed.next())
        await asyncio.sleep(0.05)
        await feed.aclose()
        assert await asyncio.wait_for(reader, 1) is None
        assert feed.take() is None
    assert feed.state is FeedState.STOPPED


async def test_events_before_a_hole_come_and_then_its_number() -> None:
    table, exchange = Table(4), Exchange()
    whole = table.fetch

    async def without_three(after: int) -> tuple[Sequence[TicketEvent], int]:
        events, newest = await whole(after)
        return [one for one in events if one.seq != 3], newest

    feed = AsyncTicketFeed(
        TICKET, 0, line=exchange, fetch=without_three, check_every=600, poll_every=0.05
    )
    async with feed:
        assert await numbers(feed, 2) == [1, 2]
        last = await feed.next(timeout=2)
        assert isinstance(last, FeedStopped)
        assert (last.reason, last.after_seq) == ("hole", 2)


async def test_a_place_beyond_the_end_is_said() -> None:
    async with feed_of(Table(5), Exchange(), after=50) as feed:
        last = await feed.next(timeout=2)
        assert isinstance(last, FeedStopped)
        assert (last.reason, last.after_seq) == ("ahead", 50)


async def test_while_nobody_reads_nothing_is_read() -> None:
    table, exchange = Table(3), Exchange()
    async with feed_of(table, exchange):
        exchange.bell.join()
        for seq in range(1, 100):
            exchange.bell.ring(seq)
        await asyncio.sleep(0.2)
        assert table.reads == 0


class Crowd(Exchange):
    """A client with many open threads: where in doubt, one question is asked for all."""

    crowded = True

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table = table

    async def check(self) -> None:
        self.bell.checked(self._table.newest)


async def test_in_a_crowd_an_announcement_that_overtakes_its_commit_is_followed_too() -> None:
    table = Table(1)
    exchange = Crowd(table)
    async with feed_of(table, exchange) as feed:
        exchange.bell.join()
        exchange.bell.flows()
        await numbers(feed, 1)
        assert await feed.next(timeout=0.05) is None
        exchange.bell.ring(2)
        assert await feed.next(timeout=0.01) is None
        table.newest = 2
        assert await feed.next(timeout=0.5) is not None


async def test_in_a_crowd_a_check_finds_what_nobody_rang_for() -> None:
    table = Table(1)
    exchange = Crowd(table)
    async with feed_of(table, exchange, check_every=0.1) as feed:
        exchange.bell.join()
        exchange.bell.flows()
        await numbers(feed, 1)
        reads = table.reads
        assert await feed.next(timeout=0.5) is None
        assert table.reads == reads
        table.newest = 2
        assert await feed.next(timeout=0.5) is not None


async def test_a_read_for_which_nobody_waits_ends_with_the_session() -> None:
    table, exchange = Table(1), Exchange()
    table.error = Unavailable("down for a while")
    async with feed_of(table, exchange) as feed:
        assert await feed.next(timeout=0.01) is None
        exchange.bell.close()  # as a sign-out does
        await asyncio.sleep(0)
        names = [task.get_name() for task in asyncio.all_tasks()]
        assert "customer_tickets.read" not in names
