"""Which tickets of the caller changed: what the list's live feed reads."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, TypeAdapter

from .._connection import Connection
from .._events import ChangedTickets
from .._models import Ticket
from .._session import another_user


class _Changed(BaseModel):
    changed_in: int
    ticket: Ticket


class _Changes(BaseModel):
    tickets: tuple[_Changed, ...]
    horizon: int
    more: bool
    ahead: bool


_CHANGES = TypeAdapter(_Changes)
# A live reader asks again by itself: it need not wait as long as a person's call does.
_LIVE_PATIENCE = 10.0


async def changed_since(connection: Connection, owner: UUID, horizon: int | None) -> ChangedTickets:
    """Return the owner's tickets that changed since a horizon, and the next one.

    Raises:
        SignInRequired: somebody else is signed in.
    """
    found: list[_Changed] = []
    first: _Changes | None = None
    while True:
        if connection.session.user.id != owner:
            raise another_user()
        last = found[-1] if found else None
        arguments: dict[str, object] = {"since": horizon, "max_tickets": 200}
        if last is not None:
            arguments |= {"after_id": last.ticket.id, "after_change": last.changed_in}
        answer = await connection.call(
            "ticket_changes", arguments, _CHANGES, patience=_LIVE_PATIENCE
        )
        # What changes while pages are turned is after the first page's horizon: it comes again.
        first = first if first is not None else answer
        found += answer.tickets
        if not answer.more:
            break
    for one in found:
        connection.cache.changed(one.ticket.id)
    newest = {one.ticket.id: one.ticket for one in found}
    return ChangedTickets(tuple(newest.values()), first.horizon, first.ahead)
