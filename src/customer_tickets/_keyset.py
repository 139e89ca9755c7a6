"""PURE: keyset paging: in which order a list is, and what comes before or after a place in it.

A place is the sort columns of a row as it was when it was read. Rows that are added, changed or
removed elsewhere shift nothing, and the last page costs what the first does.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Self, get_args
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

from ._models import SortKey, Ticket

Direction = Literal["after", "before"]
_RANKS = {"low": 1, "medium": 2, "high": 3}


@dataclass(frozen=True)
class Bound:
    """One column of an order: which, whether it descends, and the value to go on from."""

    column: str
    descending: bool
    value: str


class Place(BaseModel):
    """A place in a list of tickets, and in which direction to read from there."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    sort: SortKey
    direction: Direction
    id: UUID
    rank: Literal[1, 2, 3] | None = None
    at: AwareDatetime

    @classmethod
    def of(cls, ticket: Ticket, sort: SortKey, direction: Direction) -> Self:
        """Return the place just after or before a ticket."""
        ranked = sort.removeprefix("-") == "priority"
        at: datetime = getattr(ticket, "created_at" if ranked else sort.removeprefix("-"))
        rank = _RANKS[ticket.priority] if ranked else None
        return cls.model_validate(
            {"sort": sort, "direction": direction, "id": ticket.id, "rank": rank, "at": at}
        )

    def turned(self) -> Self:
        """Return the same place, to be read from in the other direction."""
        other: Direction = "before" if self.direction == "after" else "after"
        return self.model_copy(update={"direction": other})

    def cursor(self) -> str:
        """Return the place as a text for an address or a form; it holds no text of a ticket."""
        text = self.model_dump_json(exclude_none=True)
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Return the place that a cursor names; ValueError when it names none."""
        try:
            text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            place = cls.model_validate_json(text)
        except ValueError:  # of pydantic, of base64, or of neither being text
            raise ValueError("is not a page's cursor") from None
        if (place.rank is None) == (place.sort.removeprefix("-") == "priority"):
            raise ValueError("is not a page's cursor")
        return place

    def bounds(self) -> list[Bound]:
        """Return the columns of the order as they are read from here, with their values."""
        values = {"priority_rank": str(self.rank), "id": str(self.id)}
        backwards = self.direction == "before"
        return [
            Bound(column, descending != backwards, values.get(column, stamp(self.at)))
            for column, descending in order(self.sort)
        ]


def stamp(time: datetime) -> str:
    """Return a time as Postgres takes it, which knows no time zone that is 16 hours or more off."""
    try:
        return time.astimezone(UTC).isoformat()
    except OverflowError:  # in the first or last hours of all that there are
        return time.replace(tzinfo=UTC).isoformat()


def order(sort: SortKey) -> list[tuple[str, bool]]:
    """Return the columns of a sort and whether each descends; the id makes it a total order."""
    if sort not in get_args(SortKey):
        raise ValueError(sort)
    descending = sort.startswith("-")
    match sort.removeprefix("-"):
        case "priority":
            return [("priority_rank", descending), ("created_at", True), ("id", True)]
        case column:
            return [(column, descending), ("id", descending)]


def beyond(bounds: list[Bound]) -> str:
    """Return PostgREST's `or=` for the rows after the bounds: (a, b, c) > (x, y, z)."""
    alternatives: list[str] = []
    equal: list[str] = []
    for bound in bounds:
        value = f'"{bound.value}"'
        further = f"{bound.column}.{'lt' if bound.descending else 'gt'}.{value}"
        alternatives.append(f"and({','.join([*equal, further])})" if equal else further)
        equal.append(f"{bound.column}.eq.{value}")
    return ",".join(alternatives)
