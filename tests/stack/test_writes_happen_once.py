"""Every write: its answer lost, sent by several at once, repeated a day later. It happens once."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

import customer_tickets
from customer_tickets import (
    AsyncCustomerTickets,
    Draft,
    Feedback,
    Message,
    MessageAdded,
    Offline,
    Submitted,
    Ticket,
    TicketThread,
)
from customer_tickets.devstack import LocalStack
from faces import Client, Office, Thread, got, next_event, opened, thread_of, until
from fix_stack import People
from stack.conftest import Opener
from stack.test_tickets import create

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

Database = psycopg.Connection[Any]


@dataclass
class World:
    """Ana with one client, and what she is about to write to."""

    client: Client
    people: People
    office: Office
    key: UUID
    thread: Thread | None = None
    draft: Draft | None = None
    question: UUID | None = None

    @property
    def opened(self) -> Thread:
        assert self.thread is not None
        return self.thread

    async def as_seen_by(self, client: Client) -> "World":
        """The same, from another device."""
        thread = None if self.thread is None else await thread_of(client, self.thread.ticket.id)
        return World(client, self.people, self.office, self.key, thread, self.draft, self.question)


Prepare = Callable[[World], Awaitable[None]]


@dataclass(frozen=True)
class Write:
    """One way to write.

    Attributes:
        rpc: the function of the database that it calls.
        perform: writes; the blocking face answers, the other is awaited.
        adds: how many rows of which table there are more afterwards.
        prepare: makes what is written to.
        later: what happens on the day until it is repeated.
    """

    rpc: str
    perform: Callable[[World], Any]
    adds: dict[str, int] = field(default_factory=dict[str, int])
    prepare: Prepare | None = None
    later: Prepare | None = None


async def a_ticket(world: World) -> None:
    ticket = await create(world.client, world.people)
    world.thread = await thread_of(world.client, ticket)


async def a_closed_ticket(world: World) -> None:
    await a_ticket(world)
    await got(world.opened.close_ticket())


async def a_question(world: World) -> None:
    await a_ticket(world)
    world.office.answer(world.opened.ticket.id, "Which one?")
    await got(world.opened.refresh())
    world.question = world.opened.messages[0].id


async def a_draft(world: World) -> None:
    world.draft = await got(
        world.client.drafts.save(
            subject="Draft", organization=world.people.organization_id, attachments=[b"one"]
        )
    )


async def a_draft_of_a_reply(world: World) -> None:
    await a_ticket(world)
    world.draft = await got(
        world.client.drafts.save(ticket=world.opened.ticket, text="Reply", attachments=[b"one"])
    )


async def edited_and_closed(world: World) -> None:
    thread = world.thread or await thread_of(world.client, world.key)
    await got(thread.edit(subject="Something else"))
    await got(thread.close_ticket("done"))


async def closed(world: World) -> None:
    await got(world.opened.close_ticket())


async def reopened_and_edited(world: World) -> None:
    await got(world.opened.reopen_ticket())
    await got(world.opened.edit(priority="low"))


async def rated_otherwise(world: World) -> None:
    await got(world.opened.rate(5))


async def the_draft_closed(world: World) -> None:
    assert world.draft is not None
    await edited_and_closed(
        World(world.client, world.people, world.office, world.draft.id, world.thread)
    )


def new(world: World, **more: Any) -> Any:
    return world.client.create(
        organization=world.people.organization_id, subject="New", id=world.key, **more
    )


WRITES: dict[str, Write] = {
    "create": Write("create_ticket", new, {"tickets": 1, "events": 1}, later=edited_and_closed),
    "create with files": Write(
        "create_ticket",
        lambda w: new(w, attachments=[b"one", b"two"]),
        {"tickets": 1, "events": 1, "attachments": 2, "objects": 2},
        later=edited_and_closed,
    ),
    "create a follow-up": Write(
        "create_ticket",
        lambda w: new(w, follow_up_of=w.opened.ticket.id),
        {"tickets": 1, "events": 1},
        a_closed_ticket,
        reopened_and_edited,
    ),
    "send": Write(
        "send_message",
        lambda w: w.opened.send("Hello", id=w.key),
        {"messages": 1, "events": 1},
        a_ticket,
        edited_and_closed,
    ),
    "send with files": Write(
        "send_message",
        lambda w: w.opened.send("Look", attachments=[b"one"], id=w.key),
        {"messages": 1, "events": 1, "attachments": 1, "objects": 1},
        a_ticket,
        closed,
    ),
    "send a reply": Write(
        "send_message",
        lambda w: w.opened.send("That one", reply_to=w.question, id=w.key),
        {"messages": 1, "events": 1},
        a_question,
        closed,
    ),
    "edit": Write(
        "edit_ticket",
        lambda w: w.opened.edit(subject="Edited", request_id=w.key),
        {"events": 1},
        a_ticket,
        edited_and_closed,
    ),
    "close": Write(
        "close_ticket",
        lambda w: w.opened.close_ticket("solved", request_id=w.key),
        {"events": 1},
        a_ticket,
        reopened_and_edited,
    ),
    "reopen": Write(
        "reopen_ticket",
        lambda w: w.opened.reopen_ticket(request_id=w.key),
        {"events": 1},
        a_closed_ticket,
        edited_and_closed,
    ),
    "rate": Write(
        "rate_ticket",
        lambda w: w.opened.rate(2, "slow", request_id=w.key),
        {"events": 1, "feedback": 1},
        a_closed_ticket,
        rated_otherwise,
    ),
    "mark read": Write("mark_ticket_read", lambda w: w.opened.mark_read(), {}, a_question),
    "save a new draft": Write(
        "save_draft",
        lambda w: w.client.drafts.save(subject="Draft", id=w.key),
        {"drafts": 1},
    ),
    "save a new draft with files": Write(
        "save_draft",
        lambda w: w.client.drafts.save(subject="Draft", attachments=[b"one"], id=w.key),
        {"drafts": 1, "attachments": 1, "objects": 1},
    ),
    "save the next version": Write(
        "save_draft", lambda w: w.client.drafts.save(w.draft, subject="Next"), {}, a_draft
    ),
    "submit a ticket": Write(
        "submit_draft",
        lambda w: w.client.drafts.submit(_drafted(w)),
        {"drafts": -1, "tickets": 1, "events": 1},
        a_draft,
        the_draft_closed,
    ),
    "submit a reply": Write(
        "submit_draft",
        lambda w: w.client.drafts.submit(_drafted(w)),
        {"drafts": -1, "messages": 1, "events": 1},
        a_draft_of_a_reply,
        closed,
    ),
    "discard a draft": Write(
        "discard_draft",
        lambda w: w.client.drafts.discard(_drafted(w)),
        {"drafts": -1, "attachments": -1, "objects": -1},
        a_draft,
    ),
}
# What customers do not call: staff's own tools.
NOT_OURS = {"set_ticket_status", "assign_ticket"}


def _drafted(world: World) -> Draft:
    assert world.draft is not None
    return world.draft


TABLES = {
    "tickets": "select * from public.tickets t where t.user_id = %(me)s",
    "messages": "select m.* from public.ticket_messages m join public.tickets t on t.id ="
    " m.ticket_id where t.user_id = %(me)s",
    "events": "select e.* from public.ticket_events e join public.tickets t on t.id ="
    " e.ticket_id where t.user_id = %(me)s",
    "reads": "select * from public.ticket_reads r where r.user_id = %(me)s",
    "drafts": "select * from public.ticket_drafts d where d.user_id = %(me)s",
    "attachments": "select * from public.ticket_attachments a where a.user_id = %(me)s",
    "feedback": "select * from public.ticket_feedback f where f.user_id = %(me)s",
    "objects": "select id, name from storage.objects o where o.owner_id = %(me)s::text",
}
State = dict[str, list[str]]


def run(database: Database, query: str, people: People) -> psycopg.Cursor[Any]:
    """Run a query of this file's own making, in which `%(me)s` is ana."""
    return database.execute(query.encode(), {"me": people.ana.id})


