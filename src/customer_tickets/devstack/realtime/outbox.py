"""What a socket still has to say: nobody who publishes ever waits for a slow reader."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from customer_tickets.devstack.realtime.frames import Wire

__all__ = ["Outbox"]


class Outbox:
    """An ordered queue of messages with one writer, which can be held back while a join runs."""

    def __init__(self, limit: int, overflow: Callable[[], None]) -> None:
        self._queue: deque[Wire] = deque()
        self._held: deque[Wire] | None = None
        self._bytes = 0
        self._limit = limit
        self._overflow = overflow
        self._wake = asyncio.Event()

    def put(self, wire: Wire) -> None:
        """Add a message; too many bytes waiting, and the connection is given up."""
        self._bytes += len(wire.data)
        if self._bytes > self._limit:
            self._overflow()
            return
        if self._held is not None:
            self._held.append(wire)
            return
        self._queue.append(wire)
        self._wake.set()

    def hold(self) -> None:
        """Keep back whatever comes from now on."""
        if self._held is None:
            self._held = deque()

    def release(self, *first: Wire) -> None:
        """Say these first, then what was kept back."""
        held, self._held = self._held, None
        for wire in first:
            self.put(wire)
        if held:
            self._queue.extend(held)
            self._wake.set()

    async def drain_for_ever(self, send: Callable[[Wire], Awaitable[None]]) -> None:
        """Write what comes, until cancelled or the connection breaks (OSError)."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.flush(send)

    async def flush(self, send: Callable[[Wire], Awaitable[None]]) -> None:
        """Write what is waiting now."""
        while self._queue:
            wire = self._queue.popleft()
            self._bytes -= len(wire.data)
            await send(wire)
