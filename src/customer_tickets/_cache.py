"""PURE: answers that are kept for a while, and which of them a change makes wrong."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

# Enough for whoever pages by hand; a program that reads everything keeps only its newest answers.
_MOST = 200


@dataclass(frozen=True)
class _Kept:
    answer: Any
    until: float
    tickets: frozenset[UUID]
    any_new: bool
    any_change: bool


class Cache:
    """Keeps answers under keys for `seconds` each; 0 keeps nothing.

    Args:
        seconds: how long an answer may be handed out again.
        clock: returns the present in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._kept: dict[Hashable, _Kept] = {}
        self._changes = 0

    def get(self, key: Hashable) -> Any | None:
        """Return what is kept under a key, or None."""
        kept = self._kept.get(key)
        if kept is None or kept.until <= self._clock():
            self._kept.pop(key, None)
            return None
        return kept.answer

    def changes(self) -> int:
        """Return a number that grows with each change: give it to `put`, taken before asking."""
        return self._changes

    def put(
        self,
        key: Hashable,
        answer: Any,
        *,
        asked_at: int,
        tickets: Iterable[UUID] = (),
        any_new: bool = False,
        any_change: bool = False,
    ) -> None:
        """Keep an answer that shows these tickets, and says whether others make it wrong too.

        `any_new`: one that was not there before does. `any_change`: a change of any does.

        Nothing is kept when something changed after the question was asked: the answer may be of
        before.
        """
        if self._seconds <= 0 or asked_at != self._changes:
            return
        self._kept.pop(key, None)
        while len(self._kept) >= _MOST:
            del self._kept[next(iter(self._kept))]
        until = self._clock() + self._seconds
        self._kept[key] = _Kept(answer, until, frozenset(tickets), any_new, any_change)

    def changed(self, ticket: UUID) -> None:
        """Drop what shows this ticket, and what its change, or that it is new, makes wrong."""
        self._changes += 1
        still: dict[Hashable, _Kept] = {}
        # Older answers come first: what one of them shows is not new to those after it.
        is_known = False
        for key, kept in self._kept.items():
            shows = ticket in kept.tickets
            is_known = is_known or shows
            if not (shows or kept.any_change or (kept.any_new and not is_known)):
                still[key] = kept
        self._kept = still

    def drop(self, is_wrong: Callable[[Any], bool]) -> None:
        """Drop the answers that a change of something other than a ticket makes wrong."""
        self._changes += 1
        self._kept = {key: kept for key, kept in self._kept.items() if not is_wrong(kept.answer)}

    def clear(self) -> None:
        """Drop everything: somebody else signs in, or nobody knows what a write has changed."""
        self._changes += 1
        self._kept.clear()
