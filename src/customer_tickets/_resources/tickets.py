"""A customer's own tickets: create one, list them by keyset pages, count them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from postgrest import AsyncSelectRequestBuilder, CountMethod
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, TypeAdapter

from .._connection import Connection
from .._inputs import NewTicket
from .._models import Counts, Frozen, Organization, Priority, SortKey, Status, Ticket

_COLUMNS = (
    ",".join(name for name in Ticket.model_fields if name != "last_read_seq")
    + ",ticket_reads(last_read_seq)"
)
_RANKS = {"low": 1, "medium": 2, "high": 3}


def organization_id(organization: object) -> object:
    """Return the id in an organization; what is none is left for the check to refuse."""
    return organization.id if isinstance(organization, Organization) else organization


def ticket_id(ticket: object) -> object:
    """Return the id in a ticket; what is none is left for the check to refuse."""
    return ticket.id if isinstance(ticket, Ticket) else ticket


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


_Many = BeforeValidator(_listed)


class TicketQuery(Frozen):
    """What a list is asked for; the page's place in it is not part of it."""

    status: Annotated[tuple[Status, ...] | None, _Many] = None
    priority: Annotated[tuple[Priority, ...] | None, _Many] = None
    organization: Annotated[UUID | None, BeforeValidator(organization_id)] = None
    created_after: AwareDatetime | None = None
    created_before: AwareDatetime | None = None
    sort: SortKey = "-created_at"
    size: Annotated[int, Field(ge=1, le=100)] = 20
    total: bool = False


@dataclass(frozen=True)
class AsyncTicketPage:
    """One page of a list of tickets.

    Attributes:
        items: the tickets, in the order that was asked for.
        total: how many tickets the whole list has, if that was asked for.
        has_next: whether there are more after these.
    """

    items: tuple[Ticket, ...]
    total: int | None
    has_next: bool
    _query: TicketQuery
    _connection: Connection

    async def next(self) -> Self | None:
        """Return the page after this one, or None after the last.

        It begins after the last ticket of this page as that ticket was, so tickets that are
        created meanwhile shift nothing.
        """
        if not self.has_next:
            return None
        query = self._query.model_copy(update={"total": False})
        page = await fetch_page(self._connection, query, after=self.items[-1])
        return replace(self, items=page.items, has_next=page.has_next)


_PAGE = TypeAdapter(tuple[Ticket, ...])


async def fetch_page(
    connection: Connection, query: TicketQuery, *, after: Ticket | None = None
) -> AsyncTicketPage:
    """Return the page of `query` that begins after a ticket, in one request."""
    count = CountMethod.exact if query.total else None
    request = connection.rest.from_("tickets").select(_COLUMNS, count=count)
    # Row level security would hide the others anyway: this is for the index, see the docs.
    request = request.eq("user_id", str(connection.session.user.id))
    request = _filtered(request, query)
    order = _order(query.sort)
    if after is not None:
        request = _placed(request, order, after)
    for column, descending in order:
        request = request.order(column, desc=descending)
    # One more than asked for tells whether there is a next page.
    answer = await connection.select(request.limit(query.size + 1), _PAGE)
    items = answer.items[: query.size]
    more = len(answer.items) > query.size
    return AsyncTicketPage(items, answer.total, more, query, connection)


async def every(connection: Connection, query: TicketQuery) -> AsyncIterator[Ticket]:
    """Yield all tickets of a query, page by page."""
    page: AsyncTicketPage | None = await fetch_page(connection, query)
    while page is not None:
        for ticket in page.items:
            yield ticket
        page = await page.next()


def _filtered(request: AsyncSelectRequestBuilder, query: TicketQuery) -> AsyncSelectRequestBuilder:
    if query.status is not None:
        request = request.in_("status", query.status)
    if query.priority is not None:
        request = request.in_("priority", query.priority)
    if query.organization is not None:
        request = request.eq("handling_org_id", str(query.organization))
    if query.created_after is not None:
        request = request.gt("created_at", query.created_after.isoformat())
    if query.created_before is not None:
        request = request.lt("created_at", query.created_before.isoformat())
    return request


def _order(sort: SortKey) -> list[tuple[str, bool]]:
    """Return the columns of a sort and whether each descends; the id makes it a total order."""
    descending = sort.startswith("-")
    match sort.removeprefix("-"):
        case "priority":
            return [("priority_rank", descending), ("created_at", True), ("id", True)]
        case column:
            return [(column, descending), ("id", descending)]


def _placed(
    request: AsyncSelectRequestBuilder, order: Sequence[tuple[str, bool]], after: Ticket
) -> AsyncSelectRequestBuilder:
    """Restrict a list to what comes after a ticket: (a, b, c) > (x, y, z), column by column."""
    first, descending = order[0]
    alternatives: list[str] = []
    equal: list[str] = []
    for column, down in order:
        value = _value(after, column)
        beyond = f"{column}.{'lt' if down else 'gt'}.{value}"
        alternatives.append(f"and({','.join([*equal, beyond])})" if equal else beyond)
        equal.append(f"{column}.eq.{value}")
    # The bound on the first column says nothing new, but it is what an index can use.
    bound = _value(after, first).strip('"')
    request = request.lte(first, bound) if descending else request.gte(first, bound)
    return request.or_(",".join(alternatives))


def _value(ticket: Ticket, column: str) -> str:
    if column == "priority_rank":
        return str(_RANKS[ticket.priority])
    value = getattr(ticket, column)
    return f'"{value.isoformat() if isinstance(value, datetime) else value}"'


class _Created(BaseModel):
    ticket: Ticket


_CREATED = TypeAdapter(_Created)
_COUNTS = TypeAdapter(Counts)


async def create(connection: Connection, ticket: NewTicket) -> Ticket:
    """Create a ticket in one request; repeating it with the same id returns the same ticket."""
    answer = await connection.call(
        "create_ticket", ticket.model_dump(mode="json"), _CREATED, write_id=ticket.id
    )
    return answer.ticket


async def counts(connection: Connection) -> Counts:
    """Count the caller's own tickets."""
    return await connection.call("ticket_counts", {}, _COUNTS)
