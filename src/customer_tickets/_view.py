"""PURE: what is known of one thread, merged from answers and events in whatever order they come."""

from __future__ import annotations

from collections.abc import Iterable

from ._events import MessageAdded, TicketEvent
from ._models import Message, Organization, Permissions, Ticket


class ThreadView:
    """The ticket, its newest messages and events, and what the reader may do.

    The history is one block without a gap; what does not touch it is left out until what lies
    between is there too. So an answer that is late or comes twice changes nothing.
    """

    def __init__(
        self,
        ticket: Ticket,
        organization: Organization,
        can: Permissions,
        messages: Iterable[Message],
        history: Iterable[TicketEvent],
    ) -> None:
        self.ticket = ticket
        self.organization = organization
        self.can = can
        self.messages = tuple(messages)
        self.history = tuple(history)

    @property
    def read_to(self) -> int:
        """The number of the newest event shown."""
        return self.history[-1].seq if self.history else self.ticket.last_seq

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
            # Reading goes forward only, so a higher position is the newer one.
            read = max(ticket.last_read_seq, self.ticket.last_read_seq)
            self.ticket = ticket.model_copy(update={"last_read_seq": read})
            self.can = can if can is not None else self.can

    def add_messages(self, messages: Iterable[Message]) -> None:
        """Take in messages, old or new."""
        known = {message.seq: message for message in self.messages}
        known.update({message.seq: message for message in messages})
        self.messages = tuple(known[seq] for seq in sorted(known))


def _run(events: Iterable[TicketEvent], place: int, step: int) -> list[TicketEvent]:
    """Return the events that go on from a place, one number after the other."""
    run: list[TicketEvent] = []
    for event in events:
        if event.seq == place + step:
            run.append(event)
            place = event.seq
    return run
