"""The blocking face. Written by scripts/write_sync.py from the async one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar
from uuid import UUID

from ._client import AsyncCustomerTickets
from ._events import TicketEvent
from ._models import (
    Counts,
    Message,
    Organization,
    Permissions,
    Priority,
    SortKey,
    Status,
    Ticket,
    User,
)
from ._portal import Portal
from ._resources.organizations import AsyncOrganizations
from ._resources.tickets import AsyncTicketPage
from ._sync_feed import TicketFeed
from ._thread import AsyncTicketThread

_T = TypeVar("_T")


def _iterate(portal: Portal, items: AsyncIterator[_T]) -> Iterator[_T]:
    async def step() -> tuple[_T] | None:
        try:
            return (await anext(items),)
        except StopAsyncIteration:
            return None

    while (item := portal.run(step)) is not None:
        yield item[0]


class Organizations:
    """The organizations that handle tickets, kept for five minutes after they were read."""

    def __init__(self, portal: Portal, inner: AsyncOrganizations) -> None:
        self._portal = portal
        self._async = inner

    def list(self, *, refresh: bool = False) -> tuple[Organization, ...]:
        """Return all organizations, by name; `refresh` asks the server even when they are kept.

        Raises:
            SignInRequired: nobody is signed in.
        """
        return self._portal.run(self._async.list, refresh=refresh)

    def get(self, id: UUID | str) -> Organization:
        """Return the organization with this id.

        Raises:
            NotFound: there is none.
        """
        return self._portal.run(self._async.get, id)

    def named(self, name: str) -> Organization:
        """Return the organization with this name; case does not matter.

        Raises:
            NotFound: there is none.
        """
        return self._portal.run(self._async.named, name)


class TicketPage:
    """One page of a list of tickets.

    Attributes:
        items: the tickets, in the order that was asked for.
        total: how many tickets the whole list has, if that was asked for.
        has_next: whether there are more after these.
        has_previous: whether there are some before these.
    """

    def __init__(self, portal: Portal, inner: AsyncTicketPage) -> None:
        self._portal = portal
        self._async = inner

    @property
    def items(self) -> tuple[Ticket, ...]:
        """The tickets, in the order that was asked for."""
        return self._async.items

    @property
    def total(self) -> int | None:
        """How many tickets the whole list has, if that was asked for."""
        return self._async.total

    @property
    def has_next(self) -> bool:
        """Whether there are more after these."""
        return self._async.has_next

    @property
    def has_previous(self) -> bool:
        """Whether there are some before these."""
        return self._async.has_previous

    def next(self) -> TicketPage | None:
        """Return the page after this one, or None after the last.

        It begins after the last ticket of this page as that ticket was, so tickets that are
        created meanwhile shift nothing.
        """
        found = self._portal.run(self._async.next)
        return None if found is None else TicketPage(self._portal, found)

    def previous(self) -> TicketPage | None:
        """Return the page before this one, or None before the first.

        It ends before the first ticket of this page as that ticket was.
        """
        found = self._portal.run(self._async.previous)
        return None if found is None else TicketPage(self._portal, found)

    @property
    def next_cursor(self) -> str | None:
        """The place of the next page, as a text for an address: `page(cursor=…)` goes on there."""
        return self._async.next_cursor

    @property
    def previous_cursor(self) -> str | None:
        """The place of the page before, as a text for an address."""
        return self._async.previous_cursor


class TicketThread:
    """A ticket with its messages and history, as far as they were read.

    What it shows changes with `refresh`, with own writes, and while a live feed of it is read.
    """

    def __init__(self, portal: Portal, inner: AsyncTicketThread) -> None:
        self._portal = portal
        self._async = inner

    def __repr__(self) -> str:
        return repr(self._async).replace("Async", "", 1)

    @property
    def ticket(self) -> Ticket:
        """The ticket, as last heard of."""
        return self._async.ticket

    @property
    def organization(self) -> Organization:
        """The organization that handles the ticket."""
        return self._async.organization

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages read so far, oldest first; at first the newest 50."""
        return self._async.messages

    @property
    def history(self) -> tuple[TicketEvent, ...]:
        """The events read so far, oldest first; at first the newest 50."""
        return self._async.history

    @property
    def can(self) -> Permissions:
        """What you may do with the ticket, with reasons and deadlines, decided by the database."""
        return self._async.can

    def refresh(self) -> None:
        """Read the newest 50 messages and events, the ticket, and what you may do, again."""
        return self._portal.run(self._async.refresh)

    def older_messages(self, size: int = 50) -> bool:
        """Read up to `size` (1 to 500) messages before the oldest; return if there are more."""
        return self._portal.run(self._async.older_messages, size)

    def older_history(self, size: int = 50) -> bool:
        """Read up to `size` (1 to 500) events before the oldest; return if there are more."""
        return self._portal.run(self._async.older_history, size)

    def send(
        self, text: str, *, reply_to: Message | UUID | None = None, id: UUID | None = None
    ) -> Message:
        """Send a message (Markdown, 1 to 20,000 characters) and return it as it was stored.

        Repeating a call that failed is safe with the same `id`: the error's `write_id` has it.

        Raises:
            InvalidInput: the text is empty or too long; no request was made.
            TicketClosedError: the ticket is closed.
            NotFound: the ticket is no longer yours.
            Offline: no answer came; the message may or may not have arrived.
        """
        return self._portal.run(self._async.send, text, reply_to=reply_to, id=id)

    def edit(
        self,
        *,
        subject: str | None = None,
        description: str | None = None,
        priority: Priority | None = None,
        request_id: UUID | None = None,
    ) -> Ticket:
        """Change your own open ticket; what is left out stays as it is.

        Raises:
            InvalidInput: one or more fields are wrong; no request was made.
            TicketClosedError: the ticket is closed.
            Offline: no answer came; repeat with the error's `write_id` as `request_id`.
        """
        return self._portal.run(
            self._async.edit,
            subject=subject,
            description=description,
            priority=priority,
            request_id=request_id,
        )

    def close_ticket(self, reason: str | None = None, *, request_id: UUID | None = None) -> Ticket:
        """Close the ticket, with a reason (up to 1,000 characters) if you like.

        Raises:
            TicketClosedError: it is closed already.
            Offline: no answer came; repeat with the error's `write_id` as `request_id`.
        """
        return self._portal.run(self._async.close_ticket, reason, request_id=request_id)

    def reopen_ticket(self, *, request_id: UUID | None = None) -> Ticket:
        """Open the closed ticket again, while the organization's window lasts.

        Raises:
            TicketNotClosed: it is not closed.
            ReopenWindowOver: too late; `thread.can.reopen.until` says until when it was possible.
            Offline: no answer came; repeat with the error's `write_id` as `request_id`.
        """
        return self._portal.run(self._async.reopen_ticket, request_id=request_id)

    def mark_read(self) -> int:
        """Say that you have read everything that this thread shows; return up to which number."""
        return self._portal.run(self._async.mark_read)

    def live(
        self, after: int | None = None, *, check_every: float = 30.0, poll_every: float = 3.0
    ) -> TicketFeed:
        """Follow the ticket: every event after number `after`, once, in order.

        Args:
            after: where to go on, for example a feed's saved `last_seq`; 0 begins with the
                ticket's creation. Left out, it begins after what this thread shows.
            check_every: seconds after which the table is asked even when all seems well. A lost
                broadcast with nothing after it is noticed within this time.
            poll_every: seconds between two looks at the table while there is no websocket.

        Raises:
            InvalidInput: a negative number, or an interval that is not positive.
        """
        return TicketFeed(
            self._portal, self._async.live(after, check_every=check_every, poll_every=poll_every)
        )


