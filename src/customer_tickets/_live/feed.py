"""What the user iterates: the events of one ticket, each once, in order, from any number on.

Nothing runs while nobody asks for the next event: what happens meanwhile waits in the table, so a
slow reader costs no memory. The websocket only shortens the wait.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from .._errors import (
    CustomerTicketsError,
    NotFound,
    RateLimited,
    SignInRequired,
    Unavailable,
    UnexpectedAnswer,
)
from .._events import FeedStopped, StopReason, TicketEvent
from .bell import Bell
from .recovery import Ahead, Hole, Recovery


class Listening(Protocol):
    """Where a feed can listen to a topic: the client's line."""

    def listen(self, topic: str) -> Bell:
        """Start listening."""
        ...

    def leave(self, bell: Bell) -> None:
        """Stop listening."""
        ...


Fetch = Callable[[int], Awaitable[tuple[Sequence[TicketEvent], int]]]


class FeedState(StrEnum):
    """How a live feed is doing.

    `connecting`: the first connection is being made. `live`: events arrive as they are committed.
    `catching_up`: connected, and reading what was missed. `polling`: no websocket; the table is
    asked on a timer, so events arrive late but none is lost. `stopped`: nothing more will come.
    """

    CONNECTING = "connecting"
    LIVE = "live"
    CATCHING_UP = "catching_up"
    POLLING = "polling"
    STOPPED = "stopped"


