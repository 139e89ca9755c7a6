"""A customer's own tickets: create one, list them by keyset pages, count them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Self
from uuid import UUID

from postgrest import CountMethod
from postgrest.base_request_builder import BaseSelectRequestBuilder
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    Field,
    Strict,
    StrictBool,
    StrictStr,
    TypeAdapter,
)

from .. import _html
from .._connection import Connection
from .._errors import FieldError, InvalidInput
from .._inputs import NewTicket, id_of, printable
from .._keyset import Direction, Place, beyond, order, stamp
from .._models import Counts, Frozen, Organization, Priority, SortKey, Status, Ticket
from .._rows import ticket_frame
from .._session import another_user

if TYPE_CHECKING:
    import pandas

_COLUMNS = (
    ",".join(name for name in Ticket.model_fields if name != "last_read_seq")
    + ",ticket_reads(last_read_seq)"
)
# Nobody takes longer to commit a change of a ticket.
_LONG_COMMIT = timedelta(minutes=1)


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _words(search: str) -> str:
    words = printable(search).split()
    if len(words) > 20 or any(len(word) > 200 for word in words):
        raise ValueError("must have at most 20 words of at most 200 characters")
    return " ".join(words)


_Many = BeforeValidator(_listed)
# A number would be taken as seconds since 1970.
_Time = Annotated[AwareDatetime, Strict()]


class TicketQuery(Frozen):
    """What a list is asked for; the page's place in it is not part of it."""

    search: Annotated[StrictStr, AfterValidator(_words)] | None = None
    status: Annotated[tuple[Status, ...] | None, _Many] = None
    priority: Annotated[tuple[Priority, ...] | None, _Many] = None
    organization: Annotated[UUID | None, BeforeValidator(partial(id_of, kind=Organization))] = None
    created_after: _Time | None = None
    created_before: _Time | None = None
    updated_after: _Time | None = None
    updated_before: _Time | None = None
    sort: SortKey = "-created_at"
    size: Annotated[int, Field(ge=1, le=100, strict=True)] = 20
    total: StrictBool = False

    @property
    def steady(self) -> bool:
        """Whether no change of a ticket can move it in, out of or within the list."""
        moving = (self.search, self.status, self.priority, self.updated_after, self.updated_before)
        return self.sort.removeprefix("-") == "created_at" and not any(moving)


