"""What the server answers: frozen and typed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import AliasChoices, AliasPath, BaseModel, BeforeValidator, ConfigDict, Field

Status = Literal["open", "in-progress", "closed"]
Priority = Literal["low", "medium", "high"]
Role = Literal["customer", "employee", "admin", "system"]
SortKey = Literal["created_at", "-created_at", "updated_at", "-updated_at", "priority", "-priority"]


def _text(body: str) -> str:
    from ._markdown import text  # here, because most programs show none

    return text(body)


def _html(body: str) -> str:
    from ._markdown import html

    return html(body)


class Frozen(BaseModel):
    """Immutable, and shown without personal data: a repr holds the `_shown` fields only.

    What `model_dump` and `model_dump_json` return can be validated again, and gives an equal one.
    """

    # By name too: an alias is what the server calls a field, and not what is dumped.
    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, validate_by_name=True
    )
    _shown: ClassVar[tuple[str, ...]] = ()

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [(name, getattr(self, name)) for name in self._shown]

    def __str__(self) -> str:
        return repr(self)


class Organization(Frozen):
    """An organization that handles tickets."""

    _shown = ("id", "name")
    id: UUID
    name: str
    reopen_window_seconds: int

    def _repr_html_(self) -> str:
        from ._html import organization

        return organization(self)


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

    @property
    def text(self) -> str:
        """The description as plain text, its Markdown resolved."""
        return _text(self.description)

    @property
    def html(self) -> str:
        """The description as safe HTML, its Markdown resolved."""
        return _html(self.description)

    def _repr_html_(self) -> str:
        from ._html import ticket

        return ticket(self)


class Attachment(Frozen):
    """A file of a ticket's description, of a message or of a draft, as its sender described it.

    `file_name` is whatever the sender called it. `sha256` is 64 lower-case hex digits; a download
    is checked against it and against `size_bytes`.
    """

    _shown = ("id", "size_bytes", "content_type")
    id: UUID
    user_id: UUID
    ticket_id: UUID | None = None
    message_id: UUID | None = None
    draft_id: UUID | None = None
    file_name: str
    content_type: str
    size_bytes: int
    sha256: str
    created_at: datetime

    def _repr_html_(self) -> str:
        from ._html import attachment

        return attachment(self)


class Message(Frozen):
    """A message of the thread; `author_name` is the name as it was when it was written.

    `state` is `confirmed` once the server has it. One's own message is there before, `pending`,
    and stays as `failed` with its `error` if it could not be sent; then `seq` is 0 and
    `thread.retry(message)` tries again. A dump leaves the `error` out.
    """

    _shown = ("id", "seq", "author_role", "state")
    model_config = ConfigDict(arbitrary_types_allowed=True)
    id: UUID
    ticket_id: UUID
    seq: int
    author_id: UUID | None
    author_role: Role
    author_name: str
    body: str
    reply_to: UUID | None = None
    attachments: tuple[Attachment, ...] = ()
    created_at: datetime
    state: Literal["confirmed", "pending", "failed"] = "confirmed"
    error: BaseException | None = Field(default=None, exclude=True, repr=False)

    @property
    def text(self) -> str:
        """The body as plain text, its Markdown resolved: a link as "text (address)"."""
        return _text(self.body)

    @property
    def html(self) -> str:
        """The body as safe HTML; `TicketThread.render` shows its attachments in it too."""
        return _html(self.body)

    def _repr_html_(self) -> str:
        from ._html import message

        return message(self)


class Draft(Frozen):
    """What you have begun to write: a new ticket (`ticket_id` is None), or a reply in a ticket.

    A new ticket has `subject`, `description`, `priority` and `organization_id`, a reply `text` and
    `reply_to`. `version` counts the times that it was saved.
    """

    _shown = ("id", "ticket_id", "version")
    id: UUID
    ticket_id: UUID | None
    organization_id: UUID | None = Field(default=None, validation_alias="handling_org_id")
    subject: str
    description: str
    priority: Priority
    text: str = Field(validation_alias="body")
    reply_to: UUID | None
    version: int
    attachments: tuple[Attachment, ...] = Field(
        default=(), validation_alias=AliasChoices("attachments", "ticket_attachments")
    )
    created_at: datetime
    updated_at: datetime

    def _repr_html_(self) -> str:
        from ._html import draft

        return draft(self)


class Feedback(Frozen):
    """How the customer rated a ticket, from 1 (bad) to 5 (good)."""

    _shown = ("ticket_id", "rating")
    ticket_id: UUID
    rating: int
    comment: str | None
    created_at: datetime
    updated_at: datetime


def _without_notes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["seq"] is not None]


# An employee's own ticket may hold internal notes, which are theirs to see, but not here.
PublicMessages = Annotated[tuple[Message, ...], BeforeValidator(_without_notes)]


class Permission(Frozen):
    """Whether you may do one thing now.

    `reason` says why not (`closed`, `not_closed`, `window_over`, `not_customer`); `until` is the
    deadline, where there is one.
    """

    _shown = ("allowed", "reason", "until")
    allowed: bool
    reason: str | None = None
    until: datetime | None = None

    def __bool__(self) -> bool:
        return self.allowed


class Permissions(Frozen):
    """What you may do with a ticket now, decided by the database."""

    _shown = ("reply", "edit", "close", "reopen", "rate", "follow_up")
    reply: Permission
    edit: Permission
    close: Permission
    reopen: Permission
    rate: Permission
    follow_up: Permission


class Counts(Frozen):
    """How many of your tickets are open, in progress, closed, and unread."""

    _shown = ("open", "in_progress", "closed", "unread")
    open: int
    in_progress: int
    closed: int
    unread: int

    def _repr_html_(self) -> str:
        from ._html import counts

        return counts(self)
