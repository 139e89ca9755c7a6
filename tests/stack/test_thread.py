"""Read and write in a thread, over HTTP, in both faces; each write happens once."""

import asyncio
import logging
from collections.abc import Callable
from uuid import UUID, uuid4

import psycopg
import pytest

from customer_tickets import (
    AsyncCustomerTickets,
    Conflict,
    InvalidInput,
    Message,
    MessageAdded,
    NotFound,
    Offline,
    ReopenWindowOver,
    Ticket,
    TicketClosed,
    TicketClosedError,
    TicketEdited,
    TicketNotClosed,
)
from customer_tickets._connection import Connection
from customer_tickets._resources import threads
from customer_tickets._view import ThreadAnswer
from customer_tickets.devstack import LocalStack
from faces import Client, Office, Thread, got, thread_of
from fix_stack import People
from remote_project import Stack
from stack.conftest import Opener
from tcp_proxy import TcpProxy

pytestmark = pytest.mark.anyio


@pytest.fixture
async def ticket(tickets: Client, people: People) -> Ticket:
    return await got(tickets.create(organization=people.organization_id, subject="Help"))


@pytest.fixture
async def thread(tickets: Client, ticket: Ticket) -> Thread:
    return await thread_of(tickets, ticket)


def one_value(stack: LocalStack, query: str, *arguments: object) -> object:
    with psycopg.connect(stack.database_url) as connection:
        row = connection.execute(query.encode(), arguments).fetchone()
    assert row is not None
    return row[0]


