"""What the user iterates: events, each once, from any place on; first what all feeds share.

Nothing runs while nobody asks for the next event: what happens meanwhile waits in the table, so a
slow reader costs no memory. The websocket only shortens the wait.
"""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar
from uuid import UUID

from .._arguments import checked_wait
from .._errors import (
    CustomerTicketsError,
    NotFound,
    RateLimited,
    SignInRequired,
    Unavailable,
    UnexpectedAnswer,
)
from .._events import FeedStopped, StopReason
from .bell import Bell
from .looks import Looks
from .recovery import Lost


class Listening(Protocol):
    """Where a feed can listen to a topic: the client's line."""

    def listen(self, topic: str, ticket: UUID | None = None) -> Bell:
        """Start listening."""
        ...

    @property
    def crowded(self) -> bool:
        """Whether `check` is cheaper than that each feed asks for itself."""
        ...

    async def check(self) -> None:
        """Tell every ticket's bell where the table says that the ticket is."""
        ...

    def leave(self, bell: Bell) -> None:
        """Stop listening."""
        ...


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


Event = TypeVar("Event")


class Doubt(Protocol):
    """Decides whether a feed is behind; `Recovery` for a ticket, `Changes` for a list."""

    behind: bool

    @property
    def lagging(self) -> bool:
        """Whether what was announced was not there yet: worth another look soon."""
        ...

    def doorbell(self, number: int) -> None:
        """Hear that something was announced."""
        ...

    def ask(self) -> None:
        """Hear that something may have been missed."""
        ...

    def failed(self) -> None:
        """Hear that asking failed: the question stands."""
        ...