@dataclass(frozen=True, repr=False)
class AsyncTicketPage:
    """One page of a list of tickets: `for` goes through them, `len` counts them.

    Attributes:
        items: the tickets, in the order that was asked for.
        total: how many tickets the whole list has, if that was asked for.
        has_next: whether there are more after these.
        has_previous: whether there are some before these.
    """

    items: tuple[Ticket, ...]
    total: int | None
    has_next: bool
    has_previous: bool
    _query: TicketQuery
    _connection: Connection
    # Whose tickets they are: the next page of them is nobody else's.
    _owner: UUID

    async def next(self) -> Self | None:
        """Return the page after this one, or None after the last.

        It begins after the last ticket of this page as that ticket was, so tickets that are
        created meanwhile shift nothing.
        """
        return await self._turn(self._place("after") if self.has_next else None)

    async def previous(self) -> Self | None:
        """Return the page before this one, or None before the first.

        It ends before the first ticket of this page as that ticket was.
        """
        return await self._turn(self._place("before") if self.has_previous else None)

    @property
    def next_cursor(self) -> str | None:
        """The place of the next page, as a text for an address: `page(cursor=…)` goes on there."""
        return self._place("after").cursor() if self.has_next else None

    @property
    def previous_cursor(self) -> str | None:
        """The place of the page before, as a text for an address."""
        return self._place("before").cursor() if self.has_previous else None

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the tickets of this page as dicts for JSON: ids and times are text."""
        return [
            {**ticket.model_dump(mode="json"), "unread": ticket.unread} for ticket in self.items
        ]

    def to_pandas(self) -> pandas.DataFrame:
        """Return this page as a data frame, one row a ticket.

        Raises:
            ImportError: pandas is not installed.
        """
        return ticket_frame(self.items)

    def __iter__(self) -> Iterator[Ticket]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        more = f"has_next={self.has_next} has_previous={self.has_previous}"
        return f"<{type(self).__name__} items={len(self.items)} total={self.total} {more}>"

    def _repr_html_(self) -> str:
        more = "there are more after these" if self.has_next else "the list ends here"
        total = "" if self.total is None else f" of {self.total}"
        return _html.tickets(self.items, f"{len(self.items)}{total} tickets; {more}.")

    def _place(self, direction: Direction) -> Place:
        ticket = self.items[-1 if direction == "after" else 0]
        return Place.of(ticket, self._query.sort, direction)

    async def _turn(self, place: Place | None) -> Self | None:
        if place is None:
            return None
        query = self._query.model_copy(update={"total": False})
        page = await fetch_page(self._connection, query, place, owner=self._owner)
        if not page.items:
            return None
        return replace(
            self, items=page.items, has_next=page.has_next, has_previous=page.has_previous
        )


_PAGE = TypeAdapter(tuple[Ticket, ...])


async def fetch_page(
    connection: Connection,
    query: TicketQuery,
    place: Place | None = None,
    *,
    owner: UUID | None = None,
) -> AsyncTicketPage:
    """Return the page that begins (or ends) at a place; its total there is a second request.

    Raises:
        SignInRequired: somebody other than `owner` is signed in.
    """
    user = connection.session.user.id
    if owner not in {None, user}:
        raise another_user()
    key: Hashable = ("page", query, place)
    kept: AsyncTicketPage | None = connection.cache.get(key)
    if kept is not None:
        return kept
    asked_at = connection.cache.changes()
    # One more than asked for tells whether there is another page.
    answer = await connection.select(_request(connection, query, place), _PAGE)
    total = answer.total
    if query.total and place is not None:  # what comes with a place counts from there on
        whole = query.model_copy(update={"size": 0})
        if connection.session.user.id != user:
            raise another_user()
        total = (await connection.select(_request(connection, whole, None), _PAGE)).total
    items = answer.items[: query.size]
    more = len(answer.items) > query.size
    if place is not None and place.direction == "before":
        items, has_next, has_previous = items[::-1], True, more
    else:
        has_next, has_previous = more, place is not None
    page = AsyncTicketPage(items, total, has_next, has_previous, query, connection, user)
    shown = [ticket.id for ticket in items]
    connection.cache.put(
        key, page, asked_at=asked_at, tickets=shown, any_new=True, any_change=not query.steady
    )
    return page


async def every(connection: Connection, query: TicketQuery) -> AsyncIterator[Ticket]:
    """Yield all tickets of a query, page by page, each once.

    In a list that changes can move about, a ticket may be moved from what is still to come to
    what has been read: the ones that changed meanwhile are looked at once more in the end.
    """
    walk = partial(_walk, connection, owner=connection.session.user.id)
    if query.sort.removeprefix("-") == "created_at":
        async for ticket in walk(query):
            yield ticket
        return
    start: datetime | None = None
    if query.sort != "-updated_at":
        newest = query.model_copy(update={"sort": "-updated_at", "size": 1})
        start = next((one.updated_at for one in (await fetch_page(connection, newest)).items), None)
    seen: set[UUID] = set()
    async for ticket in walk(query):
        if start is None:
            start = ticket.updated_at
        if ticket.id not in seen:
            seen.add(ticket.id)
            yield ticket
    if start is None:
        return
    # Stamps are not in the order of the commits: what was being committed meanwhile counts too.
    since = max([start - _LONG_COMMIT, *filter(None, [query.updated_after])])
    late = query.model_copy(update={"sort": "updated_at", "updated_after": since})
    async for ticket in walk(late):
        if ticket.id not in seen and ticket.created_at <= start:
            seen.add(ticket.id)
            yield ticket


async def _walk(connection: Connection, query: TicketQuery, owner: UUID) -> AsyncIterator[Ticket]:
    page: AsyncTicketPage | None = await fetch_page(connection, query, owner=owner)
    while page is not None:
        for ticket in page.items:
            yield ticket
        page = await page.next()


# The package leaves the type of its own base open.
_Request = BaseSelectRequestBuilder[Any]


def _request(connection: Connection, query: TicketQuery, place: Place | None) -> _Request:
    request = _source(connection, query, place)
    # Row level security would hide the others anyway: this is for the index, see the docs.
    request = request.eq("user_id", str(connection.session.user.id))
    request = _filtered(request, query)
    backwards = place is not None and place.direction == "before"
    if place is not None:
        bounds = place.bounds()
        # The bound on the first column says nothing new, but it is what an index can use.
        first = bounds[0]
        within = request.lte if first.descending else request.gte
        request = within(first.column, first.value).or_(beyond(bounds))
    for column, descending in order(query.sort):
        request = request.order(column, desc=descending != backwards)
    return request.limit(query.size + 1)


def _source(connection: Connection, query: TicketQuery, place: Place | None) -> _Request:
    count = CountMethod.exact if query.total and place is None else None
    if query.search:
        # In the body and not in the address: proxies and httpx write addresses into their logs.
        words: Any = {"words": query.search.split()}
        # Of a function's rows, older versions of PostgREST order by selected columns only.
        columns = f"{_COLUMNS},priority_rank"
        return connection.rest.rpc("search_tickets", words, count=count).select(columns)
    return connection.rest.from_("tickets").select(_COLUMNS, count=count)


def _filtered(request: _Request, query: TicketQuery) -> _Request:
    if query.status is not None:
        request = request.in_("status", query.status)
    if query.priority is not None:
        request = request.in_("priority", query.priority)
    if query.organization is not None:
        request = request.eq("handling_org_id", str(query.organization))
    for column in ("created_at", "updated_at"):
        after = getattr(query, column.replace("_at", "_after"))
        before = getattr(query, column.replace("_at", "_before"))
        request = request if after is None else request.gt(column, stamp(after))
        request = request if before is None else request.lt(column, stamp(before))
    return request


class _Created(BaseModel):
    ticket: Ticket


_CREATED = TypeAdapter(_Created)
_COUNTS = TypeAdapter(Counts)


def place(cursor: str | None, sort: SortKey) -> Place | None:
    """Return the place that a cursor names.

    Raises:
        InvalidInput: it is none, or one of a list in another order.
    """
    if cursor is None:
        return None
    try:
        found = Place.parse(cursor)
    except (ValueError, TypeError, AttributeError):
        raise InvalidInput([FieldError("cursor", "must be a page's cursor")]) from None
    if found.sort != sort:
        raise InvalidInput([FieldError("cursor", f"is of a list sorted by {found.sort}")])
    return found


async def create(
    connection: Connection, ticket: NewTicket, attachments: Sequence[dict[str, Any]] = ()
) -> Ticket:
    """Create a ticket in one request; repeating it with the same id returns the same ticket."""
    arguments = {**ticket.model_dump(mode="json"), "attachments": attachments or None}
    answer = await connection.call("create_ticket", arguments, _CREATED, write_id=ticket.id)
    connection.cache.changed(answer.ticket.id)
    return answer.ticket


async def counts(connection: Connection) -> Counts:
    """Count the caller's own tickets."""
    kept: Counts | None = connection.cache.get("counts")
    if kept is not None:
        return kept
    asked_at = connection.cache.changes()
    found = await connection.call("ticket_counts", {}, _COUNTS)
    connection.cache.put("counts", found, asked_at=asked_at, any_change=True)
    return found
