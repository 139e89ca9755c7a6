"""Things that go wrong on purpose: what to spoil next, and how. Pure.

These are failures that clients of a hosted project have to survive; here they happen when asked
for. The control endpoint (`control`) sets them; without it nothing ever does.
"""

from dataclasses import dataclass, field
from typing import Literal

from customer_tickets.devstack.realtime.wal import Inserted

__all__ = ["Action", "Delivery", "Faults", "Spoil"]

Action = Literal["drop", "repeat", "delay", "swap"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row to publish, so many seconds from now."""

    row: Inserted
    seconds: float = 0.0


@dataclass(slots=True)
class Spoil:
    """What happens to the next `times` things on a topic (None: on any)."""

    times: int = 1
    topic: str | None = None
    action: Action = "drop"
    seconds: float = 0.0
    reason: str = ""

    def takes(self, topic: str | None) -> bool:
        """Count one more, if this is about it and not used up."""
        if self.times <= 0 or self.topic not in {None, topic}:
            return False
        self.times -= 1
        return True


@dataclass(slots=True)
class Faults:
    """Everything that is to go wrong from now on."""

    rows: list[Spoil] = field(default_factory=list[Spoil])
    joins: list[Spoil] = field(default_factory=list[Spoil])
    _kept: Inserted | None = None

    def reset(self) -> None:
        """Nothing goes wrong any longer; a row kept back for a swap is lost."""
        self.rows.clear()
        self.joins.clear()
        self._kept = None

    def deliveries(self, row: Inserted) -> list[Delivery]:
        """What becomes of one committed row: usually itself, now."""
        kept, self._kept = self._kept, None
        after = [] if kept is None else [Delivery(kept)]
        spoil = next((s for s in self.rows if s.takes(row.columns["topic"])), None)
        if spoil is None:
            return [Delivery(row), *after]
        match spoil.action:
            case "drop":
                return after
            case "repeat":
                return [Delivery(row), Delivery(row), *after]
            case "delay":
                return [*after, Delivery(row, spoil.seconds)]
            case "swap":
                self._kept = row
                return after

    def refusal(self, name: str) -> str | None:
        """The reason for which the next join of that name is refused, if it is to be."""
        spoil = next((s for s in self.joins if s.takes(name)), None)
        return None if spoil is None else spoil.reason
