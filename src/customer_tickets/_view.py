"""PURE: what is known of one thread, merged from answers and events in whatever order they come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from . import _html
from ._events import MessageAdded, TicketEvent
from ._models import (
    Attachment,
    Draft,
    Feedback,
    Frozen,
    Message,
    Organization,
    Permissions,
    Role,
    Ticket,
)
from ._rows import history_rows


@dataclass(frozen=True)
class ThreadAnswer:
    """One answer to `ticket_thread`: the ticket with its newest messages and events."""

    ticket: Ticket
    organization: Organization
    can: Permissions
    messages: tuple[Message, ...]
    events: tuple[TicketEvent, ...]
    attachments: tuple[Attachment, ...]
    feedback: Feedback | None
    draft: Draft | None


class Verification(Frozen):
    """What a comparison of a thread with the server found.

    It covers the events `first_seq` to `last_seq`, 1 to 0 when none are shown; `differing` has the
    numbers of those that are shown otherwise than the server has them. It is true when there are
    none.
    """

    _shown = ("first_seq", "last_seq", "differing")
    first_seq: int
    last_seq: int
    differing: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return not self.differing


class ThreadView:
    """The ticket, its newest messages and events, and what the reader may do.

    The history is one block without a gap; what does not touch it is left out until what lies
    between is there too. So an answer that is late or comes twice changes nothing.

    Attributes:
        outgoing: own messages that the server has not confirmed, or whose place is not read yet.
    """

    def __init__(self, answer: ThreadAnswer) -> None:
        self.outgoing: dict[UUID, Message] = {}
        self.ticket = answer.ticket
        self.restart(answer)

    def restart(self, answer: ThreadAnswer) -> None:
        """Show a whole new answer, and what is on its way as before."""
        self.ticket = self._as_read(answer.ticket)
        self.organization = answer.organization
        self.can = answer.can
        self.confirmed: tuple[Message, ...] = ()
        self.history = answer.events
        self.attachments = answer.attachments
        self.feedback = answer.feedback
        self.draft = answer.draft
        self.add_messages(answer.messages)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages in their order; what is still on its way comes last."""
        return (*self.confirmed, *self.outgoing.values())

    @property
    def read_to(self) -> int:
        """The number of the newest event shown."""
        return self.history[-1].seq if self.history else self.ticket.last_seq

    def html(self) -> str:
        """Return what a notebook shows of the thread."""
        return _html.thread(
            self.ticket,
            self.organization.name,
            self.messages,
            history_rows(self.history),
            self.can,
            self.attachments,
        )

    def show_outgoing(self, message: Message) -> None:
        """Show an own message, unless its echo has been read already."""
        if all(known.id != message.id for known in self.confirmed):
            self.outgoing[message.id] = message

    def name_of(self, author: UUID) -> str:
        """Return the name under which somebody acted in this ticket last; empty if unknown."""
        names = [event.actor_name for event in self.history if event.actor_id == author]
        names += [message.author_name for message in self.confirmed if message.author_id == author]
        return names[-1] if names else ""

    def role_of(self, user: UUID) -> Role | None:
        """Return as what somebody acted in this ticket last; None if unknown."""
        roles: list[Role] = [event.actor_role for event in self.history if event.actor_id == user]
        return roles[-1] if roles else None

    def last_act_of(self, user: UUID) -> int:
        """Return the number of somebody's newest event; 0 if there is none."""
        return max((event.seq for event in self.history if event.actor_id == user), default=0)

    def merge(
        self, events: Iterable[TicketEvent], ticket: Ticket, can: Permissions | None = None
    ) -> None:
        """Take in events, and the ticket (and what may be done with it) if that is not older."""
        ascending = sorted(events, key=lambda event: event.seq)
        newer = _run(ascending, self.read_to, 1)
        first = self.history[0].seq if self.history else 1
        older = _run(reversed(ascending), first, -1)
        self.history = (*reversed(older), *self.history, *newer)
        self.add_messages(
            event.message for event in (*older, *newer) if isinstance(event, MessageAdded)
        )
        if ticket.last_seq >= self.ticket.last_seq:
            self.ticket = self._as_read(ticket)
            self.can = can if can is not None else self.can

    def _as_read(self, ticket: Ticket) -> Ticket:
        # Reading goes forward only, so a higher position is the newer one.
        read = max(ticket.last_read_seq, self.ticket.last_read_seq)
        return ticket.model_copy(update={"last_read_seq": read})

    def compared(self, events: Iterable[TicketEvent]) -> Verification:
        """Compare what is shown with what the server has of the same numbers."""
        if not self.history:
            return Verification(first_seq=1, last_seq=0)
        server = {event.seq: event for event in events}
        said = {
            event.seq: event.message for event in server.values() if isinstance(event, MessageAdded)
        }
        shown = {message.seq: message for message in self.confirmed}
        differing = [
            event.seq
            for event in self.history
            if server.get(event.seq) != event or shown.get(event.seq) != said.get(event.seq)
        ]
        return Verification(
            first_seq=self.history[0].seq, last_seq=self.read_to, differing=tuple(differing)
        )

    def add_messages(self, messages: Iterable[Message]) -> None:
        """Take in messages, old or new."""
        known = {message.seq: message for message in self.confirmed}
        known.update({message.seq: message for message in messages})
        self.confirmed = tuple(known[seq] for seq in sorted(known))
        for message in self.confirmed:
            self.outgoing.pop(message.id, None)


def _run(events: Iterable[TicketEvent], place: int, step: int) -> list[TicketEvent]:
    """Return the events that go on from a place, one number after the other."""
    run: list[TicketEvent] = []
    for event in events:
        if event.seq == place + step:
            run.append(event)
            place = event.seq
    return run
