"""Messages are shown while they are sent, arrive once, and are never lost when they fail."""

import asyncio
import gc
import weakref
from typing import Any
from uuid import uuid4

import anyio
import psycopg
import pytest

from customer_tickets import (
    AsyncCustomerTickets,
    InvalidInput,
    MessageAdded,
    Offline,
    Progress,
    SignInRequired,
    TicketClosedError,
)
from customer_tickets._resources import messages
from customer_tickets.devstack import LocalStack
from faces import Client, Office, Thread, got, next_event, opened, thread_of
from fix_stack import People
from stack.conftest import Opener
from stack.test_tickets import create
from tcp_proxy import TcpProxy

pytestmark = pytest.mark.anyio


async def test_a_message_is_shown_as_pending_and_then_confirmed_in_its_place(
    tickets: Client, people: People
) -> None:
    thread = await thread_of(tickets, await create(tickets, people))
    await got(thread.send("First"))
    pending = await got(thread.send("Second", wait=False))
    assert (pending.state, pending.seq, pending.author_id) == ("pending", 0, people.ana.id)
    assert pending.author_name == "Ana"
    assert [message.body for message in thread.messages] == ["First", "Second"]
    await all_sent(thread)
    assert [(m.body, m.state, m.seq) for m in thread.messages] == [
        ("First", "confirmed", 2),
        ("Second", "confirmed", 3),
    ]
    assert thread.messages[-1].id == pending.id


async def all_sent(thread: Thread) -> None:
    """Wait until nothing of the thread is on its way."""
    for _ in range(1000):
        if all(message.state != "pending" for message in thread.messages):
            return
        await anyio.sleep(0.01)
    raise AssertionError(thread.messages)


async def test_messages_arrive_in_the_order_of_the_calls(tickets: Client, people: People) -> None:
    thread = await thread_of(tickets, await create(tickets, people))
    wanted = [f"Message {number}" for number in range(24)]
    for number, text in enumerate(wanted):
        # The first is slow: it has a file. The last of each eight is waited for.
        files = [b"x" * 200_000] if number == 0 else []
        await got(thread.send(text, attachments=files, wait=number % 8 == 7))
    assert [(m.body, m.seq) for m in thread.messages] == [
        (text, seq) for seq, text in enumerate(wanted, 2)
    ]


async def test_a_message_that_fails_or_is_cancelled_holds_up_none(
    stack: LocalStack, people: People
) -> None:
    def refuse(progress: object) -> None:
        raise ZeroDivisionError

    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as tickets:
        await tickets.sign_in(people.ana.email, people.ana.password)
        thread = await tickets.thread(await create(tickets, people))
        refused = await thread.send("Refused", attachments=[b"x"], progress=refuse, wait=False)
        sending = [asyncio.create_task(thread.send(f"Message {n}")) for n in range(5)]
        await asyncio.sleep(0)
        sending[1].cancel()  # before its turn
        await asyncio.sleep(0)
        assert sending[1].cancelled()
        await thread.send("Last", wait=False)
        await all_sent(thread)
        texts = [(message.body, message.state) for message in thread.messages]
        assert texts[:5] == [
            *((f"Message {n}", "confirmed") for n in (0, 2, 3, 4)),
            ("Last", "confirmed"),
        ]
        assert sorted(texts[5:]) == [("Message 1", "failed"), ("Refused", "failed")]
        failed = {message.id: message for message in thread.messages}[refused.id]
        assert isinstance(failed.error, ZeroDivisionError)


@pytest.mark.faults
async def test_what_waits_for_its_turn_is_never_sent_as_the_next_user(
    opener: Opener, people: People, stack: LocalStack
) -> None:
    tickets = await opener(people.ana)
    thread = await thread_of(tickets, await create(tickets, people))
    stack.faults.delay("/rest/v1/rpc/send_message", 1)
    for text in ("First", "Second"):
        await got(thread.send(text, wait=False))
    await anyio.sleep(0.3)
    await got(tickets.sign_out())
    await got(tickets.sign_in(people.eva.email, people.eva.password))
    await all_sent(thread)
    second = thread.messages[-1]
    assert (second.body, second.state) == ("Second", "failed")
    assert isinstance(second.error, SignInRequired)
    with pytest.raises(SignInRequired):
        await got(thread.retry(second))
    with psycopg.connect(stack.database_url) as connection:
        sent = connection.execute(
            "select author_id from public.ticket_messages where ticket_id = %s", [thread.ticket.id]
        ).fetchall()
    assert {author for (author,) in sent} <= {people.ana.id}


@pytest.mark.faults
async def test_a_failed_message_stays_with_its_error_and_can_be_retried(
    opener: Opener, people: People, proxy: TcpProxy
) -> None:
    tickets = await opener(people.ana, url=proxy.url, timeout=2.0)
    thread = await thread_of(tickets, await create(tickets, people))
    proxy.refuse()
    with pytest.raises(Offline) as caught:
        await got(thread.send("Keep me"))
    (failed,) = thread.messages
    assert (failed.body, failed.state) == ("Keep me", "failed")
    assert failed.error is caught.value
    assert caught.value.write_id == failed.id
    assert "Keep me" not in repr(failed)
    proxy.heal()
    sent = await got(thread.retry(failed))
    assert [(m.id, m.state, m.seq) for m in thread.messages] == [(failed.id, "confirmed", 2)]
    assert sent.seq == 2
    with pytest.raises(InvalidInput):
        await got(thread.retry(failed))


