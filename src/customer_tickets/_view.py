"""PURE: what is known of one thread, merged from answers and events in whatever order they come."""

from __future__ import annotations

from collections.abc import Iterable

from ._events import MessageAdded, TicketEvent
from ._models import Message, Organization, Permissions, Ticket


class ThreadView:
    """The ticket, its newest messages and events, and what the reader may do.

    Everything merges by number, so an answer that is late or comes twice changes nothing. `read_to`
    is the number up to which the history is known without a gap.
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
        self.read_to = ticket.last_seq

    def merge(
        self, events: Iterable[TicketEvent], ticket: Ticket, can: Permissions | None = None
    ) -> None:
        """Take in events, and the ticket (and what may be done with it) if that is not older."""
        history = {event.seq: event for event in self.history}
        history.update({event.seq: event for event in events})
        self.history = tuple(history[seq] for seq in sorted(history))
        self.add_messages(event.message for event in events if isinstance(event, MessageAdded))
        while self.read_to + 1 in history:
            self.read_to += 1
        if ticket.last_seq >= self.ticket.last_seq:
            self.ticket = ticket
            self.can = can if can is not None else self.can

    def add_messages(self, messages: Iterable[Message]) -> None:
        """Take in messages, old or new."""
        known = {message.seq: message for message in self.messages}
        known.update({message.seq: message for message in messages})
        self.messages = tuple(known[seq] for seq in sorted(known))
