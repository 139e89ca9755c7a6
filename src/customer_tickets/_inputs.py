"""What the user hands in, checked before any request.

The limits here are the limits of the database; tests/sql compares the two.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StrictStr,
    ValidationError,
)

from ._errors import FieldError, InvalidInput
from ._models import Frozen, Message, Organization, Priority, Ticket


def printable(text: str) -> str:
    """Return the text if a database can store it; ValueError otherwise."""
    if "\x00" in text:
        raise ValueError("must not contain the character NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode text") from None
    return text


def _stripped(text: str) -> str:
    stripped = printable(text).strip()
    if not stripped:
        raise ValueError("must not be empty")
    return stripped


def _not_blank(text: str) -> str:
    if not printable(text).strip():
        raise ValueError("must not be empty")
    return text


def id_of(thing: object, kind: type[Organization | Ticket | Message]) -> object:
    """Return the id in an object of this kind; what is none is left for the check to refuse."""
    return thing.id if isinstance(thing, kind) else thing


class NewTicket(Frozen):
    """What a ticket needs to be created."""

    id: UUID
    subject: Annotated[StrictStr, AfterValidator(_stripped), Field(max_length=200)]
    description: Annotated[StrictStr, AfterValidator(printable), Field(max_length=20_000)]
    handling_org_id: Annotated[UUID, BeforeValidator(partial(id_of, kind=Organization))]
    priority: Priority
    follow_up_of: Annotated[UUID | None, BeforeValidator(partial(id_of, kind=Ticket))] = None


class NewMessage(Frozen):
    """What a message needs to be sent."""

    id: UUID
    body: Annotated[StrictStr, AfterValidator(_not_blank), Field(max_length=20_000)]
    reply_to: Annotated[UUID | None, BeforeValidator(partial(id_of, kind=Message))]


class TicketChange(Frozen):
    """What can be changed in an own open ticket; None leaves a field as it is."""

    request_id: UUID
    subject: Annotated[StrictStr, AfterValidator(_stripped), Field(max_length=200)] | None
    description: Annotated[StrictStr, AfterValidator(printable), Field(max_length=20_000)] | None
    priority: Priority | None


class Credentials(Frozen):
    """What signing in needs."""

    email: Annotated[StrictStr, AfterValidator(_stripped)]
    password: Annotated[StrictStr, AfterValidator(_not_blank)]


class NewAccount(Credentials):
    """What signing up needs."""

    display_name: Annotated[StrictStr, AfterValidator(_stripped), Field(max_length=200)] | None


class OrganizationName(Frozen):
    """What an organization is looked for by."""

    name: StrictStr


class OrganizationId(Frozen):
    """Which organization is looked for."""

    id: Annotated[UUID, BeforeValidator(partial(id_of, kind=Organization))]


class Reopening(Frozen):
    """The key of a reopening."""

    request_id: UUID


class Closing(Frozen):
    """Why a ticket is closed, if the customer says so."""

    request_id: UUID
    reason: Annotated[StrictStr, AfterValidator(printable), Field(max_length=1_000)] | None


class Rating(Frozen):
    """How a customer rates a ticket."""

    request_id: UUID
    rating: Annotated[int, Field(ge=1, le=5, strict=True)]
    comment: Annotated[StrictStr, AfterValidator(printable), Field(max_length=2_000)] | None


_Input = TypeVar("_Input", bound=BaseModel)
_SPOKEN = {"handling_org_id": "organization", "body": "text", "ticket_id": "ticket"}


class FeedOptions(Frozen):
    """How often a live feed looks at the table."""

    check_every: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    poll_every: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ThreadFeedOptions(FeedOptions):
    """The same, and after which number it begins."""

    # What the database counts with ends there.
    after: Annotated[int, Field(ge=0, lt=2**63, strict=True)]


def spoken(field: str) -> str:
    """Return a field's name as the methods call it, where its column is called otherwise."""
    return _SPOKEN.get(field, field)


def checked(model: type[_Input], **values: object) -> _Input:
    """Return the checked input, or raise one InvalidInput that names every wrong field."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        wrong = [
            FieldError(
                spoken(str(problem["loc"][0])),
                _plain(problem["type"], problem["msg"], problem.get("ctx", {})),
            )
            for problem in error.errors(include_input=False, include_url=False)
        ]
    # Outside the handler, so that the traceback does not show the rejected text.
    raise InvalidInput(wrong)


def _plain(kind: str, message: str, context: dict[str, Any]) -> str:
    if kind in {"string_too_long", "too_long"}:
        return f"must have at most {context['max_length']:,} characters"
    if kind == "literal_error":
        return f"must be one of {context['expected']}"
    if kind in {"uuid_parsing", "uuid_type"}:
        return "must be an id (UUID) or an object that has one"
    if kind == "greater_than":
        return f"must be more than {context['gt']:g}"
    if kind in {"int_type", "int_parsing", "int_from_float", "int_parsing_size"}:
        return "must be a whole number"
    if kind in {"float_type", "float_parsing", "finite_number"}:
        return "must be a number"
    if kind == "greater_than_equal":
        return f"must be at least {context['ge']}"
    if kind == "less_than":
        return f"must be less than {context['lt']}"
    if kind == "less_than_equal":
        return f"must be at most {context['le']}"
    if kind == "timezone_aware":
        return "must have a time zone, as in datetime.now(UTC)"
    if kind == "datetime_type":
        return "must be a datetime"
    if kind == "bool_type":
        return "must be True or False"
    if kind == "tuple_type":
        return "must be one value, or a list of some"
    if kind == "string_type":
        return "must be text"
    return message.removeprefix("Value error, ")
