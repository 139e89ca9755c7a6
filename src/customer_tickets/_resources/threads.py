"""A whole thread in one request."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import BaseModel, TypeAdapter

from .._connection import Connection
from .._events import ParsedEvent
from .._models import (
    Attachment,
    Draft,
    Feedback,
    Organization,
    Permissions,
    PublicMessages,
    Ticket,
)
from .._view import ThreadAnswer


class _Answer(BaseModel):
    ticket: Ticket
    organization: Organization
    can: Permissions
    messages: PublicMessages
    events: list[dict[str, Any]]
    attachments: tuple[Attachment, ...] = ()
    feedback: Feedback | None = None
    draft: Draft | None = None


_ANSWER = TypeAdapter(_Answer)
_EVENTS = TypeAdapter(tuple[ParsedEvent, ...])


async def read(connection: Connection, ticket_id: UUID) -> ThreadAnswer:
    """Read a ticket's thread, as it is now."""
    asked_at = connection.cache.changes()
    answer = await connection.call("ticket_thread", {"ticket_id": ticket_id}, _ANSWER)
    # The texts come once, with the messages: the newest events' messages are among the newest.
    texts = {str(message.id): message for message in answer.messages}
    for event in answer.events:
        event["message"] = texts.get(event["data"].get("message_id", ""))
    thread = ThreadAnswer(
        answer.ticket,
        answer.organization,
        answer.can,
        answer.messages,
        _EVENTS.validate_python(answer.events),
        answer.attachments,
        answer.feedback,
        answer.draft,
    )
    connection.cache.put(("thread", ticket_id), thread, asked_at=asked_at, tickets=[ticket_id])
    return thread


async def read_or_keep(connection: Connection, ticket_id: UUID) -> ThreadAnswer:
    """Return a thread from the cache, where the client keeps one, or else read it."""
    kept: ThreadAnswer | None = connection.cache.get(("thread", ticket_id))
    return kept if kept is not None else await read(connection, ticket_id)
