"""Lists that go backwards, by cursor and by search, and that hold still while tickets change."""

import asyncio
import base64
import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from customer_tickets import (
    AsyncCustomerTickets,
    CustomerTickets,
    InvalidInput,
    Offline,
    SignInRequired,
    Ticket,
    TicketClosedError,
    UnexpectedAnswer,
)
from customer_tickets.devstack import LocalStack
from faces import Client, Office, after, before, got, next_event, opened, page_of, thread_of
from fix_stack import People
from remote_project import Stack
from stack.conftest import Opener
from stack.test_tickets import create, everything, requests

pytestmark = pytest.mark.anyio

Fill = Callable[[int], list[UUID]]


@pytest.fixture
def fill(stack: LocalStack, people: People) -> Fill:
    """Makes tickets of ana's quickly, in all states, several of one moment."""

    def make(many: int) -> list[UUID]:
        start = datetime(2026, 1, 1, tzinfo=UTC)
        ids = [uuid4() for _ in range(many)]
        with psycopg.connect(stack.database_url) as connection, connection.cursor() as cursor:
            cursor.execute("set local session_replication_role = replica")
            with cursor.copy(
                "copy public.tickets (id, user_id, subject, status, priority, handling_org_id,"
                " created_at, updated_at, last_seq, description, closed_at) from stdin"
            ) as copy:
                for n, ticket_id in enumerate(ids):
                    at = start + timedelta(minutes=n // 5)
                    closed = at if n % 3 == 2 else None
                    status = ["open", "in-progress", "closed"][n % 3]
                    priority = ["low", "medium", "high"][n % 4 % 3]
                    row = (ticket_id, people.ana.id, f"Ticket {n}", status, priority)
                    copy.write_row((*row, people.organization_id, at, at, 1, "", closed))
        return ids

    return make


async def test_a_page_says_in_short_what_it_is(tickets: Client, people: People) -> None:
    await create(tickets, people, "Not to be shown")
    page = await page_of(tickets, search="not", total=True)
    name = type(page).__name__
    assert repr(page) == f"<{name} items=1 total=1 has_next=False has_previous=False>"


async def test_a_time_without_a_zone_is_refused(tickets: Client) -> None:
    naive = datetime.now()  # noqa: DTZ005 # the point
    with pytest.raises(InvalidInput, match="updated_after: must have a time zone"):
        await page_of(tickets, updated_after=naive)


@pytest.mark.faults
@pytest.mark.parametrize("sort", ["created_at", "-created_at", "-updated_at", "priority"])
async def test_pages_lead_back_the_way_they_came(tickets: Client, fill: Fill, sort: str) -> None:
    fill(47)
    first = page = await page_of(tickets, sort=sort, size=10)
    assert not first.has_previous
    assert await before(first) is None
    pages = [first.items]
    while (following := await after(page)) is not None:
        page = following
        pages.append(page.items)
    assert [len(items) for items in pages] == [10, 10, 10, 10, 7]
    for items in reversed(pages[:-1]):
        earlier = await before(page)
        assert earlier is not None
        assert earlier.items == items
        assert earlier.has_next
        page = earlier
    assert not page.has_previous


@pytest.mark.faults
async def test_a_cursor_goes_on_where_another_client_stopped(
    tickets: Client, opener: Opener, people: People, fill: Fill
) -> None:
    fill(60)
    page = await page_of(tickets, size=10, status="open")
    assert page.next_cursor is not None
    assert page.previous_cursor is None
    elsewhere = await opener(people.ana)
    there = await page_of(elsewhere, size=5, status="open", cursor=page.next_cursor)
    here = await after(page)
    assert here is not None
    assert there.items == here.items[:5]
    assert there.previous_cursor is not None
    back = await page_of(elsewhere, size=10, status="open", cursor=there.previous_cursor)
    assert back.items == page.items


@pytest.mark.parametrize("cursor", ["", "x", "é", "e30", "W10", "A" * 5000, 5, b"e30"])
async def test_what_is_no_cursor_is_refused(tickets: Client, cursor: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        await page_of(tickets, cursor=cursor)
    assert [wrong.field for wrong in caught.value.fields] == ["cursor"]


@pytest.mark.faults
@pytest.mark.parametrize("search", [None, "ticket"])
async def test_the_total_is_that_of_the_whole_list_wherever_the_page_begins(
    tickets: Client, fill: Fill, search: str | None
) -> None:
    fill(9)
    page = await page_of(tickets, size=2, search=search, status="open", total=True)
    assert page.total == 3
    assert page.next_cursor is not None
    following = await page_of(
        tickets, size=2, search=search, status="open", total=True, cursor=page.next_cursor
    )
    assert (len(following), following.total) == (1, 3)
    assert following.previous_cursor is not None
    back = await page_of(
        tickets, size=2, search=search, status="open", total=True, cursor=following.previous_cursor
    )
    assert (back.items, back.total) == (page.items, 3)
    turned = await before(following)
    assert turned is not None
    assert turned.total == 3


async def test_a_cursor_that_was_tampered_with_is_a_place_or_refused(
    tickets: Client, people: People
) -> None:
    for _ in range(2):
        await create(tickets, people)
    cursor = (await page_of(tickets, size=1)).next_cursor
    assert cursor is not None
    place = json.loads(base64.urlsafe_b64decode(cursor + "=="))
    for at in (
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2026-01-01T00:00:00+17:00",
    ):
        text = json.dumps({**place, "at": at}).encode()
        page = await page_of(tickets, size=2, cursor=base64.urlsafe_b64encode(text).decode())
        assert len(page) == (2 if at.startswith("9999") else 0)


async def test_a_cursor_of_another_order_is_refused(tickets: Client, people: People) -> None:
    for _ in range(2):
        await create(tickets, people)
    page = await page_of(tickets, size=1)
    with pytest.raises(InvalidInput, match="sorted by -created_at"):
        await page_of(tickets, size=1, sort="priority", cursor=page.next_cursor)


async def test_lists_can_be_bounded_by_what_happened_when(tickets: Client, people: People) -> None:
    first = await create(tickets, people, "First")
    second = await create(tickets, people, "Second")
    thread = await thread_of(tickets, first)
    edited = await got(thread.edit(priority="high"))
    since = await everything(tickets, updated_after=second.updated_at)
    assert [ticket.id for ticket in since] == [first.id]
    until = await everything(tickets, updated_before=edited.updated_at)
    assert [ticket.id for ticket in until] == [second.id]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("refund", {"Refund for order 12345", "The refund"}),
        ("REFUND ORDER", {"Refund for order 12345"}),
        ("  order\trefund\n", {"Refund for order 12345"}),
        ("broken", {"Refund for order 12345"}),
        ("100%", {"100% cotton_shirt"}),
        ("%", {"100% cotton_shirt"}),
        ("n_s", {"100% cotton_shirt"}),
        ("STRASSE", set[str]()),
        ("größe", {"Größe XL"}),
        ("GRÖSSE", set[str]()),
        ("'; drop table tickets; --", set[str]()),
        ("\\", set[str]()),
        ("nothing like it", set[str]()),
        ("", {"Refund for order 12345", "The refund", "100% cotton_shirt", "Größe XL"}),
    ],
)
async def test_search_finds_every_word_in_subject_and_description(
    tickets: Client, people: People, search: str, found: set[str]
) -> None:
    await create(tickets, people, "Refund for order 12345", description="The **blue** one: broken.")
    await create(tickets, people, "The refund", description="never came")
    await create(tickets, people, "100% cotton_shirt")
    await create(tickets, people, "Größe XL")
    page = await page_of(tickets, search=search, total=True)
    assert {ticket.subject for ticket in page.items} == found
    assert page.total == len(found)


