"""Create, list and count tickets, over HTTP, in both faces."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from customer_tickets import (
    AsyncCustomerTickets,
    Conflict,
    InvalidInput,
    NotFound,
    SignInRequired,
    Ticket,
)
from customer_tickets.devstack import LocalStack
from faces import Client, Office, after, got, page_of, thread_of
from fix_stack import People
from stack.conftest import Opener

pytestmark = pytest.mark.anyio


def requests(caplog: pytest.LogCaptureFixture) -> int:
    """How many requests went out since the log was cleared, counted by httpx itself."""
    return sum(record.name == "httpx" for record in caplog.records)


async def create(tickets: Client, people: People, subject: str = "Help", **more: object) -> Ticket:
    return await got(
        tickets.create(organization=people.organization_id, subject=subject, **more)  # type: ignore[arg-type] # checked by the library at run time
    )


async def everything(tickets: Client, **query: object) -> list[Ticket]:
    found = tickets.all(**query)  # type: ignore[arg-type] # as above
    if isinstance(tickets, AsyncCustomerTickets):
        return [ticket async for ticket in found]  # type: ignore[union-attr] # its own face's iterator
    return list(found)  # type: ignore[arg-type] # as above


async def test_a_ticket_is_created_in_one_request(
    tickets: Client, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "httpx"):
        caplog.clear()
        ticket = await create(tickets, people, "  Refund 🎁  ", description="a\n**b**")
    assert requests(caplog) == 1
    assert (ticket.subject, ticket.description) == ("Refund 🎁", "a\n**b**")
    assert (ticket.status, ticket.priority, ticket.last_seq) == ("open", "medium", 1)
    assert ticket.user_id == people.ana.id
    assert not ticket.unread


async def test_wrong_input_names_every_field_and_makes_no_request(
    tickets: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "httpx")
    caplog.clear()
    with pytest.raises(InvalidInput) as caught:
        await got(
            tickets.create(organization=None, subject="x" * 201, priority="urgent")  # type: ignore[arg-type] # the point
        )
    assert [wrong.field for wrong in caught.value.fields] == ["subject", "organization", "priority"]
    assert requests(caplog) == 0


async def test_an_unknown_organization_is_named_by_the_server(tickets: Client) -> None:
    with pytest.raises(InvalidInput) as caught:
        await got(tickets.create(organization=uuid4(), subject="x"))
    assert [wrong.field for wrong in caught.value.fields] == ["organization"]
    assert caught.value.code == "TK001"
    assert caught.value.request_id


async def test_an_account_that_was_removed_has_nothing_and_is_told_so(
    tickets: Client, people: People, supabase_database: psycopg.Connection[Any]
) -> None:
    supabase_database.execute("delete from auth.users where id = %s", [people.ana.id])
    assert len(await page_of(tickets)) == 0
    writes: list[Callable[[], Any]] = [
        lambda: create(tickets, people),
        lambda: create(tickets, people, attachments=[b"one"]),
        lambda: got(tickets.drafts.save(subject="x")),
    ]
    for write in writes:
        with pytest.raises(NotFound, match="Was the account"):
            await write()


async def test_repeating_with_the_same_id_returns_the_same_ticket(
    tickets: Client, people: People
) -> None:
    key = uuid4()
    first = await create(tickets, people, "Once", id=key)
    assert await create(tickets, people, "Once", id=key) == first
    with pytest.raises(Conflict):
        await create(tickets, people, "Something else", id=key)
    assert len(await everything(tickets)) == 1


async def test_an_id_of_somebody_else_is_a_conflict_that_says_no_more(
    opener: Opener, people: People
) -> None:
    ticket = await create(await opener(people.ana), people)
    ben = await opener(people.ben)
    with pytest.raises(Conflict) as caught:
        await create(ben, people, id=ticket.id)
    assert "Help" not in str(caught.value)
    assert await everything(ben) == []


async def test_nobody_signed_in_is_an_error_before_any_request(
    opener: Opener, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    client = await opener()
    with caplog.at_level(logging.INFO, "httpx"):
        for call in (
            lambda: client.counts(),
            lambda: client.page(),
            lambda: client.thread(uuid4()),
            lambda: client.organizations.list(),
            lambda: client.create(organization=people.organization_id, subject="x"),
        ):
            with pytest.raises(SignInRequired, match="Nobody is signed in"):
                await got(call())
    assert requests(caplog) == 0


async def test_strangers_see_nothing(opener: Opener, people: People) -> None:
    ticket = await create(await opener(people.ana), people)
    ben = await opener(people.ben)
    assert await everything(ben) == []
    with pytest.raises(NotFound) as hidden:
        await thread_of(ben, ticket)
    with pytest.raises(NotFound) as absent:
        await thread_of(ben, uuid4())
    assert hidden.value.message == absent.value.message
    assert hidden.value.code == absent.value.code


async def test_organizations_are_found_by_name_and_id(tickets: Client, people: People) -> None:
    acme = await got(tickets.organizations.named(people.organization_name.upper()))
    assert acme.id == people.organization_id
    assert acme.reopen_window_seconds == 14 * 24 * 3600
    assert await got(tickets.organizations.get(str(acme.id))) == acme
    assert await got(tickets.organizations.get(acme)) == acme  # as every other method takes it
    with pytest.raises(NotFound):
        await got(tickets.organizations.named("Nobody & Sons"))


async def test_an_organizations_id_is_one_however_it_is_written(
    tickets: Client, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = people.organization_id
    for written in (wanted, str(wanted).upper(), wanted.hex, wanted.urn):
        assert (await got(tickets.organizations.get(written))).id == wanted
    with caplog.at_level(logging.INFO, "httpx"):
        caplog.clear()
        with pytest.raises(InvalidInput) as caught:
            await got(tickets.organizations.get("no id"))
        assert caught.value.fields[0].field == "id"
        assert requests(caplog) == 0


async def test_of_two_names_that_differ_in_case_each_is_found_by_its_own(
    tickets: Client, supabase_database: psycopg.Connection[Any]
) -> None:
    mark = uuid4().hex
    names = [f"{mark} Acme", f"{mark} ACME", f"{mark} acme"]
    with supabase_database.cursor() as cursor:
        cursor.executemany(
            "insert into public.organizations (name) values (%s)", [[n] for n in names]
        )
    try:
        for name in names:
            assert (await got(tickets.organizations.named(name))).name == name
        assert (await got(tickets.organizations.named(f"{mark} aCME"))).name in names
    finally:
        supabase_database.execute("delete from public.organizations where name = any(%s)", [names])


async def test_more_organizations_than_one_answer_holds_are_all_there(
    tickets: Client, stack: LocalStack
) -> None:
    mark = uuid4().hex
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(
            "insert into public.organizations (name)"
            " select %s || ' ' || n from generate_series(1, 1100) n",
            [mark],
        )
        try:
            every = await got(tickets.organizations.list())
            assert sum(one.name.startswith(mark) for one in every) == 1100
            assert len({one.id for one in every}) == len(every)
            assert (await got(tickets.organizations.named(f"{mark} 1100"))).name.endswith("1100")
        finally:
            connection.execute("delete from public.organizations where name like %s", [f"{mark}%"])


@pytest.fixture
def crowd(stack: LocalStack, people: People) -> list[UUID]:
    """47 tickets of ana, several of them of the same moment."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        (
            uuid4(),
            people.ana.id,
            f"Ticket {n}",
            ["open", "in-progress", "closed"][n % 3],
            ["low", "medium", "high"][n % 4 % 3],
            people.organization_id,
            start + timedelta(minutes=n // 5),
        )
        for n in range(47)
    ]
    with psycopg.connect(stack.database_url) as connection:
        connection.execute("set local session_replication_role = replica")
        connection.cursor().executemany(
            "insert into public.tickets (id, user_id, subject, status, priority, handling_org_id,"
            " created_at, updated_at, last_seq, description, closed_at)"
            " values (%s, %s, %s, %s, %s, %s, %s, now(), 1, '',"
            " case %s when 'closed' then now() end)",
            [(*row, row[3]) for row in rows],
        )
    return [row[0] for row in rows]


