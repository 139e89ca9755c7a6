"""One test for both faces: a result of the blocking one is taken, of the other awaited."""

import inspect
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx

from customer_tickets import (
    AsyncCustomerTickets,
    AsyncDraftEditor,
    AsyncTicketFeed,
    AsyncTicketListFeed,
    AsyncTicketPage,
    AsyncTicketThread,
    CustomerTickets,
    DraftEditor,
    FeedStopped,
    Ticket,
    TicketEvent,
    TicketFeed,
    TicketListFeed,
    TicketPage,
    TicketThread,
)
from customer_tickets.devstack.fixtures import StackUser
from remote_project import Stack, access_token

T = TypeVar("T")
Client = CustomerTickets | AsyncCustomerTickets
Thread = TicketThread | AsyncTicketThread
Feed = TicketFeed | AsyncTicketFeed


async def got(value: T | Awaitable[T]) -> T:
    """Return a value, or what is awaited for it."""
    return await value if inspect.isawaitable(value) else value


async def thread_of(client: Client, ticket: Ticket | UUID | str) -> Thread:
    """Open a thread of either face."""
    if isinstance(client, AsyncCustomerTickets):
        return await client.thread(ticket)
    return client.thread(ticket)


async def page_of(client: Client, **query: Any) -> TicketPage | AsyncTicketPage:
    """Read a page of either face; the arguments are checked at run time."""
    if isinstance(client, AsyncCustomerTickets):
        return await client.page(**query)
    return client.page(**query)


async def after(page: TicketPage | AsyncTicketPage) -> TicketPage | AsyncTicketPage | None:
    """Return the page after one of either face."""
    return await page.next() if isinstance(page, AsyncTicketPage) else page.next()


async def before(page: TicketPage | AsyncTicketPage) -> TicketPage | AsyncTicketPage | None:
    """Return the page before one of either face."""
    return await page.previous() if isinstance(page, AsyncTicketPage) else page.previous()


@asynccontextmanager
async def opened(feed: Feed) -> AsyncIterator[Feed]:
    """Open a feed of either face."""
    if isinstance(feed, AsyncTicketFeed):
        async with feed:
            yield feed
    else:
        with feed:
            yield feed


@asynccontextmanager
async def opened_list(
    feed: TicketListFeed | AsyncTicketListFeed,
) -> AsyncIterator[TicketListFeed | AsyncTicketListFeed]:
    """Open the list's feed of either face."""
    if isinstance(feed, AsyncTicketListFeed):
        async with feed:
            yield feed
    else:
        with feed:
            yield feed


@asynccontextmanager
async def opened_editor(
    editor: DraftEditor | AsyncDraftEditor,
) -> AsyncIterator[DraftEditor | AsyncDraftEditor]:
    """Open a draft's editor of either face."""
    if isinstance(editor, AsyncDraftEditor):
        async with editor:
            yield editor
    else:
        with editor:
            yield editor


async def closed(client: Client) -> None:
    """Close a client of either face."""
    if isinstance(client, AsyncCustomerTickets):
        await client.aclose()
    else:
        client.close()


async def next_event(feed: Feed, timeout: float = 10) -> TicketEvent:
    """Return the next event, which must come."""
    event = await got(feed.next(timeout=timeout))
    assert event is not None, f"no event within {timeout} s; the feed is {feed.state}"
    assert not isinstance(event, FeedStopped), event
    return event


async def until(feed: Feed, state: str, timeout: float = 10) -> None:
    """Read a feed that has nothing to say until it is in a state."""
    for _ in range(int(timeout / 0.02)):
        if feed.state == state:
            return
        assert await got(feed.next(timeout=0.02)) is None
    raise AssertionError(f"the feed is {feed.state}, not {state}")


class Office:
    """An employee's tools: plain requests with a token of their own."""

    def __init__(self, stack: Stack, person: StackUser) -> None:
        self._http = httpx.Client(
            base_url=f"{stack.url}/rest/v1/rpc",
            headers={
                "apikey": stack.publishable_key,
                "Authorization": f"Bearer {access_token(stack, person)}",
            },
        )

    def call(self, function: str, **arguments: object) -> httpx.Response:
        return self._http.post(f"/{function}", json=arguments)

    def answer(self, ticket_id: UUID, text: str, *, internal: bool = False) -> None:
        self.call(
            "send_message",
            id=str(uuid4()),
            ticket_id=str(ticket_id),
            body=text,
            message_type="internal" if internal else "public",
        ).raise_for_status()

    def set_status(self, ticket_id: UUID, status: str) -> None:
        self.call("set_ticket_status", ticket_id=str(ticket_id), status=status).raise_for_status()

    def close(self) -> None:
        self._http.close()