async def test_search_goes_with_filters_sorts_and_pages(tickets: Client, people: People) -> None:
    for n in range(7):
        await create(tickets, people, f"Needle {n}", priority="high" if n % 2 else "low")
    await create(tickets, people, "Hay", priority="high")
    page = await page_of(tickets, search="needle", priority="high", sort="created_at", size=2)
    assert [ticket.subject for ticket in page.items] == ["Needle 1", "Needle 3"]
    following = await after(page)
    assert following is not None
    assert [ticket.subject for ticket in following.items] == ["Needle 5"]
    assert await after(following) is None
    back = await before(following)
    assert back is not None
    assert back.items == page.items


async def test_search_is_sorted_by_what_is_not_shown(tickets: Client, people: People) -> None:
    for priority in ("low", "high", "medium"):
        await create(tickets, people, "Needle", priority=priority)
    page = await page_of(tickets, search="needle", sort="-priority", size=2)
    following = await after(page)
    assert following is not None
    found = [ticket.priority for ticket in (*page.items, *following.items)]
    assert found == ["high", "medium", "low"]


async def test_search_finds_nothing_of_others(
    tickets: Client, opener: Opener, people: People
) -> None:
    await create(tickets, people, "Unmistakable")
    for stranger in (people.ben, people.eva):
        other = await opener(stranger)
        assert (await page_of(other, search="unmistakable")).items == ()