class AsyncFeed(ABC, Generic[Event]):
    """What all live feeds share; open one with `async with`, read it with `async for`."""

    def __init__(
        self,
        topic: str,
        ticket: UUID | None,
        recovery: Doubt,
        *,
        line: Listening,
        check_every: float,
        poll_every: float,
    ) -> None:
        self._topic = topic
        self._ticket = ticket
        self._recovery = recovery
        self._line = line
        self._looks = Looks(check_every, poll_every)
        self._caught_up = False
        self._unsure = False
        self._error: Unavailable | None = None
        self._ready: deque[Event | FeedStopped] = deque()
        self._bell: Bell | None = None
        self._looked_at = time.monotonic()
        self._reading: asyncio.Task[None] | None = None
        self._stopped = self._closed = False

    @abstractmethod
    async def _ask(self) -> Sequence[Event]:
        """Ask the table and return what is to be handed out; the subclass knows how."""

    @abstractmethod
    def _announced(self, bell: Bell) -> int:
        """Return the number that says what was announced."""

    @abstractmethod
    def _handed_out(self, event: Event) -> None:
        """Note that an event leaves the feed."""

    @abstractmethod
    def _place(self) -> int:
        """Return the number of the last event that is known, for the final event."""

    async def __aenter__(self) -> Self:
        if self._bell is not None:
            raise RuntimeError("a feed is opened once: call live() again for another")
        self._bell = self._line.listen(self._topic, self._ticket)
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
            await asyncio.wait({self._reading})

    @property
    def state(self) -> FeedState:
        """How the feed is doing right now."""
        return _state(self._bell, ended=self._closed or self._stopped, caught_up=self._caught_up)

    @property
    def reason(self) -> str | None:
        """Why there is no websocket for this ticket, where the server gave a reason."""
        return None if self._bell is None else self._bell.refused

    @property
    def error(self) -> Unavailable | None:
        """Why the last question to the server had no answer; None when it had one."""
        return self._error

    def __aiter__(self) -> AsyncIterator[Event | FeedStopped]:
        return self

    async def __anext__(self) -> Event | FeedStopped:
        if (event := await self.next()) is None:
            raise StopAsyncIteration
        return event

    async def next(self, timeout: float | None = None) -> Event | FeedStopped | None:
        """Return the next event, or None when none came within `timeout` seconds or the feed ended.

        A timeout loses nothing: the event is there at the next call.
        """
        return self.take() if await self.ready(timeout) else None

    async def ready(self, timeout: float | None = None) -> bool:
        """Wait until an event can be taken; False when none came in time or the feed ended."""
        try:
            async with asyncio.timeout(checked_wait(timeout)):
                return await self._fill()
        except TimeoutError:
            return bool(self._ready)

    async def _fill(self) -> bool:
        if self._bell is None:
            raise RuntimeError("open the feed first: `with …live() as events`")
        while not self._closed:
            self._end_with_session()
            if self._ready:
                return True
            self._hear(self._bell)
            if self._reading is not None or self._recovery.behind or self._unsure:
                await self._finish_reading(self._bell)
            else:
                due = max(self._looked_at, self._bell.checked_at) + self._looks.after(
                    joined=self._bell.joined, lagging=self._recovery.lagging
                )
                if due > time.monotonic():
                    await self._bell.wait(due - time.monotonic())
                else:
                    self._unsure = True
        return False

    def take(self) -> Event | FeedStopped | None:
        """Hand out the event that `ready` found, without waiting; None when there is none."""
        self._end_with_session()  # another thread may have signed out after `ready`
        try:
            event = self._ready.popleft()
        except IndexError:
            return None
        if isinstance(event, FeedStopped):
            self._closed = True
        else:
            self._handed_out(event)
        return event

    def _end_with_session(self) -> None:
        if self._bell is not None and self._bell.closed and not (self._stopped or self._closed):
            self._ready.clear()  # nothing is delivered after a sign-out, not even the known
            self._stop("signed_out", SignInRequired("Signed out, or the client was closed."))

    def _hear(self, bell: Bell) -> None:
        self._recovery.doorbell(self._announced(bell))
        if bell.missed:
            bell.missed = self._caught_up = False
            self._unsure = True
        if bell.gone:
            bell.gone = False
            self._recovery.ask()

    async def _finish_reading(self, bell: Bell) -> None:
        # A task of its own, so that a caller who waits for a millisecond at a time does not begin
        # anew each time. One at a time; the next call finds it and waits on.
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(bell), name="customer_tickets.read")
            bell.cancels(self._reading)
        reading = self._reading
        if not reading.done():  # a caller who only glances has no time to wait for nothing
            await asyncio.wait({reading})
        if self._reading is reading:
            self._reading = None
            self._looked_at = time.monotonic()
            if not reading.cancelled():  # as it is after a close or a sign-out
                reading.result()

    async def _read(self, bell: Bell) -> None:
        try:
            if not await self._reassured(bell):
                await self._take_in()
            self._error = None
            self._looks.succeeded(lagging=self._recovery.lagging)
        except Unavailable as error:
            self._error = error
            await _pause(error, bell, self._looks.failed())
        except NotFound as error:
            self._stop("access_lost", error)
        except SignInRequired as error:
            self._stop("signed_out", error)
        except Lost as lost:
            self._stop(lost.reason, UnexpectedAnswer(f"{lost}.", hint=lost.hint))

    async def _reassured(self, bell: Bell) -> bool:
        """Ask together with the other feeds of a crowd; tell whether nothing is to be read."""
        unsure, self._unsure = self._unsure, False
        # Such a question only tells of numbers that nobody rang for: one that was announced, and
        # was not there yet, is asked for directly. Of a refused topic the line knows no more.
        known = self._recovery.behind or self._recovery.lagging
        alone = self._ticket is None or bell.refused is not None or not self._line.crowded
        if not unsure or known or alone:
            return False
        try:
            await self._line.check()
        except BaseException:
            self._unsure = True
            raise
        self._hear(bell)
        self._caught_up = not self._recovery.behind and not self._unsure
        return not self._recovery.behind

    async def _take_in(self) -> None:
        try:
            events = await self._ask()
        except BaseException:
            self._recovery.failed()
            raise
        if not self._stopped:
            self._ready.extend(events)
            self._caught_up = self._caught_up or not self._recovery.behind

    def _stop(self, reason: StopReason, error: CustomerTicketsError) -> None:
        self._stopped = True
        self._ready.append(FeedStopped(reason=reason, after_seq=self._place(), error=error))
        if self._bell is not None and not self._bell.closed:  # else it may be another thread here
            self._line.leave(self._bell)


async def _pause(error: Unavailable, bell: Bell, ceiling: float) -> None:
    """Wait after a failure: as long as the server asked, or a part of the ceiling."""
    asked = error.retry_after if isinstance(error, RateLimited) else None
    if asked is not None:
        await asyncio.sleep(asked)
        return
    # A websocket that comes back is a good reason to try before the pause is over; doorbells are
    # none, or a busy ticket would not let a troubled server rest.
    await bell.wait_up(random.uniform(ceiling / 4, ceiling))  # noqa: S311 - jitter, not a secret


def _state(bell: Bell | None, *, ended: bool, caught_up: bool) -> FeedState:
    if bell is None:
        return FeedState.CONNECTING
    if ended or bell.closed:
        return FeedState.STOPPED
    if not bell.joined:
        return FeedState.POLLING if bell.tried else FeedState.CONNECTING
    return FeedState.LIVE if caught_up and bell.ready and not bell.missed else FeedState.CATCHING_UP