class AsyncTicketFeed:
    """The live events of one ticket; open it with `async with`, read it with `async for`.

    Attributes:
        last_seq: the number of the last event handed out; save it, and give it back as `after`.
    """

    def __init__(
        self,
        ticket_id: UUID,
        after: int,
        *,
        line: Listening,
        fetch: Fetch,
        check_every: float,
        poll_every: float,
    ) -> None:
        self.last_seq = after
        self._topic = f"ticket:{ticket_id}"
        self._line = line
        self._fetch = fetch
        self._check_every = check_every
        self._poll_every = poll_every
        self._recovery = Recovery(after)
        self._failures = 0
        self._caught_up = False
        self._ready: deque[TicketEvent | FeedStopped] = deque()
        self._bell: Bell | None = None
        self._looked_at = time.monotonic()
        self._reading: asyncio.Task[None] | None = None
        self._stopped = False
        self._closed = False

    async def __aenter__(self) -> Self:
        if self._bell is not None:
            raise RuntimeError("a feed is opened once: call live() again for another")
        self._bell = self._line.listen(self._topic)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop listening; closing twice is fine."""
        self._closed = True
        self._ready.clear()
        if self._bell is not None:
            self._line.leave(self._bell)
            self._bell.close()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    @property
    def state(self) -> FeedState:
        """How the feed is doing right now."""
        bell = self._bell
        if bell is None:
            return FeedState.CONNECTING
        if self._closed or self._stopped or bell.closed:
            return FeedState.STOPPED
        if not bell.joined:
            return FeedState.POLLING if bell.tried else FeedState.CONNECTING
        caught_up = self._caught_up and bell.ready and not bell.missed
        return FeedState.LIVE if caught_up else FeedState.CATCHING_UP

    @property
    def reason(self) -> str | None:
        """Why there is no websocket for this ticket, where the server gave a reason."""
        return None if self._bell is None else self._bell.refused

    def __aiter__(self) -> AsyncIterator[TicketEvent | FeedStopped]:
        return self

    async def __anext__(self) -> TicketEvent | FeedStopped:
        event = await self.next()
        if event is None:
            raise StopAsyncIteration
        return event

    async def next(self, timeout: float | None = None) -> TicketEvent | FeedStopped | None:
        """Return the next event, or None when none came within `timeout` seconds or the feed ended.

        A timeout loses nothing: the event is there at the next call.
        """
        return self.take() if await self.ready(timeout) else None

    async def ready(self, timeout: float | None = None) -> bool:
        """Wait until an event can be taken; False when none came in time or the feed ended."""
        try:
            async with asyncio.timeout(timeout):
                return await self._fill()
        except TimeoutError:
            return bool(self._ready)

    async def _fill(self) -> bool:
        if self._bell is None:
            raise RuntimeError("open the feed first: `with thread.live() as events`")
        while not self._closed:
            if self._bell.closed and not self._stopped:
                self._ready.clear()  # nothing is delivered after a sign-out, not even the known
                self._stop("signed_out", SignInRequired("Signed out, or the client was closed."))
            if self._ready:
                return True
            self._hear(self._bell)
            if self._reading is not None or self._recovery.behind:
                await self._finish_reading()
            else:
                # From the last look on, not from this call on: a caller who waits in small steps
                # must not put the timer off for ever.
                seconds = self._looked_at + self._patience(self._bell) - time.monotonic()
                if seconds <= 0 or not await self._bell.wait(seconds):
                    self._recovery.ask()
        return False

    def take(self) -> TicketEvent | FeedStopped | None:
        """Hand out the event that `ready` found, without waiting; None when there is none."""
        if not self._ready:
            return None
        event = self._ready.popleft()
        if isinstance(event, FeedStopped):
            self._closed = True
        else:
            self.last_seq = event.seq
        return event

    def _hear(self, bell: Bell) -> None:
        self._recovery.doorbell(bell.highest)
        if bell.missed:
            bell.missed = self._caught_up = False
            self._recovery.ask()

    def _patience(self, bell: Bell) -> float:
        if not bell.joined:
            return self._poll_every
        if self._recovery.lagging:
            return min(1.0, self._check_every)
        return self._check_every

    async def _finish_reading(self) -> None:
        # A task of its own, so that a caller who waits for a millisecond at a time does not begin
        # anew each time. One at a time; the next call finds it and waits on.
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="customer_tickets.read")
        reading = self._reading
        await asyncio.wait({reading})
        if self._reading is reading:
            self._reading = None
            self._looked_at = time.monotonic()
            if not reading.cancelled():  # as it is when the feed was closed meanwhile
                reading.result()

    async def _read(self) -> None:
        after = self._recovery.fetching()
        try:
            events, newest = await self._fetch(after)
            if self._stopped:
                return
            self._ready.extend(self._recovery.fetched(events, newest))
            self._caught_up = self._caught_up or not self._recovery.behind
            self._failures = 0
        except Unavailable as error:
            self._recovery.failed()
            await self._pause(error)
        except NotFound as error:
            self._stop("access_lost", error)
        except SignInRequired as error:
            self._stop("signed_out", error)
        except Hole as hole:
            self._stop("hole", UnexpectedAnswer(f"The server lacks event {hole.missing}."))
        except Ahead as ahead:
            hint = "Was the position saved for another ticket, or the database restored?"
            self._stop("ahead", UnexpectedAnswer(f"Nothing to go on from: {ahead}.", hint=hint))
        except BaseException:
            self._recovery.failed()
            raise

    async def _pause(self, error: Unavailable) -> None:
        self._failures += 1
        asked = error.retry_after if isinstance(error, RateLimited) else None
        if asked is not None:
            await asyncio.sleep(asked)
            return
        ceiling = min(30.0, self._poll_every * 2.0 ** min(self._failures - 1, 5))
        # A websocket that comes back is a good reason to try before the pause is over; doorbells
        # are none, or a busy ticket would not let a troubled server rest.
        if self._bell is not None:
            seconds = random.uniform(ceiling / 4, ceiling)  # noqa: S311 - jitter, not a secret
            await self._bell.wait_up(seconds)

    def _stop(self, reason: StopReason, error: CustomerTicketsError) -> None:
        self._stopped = True
        waiting = [event.seq for event in self._ready if not isinstance(event, FeedStopped)]
        after = waiting[-1] if waiting else self.last_seq
        self._ready.append(FeedStopped(reason=reason, after_seq=after, error=error))
        if self._bell is not None:
            self._line.leave(self._bell)
