"""PURE: decides which tickets of a list have changed, and where to ask from next time.

The table numbers changes by transaction. A horizon is a number below which every transaction had
ended when it was read: asked from there on, the table misses no change, however late it was
committed. What comes twice is told by the ticket's own last number.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from .._models import Ticket


class Position(BaseModel):
    """A place among the changes of one customer's tickets, as it can be saved."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    horizon: int = Field(ge=0, lt=2**63)
    seen: dict[UUID, int] = {}

    def text(self) -> str:
        """Return the position as a text; it holds ids and numbers only."""
        return base64.urlsafe_b64encode(self.model_dump_json().encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the position that a text holds; ValueError when it holds none."""
        try:
            padded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            return cls.model_validate_json(padded)
        except ValueError:  # of pydantic, of base64, or of neither being text
            raise ValueError("is no saved position") from None


_MOST_TRIES = 6


class Changes:
    """What one reader of the list has heard and seen.

    Attributes:
        behind: whether the table should be asked.
    """

    def __init__(self, position: Position | None) -> None:
        self.position = position
        self.behind = True
        self._rings = 0
        # What was announced and not answered yet: its number, and how often it was asked for.
        self._open: dict[str, tuple[int, int]] = {}

    @property
    def lagging(self) -> bool:
        """Whether an announced change was not in the answer: it can overtake its own commit."""
        return bool(self._open)

    def announce(self, changes: Mapping[str, int]) -> None:
        """Hear which number of which ticket was announced."""
        for ticket, seq in changes.items():
            self._open[ticket] = (seq, 0)

    def doorbell(self, number: int) -> None:
        """Hear how often anything was announced so far."""
        if number > self._rings:
            self._rings = number
            self.behind = True

    def ask(self) -> None:
        """Hear that something may have been missed."""
        self.behind = True

    def failed(self) -> None:
        """Hear that asking failed: the question stands."""
        self.behind = True

    def asking(self) -> int | None:
        """Say from where to ask; what is announced from now on asks once more."""
        self.behind = False
        return None if self.position is None else self.position.horizon

    def answered(self, changed: Iterable[Ticket], horizon: int) -> list[Ticket]:
        """Take the table's answer and return the tickets that are news, the last changed last."""
        tickets = list(changed)
        seen = {} if self.position is None else self.position.seen
        seen_before = {str(ticket): seq for ticket, seq in seen.items()}
        known = seen_before | {str(ticket.id): ticket.last_seq for ticket in tickets}
        # One that stays away for so long was seen before it was announced, or is a false alarm.
        self._open = {
            ticket: (seq, tries + 1)
            for ticket, (seq, tries) in self._open.items()
            if known.get(ticket, 0) < seq and tries < _MOST_TRIES
        }
        news = [ticket for ticket in tickets if ticket.last_seq > seen.get(ticket.id, 0)]
        # Whatever changed since the new horizon was in this answer and will be in the next one.
        self.position = Position(
            horizon=horizon, seen={ticket.id: ticket.last_seq for ticket in tickets}
        )
        return news
