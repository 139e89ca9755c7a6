"""What the server answers and what the user hands in: frozen, typed, checked.

The limits of the input models are the limits of the database; tests/sql compares the two.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictStr,
    ValidationError,
)

from ._errors import FieldError, InvalidInput

Status = Literal["open", "in-progress", "closed"]
Priority = Literal["low", "medium", "high"]
Role = Literal["customer", "employee", "admin", "system"]
SortKey = Literal["created_at", "-created_at", "updated_at", "-updated_at", "priority", "-priority"]


class Frozen(BaseModel):
    """Immutable, and shown without personal data: a repr holds the `_shown` fields only."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)
    _shown: ClassVar[tuple[str, ...]] = ()

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [(name, getattr(self, name)) for name in self._shown]

    def __str__(self) -> str:
        return repr(self)


class Organization(Frozen):
    """An organization that handles tickets."""

    _shown = ("id",)
    id: UUID
    name: str
    reopen_window_seconds: int


class User(Frozen):
    """Who is signed in."""

    _shown = ("id",)
    id: UUID
    email: str | None = None


class Ticket(Frozen):
    """A ticket as it was when it was read.

    `last_seq` is the number of its newest public event (1, 2, … without gaps), `last_read_seq` how
    far you have read. Times are aware datetimes in UTC.
    """

    _shown = ("id", "status", "priority", "last_seq")
    id: UUID
    user_id: UUID
    subject: str
    description: str
    status: Status
    priority: Priority
    handling_org_id: UUID
    assigned_team: str | None = None
    assigned_employee: UUID | None = None
    follow_up_of: UUID | None = None
    closed_at: datetime | None = None
    close_reason: str | None = None
    last_seq: int
    last_staff_seq: int
    last_read_seq: int = Field(
        default=0,
        # A list embeds the caller's own row of ticket_reads: none, or exactly one.
        validation_alias=AliasChoices(
            "last_read_seq", AliasPath("ticket_reads", 0, "last_read_seq")
        ),
    )
    last_message_at: datetime | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def unread(self) -> bool:
        """Whether somebody else has written or changed something that you have not read."""
        return self.last_staff_seq > self.last_read_seq


class Message(Frozen):
    """A message of the thread; `author_name` is the name as it was when it was written."""

    _shown = ("id", "seq", "author_role")
    id: UUID
    ticket_id: UUID
    seq: int
    author_id: UUID | None
    author_role: Role
    author_name: str
    body: str
    reply_to: UUID | None = None
    created_at: datetime


def _without_notes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["seq"] is not None]


# An employee's own ticket may hold internal notes, which are theirs to see, but not here.
PublicMessages = Annotated[tuple[Message, ...], BeforeValidator(_without_notes)]


class Permission(Frozen):
    """Whether you may do one thing now.

    `reason` says why not (`closed`, `not_closed`, `window_over`); `until` is the deadline, where
    there is one.
    """

    _shown = ("allowed", "reason", "until")
    allowed: bool
    reason: str | None = None
    until: datetime | None = None

    def __bool__(self) -> bool:
        return self.allowed


class Permissions(Frozen):
    """What you may do with a ticket now, decided by the database."""

    _shown = ("reply", "edit", "close", "reopen")
    reply: Permission
    edit: Permission
    close: Permission
    reopen: Permission


class Counts(Frozen):
    """How many of your tickets are open, in progress, closed, and unread."""

    _shown = ("open", "in_progress", "closed", "unread")
    open: int
    in_progress: int
    closed: int
    unread: int


def _printable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the character NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode text") from None
    return text


def _stripped(text: str) -> str:
    stripped = _printable(text).strip()
    if not stripped:
        raise ValueError("must not be empty")
    return stripped


def _not_blank(text: str) -> str:
    if not _printable(text).strip():
        raise ValueError("must not be empty")
    return text


class NewTicket(Frozen):
    """What a ticket needs to be created."""

    id: UUID
    subject: Annotated[StrictStr, AfterValidator(_stripped), Field(max_length=200)]
    description: Annotated[StrictStr, AfterValidator(_printable), Field(max_length=20_000)]
    handling_org_id: UUID
    priority: Priority


class NewMessage(Frozen):
    """What a message needs to be sent."""

    id: UUID
    body: Annotated[StrictStr, AfterValidator(_not_blank), Field(max_length=20_000)]
    reply_to: Annotated[UUID | None, BeforeValidator(lambda of: getattr(of, "id", of))]


class TicketChange(Frozen):
    """What can be changed in an own open ticket; None leaves a field as it is."""

    request_id: UUID
    subject: Annotated[StrictStr, AfterValidator(_stripped), Field(max_length=200)] | None
    description: Annotated[StrictStr, AfterValidator(_printable), Field(max_length=20_000)] | None
    priority: Priority | None


class Credentials(Frozen):
    """What signing in needs."""

    email: Annotated[StrictStr, AfterValidator(_stripped)]
    password: Annotated[StrictStr, AfterValidator(_not_blank)]


class NewAccount(Credentials):
    """What signing up needs."""

    display_name: Annotated[StrictStr, AfterValidator(_stripped), Field(max_length=200)] | None


class Reopening(Frozen):
    """The key of a reopening."""

    request_id: UUID


class Closing(Frozen):
    """Why a ticket is closed, if the customer says so."""

    request_id: UUID
    reason: Annotated[StrictStr, AfterValidator(_printable), Field(max_length=1_000)] | None


_Input = TypeVar("_Input", bound=BaseModel)
_SPOKEN = {"handling_org_id": "organization", "body": "text"}


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
    if kind in {"int_type", "int_parsing", "float_type", "float_parsing", "finite_number"}:
        return "must be a number"
    if kind == "greater_than_equal":
        return f"must be at least {context['ge']}"
    if kind == "less_than_equal":
        return f"must be at most {context['le']}"
    if kind == "string_type":
        return "must be text"
    return message.removeprefix("Value error, ")