class CustomerTickets:
    """A customer's side of support tickets, for code that does not await; open it with `with`.

    Args:
        url: the project's URL, such as https://abc.supabase.co.
        key: its publishable key (`sb_publishable_…`) or its anon JWT; never a secret key.
        timeout: seconds that one call may take in all, repetitions included.
        cache: seconds that pages, counts and threads may be handed out again without a request;
            own writes and live events drop what they change at once. 0 keeps none.

    Making one makes no request. All methods raise SignInRequired, before any request, while
    nobody is signed in, and Offline, RateLimited or Unavailable when the server cannot be had.
    """

    def __init__(self, url: str, key: str, *, timeout: float = 30.0, cache: float = 0.0) -> None:
        self._start(AsyncCustomerTickets(url, key, timeout=timeout, cache=cache))

    def _start(self, client: AsyncCustomerTickets) -> None:
        self._async = client
        # Every thread, page and feed holds the portal: it lives as long as any of them is used.
        self._portal = Portal(client.aclose)

    @classmethod
    def from_env(cls, *, timeout: float = 30.0) -> Self:
        """Make a client from SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY (or SUPABASE_ANON_KEY).

        Raises:
            InvalidInput: one of them is missing; the error names it.
        """
        client = cls.__new__(cls)
        client._start(AsyncCustomerTickets.from_env(timeout=timeout))
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; feeds end. The session stays valid on the server."""
        self._portal.close()

    @property
    def user(self) -> User:
        """Who is signed in.

        Raises:
            SignInRequired: nobody is.
        """
        return self._async.user

    @property
    def organizations(self) -> Organizations:
        """The organizations that handle tickets."""
        return Organizations(self._portal, self._async.organizations)

    def sign_up(self, email: str, password: str, *, display_name: str | None = None) -> User:
        """Make an account and sign in to it.

        Raises:
            InvalidInput: a field is empty or no text; no request was made.
            SignUpFailed: taken, too weak a password, sign-up is off, or the e-mail address must
                be confirmed first.
        """
        return self._portal.run(self._async.sign_up, email, password, display_name=display_name)

    def sign_in(self, email: str, password: str) -> User:
        """Sign in with e-mail and password.

        Raises:
            InvalidInput: a field is empty or no text; no request was made.
            SignInFailed: wrong, not confirmed, or banned.
        """
        return self._portal.run(self._async.sign_in, email, password)

    def sign_out(self, *, everywhere: bool = False) -> None:
        """End the session; live feeds stop, so nothing is delivered after this returns.

        Args:
            everywhere: end all sessions of this user, on other devices too.
        """
        return self._portal.run(self._async.sign_out, everywhere=everywhere)

    def create(
        self,
        *,
        organization: Organization | UUID | str,
        subject: str,
        description: str = "",
        priority: Priority = "medium",
        id: UUID | None = None,
    ) -> Ticket:
        """Create a ticket in one request and return it.

        Args:
            organization: who shall handle it: an Organization or its id.
            subject: 1 to 200 characters.
            description: Markdown, up to 20,000 characters.
            priority: low, medium or high.
            id: the ticket's id. Repeating a call that failed is safe with the same one: the
                error's `write_id` has it.

        Raises:
            InvalidInput: one or more fields are wrong; all are named and no request was made.
            Conflict: the id was used before, for something else.
            Offline: no answer came; the ticket may or may not have been created.
        """
        return self._portal.run(
            self._async.create,
            organization=organization,
            subject=subject,
            description=description,
            priority=priority,
            id=id,
        )

    def page(
        self,
        *,
        search: str | None = None,
        status: Status | Sequence[Status] | None = None,
        priority: Priority | Sequence[Priority] | None = None,
        organization: Organization | UUID | str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        updated_after: datetime | None = None,
        updated_before: datetime | None = None,
        sort: SortKey = "-created_at",
        size: int = 20,
        total: bool = False,
        cursor: str | None = None,
    ) -> TicketPage:
        """Return a page of your tickets, in one request; `page.next()` has the next.

        Args:
            search: words that must all occur in the subject or the description; case does not
                matter, and no character has a special meaning.
            status: one status or several; left out, all.
            priority: one priority or several; left out, all.
            organization: only what this organization handles.
            created_after: an aware datetime; only tickets younger than this.
            created_before: an aware datetime; only tickets older than this.
            updated_after: an aware datetime; only tickets that something happened to since.
            updated_before: an aware datetime; only tickets that nothing happened to since.
            sort: created_at, updated_at or priority; a minus sign sorts downwards.
            size: tickets a page, 1 to 100.
            total: also count the whole list.
            cursor: a page's `next_cursor` or `previous_cursor`, to go on there; the other
                arguments must be the same. Left out, the first page.

        Raises:
            InvalidInput: one or more arguments are wrong; no request was made.
        """
        return TicketPage(
            self._portal,
            self._portal.run(
                self._async.page,
                search=search,
                status=status,
                priority=priority,
                organization=organization,
                created_after=created_after,
                created_before=created_before,
                updated_after=updated_after,
                updated_before=updated_before,
                sort=sort,
                size=size,
                total=total,
                cursor=cursor,
            ),
        )

    def all(
        self,
        *,
        search: str | None = None,
        status: Status | Sequence[Status] | None = None,
        priority: Priority | Sequence[Priority] | None = None,
        organization: Organization | UUID | str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        updated_after: datetime | None = None,
        updated_before: datetime | None = None,
        sort: SortKey = "-created_at",
    ) -> Iterator[Ticket]:
        """Iterate over all your tickets that fit, each once; the arguments are `page`'s.

        They are read page by page. One that changes meanwhile and so moves within the list comes
        at the end.

        Raises:
            InvalidInput: one or more arguments are wrong; no request was made.
        """
        return _iterate(
            self._portal,
            self._async.all(
                search=search,
                status=status,
                priority=priority,
                organization=organization,
                created_after=created_after,
                created_before=created_before,
                updated_after=updated_after,
                updated_before=updated_before,
                sort=sort,
            ),
        )

    def counts(self) -> Counts:
        """Count your tickets by status, and the unread ones, in one request."""
        return self._portal.run(self._async.counts)

    def thread(self, ticket: Ticket | UUID | str) -> TicketThread:
        """Open a ticket's thread, in one request.

        Raises:
            NotFound: it does not exist, or it is not yours.
        """
        return TicketThread(self._portal, self._portal.run(self._async.thread, ticket))
