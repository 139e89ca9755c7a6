"""What a feed hears of its topic: whether the line is up, and the highest number announced.

Doorbells are merged into one number, so a reader that does not look for an hour finds one number
and not a queue.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from uuid import UUID

_MOST_ANNOUNCED = 500


class Bell:
    """One listener's ear on one topic.

    Attributes:
        topic: the topic's name, without a prefix.
        ticket: the ticket that the topic is about, if it is about one.
        joined: whether the websocket has joined the topic.
        ready: whether broadcasts are known, or after a bounded wait assumed, to flow.
        tried: whether a connection was tried and failed since the last success.
        refused: the server's reason if it will never let us in.
        closed: whether the client let go of the topic (signed out, or closed).
        highest: the highest event number announced so far, or read from the table by a check.
        rings: how often anything was announced.
        announced: the highest number announced of each ticket since somebody last looked here.
        checked_at: when a check last looked at the table, by the monotonic clock.
        gone: whether that check did not find the ticket any more, or found fewer events of it.
        missed: whether something may have happened that nobody rang for.
    """

    def __init__(self, topic: str, ticket: UUID | None = None) -> None:
        self.topic = topic
        self.ticket = ticket
        self.joined = False
        self.ready = False
        self.tried = False
        self.refused: str | None = None
        self.closed = False
        self._reading: asyncio.Task[None] | None = None
        self.highest = 0
        self.rings = 0
        self.announced: dict[str, int] = {}
        self.checked_at = 0.0
        self.gone = False
        self.missed = False
        self._signal = asyncio.Event()
        self._up = asyncio.Event()

    def ring(self, seq: int, ticket: str = "") -> None:
        """Announce an event of a ticket; one that arrives proves that broadcasts flow."""
        self.highest = max(self.highest, seq)
        self.rings += 1
        # Whoever does not look finds so many; the others come with the next question anyway.
        if ticket in self.announced or len(self.announced) < _MOST_ANNOUNCED:
            self.announced[ticket] = max(seq, self.announced.get(ticket, 0))
        if not self.ready:
            self.flows()
        self._signal.set()

    def checked(self, head: int | None) -> None:
        """Hear from the table what the ticket's last number is; None when it is not there."""
        self.checked_at = time.monotonic()
        if head == self.highest:
            return
        if head is None or head < self.highest:
            self.gone = True
        else:
            self.highest = head
        self._signal.set()

    def join(self) -> None:
        """Say that the topic is joined; something may have happened before."""
        self.joined, self.tried, self.missed = True, False, True
        self._signal.set()
        self._up.set()

    def flows(self) -> None:
        """Say that broadcasts flow from now on; something may have happened before."""
        self.ready = self.missed = True
        self._signal.set()

    def fail(self) -> None:
        """Say that the line is down; a line that stays down is no news."""
        if self.joined or not self.tried:
            self.missed = True
            self._signal.set()
        self._up.clear()
        self.joined = self.ready = False
        self.tried = True

    def refuse(self, reason: str) -> None:
        """Say that the server will not let us in, now or later."""
        self.refused = reason
        self.fail()
        self._signal.set()

    def close(self) -> None:
        """Say that nothing more will come."""
        self.closed = True
        self.fail()
        if self._reading is not None:
            self._reading.cancel()
        self._signal.set()

    def wake(self) -> None:
        """Have the listener look again: something outside of the topic has changed."""
        self._signal.set()

    def cancels(self, reading: asyncio.Task[None]) -> None:
        """Have a read end when this is closed, whoever waits for it: it would be of no use."""
        self._reading = reading

    async def wait_up(self, seconds: float) -> None:
        """Wait until the line comes up, if it is down; else wait for the whole time."""
        if self.joined:
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._up.wait()

    async def wait(self, seconds: float) -> bool:
        """Wait for news; return False when none came in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._signal.wait()
        except TimeoutError:
            return False
        self._signal.clear()
        return True


class Topics:
    """Who listens to what.

    Attributes:
        wanted: the topics somebody listens to.
        changed: set whenever that may have changed.
    """

    def __init__(self) -> None:
        self.wanted: dict[str, set[Bell]] = {}
        self.changed = asyncio.Event()

    def add(self, bell: Bell) -> None:
        """Hang up a bell."""
        self.wanted.setdefault(bell.topic, set()).add(bell)
        self.changed.set()

    def remove(self, bell: Bell) -> None:
        """Take a bell down; it may be down already."""
        bells = self.wanted.get(bell.topic, set())
        if bell in bells:
            bells.discard(bell)
            if not bells:
                self.drop(bell.topic)

    def drop(self, topic: str) -> None:
        """Want a topic no more, whoever listens."""
        self.wanted.pop(topic, None)
        self.changed.set()

    def clear(self) -> None:
        """Want nothing more."""
        self.wanted.clear()
        self.changed.set()

    def bells(self, topic: str | None = None) -> list[Bell]:
        """Return the bells of one topic, or all."""
        chosen = self.wanted.values() if topic is None else [self.wanted.get(topic, set())]
        return [bell for bells in chosen for bell in bells]