def state(database: Database, people: People) -> State:
    """Everything that is ana's, row by row."""
    return {
        table: [
            row[0]
            for row in run(database, f"select to_jsonb(r)::text from ({rows}) r order by 1", people)
        ]
        for table, rows in TABLES.items()
    }


def added(before: State, after: State) -> dict[str, int]:
    counts = {table: len(after[table]) - len(before[table]) for table in TABLES}
    return {table: count for table, count in counts.items() if count and table != "reads"}


def essence(answer: object) -> object:
    """What is the same in both answers, whatever happened in between."""
    match answer:
        case Ticket() | Message() | Draft():
            return type(answer), answer.id
        case Submitted():
            return answer.ticket.id, answer.message and answer.message.id
        case Feedback():
            return answer.ticket_id, answer.created_at
        case bool():
            return bool  # discarding says whether it was there
        case _:
            return answer


def a_day_passes(database: Database, people: People) -> None:
    """Move every time of ana's rows a day back."""
    stamps = {
        "tickets": ("created_at", "updated_at", "closed_at", "last_message_at"),
        "ticket_messages": ("created_at",),
        "ticket_events": ("created_at",),
        "ticket_drafts": ("created_at", "updated_at"),
        "ticket_attachments": ("created_at",),
        "ticket_feedback": ("created_at", "updated_at"),
    }
    with database.transaction():
        # No trigger is to take this for a change.
        for table, columns in stamps.items():
            whose = "user_id = %(me)s"
            if table in {"ticket_messages", "ticket_events"}:
                whose = "ticket_id in (select id from public.tickets where user_id = %(me)s)"
            moved = ", ".join(f"{name} = {name} - interval '1 day'" for name in columns)
            run(database, f"alter table public.{table} disable trigger user", people)
            run(database, f"update public.{table} set {moved} where {whose}", people)
            run(database, f"alter table public.{table} enable trigger user", people)