@pytest.mark.parametrize(
    "sort", ["created_at", "-created_at", "updated_at", "-updated_at", "priority", "-priority"]
)
async def test_pages_show_every_ticket_once_in_every_order(
    tickets: Client, crowd: list[UUID], sort: str
) -> None:
    page = await page_of(tickets, sort=sort, size=10, total=True)
    assert page.total == 47
    seen = list(page.items)
    sizes = [len(page.items)]
    while (following := await after(page)) is not None:
        page = following
        seen += page.items
        sizes.append(len(page.items))
    assert sizes == [10, 10, 10, 10, 7]
    assert sorted(ticket.id for ticket in seen) == sorted(crowd)
    assert seen == await everything(tickets, sort=sort)
    ranks = {"low": 1, "medium": 2, "high": 3}
    name = sort.removeprefix("-")
    keys = [ranks[t.priority] if name == "priority" else getattr(t, name) for t in seen]
    assert keys == sorted(keys, reverse=sort.startswith("-"))


async def test_a_page_does_not_shift_when_tickets_are_created_meanwhile(
    tickets: Client, people: People, crowd: list[UUID]
) -> None:
    page = await page_of(tickets, size=20)
    await create(tickets, people, "Newer than all")
    following = await after(page)
    assert following is not None
    shown = {t.id for t in page.items} | {t.id for t in following.items}
    assert len(shown) == 40
    assert shown <= set(crowd)


