"""One ticket's thread: read it, write in it, follow it live.

Longer than a module should be: each feature of a thread has a method here, most of it what `help()`
shows, and what decides is elsewhere (_view, _outbox, _resources, _live).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from copy import copy
from functools import partial
from uuid import UUID, uuid4

from ._arguments import check_flags, check_kind, check_progress, refuse_unless
from ._connection import Connection
from ._errors import CustomerTicketsError
from ._events import TicketEvent
from ._inputs import (
    Closing,
    NewMessage,
    Rating,
    Reopening,
    ThreadFeedOptions,
    TicketChange,
    checked,
)
from ._live.line import Line
from ._live.people import AsyncPeople, Person, meeting_place
from ._live.ticket_feed import AsyncTicketFeed
from ._models import (
    Attachment,
    Draft,
    Feedback,
    Message,
    Organization,
    Permissions,
    Priority,
    Ticket,
)
from ._outbox import Outbox, untold
from ._progress import ProgressTo
from ._resources import history, messages, threads
from ._resources.attachments import AsyncAttachments
from ._resources.messages import Written
from ._rows import History, Messages
from ._session import another_user
from ._uploads import AttachmentSource, checked_with, file_list, uploaded
from ._view import ThreadView, Verification
from ._watch import AsyncWatch, Picture, watch

# A live reader asks again by itself: it need not wait as long as a person's call does.
_FEED_PATIENCE = 10.0
# What others did just before an own write is worth a moment of the writer's time, not more.
_CATCH_UP_PATIENCE = 2.0


def _check_size(size: object) -> None:
    fits = isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= 500
    refuse_unless(fits, "size", "must be 1 to 500")


async def open_thread(connection: Connection, line: Line, ticket_id: UUID) -> AsyncTicketThread:
    """Read a thread in one request."""
    answer = await threads.read_or_keep(connection, ticket_id)
    return AsyncTicketThread(connection, line, ThreadView(answer))


class AsyncTicketThread:
    """A ticket with its messages and history, as far as they were read.

    What it shows changes with `refresh`, with own writes, and while a live feed of it is read.
    """

    def __init__(self, connection: Connection, line: Line, view: ThreadView) -> None:
        self._connection = connection
        self._line = line
        self._view = view
        self._outbox = Outbox(view)
        self._people: AsyncPeople | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.ticket!r} messages={len(self.messages)}>"

    def _repr_html_(self) -> str:
        return self._view.html()

    @property
    def ticket(self) -> Ticket:
        """The ticket, as last heard of."""
        return self._view.ticket

    @property
    def organization(self) -> Organization:
        """The organization that handles the ticket."""
        return self._view.organization

    @property
    def messages(self) -> Messages:
        """The messages read so far, oldest first; at first the newest 50.

        Your own are here from the moment you send them, as pending; see `Message.state`.
        """
        return Messages(self._view.messages)

    @property
    def history(self) -> History:
        """The events read so far, oldest first; at first the newest 50."""
        return History(self._view.history)

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The files of the description and of the messages read so far."""
        sent = [attachment for message in self.messages for attachment in message.attachments]
        return (*self._view.attachments, *sent)

    @property
    def feedback(self) -> Feedback | None:
        """How you rated the ticket, as last read."""
        return self._view.feedback

    @property
    def draft(self) -> Draft | None:
        """Your newest unsent reply, as last read; `tickets.drafts` saves and submits it."""
        return self._view.draft

    @property
    def can(self) -> Permissions:
        """What you may do with the ticket, with reasons and deadlines, decided by the database."""
        return self._view.can

    async def refresh(self) -> None:
        """Read the newest 50 messages and events, the ticket, and what you may do, again."""
        answer = await threads.read(self._connection, self.ticket.id)
        # Unless a write or an event was shown meanwhile: then this is the older picture.
        if ThreadView(answer).read_to >= self._view.read_to:
            self._view.restart(answer)
            self._wake_people()

    async def older_messages(self, size: int = 50) -> bool:
        """Read up to `size` (1 to 500) messages before the oldest; return if there are more."""
        _check_size(size)
        if not self._view.confirmed:
            return False
        first = self._view.confirmed[0].seq
        older, more = await history.messages_before(self._connection, self.ticket.id, first, size)
        self._view.add_messages(older)
        return more

    async def older_history(self, size: int = 50) -> bool:
        """Read up to `size` (1 to 500) events before the oldest; return if there are more.

        The messages among them are in `messages` too, from then on.
        """
        _check_size(size)
        if not self.history:
            return False
        first = self.history[0].seq
        older, more = await history.events_before(self._connection, self.ticket.id, first, size)
        self._view.merge(older, self.ticket)
        return more

    async def send(
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
        check_flags(wait=wait)
        check_progress(progress)
        key = id if id is not None else uuid4()
        check = partial(checked, NewMessage, id=key, body=text, reply_to=reply_to)
        message = await checked_with(check, attachments)
        files, connection, ticket_id = file_list(attachments), self._connection, self.ticket.id
        author = connection.session.user

        async def deliver() -> Message:
            if connection.session.user.id != author.id:
                raise another_user()  # while it waited for its turn, or before it was sent again
            async with uploaded(connection, message.id, files, progress) as rows:
                sent, written = await messages.send(connection, ticket_id, message, rows)
            # What others did just before may not be read yet: until then it has no place.
            self._view.show_outgoing(sent)
            await self._take(written)
            return sent

        pending = self._outbox.post(ticket_id, message, author, deliver)
        return await self._deliver(pending, wait=wait)

    async def retry(self, message: Message | UUID, *, wait: bool = True) -> Message:
        """Send a failed message of `messages` again, with the same id: it arrives once.

        It goes after what is on its way by now.

        Raises:
            InvalidInput: it is not one of this thread's failed messages.
        """
        check_flags(wait=wait)
        return await self._deliver(self._outbox.posted_again(message), wait=wait)

    async def discard(self, message: Message | UUID) -> None:
        """Drop a failed message from `messages`; one that did arrive comes back when it is read.

        Raises:
            InvalidInput: it is not one of this thread's failed messages.
        """
        self._outbox.discard(message)

    async def _deliver(self, pending: Message, *, wait: bool) -> Message:
        delivery = self._outbox.delivery(pending)
        if wait:
            return await delivery
        self._connection.in_background(untold(delivery))
        return pending

    async def edit(
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
        change = checked(
            TicketChange,
            request_id=request_id if request_id is not None else uuid4(),
            subject=subject,
            description=description,
            priority=priority,
        )
        return await self._take(await messages.edit(self._connection, self.ticket.id, change))

    async def close_ticket(
        self, reason: str | None = None, *, request_id: UUID | None = None
    ) -> Ticket:
        """Close the ticket, with a reason (up to 1,000 characters) if you like.

        Raises:
            TicketClosedError: it is closed already.
            Offline: no answer came; repeat with the error's `write_id` as `request_id`.
        """
        key = request_id if request_id is not None else uuid4()
        closing = checked(Closing, request_id=key, reason=reason)
        return await self._take(await messages.close(self._connection, self.ticket.id, closing))

    async def reopen_ticket(self, *, request_id: UUID | None = None) -> Ticket:
        """Open the closed ticket again, while the organization's window lasts.

        Raises:
            TicketNotClosed: it is not closed.
            ReopenWindowOver: too late; `thread.can.reopen.until` says until when it was possible.
            Offline: no answer came; repeat with the error's `write_id` as `request_id`.
        """
        key = request_id if request_id is not None else uuid4()
        reopening = checked(Reopening, request_id=key)
        return await self._take(
            await messages.reopen(self._connection, self.ticket.id, reopening.request_id)
        )

    async def rate(
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
        key = request_id if request_id is not None else uuid4()
        wanted = checked(Rating, request_id=key, rating=rating, comment=comment)
        feedback, written = await messages.rate(self._connection, self.ticket.id, wanted)
        self._view.feedback = feedback
        await self._take(written)
        return feedback

    async def render(self, message: Message | None = None, seconds: int = 3600) -> str:
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
        check_kind(message, (Message, type(None)), "message")
        body = self.ticket.description if message is None else message.body
        own = () if message is None else message.attachments
        files = AsyncAttachments(self._connection)
        return await files.render(body, (*own, *self.attachments), seconds)

    async def mark_read(self) -> int:
        """Say that you have read everything that this thread shows; return up to which number."""
        seq = self._view.read_to
        try:
            done = await messages.mark_read(self._connection, self.ticket.id, seq)
        finally:
            self._connection.cache.changed(self.ticket.id)  # its answer may be lost
        ticket = self.ticket.model_copy(update={"last_read_seq": done})
        self._view.merge((), ticket)
        return done

    def live(
        self, after: int | None = None, *, check_every: float = 30.0, poll_every: float = 3.0
    ) -> AsyncTicketFeed:
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
        start = self._view.read_to if after is None else after
        options = checked(
            ThreadFeedOptions, after=start, check_every=check_every, poll_every=poll_every
        )
        return AsyncTicketFeed(
            self.ticket.id,
            options.after,
            line=self._line,
            fetch=self._fetch,
            check_every=options.check_every,
            poll_every=options.poll_every,
        )

    async def verify(self) -> Verification:
        """Compare the events and messages that this thread shows with what the server has.

        A thread that a live feed keeps up to date is the same as the server, however often the
        network died: this reads everything again and holds it to that.
        """
        shown = copy(self._view)  # what it shows by now: a feed or a write may add to it meanwhile
        server: list[TicketEvent] = []
        place, end = (shown.history[0].seq - 1, shown.read_to) if shown.history else (0, 0)
        while place < end:
            newer = await history.events_after(self._connection, self.ticket.id, place)
            if not newer.events:
                break
            server += newer.events
            place = newer.events[-1].seq
        return shown.compared(server)

    async def watch(self) -> AsyncWatch:
        """Show the thread in a notebook's cell and keep it up to date there; return at once.

        A line below says whether it is live, and why not. Another view of the same ticket ends.

        Raises:
            ImportError: IPython is not installed.
            RuntimeError: this is no notebook.
        """
        return await watch(self._connection, self.ticket.id, "thread", partial(pictured, self))

    def people(self) -> AsyncPeople:
        """See who else is at the ticket, and who is typing; you are seen there too.

        Raises:
            SignInRequired: nobody is signed in.
        """
        self._people = AsyncPeople(self._view, self._connection.session.user.id, line=self._line)
        return self._people

    @property
    def typists(self) -> tuple[Person, ...]:
        """Who else is typing, while `people` is open.

        Raises:
            RuntimeError: `people` was not opened.
        """
        return self._opened_people().typists

    async def typing(self) -> None:
        """Say that you are typing, while `people` is open; call it at every key.

        Raises:
            RuntimeError: `people` was not opened.
        """
        await self._opened_people().typing()

    def _opened_people(self) -> AsyncPeople:
        if self._people is None:
            raise RuntimeError("open it first: `with thread.people() as people`")
        return self._people

    async def _fetch(self, after: int) -> tuple[Sequence[TicketEvent], int]:
        # A feed may begin further on than what is shown, which has no gaps.
        await self._show_up_to(after)
        return await self._read_after(after)

    async def _show_up_to(self, seq: int) -> None:
        before = -1
        while before < self._view.read_to < seq:
            before = self._view.read_to
            await self._read_after(before)

    async def _read_after(self, after: int) -> tuple[Sequence[TicketEvent], int]:
        session = self._connection.session
        reader = session.user.id
        newer = await history.events_after(
            self._connection, self.ticket.id, after, patience=_FEED_PATIENCE
        )
        # The answer may come after a sign-out: nothing is shown then (`user` raises).
        if session.user.id != reader:
            raise another_user()
        if newer.events:
            self._connection.cache.changed(self.ticket.id)
        self._show(newer.events, newer.ticket, newer.can)
        return newer.events, newer.ticket.last_seq

    async def _take(self, written: Written) -> Ticket:
        """Show what an own write did, and what others did just before it."""
        self._connection.cache.changed(self.ticket.id)
        events = () if written.event is None else (written.event,)
        self._show(events, written.ticket, written.can)
        # The write succeeded, whatever happens now: what cannot be had in a moment comes with the
        # next refresh or event.
        with suppress(CustomerTicketsError, TimeoutError):
            async with asyncio.timeout(_CATCH_UP_PATIENCE):
                await self._show_up_to(self.ticket.last_seq)
        return self.ticket

    def _show(self, events: Sequence[TicketEvent], ticket: Ticket, can: Permissions) -> None:
        self._view.merge(events, ticket, can)
        self._wake_people()

    def _wake_people(self) -> None:
        """Have whoever waits for who is here look again: who has acted types no more."""
        self._line.wake(meeting_place(self.ticket.id))


@asynccontextmanager
async def pictured(thread: AsyncTicketThread) -> AsyncGenerator[Picture]:
    """Follow a thread, for a view of it."""
    view = thread._view  # pyright: ignore[reportPrivateUsage] # this module's own class
    async with thread.live() as feed:
        yield Picture(feed, lambda: (view.ticket, view.messages, view.history, view.can), view.html)
