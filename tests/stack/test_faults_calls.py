"""Every call that makes a request, with a server that fails: in time, typed, with its ids."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from customer_tickets import (
    AsyncCustomerTickets,
    AsyncTicketThread,
    Attachment,
    CustomerTicketsError,
    Draft,
    Offline,
    RateLimited,
    SignInRequired,
    TicketChanged,
    Unavailable,
)
from customer_tickets.devstack import LocalStack
from fix_stack import People

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

TIMEOUT = 2.0
PATHS = ("/rest/v1/", "/storage/v1/")


@dataclass
class World:
    """What the calls are about."""

    client: AsyncCustomerTickets
    thread: AsyncTicketThread
    draft: Draft
    file: Attachment
    organization: UUID
    folder: Path
    key: UUID
    timeout: float

    async def count_all(self) -> None:
        async for _ in self.client.all(search="x", sort="priority"):
            pass


Call = Callable[[World], Awaitable[object]]
READS: dict[str, Call] = {
    "drafts.list": lambda w: w.client.drafts.list(),
    "drafts.get": lambda w: w.client.drafts.get(w.draft.id),
    "page": lambda w: w.client.page(search="x", total=True),
    "all": lambda w: w.count_all(),
    "counts": lambda w: w.client.counts(),
    "export": lambda w: w.client.export(w.folder / uuid4().hex),
    "export zip": lambda w: w.client.export(w.folder / f"{uuid4().hex}.zip"),
    "read": lambda w: w.client.attachments.read(w.file),
    "save": lambda w: w.client.attachments.save(w.file, w.folder, overwrite=True),
    "link": lambda w: w.client.attachments.link(w.file),
    "links": lambda w: w.client.attachments.links([w.file]),
    "clean_up": lambda w: w.client.attachments.clean_up(),
    "older_messages": lambda w: w.thread.older_history(),
    "refresh": lambda w: w.thread.refresh(),
}
WRITES: dict[str, Call] = {
    "create": lambda w: w.client.create(
        organization=w.organization, subject="x", attachments=[b"x"], id=w.key
    ),
    "send": lambda w: w.thread.send("x", attachments=[b"x"], id=w.key),
    "rate": lambda w: w.thread.rate(5, request_id=w.key),
    "close": lambda w: w.thread.close_ticket(request_id=w.key),
    "reopen": lambda w: w.thread.reopen_ticket(request_id=w.key),
    "edit": lambda w: w.thread.edit(priority="low", request_id=w.key),
    "drafts.save": lambda w: w.client.drafts.save(subject="x", attachments=[b"x"], id=w.key),
    "drafts.submit": lambda w: w.client.drafts.submit(w.draft),
    "drafts.discard": lambda w: w.client.drafts.discard(w.draft),
}
CALLS = READS | WRITES


@pytest.fixture
async def world(
    stack: LocalStack, people: People, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[World]:
    timeout: float = getattr(request, "param", TIMEOUT)
    async with AsyncCustomerTickets(stack.url, stack.publishable_key, timeout=timeout) as client:
        await client.sign_in(people.ana.email, people.ana.password)
        ticket = await client.create(
            organization=people.organization_id, subject="x", attachments=[b"file"]
        )
        thread = await client.thread(ticket)
        draft = await client.drafts.save(subject="x", organization=people.organization_id)
        file, organization = thread.attachments[0], people.organization_id
        yield World(client, thread, draft, file, organization, tmp_path, uuid4(), timeout)


async def failed(world: World, calls: dict[str, Call]) -> dict[str, CustomerTicketsError]:
    """The error of each call, all made at once; each must come in time."""

    async def one(name: str, call: Call) -> CustomerTicketsError:
        began = time.monotonic()
        with pytest.raises(CustomerTicketsError) as caught:
            await call(world)
        spent = time.monotonic() - began
        # Two steps at most, each with the whole time, and a busy machine.
        assert spent < 2 * world.timeout + 2.0, f"{name} took {spent:.1f} s"
        return caught.value

    errors = await asyncio.gather(*(one(name, call) for name, call in calls.items()))
    return dict(zip(calls, errors, strict=True))


def assert_write_ids(world: World, errors: dict[str, CustomerTicketsError]) -> None:
    known = {world.key, world.draft.id}
    assert {name for name in WRITES if errors[name].write_id not in known} == set()


# Long enough for all attempts: one that the end of the time cuts off has had no answer.
@pytest.mark.parametrize("world", [10.0], indirect=True)
async def test_a_server_that_is_down(world: World, stack: LocalStack) -> None:
    for path in PATHS:
        stack.faults.answer_with(503, path, times=10_000)
    errors = await failed(world, CALLS)
    assert {name for name, error in errors.items() if type(error) is not Unavailable} == set()
    assert {name for name, error in errors.items() if not error.request_id} == set()
    assert_write_ids(world, errors)


async def test_too_many_requests(world: World, stack: LocalStack) -> None:
    for path in PATHS:
        stack.faults.answer_with(429, path, times=10_000, retry_after=3600)
    began = time.monotonic()
    errors = await failed(world, CALLS)
    assert time.monotonic() - began < TIMEOUT + 1.0, "nothing is worth waiting for"
    for name, error in errors.items():
        assert isinstance(error, RateLimited), name
        assert error.retry_after == 3600, name
        assert error.request_id, name
    assert_write_ids(world, errors)


async def test_no_answer_at_all(world: World, stack: LocalStack) -> None:
    for path in PATHS:
        stack.faults.lose_requests(path, times=10_000)
    errors = await failed(world, CALLS)
    assert {name for name, error in errors.items() if not isinstance(error, Offline)} == set()
    assert_write_ids(world, errors)


async def test_a_server_that_is_too_slow(world: World, stack: LocalStack) -> None:
    stack.faults.delay("/rest/v1/", 9.0, times=10_000)
    # The others ask storage, where a file may take as long as bytes move.
    asks_rest = {
        name: call for name, call in CALLS.items() if name not in {"read", "save", "link", "links"}
    }
    errors = await failed(world, asks_rest)
    assert {name for name, error in errors.items() if not isinstance(error, Offline)} == set()
    assert_write_ids(world, errors)


@pytest.mark.parametrize("name", CALLS)
async def test_a_token_that_ends_in_the_middle_is_replaced(
    world: World, stack: LocalStack, name: str
) -> None:
    if name in {"rate", "reopen"}:
        await world.thread.close_ticket()
    for path in PATHS:
        stack.faults.answer_with(401, path)
    await CALLS[name](world)


async def test_a_token_that_is_never_good_again(world: World, stack: LocalStack) -> None:
    for path in PATHS:
        stack.faults.answer_with(401, path, times=10_000)
    errors = await failed(world, CALLS)
    other = {
        name: repr(error) for name, error in errors.items() if not isinstance(error, SignInRequired)
    }
    assert other == {}
    assert_write_ids(world, errors)


async def test_the_lists_feed_goes_on_when_the_server_comes_back(
    world: World, stack: LocalStack
) -> None:
    async with world.client.live(check_every=0.2, poll_every=0.2) as feed:
        assert await feed.next(timeout=0.5) is None
        for status in (503, 429):
            stack.faults.answer_with(status, "/rest/v1/", times=4)
        stack.faults.lose_requests("/rest/v1/", times=2)
        await asyncio.sleep(0.5)
        stack.faults.reset()
        await world.thread.edit(subject="After all that")
        async with asyncio.timeout(15):
            while (event := await feed.next()) is not None:
                assert isinstance(event, TicketChanged)
                if event.ticket.subject == "After all that":
                    return
    raise AssertionError("the feed ended")
