"""The events of a ticket, numbered 1, 2, 3 and so on: its history and its live feed.

Every class is one kind of event, so that `match` tells them apart. Rows come from the table
ticket_events; a kind that this version does not know arrives as an OtherEvent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import AliasPath, Discriminator, Field, Tag, field_validator

from ._errors import CustomerTicketsError
from ._frozen import frozen
from ._models import Frozen, Message, Role, Status, Ticket


class _Event(Frozen):
    """What all events have in common.

    `seq` is the event's number in its ticket: gapless, in the order of commits. `at` is an aware
    datetime in UTC. The actor is None where the database itself acted.
    """

    _shown: ClassVar[tuple[str, ...]] = ("seq",)
    ticket_id: UUID
    seq: int
    at: datetime = Field(validation_alias="created_at")
    actor_id: UUID | None
    actor_role: Role
    actor_name: str


class TicketCreated(_Event):
    """The ticket was created; always number 1."""

    kind: Literal["created"] = "created"


class MessageAdded(_Event):
    """Somebody wrote a message."""

    kind: Literal["message"] = "message"
    message: Message


class TicketEdited(_Event):
    """Somebody changed the subject, the description or the priority.

    `before` and `after` hold the changed subject and priority; a description is only named in
    `fields`, because its text is not kept in the history.
    """

    _shown = ("seq", "fields")
    kind: Literal["edited"] = "edited"
    fields: tuple[str, ...] = Field(validation_alias=AliasPath("data", "fields"))
    before: Mapping[str, str] = Field(validation_alias=AliasPath("data", "from"))
    after: Mapping[str, str] = Field(validation_alias=AliasPath("data", "to"))
    _freeze = field_validator("before", "after")(frozen)


class StatusChanged(_Event):
    """An employee changed the status, for example from open to in-progress."""

    _shown = ("seq", "before", "after")
    kind: Literal["status"] = "status"
    before: Status = Field(validation_alias=AliasPath("data", "from"))
    after: Status = Field(validation_alias=AliasPath("data", "to"))


class TicketAssigned(_Event):
    """The ticket was given to a team or an employee; None where there is none."""

    kind: Literal["assigned"] = "assigned"
    team: str | None = Field(default=None, validation_alias=AliasPath("data", "to", "team"))
    employee_name: str | None = Field(
        default=None, validation_alias=AliasPath("data", "to", "employee_name")
    )


class TicketClosed(_Event):
    """The ticket was closed; `reason` is what was said about it, if anything."""

    kind: Literal["closed"] = "closed"
    reason: str | None = Field(default=None, validation_alias=AliasPath("data", "reason"))


class TicketReopened(_Event):
    """A closed ticket was opened again."""

    kind: Literal["reopened"] = "reopened"


class TicketRated(_Event):
    """The customer rated the ticket, from 1 to 5, or changed the rating."""

    _shown = ("seq", "rating")
    kind: Literal["rated"] = "rated"
    rating: int = Field(validation_alias=AliasPath("data", "rating"))


class OtherEvent(_Event):
    """An event of a kind that this version of the library does not know.

    `data` is what the server says of it; lists are tuples there, as nothing in it can be changed.
    """

    _shown = ("seq", "kind")
    kind: str
    data: Mapping[str, Any]
    _freeze = field_validator("data")(frozen)


class TicketChanged(Frozen):
    """A ticket of the list changed, or is new; `ticket` is what it is like now."""

    _shown = ("ticket",)
    kind: Literal["changed"] = "changed"
    ticket: Ticket


@dataclass(frozen=True)
class ChangedTickets:
    """What the table says of changes: the tickets, and from where to ask next time."""

    tickets: tuple[Ticket, ...]
    horizon: int
    ahead: bool


StopReason = Literal["access_lost", "signed_out", "hole", "ahead"]


@dataclass(frozen=True)
class FeedStopped:
    """The last thing a live feed hands out when it cannot go on; the iteration ends after it.

    Attributes:
        reason: `access_lost` (the ticket is gone or no longer yours), `signed_out`, `hole` (the
            server no longer has an event of the sequence), or `ahead` (the ticket has not reached
            the number to go on from: saved for another ticket, or the database was restored).
        after_seq: the number of the last event that was handed out before.
        error: the error that ended it.
    """

    reason: StopReason
    after_seq: int
    error: CustomerTicketsError
    kind: Literal["stopped"] = "stopped"


_KINDS = frozenset(
    {"created", "message", "edited", "status", "assigned", "closed", "reopened", "rated"}
)


def _tag(row: dict[str, Any] | TicketEvent) -> str:
    if not isinstance(row, dict):
        return row.kind
    # A message event without its message (deleted by the server's owner) is still an event.
    if row["kind"] not in _KINDS or (row["kind"] == "message" and row["message"] is None):
        return "other"
    return str(row["kind"])


TicketEvent = (
    TicketCreated
    | MessageAdded
    | TicketEdited
    | StatusChanged
    | TicketAssigned
    | TicketClosed
    | TicketReopened
    | TicketRated
    | OtherEvent
)

# The tag makes parsing cost one class an event instead of a try of each.
ParsedEvent = Annotated[
    Annotated[TicketCreated, Tag("created")]
    | Annotated[MessageAdded, Tag("message")]
    | Annotated[TicketEdited, Tag("edited")]
    | Annotated[StatusChanged, Tag("status")]
    | Annotated[TicketAssigned, Tag("assigned")]
    | Annotated[TicketClosed, Tag("closed")]
    | Annotated[TicketReopened, Tag("reopened")]
    | Annotated[TicketRated, Tag("rated")]
    | Annotated[OtherEvent, Tag("other")],
    Discriminator(_tag),
]

__all__ = [
    "ChangedTickets",
    "FeedStopped",
    "MessageAdded",
    "OtherEvent",
    "ParsedEvent",
    "StatusChanged",
    "StopReason",
    "TicketAssigned",
    "TicketChanged",
    "TicketClosed",
    "TicketCreated",
    "TicketEdited",
    "TicketEvent",
    "TicketRated",
    "TicketReopened",
]