async def test_what_is_searched_for_is_in_no_address(
    tickets: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        caplog.clear()
        await page_of(tickets, search="secretword")
    assert requests(caplog) == 1
    assert "secretword" not in caplog.text


@pytest.mark.parametrize("search", ["a" * 201, "w " * 21, "a\x00b", "\ud800", 5])
async def test_an_impossible_search_is_refused_before_any_request(
    tickets: Client, search: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "httpx"):
        caplog.clear()
        with pytest.raises(InvalidInput) as caught:
            await page_of(tickets, search=search)
    assert [wrong.field for wrong in caught.value.fields] == ["search"]
    assert requests(caplog) == 0


def test_any_text_can_be_searched_for_and_is_found(
    blocking: CustomerTickets, people: People
) -> None:
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(text)
    def search(words: str) -> None:
        ticket = blocking.create(
            organization=people.organization_id, subject="s", description=words
        )
        assert ticket.description == words
        found = blocking.page(search=words, size=100).items
        assert ticket.id in {one.id for one in found}

    search()


@pytest.fixture
def blocking(stack: LocalStack, people: People) -> Iterator[CustomerTickets]:
    with CustomerTickets(stack.url, stack.publishable_key) as client:
        client.sign_in(people.ana.email, people.ana.password)
        yield client


@pytest.mark.faults
@pytest.mark.timeout(180)
@pytest.mark.parametrize("sort", ["-created_at", "-updated_at", "priority"])
def test_20_000_tickets_are_read_once_each_while_others_insert_and_update(
    stack: LocalStack, blocking: CustomerTickets, people: People, fill: Fill, sort: str
) -> None:
    at_start = set(fill(20_000))
    done = threading.Event()
    changes = 0

    def change() -> None:
        nonlocal changes
        with psycopg.connect(stack.database_url, autocommit=True) as connection:
            while not done.is_set():
                connection.execute(
                    "update public.tickets set priority = case priority when 'low' then 'high' else"
                    " 'low' end where id in (select id from public.tickets where user_id = %s and"
                    " status <> 'closed' order by md5(id::text || %s) limit 20)",
                    [people.ana.id, str(changes)],
                )
                connection.execute(
                    "insert into public.tickets (id, user_id, subject, handling_org_id)"
                    " values (%s, %s, 'New', %s)",
                    [uuid4(), people.ana.id, people.organization_id],
                )
                changes += 1

    changing = threading.Thread(target=change)
    changing.start()
    try:
        read = [ticket.id for ticket in blocking.all(sort=sort)]  # type: ignore[arg-type] # one of the sorts
    finally:
        done.set()
        changing.join()
    assert changes > 10
    assert len(read) == len(set(read))
    assert at_start <= set(read)


async def test_nothing_is_kept_unless_it_is_asked_for(
    tickets: Client, opener: Opener, people: People
) -> None:
    await page_of(tickets)
    await create(await opener(people.ana), people, "Elsewhere")
    assert [ticket.subject for ticket in (await page_of(tickets)).items] == ["Elsewhere"]


async def test_pages_are_kept_until_an_own_write_changes_them(
    opener: Opener, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    tickets = await opener(people.ana, cache=60.0)
    ticket = await create(tickets, people, "One")
    with caplog.at_level(logging.INFO, "httpx"):
        caplog.clear()
        pages = [await page_of(tickets) for _ in range(3)]
        counts = [await got(tickets.counts()) for _ in range(3)]
        threads = [await thread_of(tickets, ticket) for _ in range(3)]
        assert requests(caplog) == 3
    assert pages[0].items == pages[2].items == (ticket,)
    assert counts[2].open == 1
    await got(threads[0].send("Two"))
    assert (await page_of(tickets)).items[0].last_seq == 2
    assert [message.body for message in (await thread_of(tickets, ticket)).messages] == ["Two"]
    await got(threads[0].close_ticket())
    assert (await got(tickets.counts())).closed == 1
    assert len((await page_of(tickets)).items) == 1
    await create(tickets, people, "Three")
    assert len((await page_of(tickets)).items) == 2


@pytest.mark.faults
async def test_a_write_without_an_answer_may_have_changed_what_is_kept(
    opener: Opener, people: People, stack: LocalStack, office: Office
) -> None:
    tickets = await opener(people.ana, cache=60.0, timeout=3.0)
    ticket = await create(tickets, people, "One")
    office.answer(ticket.id, "Hello")
    thread = await thread_of(tickets, ticket)
    assert len((await page_of(tickets)).items) == (await got(tickets.counts())).unread == 1
    stack.faults.lose_answers("/rest/v1/rpc/create_ticket", times=100)
    with pytest.raises(Offline):
        await create(tickets, people, "Two")
    assert len((await page_of(tickets)).items) == (await got(tickets.counts())).open == 2
    stack.faults.lose_answers("/rest/v1/rpc/mark_ticket_read", times=100)
    with pytest.raises(Offline):
        await got(thread.mark_read())
    assert not any(one.unread for one in (await page_of(tickets)).items)
    assert (await got(tickets.counts())).unread == 0


@pytest.mark.faults
async def test_a_write_with_an_answer_that_means_nothing_may_have_arrived_too(
    opener: Opener, people: People, stack: LocalStack
) -> None:
    tickets, elsewhere = await opener(people.ana, cache=60.0), await opener(people.ana)
    assert (await page_of(tickets)).items == ()
    key = (await create(elsewhere, people)).id
    stack.faults.answer_with(200, "/rest/v1/rpc/create_ticket")
    with pytest.raises(UnexpectedAnswer) as caught:
        await create(tickets, people, id=key)
    assert caught.value.write_id == key
    assert [ticket.id for ticket in (await page_of(tickets)).items] == [key]


async def test_what_is_kept_is_nobody_elses_from_the_moment_that_somebody_else_is_here(
    stack: Stack, people: People
) -> None:
    async with AsyncCustomerTickets(stack.url, stack.publishable_key, cache=60.0) as tickets:
        await tickets.sign_in(people.ana.email, people.ana.password)
        await tickets.create(organization=people.organization_id, subject="Ana's own")
        anas = await tickets.page()
        signing_in = asyncio.create_task(tickets.sign_in(people.ben.email, people.ben.password))
        while tickets.user.id == people.ana.id:
            assert (await tickets.page()).items == anas.items  # kept: no request, no waiting
            await asyncio.sleep(0)
        assert (await tickets.page()).items == ()
        await signing_in


async def test_a_refusal_shows_that_what_is_kept_is_old(
    opener: Opener, people: People, office: Office
) -> None:
    tickets = await opener(people.ana, cache=60.0)
    ticket = await create(tickets, people)
    assert (await page_of(tickets)).items[0].status == "open"
    office.set_status(ticket.id, "closed")
    with pytest.raises(TicketClosedError):
        await got((await thread_of(tickets, ticket)).send("Hello?"))
    assert (await page_of(tickets)).items[0].status == "closed"
    assert not (await thread_of(tickets, ticket)).can.reply


async def test_a_live_event_drops_what_it_changes(
    opener: Opener, people: People, office: Office
) -> None:
    tickets = await opener(people.ana, cache=60.0)
    ticket: Ticket = await create(tickets, people)
    other = await create(tickets, people, "Other")
    thread = await thread_of(tickets, ticket)
    assert not any(one.unread for one in (await page_of(tickets)).items)
    kept = await thread_of(tickets, other)
    async with opened(thread.live()) as feed:
        office.answer(ticket.id, "Hello")
        await next_event(feed)
    assert [one.unread for one in (await page_of(tickets, sort="created_at")).items] == [
        True,
        False,
    ]
    assert (await thread_of(tickets, other)).history[0] is kept.history[0]


async def test_what_was_kept_is_gone_with_the_user(opener: Opener, people: People) -> None:
    tickets = await opener(people.ana, cache=60.0)
    await create(tickets, people)
    assert len((await page_of(tickets)).items) == 1
    await got(tickets.sign_out())
    await got(tickets.sign_in(people.ben.email, people.ben.password))
    assert (await page_of(tickets)).items == ()


@pytest.mark.parametrize("sort", ["-created_at", "priority"])
async def test_a_list_that_was_begun_goes_on_for_nobody_else(
    opener: Opener, people: People, fill: Fill, sort: str
) -> None:
    fill(101)
    tickets = await opener(people.ana)
    page = await page_of(tickets, size=1, sort=sort)
    every: Any = tickets.all(sort=sort)  # type: ignore[arg-type] # checked at run time
    blocking = isinstance(tickets, CustomerTickets)
    first = next(every) if blocking else await anext(every)
    assert first.user_id == people.ana.id
    await got(tickets.sign_in(people.ben.email, people.ben.password))
    with pytest.raises(SignInRequired, match="Somebody else"):
        await after(page)
    with pytest.raises(SignInRequired, match="Somebody else"):
        _ = list(every) if blocking else [one async for one in every]
