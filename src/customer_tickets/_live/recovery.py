"""Decides, without I/O or clock, what a live reader hands out next and when it must ask.

A broadcast is a doorbell: it says that event n exists, and may be lost, late, repeated or out of
order. The table is the truth. So the state is one number, `last`, and everything heard only
decides whether it is worth asking the table for what comes after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar


class Numbered(Protocol):
    """Anything with a number in the sequence."""

    @property
    def seq(self) -> int:
        """The number, from 1."""
        ...


_E = TypeVar("_E", bound=Numbered)
# Answers in a row, each asked for after a growing pause: some three seconds.
_NO_DELAY = 8


class Lost(Exception):
    """The sequence cannot be followed any further; `reason` and `hint` are for the user."""

    reason: Literal["hole", "ahead"]
    hint: str | None = None


class Hole(Lost):
    """The table itself lacks event `missing`: it will never be handed out."""

    reason = "hole"

    def __init__(self, missing: int) -> None:
        super().__init__(f"The server lacks event {missing}")
        self.missing = missing


class Ahead(Lost):
    """The reader is at a place that the server has not reached."""

    reason = "ahead"
    hint = "Was the position saved for another ticket, or the database restored?"


class Recovery:
    """One reader's place in one ticket's sequence.

    Attributes:
        last: the number of the last event handed out; 0 before the first.
        behind: whether the table should be asked for what comes after `last`.
        lagging: whether the last answer did not yet hold an event that had been announced, or
            handed out (a read replica, for example): worth asking again soon, but not at once.
    """

    def __init__(self, last: int) -> None:
        self.last = last
        self.behind = True
        self.lagging = False
        self._reached = False
        self._announced = last
        self._short = 0

    def doorbell(self, number: int) -> None:
        """Hear that event `number` was committed."""
        # Once for each number: what the table does not bear out at once is `lagging`, and asked
        # about in a while.
        if number > self._announced:
            self._announced = number
            self.behind = self.behind or number > self.last
            # News of a number that was never announced: no table that was restored rings so.
            self._short = 0

    def ask(self) -> None:
        """Hear that something may have been missed: connected, joined, or the slow timer."""
        self.behind = True

    def fetching(self) -> int:
        """Say which number to ask after; what is announced from now on asks once more."""
        self.behind = False
        return self.last

    def fetched(self, events: Sequence[_E], newest: int) -> list[_E]:
        """Take the table's answer and return what is to be handed out, in order.

        `events` are in ascending order; `newest` is the ticket's last number in the same
        snapshot. What was handed out before is dropped.

        Raises:
            Hole: the answer begins after a number that was never handed out. What comes before a
                hole is handed out first.
            Ahead: the sequence ends before `last`: at the first answer, or in so many answers in a
                row that it is no replica's delay.
        """
        if newest >= self.last:
            self._short, self._reached = 0, True
        else:
            self._short += 1
        if self._short and (not self._reached or self._short >= _NO_DELAY):
            raise Ahead(f"Nothing to go on from: the ticket's last event is number {newest}")
        taken: list[_E] = []
        for event in events:
            if event.seq == self.last + 1:
                self.last = event.seq
                taken.append(event)
        if not taken and newest > self.last:
            raise Hole(self.last + 1)
        # Part of a longer backlog: go on at once. But an announcement that the answer does not
        # bear out must not make the reader spin.
        self.behind = self.behind or newest > self.last
        self.lagging = newest < max(self._announced, self.last)
        return taken

    def failed(self) -> None:
        """Hear that asking failed: the question stands."""
        self.behind = True