@pytest.fixture(params=WRITES)
def write(request: pytest.FixtureRequest) -> Write:
    return WRITES[request.param]


async def begun(write: Write, client: Client, people: People, office: Office) -> World:
    world = World(client, people, office, uuid4())
    if write.prepare is not None:
        await write.prepare(world)
    return world


async def test_an_answer_that_is_lost_is_asked_for_again(
    tickets: Client, people: People, office: Office, stack: LocalStack,
    supabase_database: Database, write: Write,
) -> None:  # fmt: skip
    world = await begun(write, tickets, people, office)
    before = state(supabase_database, people)
    stack.faults.lose_answers(f"/rest/v1/rpc/{write.rpc}")
    first = await got(write.perform(world))
    assert stack.faults.requests_left() == 0
    after = state(supabase_database, people)
    assert added(before, after) == write.adds
    assert essence(await got(write.perform(world))) == essence(first)
    assert state(supabase_database, people) == after


async def test_a_write_that_failed_for_the_caller_is_repeated_with_its_id(
    opener: Opener, people: People, office: Office, stack: LocalStack,
    supabase_database: Database, write: Write,
) -> None:  # fmt: skip
    world = await begun(write, await opener(people.ana), people, office)
    before = state(supabase_database, people)
    hurried = await world.as_seen_by(await opener(people.ana, timeout=0.5))
    stack.faults.lose_answers(f"/rest/v1/rpc/{write.rpc}", times=1000)
    with pytest.raises(Offline) as caught:
        await got(write.perform(hurried))
    stack.faults.reset()
    if write.rpc != "mark_ticket_read":
        known = {world.key, world.draft and world.draft.id}
        assert caught.value.write_id in known, "whoever repeats it needs its id"
    again = await got(write.perform(await world.as_seen_by(world.client)))
    after = state(supabase_database, people)
    if write.rpc != "discard_draft":  # then the file is left to the clean-up
        assert added(before, after) == write.adds
    assert essence(await got(write.perform(world))) == essence(again)
    assert state(supabase_database, people) == after


