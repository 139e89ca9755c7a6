"""The client's only websocket, kept up by making a new one after any trouble."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress

from .._borrowed import AnySession
from .._errors import ClientClosed
from .bell import Bell, Topics
from .socket import Pace, Socket, reason

_log = logging.getLogger("customer_tickets.live")


class Line:
    """Keeps one websocket up for as long as anybody listens, with a pause between attempts."""

    def __init__(
        self, url: str, key: str, session: AnySession, *, pace: Pace | None = None
    ) -> None:
        self._url = url
        self._key = key
        self._session = session
        self._pace = pace if pace is not None else Pace()
        self._topics = Topics()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def listen(self, topic: str) -> Bell:
        """Start listening to a topic; give the bell back to `leave`.

        Raises:
            ClientClosed: after `aclose`.
        """
        if self._closed:
            raise ClientClosed("This client is closed.", hint="Make a new one.")
        bell = self._topics.add(topic)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_up(), name="customer_tickets.live")
        return bell

    def leave(self, bell: Bell) -> None:
        """Stop listening; the last one to leave a topic closes it."""
        self._topics.remove(bell)

    async def aclose(self) -> None:
        """Hang up for good."""
        self._closed = True
        await self.hang_up()

    async def hang_up(self) -> None:
        """End every feed: nothing is delivered to any bell of now after this."""
        for bell in self._topics.bells():
            bell.close()
        self._topics.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _keep_up(self) -> None:
        failures, trouble_since = 0, time.monotonic()
        while self._topics.wanted:
            started = time.monotonic()
            await self._use_one()
            if not self._topics.wanted:
                return
            now = time.monotonic()
            # Only a connection that lasted proves that connecting is worth doing at once.
            if now - started > self._pace.stable_after:
                failures, trouble_since = 0, now
            await asyncio.sleep(self._pause(failures, now - trouble_since))
            failures += 1

    def _pause(self, failures: int, trouble: float) -> float:
        """Return how long to wait: at most a third of how long it has been bad already.

        A server that was away for seconds is found again in a second or two; one that was away
        for long is not met by all its clients at once.
        """
        quick = min(self._pace.short_wait, self._pace.first_wait * 2.0 ** min(failures, 10))
        ceiling = min(self._pace.longest_wait, max(quick, trouble / 3))
        return random.uniform(0, ceiling)  # noqa: S311 - jitter, not a secret

    async def _use_one(self) -> None:
        socket = Socket(self._url, self._key, self._session, self._topics, self._pace)
        try:
            await socket.run()
        except Exception as error:  # noqa: BLE001 - whatever the packages raise, it is over
            _log.debug("websocket down: %s", reason(error))
        finally:
            for bell in self._topics.bells():
                bell.fail()
            discarding = asyncio.create_task(socket.discard())
            try:
                await asyncio.shield(discarding)
            except asyncio.CancelledError:
                await discarding  # half a second at most, and no connection is left open
                raise
