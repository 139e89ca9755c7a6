"""A thread can be held to what the server has."""

from uuid import UUID

import psycopg
import pytest

from customer_tickets import AsyncCustomerTickets, MessageAdded
from customer_tickets._connection import Connection
from customer_tickets._resources import history
from customer_tickets.devstack import LocalStack
from faces import Client, Office, got, next_event, opened, thread_of
from fix_stack import People
from remote_project import Stack
from stack.test_tickets import create

pytestmark = pytest.mark.anyio


async def test_what_is_shown_is_what_the_server_has(
    tickets: Client, people: People, office: Office
) -> None:
    thread = await thread_of(tickets, await create(tickets, people))
    await got(thread.send("One"))
    office.answer(thread.ticket.id, "Two")
    await got(thread.edit(priority="high"))
    await got(thread.close_ticket())
    checked = await got(thread.verify())
    assert checked
    assert (checked.first_seq, checked.last_seq) == (1, 5)


@pytest.mark.parametrize("messages_first", [True, False])
async def test_older_history_is_what_a_live_reader_got(
    tickets: Client, people: People, office: Office, messages_first: bool
) -> None:
    ticket = await create(tickets, people)
    for number in range(120):
        office.answer(ticket.id, f"Message {number}")
    thread = await thread_of(tickets, ticket)
    if messages_first:
        await got(thread.older_messages(40))
    while await got(thread.older_history(30)):
        assert await got(thread.verify())
    assert all(isinstance(event, MessageAdded) for event in thread.history[1:])
    assert [message.body for message in thread.messages] == [f"Message {n}" for n in range(120)]
    checked = await got(thread.verify())
    assert checked, checked
    assert (checked.first_seq, checked.last_seq) == (1, 121)
    async with opened(thread.live(0)) as feed:
        live = [await next_event(feed) for _ in range(121)]
    assert list(thread.history) == live


async def test_what_is_shown_later_than_it_was_read_differs_in_nothing(
    stack: Stack, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as client:
        await client.sign_in(people.ana.email, people.ana.password)
        thread = await client.thread(
            await client.create(organization=people.organization_id, subject="x")
        )
        ask = history.events_after

        async def slow(connection: Connection, ticket: UUID, seq: int) -> history.Newer:
            answer = await ask(connection, ticket, seq)
            await thread.send("Shown while the answer is on its way")
            return answer

        monkeypatch.setattr(history, "events_after", slow)
        checked = await thread.verify()
        assert checked, checked
        assert (checked.last_seq, thread.ticket.last_seq) == (1, 2)


@pytest.mark.faults
async def test_what_is_shown_otherwise_is_found(
    tickets: Client, people: People, stack: LocalStack
) -> None:
    thread = await thread_of(tickets, await create(tickets, people))
    for text in ("One", "Two", "Three"):
        await got(thread.send(text))
    with psycopg.connect(stack.database_url) as connection:
        connection.execute(
            "update public.ticket_messages set body = 'Forged' where ticket_id = %s and seq = 3",
            [thread.ticket.id],
        )
        connection.execute(
            "delete from public.ticket_events where ticket_id = %s and seq = 4", [thread.ticket.id]
        )
    checked = await got(thread.verify())
    assert not checked
    assert checked.differing == (3, 4)
