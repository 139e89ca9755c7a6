"""The client: sign in, list, create, open threads.

Longer than a module should be: each feature of the product has a method here, most of it what
`help()` shows; they check their arguments and hand on.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import UUID, uuid4

from pydantic import TypeAdapter, ValidationError

from ._arguments import check_flags
from ._errors import FieldError, InvalidInput, SignInRequired
from ._export import ExportReport, export
from ._inputs import Credentials, FeedOptions, NewAccount, NewTicket, checked, id_of
from ._keys import from_environment
from ._live.changes import Position
from ._live.list_feed import AsyncTicketListFeed
from ._models import Counts, Organization, Priority, SortKey, Status, Ticket, User
from ._parts import Parts
from ._progress import ProgressTo
from ._resources import changes, tickets
from ._resources.attachments import AsyncAttachments
from ._resources.drafts import AsyncDrafts
from ._resources.organizations import AsyncOrganizations
from ._resources.tickets import AsyncTicketPage, TicketQuery
from ._stores import SessionStore
from ._thread import AsyncTicketThread, open_thread, pictured
from ._uploads import AttachmentSource, checked_with, uploaded
from ._watch import AsyncWatch, Newest, Picture, watch

if TYPE_CHECKING:  # half of the time that an import of the whole package takes
    from supabase import AsyncClient, Client

_UUID = TypeAdapter(UUID)
_NEWEST = 20


class AsyncCustomerTickets:
    """A customer's side of support tickets, for asynchronous code; open it with `async with`.

    Args:
        url: the project's URL, such as https://abc.supabase.co.
        key: its publishable key (`sb_publishable_…`) or its anon JWT; never a secret key.
        timeout: seconds that one call may take in all, repetitions included.
        cache: seconds that pages, counts and threads may be handed out again without a request;
            own writes and live events drop what they change at once. 0 keeps none.
        store: where the session is kept for the next run: a FileStore, or a SessionStore of your
            own. Left out, it ends with the program. A session that it holds is gone on with.

    Making one makes no request. All methods raise SignInRequired, before any request, while
    nobody is signed in, and Offline, RateLimited or Unavailable when the server cannot be had.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float = 30.0,
        cache: float = 0.0,
        store: SessionStore | None = None,
    ) -> None:
        self._take(Parts.own(url, key, timeout=timeout, cache=cache, store=store))

    def _take(self, parts: Parts) -> None:
        self._parts = parts
        self._session, self._connection, self._line = parts.session, parts.connection, parts.line
        self._organizations = AsyncOrganizations(self._connection)
        self._drafts = AsyncDrafts(self._connection)
        self._attachments = AsyncAttachments(self._connection)

    @classmethod
    def from_env(
        cls, *, timeout: float = 30.0, cache: float = 0.0, store: SessionStore | None = None
    ) -> Self:
        """Make a client from SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY (or SUPABASE_ANON_KEY).

        Raises:
            InvalidInput: one of them is missing; the error names it.
        """
        url, key = from_environment(os.environ)
        return cls(url, key, timeout=timeout, cache=cache, store=store)

    @classmethod
    async def from_supabase(cls, client: AsyncClient | Client, *, timeout: float = 30.0) -> Self:
        """Make a client that shares the session of a client of the package `supabase`.

        The tokens stay that client's: it is asked for them before each request, and refreshes
        them. Signing in or out here signs that client in or out. When it is signed out, or
        somebody else signs in with it, all methods here raise SignInRequired.

        Raises:
            InvalidInput: it is no such client, or it has a secret key.
            SignInRequired: nobody is signed in to it.
        """
        made = cls._of(Parts.borrowed(client, timeout=timeout, blocking=False))
        await made._parts.confirm()
        return made

    @classmethod
    def _of(cls, parts: Parts) -> Self:
        made = cls.__new__(cls)
        made._take(parts)
        return made

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; feeds end. The session stays valid on the server."""
        await self._parts.aclose()

    @property
    def user(self) -> User:
        """Who is signed in.

        Raises:
            SignInRequired: nobody is.
        """
        return self._session.user

    @property
    def organizations(self) -> AsyncOrganizations:
        """The organizations that handle tickets."""
        return self._organizations

    @property
    def drafts(self) -> AsyncDrafts:
        """Your drafts of new tickets and of replies, kept on the server."""
        return self._drafts

    @property
    def attachments(self) -> AsyncAttachments:
        """The files of tickets, messages and drafts."""
        return self._attachments

    async def sign_up(self, email: str, password: str, *, display_name: str | None = None) -> User:
        """Make an account and sign in to it.

        Raises:
            InvalidInput: a field is empty or no text; no request was made.
            SignUpFailed: taken, too weak a password, sign-up is off, or the e-mail address must
                be confirmed first.
        """
        account = checked(NewAccount, email=email, password=password, display_name=display_name)
        return await self._begin(
            self._session.sign_up(account.email, account.password, account.display_name)
        )

    async def sign_in(self, email: str, password: str) -> User:
        """Sign in with e-mail and password.

        Raises:
            InvalidInput: a field is empty or no text; no request was made.
            SignInFailed: wrong, not confirmed, or banned.
        """
        checked_in = checked(Credentials, email=email, password=password)
        return await self._begin(self._session.sign_in(checked_in.email, checked_in.password))

    async def set_session(self, access_token: str, refresh_token: str) -> User:
        """Go on with a session that was begun elsewhere, once the server has accepted it.

        Whoever began it must not refresh it any more: the server would end it.

        Raises:
            InvalidInput: these cannot be tokens; no request was made.
            SignInFailed: the server does not accept them.
        """
        return await self._begin(self._session.take_over(access_token, refresh_token))

    async def sign_out(self, *, everywhere: bool = False) -> None:
        """End the session; live feeds stop, so nothing is delivered after this returns.

        Args:
            everywhere: end all sessions of this user, on other devices too.
        """
        check_flags(everywhere=everywhere)
        try:
            await self._session.sign_out(everywhere=everywhere)
        finally:
            await self._forget_user()

    async def create(
        self,
        *,
        organization: Organization | UUID | str,
        subject: str,
        description: str = "",
        priority: Priority = "medium",
        attachments: Iterable[AttachmentSource] = (),
        progress: ProgressTo = None,
        follow_up_of: Ticket | UUID | str | None = None,
        id: UUID | None = None,
    ) -> Ticket:
        """Create a ticket and return it; in one request, after one for each attachment.

        Args:
            organization: who shall handle it: an Organization or its id.
            subject: 1 to 200 characters.
            description: Markdown, up to 20,000 characters.
            priority: low, medium or high.
            attachments: up to 20 files: paths, bytes, objects open for reading bytes, or Upload
                for another name or type. They are sent first; the ticket has all of them, or
                there is none.
            progress: a function that gets a Progress as bytes are sent, or True for a bar.
            follow_up_of: a closed ticket of yours that this one goes on with.
            id: the ticket's id. Repeating a call that failed is safe with the same one: the
                error's `write_id` has it.

        Raises:
            InvalidInput: one or more fields are wrong; all are named and no request was made.
            Conflict: the id was used before, for something else.
            FileChanged: a file changed while it was sent; no ticket was made.
            Offline: no answer came; the ticket may or may not have been created.
        """
        check = partial(
            checked,
            NewTicket,
            id=id if id is not None else uuid4(),
            subject=subject,
            description=description,
            handling_org_id=organization,
            priority=priority,
            follow_up_of=follow_up_of,
        )
        ticket = await checked_with(check, attachments)
        async with uploaded(self._connection, ticket.id, attachments, progress) as files:
            return await tickets.create(self._connection, ticket, files)

    async def page(
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
    ) -> AsyncTicketPage:
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
            total: also count the whole list; with a cursor that is one more request.
            cursor: a page's `next_cursor` or `previous_cursor`, to go on there; the other
                arguments must be the same. Left out, the first page.

        Raises:
            InvalidInput: one or more arguments are wrong; no request was made.
        """
        query = checked(
            TicketQuery,
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
        )
        start = tickets.place(cursor, query.sort)
        return await tickets.fetch_page(self._connection, query, start)

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
    ) -> AsyncIterator[Ticket]:
        """Iterate over all your tickets that fit, each once; the arguments are `page`'s.

        They are read page by page. One that changes meanwhile and so moves within the list comes
        at the end.

        Raises:
            InvalidInput: one or more arguments are wrong; no request was made.
        """
        query = checked(
            TicketQuery,
            search=search,
            status=status,
            priority=priority,
            organization=organization,
            created_after=created_after,
            created_before=created_before,
            updated_after=updated_after,
            updated_before=updated_before,
            sort=sort,
            size=100,
        )
        return tickets.every(self._connection, query)

    async def counts(self) -> Counts:
        """Count your tickets by status, and the unread ones, in one request."""
        return await tickets.counts(self._connection)

    def live(
        self, after: str | None = None, *, check_every: float = 30.0, poll_every: float = 3.0
    ) -> AsyncTicketListFeed:
        """Follow your list: every ticket that is new or changed, as it is then.

        Args:
            after: a feed's saved `position`, to go on there, also in another process. Left out,
                it begins when the feed is opened, which asks the server where that is.
            check_every: seconds after which the table is asked even when all seems well.
            poll_every: seconds between two looks at the table while there is no websocket.

        Raises:
            InvalidInput: no saved position, or an interval that is not positive.
        """
        options = checked(FeedOptions, check_every=check_every, poll_every=poll_every)
        try:
            position = None if after is None else Position.parse(after)
        except (ValueError, TypeError):
            raise InvalidInput([FieldError("after", "must be a feed's saved position")]) from None
        owner = self.user.id
        return AsyncTicketListFeed(
            owner,
            position,
            line=self._line,
            fetch=partial(changes.changed_since, self._connection, owner),
            check_every=options.check_every,
            poll_every=options.poll_every,
        )

    async def thread(self, ticket: Ticket | UUID | str) -> AsyncTicketThread:
        """Open a ticket's thread, in one request.

        Raises:
            NotFound: it does not exist, or it is not yours.
        """
        return await open_thread(self._connection, self._line, _ticket_id(ticket))

    async def watch(self, ticket: Ticket | UUID | str | None = None) -> AsyncWatch:
        """Show a ticket's thread in a notebook's cell and keep it up to date; return at once.

        Until the server answers there is a placeholder, and below it whether you are offline. An
        earlier view of the same ends.

        Args:
            ticket: whose thread; left out, the 20 of your tickets that changed last.

        Raises:
            ImportError: IPython is not installed.
            RuntimeError: this is no notebook.
        """
        if ticket is None:
            return await watch(self._connection, None, "page", self._list_pictured)
        wanted = _ticket_id(ticket)
        return await watch(
            self._connection, wanted, "thread", partial(self._thread_pictured, wanted)
        )

    @asynccontextmanager
    async def _list_pictured(self) -> AsyncGenerator[Picture]:
        async with self.live() as feed:
            page = await self.page(sort="-updated_at", size=_NEWEST)
            newest = Newest(page.items, _NEWEST)
            yield Picture(feed, lambda: newest.tickets, newest.html, newest.hear)

    @asynccontextmanager
    async def _thread_pictured(self, ticket: UUID) -> AsyncGenerator[Picture]:
        async with pictured(await self.thread(ticket)) as picture:
            yield picture

    async def export(
        self,
        to: str | os.PathLike[str],
        *,
        ticket: Ticket | UUID | str | None = None,
        attachments: bool = True,
        progress: ProgressTo = None,
    ) -> ExportReport:
        """Write all your tickets, or one, to a folder or a zip file, and return what is there.

        Each ticket gets a folder with `ticket.json`, `ticket.md` and its attachments; the
        `manifest.json` has the size and SHA-256 of every file, which `verify_export` checks.
        Files appear whole or not at all. What is in the folder already, unchanged and undamaged,
        is not fetched again: repeat a call that was interrupted, or to bring a folder up to date.

        Args:
            to: a folder, made if it is missing, or a path that ends with .zip, where nothing is.
            ticket: only this one; one that you handle, too. Left out, all of your own.
            attachments: also save the attachments.
            progress: a function that gets a Progress that counts tickets, or True for a bar.

        Raises:
            InvalidInput: `to` holds something else; nothing was changed.
            NotFound: the ticket does not exist, or it is not yours.
            ExportFailed: the disk is full, or you may not write there; what was complete is kept.
        """
        check_flags(attachments=attachments)
        wanted = None if ticket is None else _ticket_id(ticket)
        return await export(
            self._connection, to, wanted, attachments=attachments, progress=progress
        )

    async def _begin(self, beginning: Awaitable[User]) -> User:
        before = self._signed_in()
        try:
            user = await beginning
        except BaseException:
            # Cancelled too late, or not kept in the store: somebody else is here nevertheless.
            if self._signed_in() != before:
                await self._forget_user()
            raise
        await self._forget_user()
        return user

    def _signed_in(self) -> UUID | None:
        try:
            return self.user.id
        except SignInRequired:
            return None

    async def _forget_user(self) -> None:
        # After the change, so that nothing of the last user's begins anew meanwhile. The server
        # would go on delivering to a websocket that it let in as somebody else.
        self._organizations.forget()
        self._connection.cache.clear()
        await self._line.hang_up()


def _ticket_id(ticket: Ticket | UUID | str) -> UUID:
    try:
        return _UUID.validate_python(id_of(ticket, Ticket))
    except ValidationError:
        raise InvalidInput([FieldError("ticket", "must be a Ticket or its id")]) from None
