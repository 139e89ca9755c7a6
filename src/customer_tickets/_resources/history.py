"""The events of a ticket, read from its table: newer ones for a live reader, older ones by page."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from pydantic import BaseModel, TypeAdapter

from .._connection import Connection
from .._events import ParsedEvent, TicketEvent
from .._models import Message, Permissions, PublicMessages, Ticket


class Newer(BaseModel):
    """One snapshot: events in ascending order, and the ticket as it was with the last of all."""

    ticket: Ticket
    can: Permissions
    events: tuple[ParsedEvent, ...]


class _OlderEvents(BaseModel):
    events: tuple[ParsedEvent, ...]
    more: bool


class _OlderMessages(BaseModel):
    messages: PublicMessages
    more: bool


_NEWER = TypeAdapter(Newer)
_OLDER_EVENTS = TypeAdapter(_OlderEvents)
_OLDER_MESSAGES = TypeAdapter(_OlderMessages)
_HEADS = TypeAdapter(dict[UUID, int])
_AT_ONCE = 200
# Whoever checks does so again by itself: it need not wait as long as a person's call does.
_HEADS_PATIENCE = 10.0


async def events_after(
    connection: Connection, ticket_id: UUID, seq: int, *, patience: float | None = None
) -> Newer:
    """Return up to 200 events after number `seq`."""
    arguments = {"ticket_id": ticket_id, "after_seq": seq, "max_events": _AT_ONCE}
    return await connection.call("ticket_events_after", arguments, _NEWER, patience=patience)


async def heads(connection: Connection, tickets: Sequence[UUID]) -> dict[UUID, int]:
    """Return the number of the last event of each of these tickets that is still the caller's."""
    arguments = {"ticket_ids": [str(ticket) for ticket in tickets]}
    return await connection.call("ticket_heads", arguments, _HEADS, patience=_HEADS_PATIENCE)


async def events_before(
    connection: Connection, ticket_id: UUID, seq: int, size: int
) -> tuple[tuple[TicketEvent, ...], bool]:
    """Return up to `size` events before number `seq`, ascending, and whether there are more."""
    arguments = {"ticket_id": ticket_id, "before_seq": seq, "max_events": size}
    page = await connection.call("ticket_events_before", arguments, _OLDER_EVENTS)
    return page.events, page.more


async def messages_before(
    connection: Connection, ticket_id: UUID, seq: int, size: int
) -> tuple[tuple[Message, ...], bool]:
    """Return up to `size` messages before number `seq`, ascending, and whether there are more."""
    arguments = {"ticket_id": ticket_id, "before_seq": seq, "max_messages": size}
    page = await connection.call("ticket_messages_before", arguments, _OLDER_MESSAGES)
    return page.messages, page.more