async def test_filters_combine(tickets: Client, people: People, crowd: list[UUID]) -> None:
    every = await everything(tickets)
    chosen = await everything(
        tickets,
        status=["open", "closed"],
        priority="high",
        organization=people.organization_id,
        created_after=datetime(2026, 1, 1, 0, 2, tzinfo=UTC),
        created_before=datetime(2026, 1, 1, 0, 8, tzinfo=UTC),
    )
    expected = [
        ticket
        for ticket in every
        if ticket.status in {"open", "closed"}
        and ticket.priority == "high"
        and 2 < ticket.created_at.minute < 8
    ]
    assert 0 < len(expected) < len(every)
    assert chosen == expected
    assert await everything(tickets, organization=uuid4()) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"status": "resolved"}, "status"),
        ({"priority": ["low", "urgent"]}, "priority"),
        ({"sort": "subject"}, "sort"),
        ({"size": 0}, "size"),
        ({"size": 101}, "size"),
        ({"created_after": datetime(2026, 1, 1)}, "created_after"),  # noqa: DTZ001 - the point
        ({"organization": "Acme); drop table tickets"}, "organization"),
    ],
)
async def test_wrong_filters_are_named(
    tickets: Client, query: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await page_of(tickets, **query)
    assert [wrong.field for wrong in caught.value.fields] == [field]


async def test_counts_and_unread_follow_what_others_write(
    tickets: Client, people: People, office: Office
) -> None:
    ticket = await create(tickets, people)
    await create(tickets, people)
    office.set_status(ticket.id, "in-progress")
    counts = await got(tickets.counts())
    assert (counts.open, counts.in_progress, counts.closed, counts.unread) == (1, 1, 0, 1)
    assert [t.unread for t in await everything(tickets, sort="created_at")] == [True, False]
    thread = await thread_of(tickets, ticket)
    await got(thread.mark_read())
    assert not thread.ticket.unread
    await got(thread.send("Mine does not count"))
    assert (await got(tickets.counts())).unread == 0
    office.answer(ticket.id, "An internal note does not either", internal=True)
    assert (await got(tickets.counts())).unread == 0