async def test_a_ticket_with_50_messages_opens_in_one_request_and_older_ones_follow(
    tickets: Client, ticket: Ticket, office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(60):
        office.answer(ticket.id, f"Message {number}")
    with caplog.at_level(logging.INFO, "httpx"):
        caplog.clear()
        thread = await thread_of(tickets, str(ticket.id))
        assert len(caplog.records) == 1
    assert [m.body for m in thread.messages] == [f"Message {n}" for n in range(10, 60)]
    assert [e.seq for e in thread.history] == list(range(12, 62))
    assert all(isinstance(e, MessageAdded) and e.message.body for e in thread.history)
    assert await got(thread.older_messages(4)) is True
    assert await got(thread.older_messages()) is False
    assert [m.body for m in thread.messages] == [f"Message {n}" for n in range(60)]
    assert await got(thread.older_history()) is False
    assert [e.seq for e in thread.history] == list(range(1, 62))
    assert await got(thread.older_history()) is False


async def test_a_message_is_sent_in_one_request_and_shown(
    thread: Thread, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    text = '\'; drop table tickets; -- <b>é</b> 日本 👩‍👩‍👧 \\ "%s" {}\r\n\ttail '
    with caplog.at_level(logging.INFO, "httpx"):
        caplog.clear()
        message = await got(thread.send(text))
        assert len(caplog.records) == 1
    assert message.body == text
    assert (message.seq, message.author_role, message.author_name) == (2, "customer", "Ana")
    assert list(thread.messages) == [message]
    assert [e.kind for e in thread.history] == ["created", "message"]
    reply = await got(thread.send("And a reply", reply_to=message))
    assert reply.reply_to == message.id
    await got(thread.refresh())
    assert list(thread.messages) == [message, reply]


async def test_what_others_wrote_just_before_is_shown_too(thread: Thread, office: Office) -> None:
    office.answer(thread.ticket.id, "First")
    await got(thread.send("Second"))
    assert [m.body for m in thread.messages] == ["First", "Second"]
    assert [e.seq for e in thread.history] == [1, 2, 3]


@pytest.mark.parametrize("text", ["", "  \n", "x" * 20_001, "nul\x00", "\udc80", None, 5])
async def test_a_bad_message_is_refused_before_any_request(
    thread: Thread, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    caplog.set_level(logging.INFO, "httpx")
    caplog.clear()
    with pytest.raises(InvalidInput, match="text: "):
        await got(thread.send(text))
    assert caplog.records == []


async def test_who_handles_the_ticket_comes_with_the_thread(
    thread: Thread, tickets: Client, people: People
) -> None:
    assert thread.organization == await got(tickets.organizations.get(people.organization_id))


async def test_closing_is_explained_and_can_be_undone(thread: Thread) -> None:
    assert thread.can.close
    assert not thread.can.reopen
    assert thread.can.reopen.reason == "not_closed"
    closed = await got(thread.close_ticket("solved"))
    assert (closed.status, closed.close_reason) == ("closed", "solved")
    assert isinstance(thread.history[-1], TicketClosed)
    assert thread.can.reply.reason == "closed"
    assert thread.can.reopen.until is not None
    for attempt in (
        lambda: thread.send("x"),
        lambda: thread.close_ticket(),
        lambda: thread.edit(subject="x"),
    ):
        with pytest.raises(TicketClosedError):
            await got(attempt())
    assert (await got(thread.reopen_ticket())).status == "open"
    assert thread.can.reply
    with pytest.raises(TicketNotClosed):
        await got(thread.reopen_ticket())
    assert [e.kind for e in thread.history] == ["created", "closed", "reopened"]


async def test_after_the_window_a_ticket_stays_closed(
    thread: Thread, stack: LocalStack, people: People
) -> None:
    await got(thread.close_ticket())
    with psycopg.connect(stack.database_url) as connection:
        connection.execute(
            "update public.organizations set reopen_window = '0 seconds' where id = %s",
            [people.organization_id],
        )
    with pytest.raises(ReopenWindowOver) as caught:
        await got(thread.reopen_ticket())
    assert caught.value.ended_at is not None
    await got(thread.refresh())
    assert thread.can.reopen.reason == "window_over"
    assert thread.can.reopen.until == caught.value.ended_at


async def test_an_edit_changes_what_is_given_and_is_remembered(thread: Thread) -> None:
    edited = await got(thread.edit(subject="Better", priority="high"))
    assert (edited.subject, edited.priority, edited.description) == ("Better", "high", "")
    event = thread.history[-1]
    assert isinstance(event, TicketEdited)
    assert set(event.fields) == {"subject", "priority"}
    assert (event.before["subject"], event.after["subject"]) == ("Help", "Better")
    assert (await got(thread.edit(subject="Better"))).last_seq == edited.last_seq
    with pytest.raises(InvalidInput) as caught:
        await got(thread.edit(subject=" ", priority="urgent"))  # type: ignore[arg-type] # the point
    assert {wrong.field for wrong in caught.value.fields} == {"subject", "priority"}


async def test_a_repeated_edit_does_not_undo_what_others_changed_since(
    thread: Thread, office: Office
) -> None:
    key = uuid4()
    await got(thread.edit(subject="Mine", request_id=key))
    office.call("edit_ticket", ticket_id=str(thread.ticket.id), subject="Theirs").raise_for_status()
    again = await got(thread.edit(subject="Mine", request_id=key))
    assert (again.subject, again.last_seq) == ("Theirs", 3)
    await got(thread.close_ticket())
    assert (await got(thread.edit(subject="Mine", request_id=key))).status == "closed"
    with pytest.raises(Conflict):
        await got(thread.edit(subject="Something else", request_id=key))


async def test_a_hole_in_the_table_does_not_make_a_write_fail_or_hang(
    thread: Thread, office: Office, stack: LocalStack
) -> None:
    office.answer(thread.ticket.id, "2")
    with psycopg.connect(stack.database_url) as connection:
        connection.execute(
            "delete from public.ticket_events where ticket_id = %s and seq = 2",
            [thread.ticket.id],
        )
    assert (await asyncio.wait_for(asyncio.ensure_future(_sent(thread)), 5)).seq == 3


async def _sent(thread: Thread) -> Message:
    return await got(thread.send("3"))


async def test_an_employees_own_ticket_opens_without_its_notes(
    opener: Opener, people: People, office: Office
) -> None:
    eva = await opener(people.eva)
    ticket = await got(eva.create(organization=people.organization_id, subject="My own"))
    office.answer(ticket.id, "A note", internal=True)
    office.answer(ticket.id, "An answer")
    thread = await thread_of(eva, ticket)
    assert [m.body for m in thread.messages] == ["An answer"]
    await got(thread.refresh())
    assert await got(thread.older_messages()) is False


@pytest.mark.parametrize("size", [0, -1, 501])
async def test_a_page_of_older_things_has_a_size(thread: Thread, size: int) -> None:
    with pytest.raises(InvalidInput, match="size: must be 1 to 500"):
        await got(thread.older_messages(size))
    with pytest.raises(InvalidInput, match="size: must be 1 to 500"):
        await got(thread.older_history(size))


async def test_internal_notes_are_nowhere(thread: Thread, office: Office, tickets: Client) -> None:
    office.answer(thread.ticket.id, "Secret between us", internal=True)
    office.answer(thread.ticket.id, "Hello")
    await got(thread.refresh())
    assert [m.body for m in thread.messages] == ["Hello"]
    assert [e.seq for e in thread.history] == [1, 2]
    assert thread.ticket.last_seq == 2


async def test_a_thread_that_is_gone_is_not_found(
    opener: Opener, thread: Thread, people: People
) -> None:
    ben = await opener(people.ben)
    with pytest.raises(NotFound):
        await thread_of(ben, thread.ticket.id)
    with pytest.raises(InvalidInput, match="ticket: must be a Ticket or its id"):
        await thread_of(ben, "1 or 1=1")


async def written_once(stack: LocalStack, ticket_id: UUID) -> list[object]:
    """How many tickets, messages and closings there are."""
    return [
        one_value(stack, "select count(*) from public.tickets where id = %s", ticket_id),
        one_value(
            stack, "select count(*) from public.ticket_messages where ticket_id = %s", ticket_id
        ),
        one_value(
            stack,
            "select count(*) from public.ticket_events where ticket_id = %s and kind = 'closed'",
            ticket_id,
        ),
    ]


@pytest.mark.faults
async def test_answers_that_are_lost_leave_one_row(
    opener: Opener, people: People, stack: LocalStack, proxy: TcpProxy
) -> None:
    client = await opener(people.ana, url=proxy.url)
    proxy.swallow_next_answer()
    ticket = await got(client.create(organization=people.organization_id, subject="Once"))
    assert proxy.swallowed.is_set()
    thread = await thread_of(client, ticket)
    proxy.swallow_next_answer()
    message = await got(thread.send("Once"))
    assert proxy.swallowed.is_set()
    proxy.swallow_next_answer()
    await got(thread.close_ticket("Once"))
    assert proxy.swallowed.is_set()
    assert await written_once(stack, ticket.id) == [1, 1, 1]
    assert (message.seq, thread.ticket.last_seq) == (2, 3)
    proxy.swallow_next_answer()
    assert (await got(thread.reopen_ticket())).last_seq == 4


@pytest.mark.faults
async def test_repeating_by_hand_with_the_errors_key_leaves_one_row(
    opener: Opener, people: People, stack: LocalStack, proxy: TcpProxy
) -> None:
    client = await opener(people.ana, url=proxy.url, timeout=1)

    async def lost(write: Callable[[], object]) -> UUID:
        # The request arrives after 0.6 s, the answer would come after 1.2: too late.
        proxy.latency = 0.6
        with pytest.raises(Offline) as caught:
            await got(write())
        await asyncio.sleep(0.5)
        proxy.heal()
        assert caught.value.write_id is not None
        return caught.value.write_id

    organization = people.organization_id
    key = await lost(lambda: client.create(organization=organization, subject="Lost"))
    ticket = await got(client.create(organization=organization, subject="Lost", id=key))
    thread = await thread_of(client, ticket)
    key = await lost(lambda: thread.send("Lost"))
    assert (await got(thread.send("Lost", id=key))).id == key
    key = await lost(lambda: thread.close_ticket("Lost"))
    assert (await got(thread.close_ticket("Lost", request_id=key))).status == "closed"
    assert await written_once(stack, ticket.id) == [1, 1, 1]
    with pytest.raises(Conflict):
        await got(thread.close_ticket("Another reason", request_id=key))


async def test_two_at_once_with_one_key_write_once(people: People, stack: LocalStack) -> None:
    key = uuid4()
    async with (
        AsyncCustomerTickets(stack.url, stack.publishable_key) as one,
        AsyncCustomerTickets(stack.url, stack.publishable_key) as two,
    ):
        for client in (one, two):
            await client.sign_in(people.ana.email, people.ana.password)
        made = await asyncio.gather(
            *(
                client.create(organization=people.organization_id, subject="Two", id=key)
                for client in (one, two)
            )
        )
        assert made[0].id == made[1].id == key
        threads = await asyncio.gather(one.thread(key), two.thread(key))
        sent = await asyncio.gather(*(thread.send("Two", id=key) for thread in threads))
        assert sent[0] == sent[1]
        await asyncio.gather(*(thread.close_ticket(request_id=key) for thread in threads))
    assert await written_once(stack, key) == [1, 1, 1]


async def test_what_was_read_while_a_refresh_was_on_its_way_stays_read(
    stack: Stack, people: People, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as client:
        await client.sign_in(people.ana.email, people.ana.password)
        ticket = await client.create(organization=people.organization_id, subject="Help")
        office.answer(ticket.id, "Hello")
        thread = await client.thread(ticket)
        ask = threads.read

        async def slow(connection: Connection, ticket: UUID) -> ThreadAnswer:
            answer = await ask(connection, ticket)
            await thread.mark_read()
            return answer

        monkeypatch.setattr(threads, "read", slow)
        await thread.refresh()
        assert not thread.ticket.unread
