"""Leaves what failed alone for a while, each time for longer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable


class Rests:
    """Topics that rest, and for how long.

    Args:
        first: seconds of the first rest at most; each one after that may take twice as long.
        longest: seconds of the longest.
        over: is called when the rest of a topic is over.
    """

    def __init__(self, first: float, longest: float, over: Callable[[], None]) -> None:
        self._first = first
        self._longest = longest
        self._over = over
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, int] = {}

    def __contains__(self, topic: str) -> bool:
        return topic in self._timers

    def begin(self, topic: str, lasted: float) -> None:
        """Let a topic rest that failed after so many seconds; a long time wipes the slate clean."""
        before = 0 if lasted > self._longest else self._failures.get(topic, 0)
        self._failures[topic] = before + 1
        most = min(self._longest, self._first * 2.0 ** min(before, 10))
        seconds = random.uniform(most / 2, most)  # noqa: S311 - jitter, not a secret
        loop = asyncio.get_running_loop()
        self._timers[topic] = loop.call_later(seconds, self._end, topic)

    def forget(self) -> None:
        """Call nobody any more."""
        for timer in self._timers.values():
            timer.cancel()

    def _end(self, topic: str) -> None:
        del self._timers[topic]
        self._over()
