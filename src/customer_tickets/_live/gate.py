"""Lets through so many a second, in the order in which they came."""

from __future__ import annotations

import asyncio
import time


class Gate:
    """A bound on how often something is done: `each_second`, and half a second's worth at once."""

    def __init__(self, each_second: float) -> None:
        self._between = 1 / each_second
        self._at_once = 0.5
        self._next = time.monotonic()

    async def pass_through(self) -> None:
        """Wait for one's turn."""
        now = time.monotonic()
        turn = max(self._next, now - self._at_once)
        self._next = turn + self._between
        if turn > now:
            await asyncio.sleep(turn - now)
