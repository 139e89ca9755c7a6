"""PURE: what a draft's next version holds: what it held, and what was changed."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

from pydantic import AfterValidator, Field, StrictStr

from ._arguments import check_kind
from ._errors import FieldError, InvalidInput
from ._inputs import checked, printable, spoken
from ._models import Draft, Frozen, Message, Priority, Ticket


class Unset(Enum):
    """The type of `UNSET`."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""Says that an argument was left out, where None means something."""


class DraftInput(Frozen):
    """What a draft holds; it may be as unfinished as it likes, but not too long."""

    id: UUID
    version: int
    ticket_id: UUID | None
    handling_org_id: UUID | None
    subject: Annotated[StrictStr, AfterValidator(printable), Field(max_length=200)]
    description: Annotated[StrictStr, AfterValidator(printable), Field(max_length=20_000)]
    priority: Priority
    body: Annotated[StrictStr, AfterValidator(printable), Field(max_length=20_000)]
    reply_to: UUID | None
    # Files are sent before the draft is saved: what is to be attached is no part of the check.
    attachments: tuple[Any, ...] | None = Field(default=None, exclude=True)


_OF_TICKETS = {"handling_org_id", "subject", "description", "priority"}
_OF_REPLIES = {"body", "reply_to"}


class Submitted(Frozen):
    """What a draft became: a ticket, or a message in one; the other fields are as after it."""

    _shown = ("ticket", "message")
    ticket: Ticket
    message: Message | None = None


def draft_input(
    draft: Draft | None, ticket_id: object, id: UUID | None, changes: dict[str, object]
) -> DraftInput:
    """Return the checked content of a draft's next version."""
    check_kind(draft, (Draft, type(None)), "draft")
    base: dict[str, object] = {
        "id": id if id is not None else uuid4(),
        "version": 0,
        "ticket_id": ticket_id,
        "handling_org_id": None,
        "subject": "",
        "description": "",
        "priority": "medium",
        "body": "",
        "reply_to": None,
    }
    if draft is not None:
        base = {
            **draft.model_dump(include=base.keys() - {"attachments"}),
            "handling_org_id": draft.organization_id,
            "body": draft.text,
        }
        if ticket_id is not None:
            base["ticket_id"] = ticket_id
    given = {name: value for name, value in changes.items() if value is not UNSET}
    reply = (ticket_id if draft is None else draft.ticket_id) is not None
    strange = given.keys() & (_OF_TICKETS if reply else _OF_REPLIES)
    if strange:
        kind = "a reply" if reply else "a new ticket"
        raise InvalidInput(
            [FieldError(spoken(name), f"{kind} has none") for name in sorted(strange)]
        )
    wanted = checked(DraftInput, **base | given)
    if draft is not None and wanted.ticket_id != draft.ticket_id:
        raise InvalidInput([FieldError("ticket", "is not the ticket of this draft")])
    return wanted
