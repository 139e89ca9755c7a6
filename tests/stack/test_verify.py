"""A thread can be held to what the server has."""

import psycopg
import pytest

from customer_tickets.devstack import LocalStack
from faces import Client, Office, got, thread_of
from fix_stack import People
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
