"""The blocking face. Written by scripts/write_sync.py from the async one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Literal, Self, TypeVar
from uuid import UUID

from ._client import AsyncCustomerTickets
from ._draft_content import UNSET, Submitted, Unset
from ._draft_editor import AsyncDraftEditor, EditorState
from ._errors import CustomerTicketsError
from ._export import ExportReport
from ._live.people import Person
from ._models import (
    Attachment,
    Counts,
    Draft,
    Feedback,
    Message,
    Organization,
    Permissions,
    Priority,
    SortKey,
    Status,
    Ticket,
    User,
)
from ._parts import Parts
from ._portal import Portal
from ._progress import ProgressTo
from ._resources.attachments import AsyncAttachments
from ._resources.drafts import AsyncDrafts
from ._resources.organizations import AsyncOrganizations
from ._resources.tickets import AsyncTicketPage
from ._rows import History, Messages
from ._stores import SessionStore
from ._sync_feed import TicketFeed, TicketListFeed, Watch
from ._sync_people import People
from ._thread import AsyncTicketThread
from ._uploads import AttachmentSource
from ._view import Verification

if TYPE_CHECKING:
    import pandas
    from supabase import Client

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

    def get(self, id: Organization | UUID | str) -> Organization:
        """Return the organization with this id.

        Raises:
            NotFound: there is none.
            InvalidInput: it is no id; no request was made.
        """
        return self._portal.run(self._async.get, id)

    def named(self, name: str) -> Organization:
        """Return the organization with this name.

        Case does not matter, unless two names that were read differ in nothing else.

        Raises:
            NotFound: there is none.
            InvalidInput: the name is no text; no request was made.
        """
        return self._portal.run(self._async.named, name)


class TicketPage:
    """One page of a list of tickets: `for` goes through them, `len` counts them.

    Attributes:
        items: the tickets, in the order that was asked for.
        total: how many tickets the whole list has, if that was asked for.
        has_next: whether there are more after these.
        has_previous: whether there are some before these.
    """

    def __init__(self, portal: Portal, inner: AsyncTicketPage) -> None:
        self._portal = portal
        self._async = inner

    def __iter__(self) -> Iterator[Ticket]:
        return iter(self._async)

    def __len__(self) -> int:
        return len(self._async)

    def __repr__(self) -> str:
        return repr(self._async).replace("Async", "", 1)

    def _repr_html_(self) -> str:
        return self._async._repr_html_()  # pyright: ignore[reportPrivateUsage] # the notebooks' own name

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

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the tickets of this page as dicts for JSON: ids and times are text."""
        return self._async.to_dicts()

    def to_pandas(self) -> pandas.DataFrame:
        """Return this page as a data frame, one row a ticket.

        Raises:
            ImportError: pandas is not installed.
        """
        return self._async.to_pandas()