@pytest.mark.faults
async def test_a_retry_after_a_lost_answer_sends_nothing_twice(
    opener: Opener, people: People, proxy: TcpProxy
) -> None:
    tickets = await opener(people.ana, url=proxy.url, timeout=1.5)
    thread = await thread_of(tickets, await create(tickets, people))
    await got(thread.refresh())
    proxy.half_open()
    with pytest.raises(Offline):
        await got(thread.send("Once", wait=True))
    proxy.cut()
    proxy.heal()
    await got(thread.retry(thread.messages[-1].id))
    await got(thread.refresh())
    assert [message.body for message in thread.messages] == ["Once"]


async def test_a_refused_message_stays_until_it_is_discarded(
    tickets: Client, people: People, opener: Opener
) -> None:
    ticket = await create(tickets, people)
    thread = await thread_of(tickets, ticket)
    elsewhere = await thread_of(await opener(people.ana), ticket)
    await got(elsewhere.close_ticket())
    with pytest.raises(TicketClosedError):
        await got(thread.send("Too late"))
    (failed,) = thread.messages
    await got(thread.refresh())
    assert thread.messages == (failed,)
    await got(thread.discard(failed))
    assert not list(thread.messages)
    with pytest.raises(InvalidInput):
        await got(thread.discard(failed))


async def test_invalid_text_is_never_shown(tickets: Client, people: People) -> None:
    thread = await thread_of(tickets, await create(tickets, people))
    with pytest.raises(InvalidInput):
        await got(thread.send(" "))
    assert thread.messages == ()


async def test_the_own_echo_replaces_the_pending_message_without_a_flicker(
    opener: Opener, people: People, office: Office
) -> None:
    tickets = await opener(people.ana)
    ticket = await create(tickets, people)
    thread = await thread_of(tickets, ticket)
    async with opened(thread.live()) as feed:
        # What the office wrote is not read yet: the own message has no place beside it.
        office.answer(ticket.id, "From the office")
        sent = await got(thread.send("Mine"))
        assert sent.id in [message.id for message in thread.messages]
        events = [await next_event(feed) for _ in range(2)]
    assert [event.message.body for event in events if isinstance(event, MessageAdded)] == [
        "From the office",
        "Mine",
    ]
    assert [message.body for message in thread.messages] == ["From the office", "Mine"]
    assert all(message.state == "confirmed" for message in thread.messages)


@pytest.mark.faults
async def test_a_message_on_its_way_when_the_client_closes_ends_quietly(
    stack: LocalStack, people: People, proxy: TcpProxy
) -> None:
    async with AsyncCustomerTickets(proxy.url, stack.publishable_key) as tickets:
        await tickets.sign_in(people.ana.email, people.ana.password)
        thread = await tickets.thread(await create(tickets, people))
        proxy.half_open()
        await thread.send("Adieu", wait=False)
        await asyncio.sleep(0.05)
    assert thread.messages[-1].state == "failed"


async def test_a_cancelled_message_is_shown_as_failed_and_arrives_once_when_retried(
    stack: LocalStack, people: People
) -> None:
    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as tickets:
        await tickets.sign_in(people.ana.email, people.ana.password)
        thread = await tickets.thread(await create(tickets, people))
        sending = asyncio.create_task(thread.send("Cancelled"))
        await asyncio.sleep(0.002)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        (failed,) = thread.messages
        assert failed.state == "failed"
        await thread.retry(failed)
        await thread.refresh()
        assert [message.body for message in thread.messages] == ["Cancelled"]


@pytest.mark.faults
async def test_a_message_that_the_server_has_confirmed_is_not_failed_by_a_cancellation(
    stack: LocalStack, people: People, office: Office
) -> None:
    """What others did just before is still being read: until then it has no place."""
    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as client:
        await client.sign_in(people.ana.email, people.ana.password)
        thread = await client.thread(await create(client, people))
        office.answer(thread.ticket.id, "Just before")
        stack.faults.delay("/rest/v1/rpc/ticket_events_after", 1.9)
        sending = asyncio.create_task(thread.send("Mine"))
        for _ in range(5000):
            await asyncio.sleep(0.001)
            if [message.state for message in thread.messages] == ["confirmed"]:
                break
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert [(m.body, m.state) for m in thread.messages] == [("Mine", "confirmed")]
        async with thread.live() as feed:
            assert [(await next_event(feed)).seq for _ in range(2)] == [2, 3]
        assert [m.body for m in thread.messages] == ["Just before", "Mine"]


async def test_what_it_takes_to_send_again_goes_when_a_message_turns_out_to_have_arrived(
    stack: LocalStack, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files, for example, which may be large."""

    class Bar:
        def __call__(self, progress: Progress) -> None: ...

    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as client:
        await client.sign_in(people.ana.email, people.ana.password)
        thread = await client.thread(await create(client, people))
        bar = Bar()
        held = weakref.ref(bar)
        send = messages.send

        async def unanswered(*sent: Any) -> None:
            await send(*sent)
            raise Offline("No answer came.")

        with monkeypatch.context() as patched:
            patched.setattr(messages, "send", unanswered)
            with pytest.raises(Offline):
                await thread.send("Arrived", progress=bar)
        del bar
        gc.collect()
        assert held() is not None
        await thread.refresh()
        await thread.send("Another")
        gc.collect()
        assert held() is None


async def test_many_at_once_arrive_once_each(stack: LocalStack, people: People) -> None:
    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as tickets:
        await tickets.sign_in(people.ana.email, people.ana.password)
        thread = await tickets.thread(await create(tickets, people))
        same = uuid4()
        await asyncio.gather(
            *(thread.send(f"Message {n}") for n in range(20)),
            *(thread.send("The same", id=same) for _ in range(5)),
        )
        bodies = [message.body for message in thread.messages]
        assert sorted(bodies) == sorted([*(f"Message {n}" for n in range(20)), "The same"])
        assert [message.seq for message in thread.messages] == list(range(2, 23))
