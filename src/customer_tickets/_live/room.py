"""What one listener hears of a ticket's presence topic: who is there, and who types."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from .attendance import Attendance, as_object, claimed_name, claimed_user
from .bell import Bell, Topics
from .typists import Typing, Typists

KEPT_FOR = 60.0
"""Seconds that who was there is still shown after the line went down; the server's own patience."""

Say = Callable[[dict[str, str]], Awaitable[None]]
"""Tells the others on the topic that this user is typing."""


class Room(Bell):
    """One listener's place on a presence topic.

    Args:
        topic: the topic's name.
        user: who is listening, and is said to be there.
        name: how they are called.
        read_to: says how far the listener has read the thread.
    """

    def __init__(self, topic: str, user: UUID, name: str, read_to: Callable[[], int]) -> None:
        super().__init__(topic)
        self.user = user
        self.name = name
        self.say: Say | None = None
        self._read_to = read_to
        self._attendance = Attendance()
        self._there: set[UUID] = set()
        self._typists = Typists()
        self._lost_at: float | None = None

    @property
    def current(self) -> bool:
        """Whether who is here is what the server says now, and not what it said."""
        return self.joined and self._attendance.known and self._lost_at is None

    def meet(self, attendance: Attendance) -> None:
        """Look at who is there; what was known before stays until the server has said it anew."""
        if attendance.known:
            there = set(attendance.here)
            self._typists.left(self._there - there)
            self._attendance, self._there, self._lost_at = attendance, there, None
            self._signal.set()

    def typed(self, payload: Any) -> None:
        """Hear somebody's word that they type."""
        word = as_object(payload)
        user = claimed_user(word.get("user_id"))
        if user is not None:
            claim = claimed_name(word.get("name"))
            self._typists.heard(user, claim, time.monotonic(), self._read_to())
            self._signal.set()

    def fail(self) -> None:
        """Say that the line is down; who was there is remembered for a minute."""
        if self.joined:
            self._lost_at = time.monotonic()
        self.say = None
        super().fail()

    def close(self) -> None:
        """Say that nothing more will come, and forget everybody."""
        self._attendance, self._typists = Attendance(), Typists()
        super().close()

    def refuse(self, reason: str) -> None:
        """Say that the server will not let us in, and forget everybody."""
        self._attendance, self._typists = Attendance(), Typists()
        super().refuse(reason)

    def here(self) -> dict[UUID, str]:
        """Return who is there besides this user, with the names they claim."""
        if self._lost_at is not None and time.monotonic() > self._lost_at + KEPT_FOR:
            return {}
        return {user: name for user, name in self._attendance.here.items() if user != self.user}

    def typists(self) -> list[Typing]:
        """Return who types besides this user."""
        return [typing for typing in self._typists.at(time.monotonic()) if typing.user != self.user]

    async def wait_for_change(self) -> None:
        """Wait until something may have changed: a word, or that one lapsed."""
        now = time.monotonic()
        times = [self._typists.next_lapse(now)]
        if self._lost_at is not None and self._lost_at + KEPT_FOR > now:
            times.append(self._lost_at + KEPT_FOR)
        # A moment more: what is over at that time must be over when it is looked at.
        await self.wait(min((t - now for t in times if t is not None), default=3600.0) + 0.01)


def rooms(topics: Topics, topic: str) -> list[Room]:
    """Return the rooms of a topic; none where it is no presence topic."""
    return [bell for bell in topics.bells(topic) if isinstance(bell, Room)]