class DraftEditor:
    """Edits one draft, and saves it a while after each change; open it with `with`.

    Leaving the block saves what is not saved yet, and raises if that fails.
    """

    def __init__(self, portal: Portal, inner: AsyncDraftEditor) -> None:
        self._portal = portal
        self._async = inner

    def __enter__(self) -> Self:
        self._portal.run(self._async.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.run(self._async.__aexit__, kind, error, trace)

    @property
    def draft(self) -> Draft | None:
        """The draft as it was last saved; None before the first time."""
        return self._async.draft

    @property
    def state(self) -> EditorState:
        """How things stand.

        `saved`; `unsaved`: a change waits to be saved; `failed`: the last try failed, see `error`,
        and the next follows; `conflict`: it was saved elsewhere, call `resolve`; `gone`: it was
        submitted or discarded.
        """
        return self._async.state

    @property
    def error(self) -> CustomerTicketsError | None:
        """Why the last try to save failed; None when it did not."""
        return self._async.error

    def change(
        self,
        *,
        organization: Organization | UUID | str | Unset | None = UNSET,
        subject: str | Unset = UNSET,
        description: str | Unset = UNSET,
        priority: Priority | Unset = UNSET,
        text: str | Unset = UNSET,
        reply_to: Message | UUID | Unset | None = UNSET,
        attachments: Iterable[AttachmentSource] | Unset = UNSET,
    ) -> None:
        """Change the draft; it is saved a while later. No request is made here.

        The arguments are those of `drafts.save`.

        Raises:
            InvalidInput: one or more fields are wrong; none was changed.
            NotFound: it was submitted or discarded here; what is written now belongs to another.
            RuntimeError: it is not open, so that nothing would save the change.
        """
        return self._portal.run(
            self._async.change,
            organization=organization,
            subject=subject,
            description=description,
            priority=priority,
            text=text,
            reply_to=reply_to,
            attachments=attachments,
        )

    def save(self) -> Draft | None:
        """Save now what is not saved yet, and return the draft; None while there is none.

        Raises:
            DraftConflict: it was saved elsewhere; call `resolve`, then save again.
            NotFound: it was submitted or discarded elsewhere.
            Offline: no answer came; nothing is lost, and the next try goes on from here.
        """
        return self._portal.run(self._async.save)

    def resolve(self, *, keep: Literal["mine", "theirs"]) -> None:
        """End a conflict: go on from the newer draft, with one's own changes or without them.

        Raises:
            NotFound: it was submitted or discarded meanwhile.
        """
        return self._portal.run(self._async.resolve, keep=keep)

    def submit(self) -> Submitted:
        """Save what is not saved yet and submit the draft: it becomes the ticket or the message.

        Raises:
            InvalidInput: something in it is missing or wrong; all of it is named.
            DraftConflict: it was saved elsewhere; call `resolve`, then submit again.
        """
        return self._portal.run(self._async.submit)

    def discard(self) -> None:
        """Throw the draft away, saved or not."""
        return self._portal.run(self._async.discard)


class Drafts:
    """Your drafts, kept on the server: nobody else sees them, on any of your devices you do."""

    def __init__(self, portal: Portal, inner: AsyncDrafts) -> None:
        self._portal = portal
        self._async = inner

    def list(self) -> tuple[Draft, ...]:
        """Return all your drafts, the last saved first."""
        return self._portal.run(self._async.list)

    def get(self, id: UUID | str) -> Draft:
        """Return one draft as it is now.

        Raises:
            NotFound: it was submitted or discarded, or never was.
        """
        return self._portal.run(self._async.get, id)

    def save(
        self,
        draft: Draft | None = None,
        *,
        ticket: Ticket | UUID | str | None = None,
        organization: Organization | UUID | str | Unset | None = UNSET,
        subject: str | Unset = UNSET,
        description: str | Unset = UNSET,
        priority: Priority | Unset = UNSET,
        text: str | Unset = UNSET,
        reply_to: Message | UUID | Unset | None = UNSET,
        attachments: Iterable[AttachmentSource] | Unset = UNSET,
        progress: ProgressTo = None,
        id: UUID | None = None,
    ) -> Draft:
        """Save a new draft, or a newer version of one, and return it as it was stored.

        What is left out stays as it is in `draft`. Nothing is stored when nothing changed.

        Args:
            draft: the draft that is changed, as last read; left out, a new one is made.
            ticket: for a new reply: the ticket that it is for. Without, it is of a new ticket.
            organization: of a new ticket: who shall handle it.
            subject: of a new ticket: up to 200 characters.
            description: of a new ticket: Markdown, up to 20,000 characters.
            priority: of a new ticket: low, medium or high.
            text: of a reply: Markdown, up to 20,000 characters.
            reply_to: of a reply: the message that it answers.
            attachments: all files that it shall have from now on: those of `draft.attachments`
                that stay, and new ones as for `create`. They go along when it is submitted.
            progress: a function that gets a Progress as bytes are sent, or True for a bar.
            id: the id of a new draft, to repeat a call that failed with its `write_id`.

        Raises:
            InvalidInput: one or more fields are wrong; no request was made.
            DraftConflict: it was saved elsewhere since; nothing was overwritten, and the error's
                `newer` is that draft.
            NotFound: it was submitted or discarded meanwhile, or the ticket is not yours.
        """
        return self._portal.run(
            self._async.save,
            draft,
            ticket=ticket,
            organization=organization,
            subject=subject,
            description=description,
            priority=priority,
            text=text,
            reply_to=reply_to,
            attachments=attachments,
            progress=progress,
            id=id,
        )

    def edit(
        self,
        draft: Draft | None = None,
        *,
        ticket: Ticket | UUID | str | None = None,
        every: float = 2.0,
    ) -> DraftEditor:
        """Return an editor that saves by itself, to be opened with `with`.

        Args:
            draft: the draft to go on with; left out, a new one is made with the first change.
            ticket: for a new reply: the ticket that it is for.
            every: seconds after a change until it is saved; changes within them go together.

        Raises:
            InvalidInput: an argument is wrong.
            SignInRequired: nobody is signed in.
        """
        return DraftEditor(self._portal, self._async.edit(draft, ticket=ticket, every=every))

    def discard(self, draft: Draft | UUID | str) -> bool:
        """Throw a draft away with its attachments; False when it was not there any more.

        That is the answer too when an earlier one of the same call was lost on its way.
        """
        return self._portal.run(self._async.discard, draft)

    def submit(self, draft: Draft) -> Submitted:
        """Make the ticket, or send the reply, that a draft holds, with its attachments.

        The draft is gone after it. The ticket or message has the draft's id, so it is made once,
        however often and from wherever it is submitted.

        Raises:
            InvalidInput: something in it is missing or wrong; all of it is named.
            DraftConflict: it was saved elsewhere since; the error's `newer` is that draft.
            NotFound: it was discarded meanwhile.
            TicketClosedError: it is a reply, and the ticket is closed.
        """
        return self._portal.run(self._async.submit, draft)


class Attachments:
    """The files of tickets, messages and drafts: saved, read, linked to, cleaned up.

    What is received is checked against the size and the SHA-256 of what was attached; what does
    not fit raises FileDamaged and is not kept.
    """

    def __init__(self, portal: Portal, inner: AsyncAttachments) -> None:
        self._portal = portal
        self._async = inner

    def save(
        self,
        attachment: Attachment,
        to: str | os.PathLike[str] = ".",
        *,
        progress: ProgressTo = None,
        overwrite: bool = False,
    ) -> Path:
        """Save an attachment, and return where it is; it appears there whole or not at all.

        Args:
            attachment: one of a message, a thread or a draft.
            to: the file to make, or a folder, in which it gets its own name made safe.
            progress: a function that gets a Progress as bytes arrive, or True for a bar.
            overwrite: replace a file that is there; what is there and is no file is left alone.

        Raises:
            InvalidInput: `to` exists already, or its folder does not; no request was made.
            NotFound: the attachment is not there, or not yours to see.
            FileDamaged: it is not the file that was attached any more; nothing was kept.
            OSError: the disk is full, or you may not write there; nothing was kept.
        """
        return self._portal.run(
            self._async.save, attachment, to, progress=progress, overwrite=overwrite
        )

    def write_to(
        self, attachment: Attachment, file: IO[bytes], *, progress: ProgressTo = None
    ) -> int:
        """Write an attachment into an object open for writing bytes; return how many bytes.

        Nothing is written before the whole file has come and was found to be the right one.

        Raises:
            NotFound: the attachment is not there, or not yours to see.
            FileDamaged: it is not the file that was attached any more.
        """
        return self._portal.run(self._async.write_to, attachment, file, progress=progress)

    def read(self, attachment: Attachment) -> bytes:
        """Return an attachment's bytes.

        Raises:
            NotFound: the attachment is not there, or not yours to see.
            FileDamaged: it is not the file that was attached any more.
        """
        return self._portal.run(self._async.read, attachment)

    def link(self, attachment: Attachment, seconds: int = 3600, *, download: bool = False) -> str:
        """Return an address at which anybody can get the file for so many seconds.

        Args:
            attachment: one of a message, a thread or a draft.
            seconds: how long the address works.
            download: let a browser save the file under its name instead of showing it.

        Raises:
            InvalidInput: `seconds` is not a whole number from 1 on.
            NotFound: the attachment is not there, or not yours to see.
        """
        return self._portal.run(self._async.link, attachment, seconds, download=download)

    def links(
        self, attachments: Iterable[Attachment], seconds: int = 3600, *, download: bool = False
    ) -> dict[UUID, str]:
        """Return such addresses by the attachments' ids, in one request for 500 of them.

        What is not there, or not yours to see, is left out.

        Raises:
            InvalidInput: `seconds` is not a whole number from 1 on.
        """
        return self._portal.run(self._async.links, attachments, seconds, download=download)

    def render(self, body: str, attachments: Iterable[Attachment], seconds: int = 3600) -> str:
        """Return Markdown as safe HTML that shows the attachments it points at, for some seconds.

        `![photo](attachment:photo.jpg)` becomes an image, `[receipt](attachment:receipt.pdf)` a
        link; the id of an attachment does for its name, and of several with one name it is the
        first. One that is not there, or not yours to see, is left as its text. Makes one request,
        or none when nothing is pointed at.

        Args:
            body: a message's `body`, or a ticket's `description`.
            attachments: what it may point at, such as `message.attachments`.
            seconds: how long the addresses work.

        Raises:
            InvalidInput: `seconds` is not a whole number from 1 on.
        """
        return self._portal.run(self._async.render, body, attachments, seconds)

    def clean_up(self, older_than: float = 3600.0) -> int:
        """Remove your own uploads that belong to nothing; return how many there were.

        They are left over when a program ends in the middle of creating or sending.

        Args:
            older_than: seconds; younger ones may belong to something that is just being written.

        Raises:
            InvalidInput: a negative time.
        """
        return self._portal.run(self._async.clean_up, older_than)


class TicketThread:
    """A ticket with its messages and history, as far as they were read.

    What it shows changes with `refresh`, with own writes, and while a live feed of it is read.
    """

    def __init__(self, portal: Portal, inner: AsyncTicketThread) -> None:
        self._portal = portal
        self._async = inner

    def __repr__(self) -> str:
        return repr(self._async).replace("Async", "", 1)

    def _repr_html_(self) -> str:
        return self._async._repr_html_()  # pyright: ignore[reportPrivateUsage] # the notebooks' own name

    @property
    def ticket(self) -> Ticket:
        """The ticket, as last heard of."""
        return self._async.ticket

    @property
    def organization(self) -> Organization:
        """The organization that handles the ticket."""
        return self._async.organization

    @property
    def messages(self) -> Messages:
        """The messages read so far, oldest first; at first the newest 50.

        Your own are here from the moment you send them, as pending; see `Message.state`.
        """
        return self._async.messages

    @property
    def history(self) -> History:
        """The events read so far, oldest first; at first the newest 50."""
        return self._async.history

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The files of the description and of the messages read so far."""
        return self._async.attachments

    @property
    def feedback(self) -> Feedback | None:
        """How you rated the ticket, as last read."""
        return self._async.feedback

    @property
    def draft(self) -> Draft | None:
        """Your newest unsent reply, as last read; `tickets.drafts` saves and submits it."""
        return self._async.draft

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
        """Read up to `size` (1 to 500) events before the oldest; return if there are more.

        The messages among them are in `messages` too, from then on.
        """
        return self._portal.run(self._async.older_history, size)

    def send(
        self,
        text: str,
        *,
        reply_to: Message | UUID | None = None,
        attachments: Iterable[AttachmentSource] = (),
        progress: ProgressTo = None,
        id: UUID | None = None,
        wait: bool = True,
    ) -> Message:
        """Send a message (Markdown, 1 to 20,000 characters) and return it as it was stored.

        It is in `messages` at once, as pending, and stays there as failed, with its `error`, if
        it could not be sent: `retry` sends it again. Repeating a call that failed is safe with
        the same `id` too: the error's `write_id` has it.

        What is sent here arrives in the order of the calls: each message waits until those before
        it have arrived or failed.

        Args:
            text: what to say.
            reply_to: the message that it answers, if any.
            attachments: up to 20 files, as `create` takes them; the message has all or is not sent.
            progress: a function that gets a Progress as bytes are sent, or True for a bar.
            id: the message's id.
            wait: False returns the pending message at once and sends it in the background.

        Raises:
            InvalidInput: the text is empty or too long; no request was made.
            TicketClosedError: the ticket is closed.
            NotFound: the ticket is no longer yours.
            Offline: no answer came; the message may or may not have arrived.
        """
        return self._portal.run(
            self._async.send,
            text,
            reply_to=reply_to,
            attachments=attachments,
            progress=progress,
            id=id,
            wait=wait,
        )

    def retry(self, message: Message | UUID, *, wait: bool = True) -> Message:
        """Send a failed message of `messages` again, with the same id: it arrives once.

        It goes after what is on its way by now.

        Raises:
            InvalidInput: it is not one of this thread's failed messages.
        """
        return self._portal.run(self._async.retry, message, wait=wait)

    def discard(self, message: Message | UUID) -> None:
        """Drop a failed message from `messages`; one that did arrive comes back when it is read.

        Raises:
            InvalidInput: it is not one of this thread's failed messages.
        """
        return self._portal.run(self._async.discard, message)

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

    def rate(
        self, rating: int, comment: str | None = None, *, request_id: UUID | None = None
    ) -> Feedback:
        """Rate a closed ticket from 1 (bad) to 5 (good), or change that for 14 days.

        Args:
            rating: 1 to 5.
            comment: up to 2,000 characters.
            request_id: the call's key; repeat one that failed with the error's `write_id`.

        Raises:
            InvalidInput: one or more arguments are wrong; no request was made.
            TicketNotClosed: only a closed ticket can be rated.
            RatingWindowOver: the first rating is older than 14 days.
            NotAllowed: it is not your own ticket.
        """
        return self._portal.run(self._async.rate, rating, comment, request_id=request_id)

    def render(self, message: Message | None = None, seconds: int = 3600) -> str:
        """Return a message, or the ticket's description, as safe HTML with its attachments.

        `![photo](attachment:photo.jpg)` becomes an image, `[receipt](attachment:receipt.pdf)` a
        link: what the message itself brought comes first, then the thread's; an id does for a
        name. One that is not of this thread is left as its text. Makes one request, or none when
        nothing is pointed at.

        Args:
            message: one of this thread; left out, the description.
            seconds: how long the addresses in it work.

        Raises:
            InvalidInput: `seconds` is not a whole number from 1 on.
        """
        return self._portal.run(self._async.render, message, seconds)

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

    def verify(self) -> Verification:
        """Compare the events and messages that this thread shows with what the server has.

        A thread that a live feed keeps up to date is the same as the server, however often the
        network died: this reads everything again and holds it to that.
        """
        return self._portal.run(self._async.verify)

    def watch(self) -> Watch:
        """Show the thread in a notebook's cell and keep it up to date there; return at once.

        A line below says whether it is live, and why not. Another view of the same ticket ends.

        Raises:
            ImportError: IPython is not installed.
            RuntimeError: this is no notebook.
        """
        return Watch(self._portal, self._portal.run(self._async.watch))

    def people(self) -> People:
        """See who else is at the ticket, and who is typing; you are seen there too.

        Raises:
            SignInRequired: nobody is signed in.
        """
        return People(self._portal, self._async.people())

    @property
    def typists(self) -> tuple[Person, ...]:
        """Who else is typing, while `people` is open.

        Raises:
            RuntimeError: `people` was not opened.
        """
        return self._async.typists

    def typing(self) -> None:
        """Say that you are typing, while `people` is open; call it at every key.

        Raises:
            RuntimeError: `people` was not opened.
        """
        return self._portal.run(self._async.typing)


class CustomerTickets:
    """A customer's side of support tickets, for code that does not await; open it with `with`.

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
        self._start(AsyncCustomerTickets(url, key, timeout=timeout, cache=cache, store=store))

    def _start(self, client: AsyncCustomerTickets) -> None:
        self._async = client
        # Every thread, page and feed holds the portal: it lives as long as any of them is used.
        self._portal = Portal(client.aclose)

    @classmethod
    def from_env(
        cls, *, timeout: float = 30.0, cache: float = 0.0, store: SessionStore | None = None
    ) -> Self:
        """Make a client from SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY (or SUPABASE_ANON_KEY).

        Raises:
            InvalidInput: one of them is missing; the error names it.
        """
        client = cls.__new__(cls)
        client._start(AsyncCustomerTickets.from_env(timeout=timeout, cache=cache, store=store))
        return client

    @classmethod
    def from_supabase(cls, client: Client, *, timeout: float = 30.0) -> Self:
        """Make a client that shares the session of a client of the package `supabase`.

        The tokens stay that client's: it is asked for them before each request, and refreshes
        them. Signing in or out here signs that client in or out. When it is signed out, or
        somebody else signs in with it, all methods here raise SignInRequired.

        Raises:
            InvalidInput: it is no such client, or it has a secret key.
            SignInRequired: nobody is signed in to it.
        """
        parts = Parts.borrowed(client, timeout=timeout, blocking=True)
        made = cls.__new__(cls)
        # The two faces are one client.
        made._start(AsyncCustomerTickets._of(parts))  # pyright: ignore[reportPrivateUsage]
        try:
            made._portal.run(parts.confirm)
        except BaseException:
            made.close()
            raise
        return made

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

    @property
    def drafts(self) -> Drafts:
        """Your drafts of new tickets and of replies, kept on the server."""
        return Drafts(self._portal, self._async.drafts)

    @property
    def attachments(self) -> Attachments:
        """The files of tickets, messages and drafts."""
        return Attachments(self._portal, self._async.attachments)

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

    def set_session(self, access_token: str, refresh_token: str) -> User:
        """Go on with a session that was begun elsewhere, once the server has accepted it.

        Whoever began it must not refresh it any more: the server would end it.

        Raises:
            InvalidInput: these cannot be tokens; no request was made.
            SignInFailed: the server does not accept them.
        """
        return self._portal.run(self._async.set_session, access_token, refresh_token)

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
        return self._portal.run(
            self._async.create,
            organization=organization,
            subject=subject,
            description=description,
            priority=priority,
            attachments=attachments,
            progress=progress,
            follow_up_of=follow_up_of,
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
            total: also count the whole list; with a cursor that is one more request.
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

    def live(
        self, after: str | None = None, *, check_every: float = 30.0, poll_every: float = 3.0
    ) -> TicketListFeed:
        """Follow your list: every ticket that is new or changed, as it is then.

        Args:
            after: a feed's saved `position`, to go on there, also in another process. Left out,
                it begins when the feed is opened, which asks the server where that is.
            check_every: seconds after which the table is asked even when all seems well.
            poll_every: seconds between two looks at the table while there is no websocket.

        Raises:
            InvalidInput: no saved position, or an interval that is not positive.
        """
        return TicketListFeed(
            self._portal, self._async.live(after, check_every=check_every, poll_every=poll_every)
        )

    def thread(self, ticket: Ticket | UUID | str) -> TicketThread:
        """Open a ticket's thread, in one request.

        Raises:
            NotFound: it does not exist, or it is not yours.
        """
        return TicketThread(self._portal, self._portal.run(self._async.thread, ticket))

    def watch(self, ticket: Ticket | UUID | str | None = None) -> Watch:
        """Show a ticket's thread in a notebook's cell and keep it up to date; return at once.

        Until the server answers there is a placeholder, and below it whether you are offline. An
        earlier view of the same ends.

        Args:
            ticket: whose thread; left out, the 20 of your tickets that changed last.

        Raises:
            ImportError: IPython is not installed.
            RuntimeError: this is no notebook.
        """
        return Watch(self._portal, self._portal.run(self._async.watch, ticket))

    def export(
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
        return self._portal.run(
            self._async.export, to, ticket=ticket, attachments=attachments, progress=progress
        )
