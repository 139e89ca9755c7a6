"""Write into a thread: messages, edits, closing, reopening, how far one has read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel, TypeAdapter

from .._connection import Connection
from .._events import MessageAdded, ParsedEvent
from .._inputs import Closing, NewMessage, Rating, TicketChange
from .._models import Feedback, Message, Permissions, Ticket


class Written(BaseModel):
    """What a write answers: the ticket after it, and the event it made, if it changed anything."""

    ticket: Ticket
    can: Permissions
    event: ParsedEvent | None


class _Sent(BaseModel):
    ticket: Ticket
    can: Permissions
    message: Message


class _Rated(Written):
    feedback: Feedback


class _Read(BaseModel):
    last_read_seq: int


_WRITTEN = TypeAdapter(Written)
_SENT = TypeAdapter(_Sent)
_RATED = TypeAdapter(_Rated)
_READ = TypeAdapter(_Read)


async def send(
    connection: Connection,
    ticket_id: UUID,
    message: NewMessage,
    attachments: Sequence[dict[str, Any]] = (),
) -> tuple[Message, Written]:
    """Send a message in one request; repeating it with the same id sends nothing more."""
    arguments = {"ticket_id": ticket_id, **message.model_dump(mode="json")}
    arguments["attachments"] = attachments or None
    sent = await connection.call("send_message", arguments, _SENT, write_id=message.id)
    written = Written(ticket=sent.ticket, can=sent.can, event=event_of(sent.message))
    return sent.message, written


async def edit(connection: Connection, ticket_id: UUID, change: TicketChange) -> Written:
    """Change an own open ticket; repeating it with the same request_id changes nothing more."""
    arguments = {"ticket_id": ticket_id, **change.model_dump(mode="json")}
    return await connection.call("edit_ticket", arguments, _WRITTEN, write_id=change.request_id)


async def close(connection: Connection, ticket_id: UUID, closing: Closing) -> Written:
    """Close a ticket; repeating it with the same request_id closes it once."""
    arguments: dict[str, Any] = {"ticket_id": ticket_id, **closing.model_dump(mode="json")}
    return await connection.call("close_ticket", arguments, _WRITTEN, write_id=closing.request_id)


async def reopen(connection: Connection, ticket_id: UUID, request_id: UUID) -> Written:
    """Reopen a ticket; repeating it with the same request_id reopens it once."""
    arguments = {"ticket_id": ticket_id, "request_id": request_id}
    return await connection.call("reopen_ticket", arguments, _WRITTEN, write_id=request_id)


async def rate(connection: Connection, ticket_id: UUID, rating: Rating) -> tuple[Feedback, Written]:
    """Rate a ticket; repeating it with the same request_id changes nothing more."""
    arguments = {"ticket_id": ticket_id, **rating.model_dump(mode="json")}
    rated = await connection.call("rate_ticket", arguments, _RATED, write_id=rating.request_id)
    return rated.feedback, rated


async def mark_read(connection: Connection, ticket_id: UUID, seq: int) -> int:
    """Say how far one has read, never backwards; return how far that is now."""
    arguments = {"ticket_id": ticket_id, "seq": seq}
    return (await connection.call("mark_ticket_read", arguments, _READ)).last_read_seq


def event_of(message: Message) -> MessageAdded:
    """Return the event that a message is: it says no more than the message does."""
    return MessageAdded.model_validate(
        {
            "ticket_id": message.ticket_id,
            "seq": message.seq,
            "created_at": message.created_at,
            "actor_id": message.author_id,
            "actor_role": message.author_role,
            "actor_name": message.author_name,
            "message": message,
        }
    )
