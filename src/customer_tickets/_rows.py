"""PURE: messages, events and tickets as rows: shown in a notebook, as dicts, as a data frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, SupportsIndex, TypeVar, get_args, overload

from . import _html
from ._events import (
    MessageAdded,
    OtherEvent,
    StatusChanged,
    TicketAssigned,
    TicketClosed,
    TicketCreated,
    TicketEdited,
    TicketEvent,
    TicketRated,
    TicketReopened,
)
from ._models import Message, Priority, Role, Status, Ticket

if TYPE_CHECKING:  # it is optional, and takes a second
    import pandas

_T = TypeVar("_T")

# What a column holds: a dtype's name, or the values that there can be, in their order.
_Kind = str | tuple[str, ...]
_TEXT, _NUMBER, _TIME = "string", "int64", "datetime64[us, UTC]"
_TICKETS: dict[str, _Kind] = {
    "id": _TEXT,
    "subject": _TEXT,
    "description": _TEXT,
    "status": get_args(Status),
    "priority": get_args(Priority),
    "unread": "bool",
    "handling_org_id": _TEXT,
    "assigned_team": _TEXT,
    "assigned_employee": _TEXT,
    "follow_up_of": _TEXT,
    "last_seq": _NUMBER,
    "last_message_at": _TIME,
    "closed_at": _TIME,
    "close_reason": _TEXT,
    "created_at": _TIME,
    "updated_at": _TIME,
}
_MESSAGES: dict[str, _Kind] = {
    "id": _TEXT,
    "ticket_id": _TEXT,
    "seq": _NUMBER,
    "author_id": _TEXT,
    "author_role": get_args(Role),
    "author_name": _TEXT,
    "body": _TEXT,
    "text": _TEXT,
    "reply_to": _TEXT,
    "attachments": _NUMBER,
    "state": ("confirmed", "pending", "failed"),
    "created_at": _TIME,
}
_EVENTS: dict[str, _Kind] = {
    "ticket_id": _TEXT,
    "seq": _NUMBER,
    "at": _TIME,
    "kind": "category",
    "actor_id": _TEXT,
    "actor_role": get_args(Role),
    "actor_name": _TEXT,
    "what": _TEXT,
}


class _Rows(tuple[_T, ...]):
    """A tuple of which a slice is one of the same kind, so that a notebook shows it too."""

    __slots__ = ()

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> _T: ...
    @overload
    def __getitem__(self, index: slice, /) -> Self: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> _T | Self:
        if isinstance(index, slice):
            return type(self)(super().__getitem__(index))
        return super().__getitem__(index)


class Messages(_Rows[Message]):
    """Messages, oldest first: a tuple that a notebook shows, and that can become a data frame."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return _html.messages(self)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the messages as dicts for JSON: ids and times are text."""
        return [message.model_dump(mode="json") for message in self]

    def to_pandas(self) -> pandas.DataFrame:
        """Return a data frame, one row a message; `attachments` is how many there are.

        Raises:
            ImportError: pandas is not installed.
        """
        extra = ({"attachments": len(one.attachments), "text": one.text} for one in self)
        return _frame(
            [{**dict(one), **more} for one, more in zip(self, extra, strict=True)], _MESSAGES
        )


class History(_Rows[TicketEvent]):
    """Events, oldest first: a tuple that a notebook shows, and that can become a data frame."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return _html.history(history_rows(self))

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the events as dicts for JSON: ids and times are text."""
        return [event.model_dump(mode="json") for event in self]

    def to_pandas(self) -> pandas.DataFrame:
        """Return a data frame, one row an event; `what` says it in words.

        Raises:
            ImportError: pandas is not installed.
        """
        return _frame([{**dict(event), "what": what(event)} for event in self], _EVENTS)


def ticket_frame(tickets: Iterable[Ticket]) -> pandas.DataFrame:
    """Return a data frame, one row a ticket."""
    return _frame([{**dict(ticket), "unread": ticket.unread} for ticket in tickets], _TICKETS)


def history_rows(events: Iterable[TicketEvent]) -> list[_html.HistoryRow]:
    """Return events as they are shown."""
    return [
        _html.HistoryRow(event.seq, event.at, event.actor_name, event.actor_role, what(event))
        for event in events
    ]


def what(event: TicketEvent) -> str:
    """Return in a few words what happened; it quotes subjects and reasons, but no message."""
    match event:
        case TicketCreated():
            return "created the ticket"
        case MessageAdded():
            return "wrote a message"
        case TicketEdited(fields=fields, before=before, after=after):
            changes = (
                f"{name} from “{before[name]}” to “{after[name]}”" if name in after else name
                for name in fields
            )
            return f"changed {', '.join(changes)}"
        case StatusChanged(before=old, after=new):
            return f"changed the status from {old} to {new}"
        case TicketAssigned(team=team, employee_name=name):
            return f"gave the ticket to {', '.join(filter(None, [name, team])) or 'nobody'}"
        case TicketClosed(reason=reason):
            return "closed the ticket" + (f": {reason}" if reason else "")
        case TicketReopened():
            return "opened the ticket again"
        case TicketRated(rating=rating):
            return f"rated the ticket {rating} of 5"
        case OtherEvent(kind=kind):
            return kind


def _frame(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, _Kind]) -> pandas.DataFrame:
    try:
        import pandas
    except ImportError:
        raise ImportError(
            "to_pandas() needs pandas: pip install 'customer-tickets[pandas]'"
        ) from None

    def series(name: str, kind: _Kind) -> Any:
        values = [row[name] for row in rows]
        if kind == _TEXT:
            values = [None if value is None else str(value) for value in values]
        ordered = name == "priority"
        dtype: Any = kind if isinstance(kind, str) else pandas.CategoricalDtype(list(kind), ordered)
        return pandas.Series(values, dtype=dtype)

    return pandas.DataFrame({name: series(name, kind) for name, kind in columns.items()})
