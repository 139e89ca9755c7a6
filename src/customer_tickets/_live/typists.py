"""PURE: who is typing, until when, and how often to say so oneself. The clock is given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

LAPSES_AFTER = 6.0
"""Seconds after the last word of it that somebody counts as typing."""
SAID_EVERY = 3.0
"""Seconds between two words of one's own: twice as often as they lapse."""
MOST_TYPISTS = 50


@dataclass(frozen=True)
class Typing:
    """Somebody said to be typing.

    Attributes:
        user: who, as the sender says.
        claim: their name, as the sender says; may be empty.
        until: when they count as typing no more.
        read_to: how far the listener had read the thread when it was said.
    """

    user: UUID
    claim: str
    until: float
    read_to: int


class Typists:
    """Who is typing, of at most fifty: more than that is not a conversation."""

    def __init__(self) -> None:
        self._typing: dict[UUID, Typing] = {}

    def heard(self, user: UUID, claim: str, now: float, read_to: int) -> None:
        """Hear that somebody types; the order is that in which they began."""
        known = {typing.user: typing for typing in self.at(now)}
        if user in known or len(known) < MOST_TYPISTS:
            known[user] = Typing(user, claim, now + LAPSES_AFTER, read_to)
        self._typing = known

    def left(self, users: Iterable[UUID]) -> None:
        """Hear that somebody is gone: they type no more."""
        gone = set(users)
        self._typing = {user: word for user, word in self._typing.items() if user not in gone}

    def at(self, now: float) -> list[Typing]:
        """Return who is typing at a time."""
        return [typing for typing in self._typing.values() if typing.until > now]

    def next_lapse(self, now: float) -> float | None:
        """Return when the next of them lapses; None when nobody types."""
        return min((typing.until for typing in self.at(now)), default=None)


class Throttle:
    """Lets one of many through, then none for a while."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._next = float("-inf")

    def passes(self, now: float) -> bool:
        """Return whether it may be said now, and count it as said."""
        if now < self._next:
            return False
        self._next = now + self._every
        return True
