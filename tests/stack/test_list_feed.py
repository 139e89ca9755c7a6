"""The live feed of the list: every change arrives, whatever happens, and a place can be saved."""

import threading
from uuid import UUID, uuid4

import psycopg
import pytest

from customer_tickets import (
    AsyncTicketListFeed,
    FeedStopped,
    InvalidInput,
    Offline,
    SignInRequired,
    Ticket,
    TicketChanged,
    TicketListFeed,
)
from customer_tickets.devstack import LocalStack
from faces import Client, Office, got, opened_list, thread_of
from fix_stack import People
from stack.conftest import Opener
from stack.test_tickets import create
from tcp_proxy import TcpProxy

pytestmark = pytest.mark.anyio
ListFeed = TicketListFeed | AsyncTicketListFeed


async def changed(feed: ListFeed, timeout: float = 10) -> Ticket:
    event = await got(feed.next(timeout=timeout))
    assert isinstance(event, TicketChanged), f"{event}; the feed is {feed.state}"
    return event.ticket


async def test_new_and_changed_tickets_arrive_as_they_are_then(
    tickets: Client, people: People, opener: Opener, office: Office
) -> None:
    elsewhere = await opener(people.ana)
    old = await create(elsewhere, people, "Old")
    async with opened_list(tickets.live()) as feed:
        assert await got(feed.next(timeout=0.1)) is None
        new = await create(elsewhere, people, "New")
        assert await changed(feed) == new
        office.answer(old.id, "An answer")
        ticket = await changed(feed)
        assert (ticket.id, ticket.unread, ticket.last_seq) == (old.id, True, 2)
        office.set_status(old.id, "in-progress")
        assert (await changed(feed)).status == "in-progress"
        assert await got(feed.next(timeout=0.2)) is None
        assert feed.state == "live"


async def test_internal_notes_and_others_tickets_change_nothing(
    tickets: Client, people: People, opener: Opener, office: Office
) -> None:
    mine = await create(tickets, people)
    async with opened_list(tickets.live()) as feed:
        await got(feed.next(timeout=0.1))
        office.answer(mine.id, "For colleagues", internal=True)
        await create(await opener(people.ben), people)
        assert await got(feed.next(timeout=0.5)) is None


async def test_what_changed_before_the_first_look_belongs_to_the_feed(
    tickets: Client, people: People, opener: Opener
) -> None:
    elsewhere = await opener(people.ana)
    async with opened_list(tickets.live()) as feed:
        ticket = await create(elsewhere, people)
        assert await changed(feed) == ticket


async def test_it_goes_on_from_a_saved_position_in_another_client(
    tickets: Client, people: People, opener: Opener
) -> None:
    elsewhere = await opener(people.ana)
    async with opened_list(tickets.live()) as feed:
        first = await create(elsewhere, people, "First")
        second = await create(elsewhere, people, "Second")
        seen = {(await changed(feed)).id}
        saved = feed.position
    third = await create(elsewhere, people, "Third")
    async with opened_list(elsewhere.live(after=saved)) as feed:
        while len(seen) < 3:
            ticket = await changed(feed)
            assert ticket.id not in seen
            seen.add(ticket.id)
        assert await got(feed.next(timeout=0.2)) is None
        again = feed.position
    assert seen == {first.id, second.id, third.id}
    async with opened_list(tickets.live(after=again)) as feed:
        assert await got(feed.next(timeout=0.2)) is None


@pytest.mark.parametrize("end", ["closed", "signed out"])
async def test_a_position_of_an_ended_feed_is_after_what_was_handed_out(
    opener: Opener, people: People, end: str
) -> None:
    tickets, elsewhere = await opener(people.ana), await opener(people.ana)
    async with opened_list(tickets.live()) as feed:
        saved = feed.position
    made = {(await create(elsewhere, people, f"Ticket {n}")).id for n in range(3)}
    async with opened_list(tickets.live(after=saved)) as feed:
        first = await changed(feed)
        if end == "signed out":
            await got(tickets.sign_out())
            assert isinstance(await got(feed.next(timeout=5)), FeedStopped)
    async with opened_list(elsewhere.live(after=feed.position)) as others:
        rest = {(await changed(others)).id for _ in range(2)}
        assert await got(others.next(timeout=0.2)) is None
    assert rest == made - {first.id}


