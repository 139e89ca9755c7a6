"""What a feed hears of its topic: whether the line is up, and the highest number announced.

Doorbells are merged into one number, so a reader that does not look for an hour finds one number
and not a queue.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Bell:
    """One listener's ear on one topic.

    Attributes:
        topic: the topic's name, without a prefix.
        joined: whether the websocket has joined the topic.
        ready: whether broadcasts are known, or after a bounded wait assumed, to flow.
        tried: whether a connection was tried and failed since the last success.
        refused: the server's reason if it will never let us in.
        closed: whether the client let go of the topic (signed out, or closed).
        highest: the highest event number announced so far.
        missed: whether something may have happened that nobody rang for.
    """

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.joined = False
        self.ready = False
        self.tried = False
        self.refused: str | None = None
        self.closed = False
        self.highest = 0
        self.missed = False
        self._signal = asyncio.Event()
        self._up = asyncio.Event()

    def ring(self, seq: int) -> None:
        """Announce an event; one that arrives proves that broadcasts flow."""
        self.highest = max(self.highest, seq)
        if not self.ready:
            self.flows()
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
        self._signal.set()

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

    def add(self, topic: str) -> Bell:
        """Hang up a new bell for a topic."""
        bell = Bell(topic)
        self.wanted.setdefault(topic, set()).add(bell)
        self.changed.set()
        return bell

    def remove(self, bell: Bell) -> None:
        """Take a bell down; it may be down already."""
        bells = self.wanted.get(bell.topic, set())
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