async def test_a_message_whose_echo_came_is_not_shown_as_failed(
    opener: Opener, people: People, stack: LocalStack
) -> None:
    client = await opener(people.ana, timeout=1.5)
    thread = await thread_of(client, await create(client, people))
    async with opened(thread.live(check_every=0.2, poll_every=0.2)) as feed:
        await until(feed, "live")
        stack.faults.lose_answers("/rest/v1/rpc/send_message", times=1000)
        await got(thread.send("It did arrive", wait=False))
        event = await next_event(feed)
        assert isinstance(event, MessageAdded)
        # Longer than the client tries: by then it has given up.
        assert await got(feed.next(timeout=2.5)) is None
        stack.faults.reset()
    assert [(one.body, one.state) for one in thread.messages] == [("It did arrive", "confirmed")]


async def test_several_at_once_write_once(
    opener: Opener, people: People, office: Office, supabase_database: Database, write: Write
) -> None:
    client = await opener(people.ana)
    world = await begun(write, client, people, office)
    other = await world.as_seen_by(await opener(people.ana))
    before = state(supabase_database, people)
    at_once = [world, other, world, other]
    if isinstance(client, AsyncCustomerTickets):
        answers = await asyncio.gather(*(write.perform(one) for one in at_once))
    else:
        answers = await asyncio.gather(*(asyncio.to_thread(write.perform, one) for one in at_once))
    after = state(supabase_database, people)
    assert added(before, after) == write.adds
    assert len({essence(answer) for answer in answers}) == 1
    if write.rpc == "discard_draft":
        assert sorted(answers) == [False, False, False, True]


async def test_a_day_later_it_is_the_same_write(
    opener: Opener, people: People, office: Office, supabase_database: Database, write: Write
) -> None:
    world = await begun(write, await opener(people.ana), people, office)
    before = state(supabase_database, people)
    first = await got(write.perform(world))
    assert added(before, state(supabase_database, people)) == write.adds
    a_day_passes(supabase_database, people)
    if write.later is not None:
        await write.later(world)
    after = state(supabase_database, people)
    tomorrow = await world.as_seen_by(await opener(people.ana))
    again = await got(write.perform(tomorrow))
    if isinstance(first, Feedback):
        assert again.ticket_id == first.ticket_id
    else:
        assert essence(again) == essence(first)
    assert state(supabase_database, people) == after


def test_every_function_that_writes_is_in_the_table(supabase_database: Database) -> None:
    rows = supabase_database.execute(
        "select proname from pg_proc where pronamespace = 'public'::regnamespace"
        " and provolatile = 'v' and has_function_privilege('authenticated', oid, 'execute')"
    )
    assert {row[0] for row in rows} - NOT_OURS == {write.rpc for write in WRITES.values()}


def test_every_method_with_a_key_is_in_the_table() -> None:
    keyed = {
        f"{name}.{method}"
        for name in customer_tickets.__all__
        if inspect.isclass(found := getattr(customer_tickets, name))
        and not name.startswith("Async")
        for method, function in inspect.getmembers(found, inspect.isfunction)
        if not method.startswith("_")
        for key, parameter in inspect.signature(function).parameters.items()
        if key in {"id", "request_id"} and parameter.default is None
    }
    assert keyed == {
        "CustomerTickets.create", "Drafts.save", "TicketThread.send", "TicketThread.edit",
        "TicketThread.close_ticket", "TicketThread.reopen_ticket", "TicketThread.rate",
    }  # fmt: skip
    # The one without a key, because it never goes backwards.
    assert hasattr(TicketThread, "mark_read")