@pytest.mark.parametrize("saved", [True, False])
async def test_a_feed_of_who_was_signed_in_before_is_nobody_elses(
    opener: Opener, people: People, saved: bool
) -> None:
    tickets = await opener(people.ana)
    async with opened_list(tickets.live()) as feed:
        position = feed.position if saved else None
    anas = tickets.live(after=position)
    await got(tickets.sign_in(people.ben.email, people.ben.password))
    await create(tickets, people, "Ben's")
    if not saved:
        with pytest.raises(SignInRequired):
            async with opened_list(anas):
                pass
        return
    async with opened_list(anas) as feed:
        event = await got(feed.next(timeout=10))
    assert isinstance(event, FeedStopped)
    assert event.reason == "signed_out"


async def test_a_rating_changes_the_list_too(
    tickets: Client, people: People, opener: Opener
) -> None:
    elsewhere = await opener(people.ana)
    thread = await thread_of(elsewhere, await create(elsewhere, people))
    await got(thread.close_ticket())
    async with opened_list(tickets.live()) as feed:
        await got(feed.next(timeout=0.1))
        await got(thread.rate(5))
        assert (await changed(feed)).last_seq == 3


@pytest.mark.parametrize("after", ["", "x", "é", 5, "e30", "W10", "A" * 100_000])
def test_what_is_no_position_is_refused(stack: LocalStack, after: object) -> None:
    from customer_tickets import CustomerTickets

    with CustomerTickets(stack.url, stack.publishable_key) as tickets, pytest.raises(InvalidInput):
        tickets.live(after=after)  # type: ignore[arg-type] # what a caller may do


@pytest.mark.faults
async def test_a_position_of_another_database_ends_the_feed_in_words(
    tickets: Client, people: People
) -> None:
    from customer_tickets._live.changes import Position

    async with opened_list(tickets.live(after=Position(horizon=2**60).text())) as feed:
        event = await got(feed.next(timeout=10))
        assert isinstance(event, FeedStopped)
        assert event.reason == "ahead"


@pytest.mark.faults
async def test_every_change_arrives_through_cuts_and_slow_commits(
    opener: Opener, people: People, proxy: TcpProxy, stack: LocalStack
) -> None:
    """Changes whose transactions end in another order than they began, while the network dies."""
    tickets = await opener(people.ana, url=proxy.url)
    writer = await opener(people.ana)
    ids = [(await create(writer, people, f"Ticket {n}")).id for n in range(12)]
    done = threading.Event()

    def write(mine: list[UUID], pause: float) -> None:
        with psycopg.connect(stack.database_url) as connection:
            for ticket in mine * 3:
                connection.execute(
                    "insert into public.ticket_messages (id, ticket_id, author_id, body)"
                    " values (%s, %s, %s, 'x')",
                    [uuid4(), ticket, people.eva.id],
                )
                done.wait(pause)
                connection.commit()

    async with opened_list(tickets.live(check_every=2.0, poll_every=0.2)) as feed:
        await got(feed.next(timeout=0.1))
        writers = [
            threading.Thread(target=write, args=(ids[n::3], pause))
            for n, pause in enumerate((0.0, 0.05, 0.2))
        ]
        for thread in writers:
            thread.start()
        newest: dict[UUID, int] = {}
        cuts = 0
        while set(newest) != set(ids) or set(newest.values()) != {4}:
            ticket = await changed(feed, timeout=20)
            assert ticket.last_seq > newest.get(ticket.id, 1)
            newest[ticket.id] = ticket.last_seq
            if cuts < 3 and len(newest) > 3 * cuts:
                cuts += 1
                proxy.cut()
        for thread in writers:
            thread.join()
        assert cuts == 3
        assert await got(feed.next(timeout=0.3)) is None


@pytest.mark.faults
async def test_opening_it_without_a_network_says_so(
    opener: Opener, people: People, proxy: TcpProxy
) -> None:
    tickets = await opener(people.ana, url=proxy.url, timeout=1.0)
    proxy.refuse()
    with pytest.raises(Offline):
        async with opened_list(tickets.live()):
            pass
