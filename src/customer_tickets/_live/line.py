"""The client's websockets: one for each hundred topics, each kept up by making a new one."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from .._borrowed import AnySession
from .._errors import ClientClosed, SignInRequired
from .._session import another_user
from .bell import Bell, Topics
from .gate import Gate
from .room import Room
from .socket import Pace, Socket, reason

_log = logging.getLogger("customer_tickets.live")

# Supabase lets a socket have so many channels.
_MOST_TOPICS = 100
# From so many feeds on, one question for all of them is cheaper than one for each.
_A_CROWD = 4
_ASKED_AT_ONCE = 500

Heads = Callable[[Sequence[UUID]], Awaitable[dict[UUID, int]]]
"""Asks for the last event number of tickets; those that are not there any more are left out."""


class Line:
    """Keeps websockets up for as long as anybody listens.

    Args:
        heads: asks the table where many tickets are, in one request.
    """

    def __init__(
        self, url: str, key: str, session: AnySession, heads: Heads, *, pace: Pace | None = None
    ) -> None:
        self._url = url
        self._key = key
        self._session = session
        self._heads = heads
        self._pace = pace if pace is not None else Pace()
        self._gate = Gate(self._pace.joins_per_second)
        self._wires: list[_Wire] = []
        # All of them: a wire forgets the bells of a topic that was refused.
        self._bells: set[Bell] = set()
        self._checking: asyncio.Task[None] | None = None
        self._next_check: asyncio.Task[None] | None = None
        self._closed = False

    def listen(self, topic: str, ticket: UUID | None = None) -> Bell:
        """Start listening to a topic, a ticket's if one is given; give the bell to `leave`.

        Raises:
            ClientClosed: after `aclose`.
        """
        bell = Bell(topic, ticket)
        self._add(bell)
        return bell

    def enter(self, room: Room) -> None:
        """Start listening and speaking on a presence topic; give the room to `leave`.

        Raises:
            ClientClosed: after `aclose`.
            SignInRequired: whom the room would show there is not signed in any more.
        """
        if self._session.user.id != room.user:
            raise another_user()
        self._add(room)

    def leave(self, bell: Bell) -> None:
        """Stop listening; the last one to leave a topic closes it."""
        self._bells.discard(bell)
        for wire in self._wires:
            wire.topics.remove(bell)
        self._wires = [wire for wire in self._wires if wire.topics.wanted or wire.up]

    def wake(self, topic: str) -> None:
        """Have all who listen to a topic look again: something outside of it has changed."""
        for wire in self._wires:
            for bell in wire.topics.bells(topic):
                bell.wake()

    @property
    def crowded(self) -> bool:
        """Whether `check` is cheaper than that each feed asks for itself."""
        return sum(len(wire.topics.wanted) for wire in self._wires) >= _A_CROWD

    async def check(self) -> None:
        """Tell every ticket's bell where the table says that the ticket is; one asks for all."""
        # One that is under way may have read the table before the caller's doubt began: all who
        # come meanwhile share the next one.
        if self._next_check is None:
            check = self._check(self._checking)
            self._next_check = asyncio.create_task(check, name="customer_tickets.check")
            self._next_check.add_done_callback(_retrieve)
        await asyncio.shield(self._next_check)

    async def _check(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        self._checking, self._next_check = self._next_check, None
        bells = [bell for wire in self._wires for bell in wire.topics.bells() if bell.ticket]
        tickets = list({bell.ticket for bell in bells if bell.ticket is not None})
        heads: dict[UUID, int] = {}
        for start in range(0, len(tickets), _ASKED_AT_ONCE):
            heads |= await self._heads(tickets[start : start + _ASKED_AT_ONCE])
        for bell in bells:
            if bell.ticket is not None:
                bell.checked(heads.get(bell.ticket))

    async def aclose(self) -> None:
        """Hang up for good."""
        self._closed = True
        await self.hang_up()

    async def hang_up(self) -> None:
        """End every feed: nothing is delivered to any bell of now after this."""
        bells, self._bells = self._bells, set()
        for bell in bells:
            bell.close()
        wires, self._wires = self._wires, []
        for wire in wires:
            wire.topics.clear()
        for check in (self._checking, self._next_check):
            if check is not None:
                check.cancel()
        self._checking = self._next_check = None
        ending = [wire.task for wire in wires if wire.task is not None]
        for task in ending:
            task.cancel()
        if ending:
            # Not `await`: whoever is cancelled here must not take it for the end of such a task.
            await asyncio.wait(ending)

    def _add(self, bell: Bell) -> None:
        if self._closed:
            raise ClientClosed("This client is closed.", hint="Make a new one.")
        self._bells.add(bell)
        self._wire_for(bell.topic).listen(bell)

    def _wire_for(self, topic: str) -> _Wire:
        for wire in self._wires:
            if topic in wire.topics.wanted:
                return wire
        for wire in self._wires:
            if len(wire.topics.wanted) < _MOST_TOPICS:
                return wire
        self._wires.append(
            _Wire(
                lambda topics: Socket(
                    self._url, self._key, self._session, topics, self._pace, self._gate
                ),
                self._pace,
            )
        )
        return self._wires[-1]


class _Wire:
    """One websocket at a time for up to a hundred topics, with a pause between attempts."""

    def __init__(self, make: Callable[[Topics], Socket], pace: Pace) -> None:
        self.topics = Topics()
        self._make = make
        self._pace = pace
        self.task: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether there is, or soon will be, a websocket."""
        return self.task is not None and not self.task.done()

    def listen(self, bell: Bell) -> None:
        self.topics.add(bell)
        if not self.up:
            self.task = asyncio.create_task(self._keep_up(), name="customer_tickets.live")

    def silence(self) -> None:
        for bell in self.topics.bells():
            bell.close()
        self.topics.clear()

    async def _keep_up(self) -> None:
        failures, trouble_since = 0, time.monotonic()
        while self.topics.wanted:
            started = time.monotonic()
            broken = await self._use_one()
            now = time.monotonic()
            # Only a connection that lasted, or was not wanted any more before anything was wrong
            # with it, proves that connecting is worth doing at once.
            if not broken or now - started > self._pace.stable_after:
                failures, trouble_since = 0, now
            if broken and self.topics.wanted:
                await asyncio.sleep(self._pause(failures, now - trouble_since))
                failures += 1

    def _pause(self, failures: int, trouble: float) -> float:
        """Return how long to wait: at most a third of how long it has been bad already.

        A server that was away for seconds is found again in a second or two; one that was away
        for long is not met by all its clients at once. The first attempt is made at once; later
        ones keep half of the wait, or a server that accepts and hangs up would be asked too often.
        """
        quick = min(self._pace.short_wait, self._pace.first_wait * 4.0 ** min(failures, 10))
        ceiling = min(self._pace.longest_wait, max(quick, trouble / 3))
        floor = 0.0 if failures == 0 else ceiling / 2
        return random.uniform(floor, ceiling)  # noqa: S311 - jitter, not a secret

    async def _use_one(self) -> bool:
        """Keep one websocket for as long as it is good; tell whether it broke."""
        socket = self._make(self.topics)
        try:
            await socket.run()
        except SignInRequired:
            self.silence()  # the session was ended elsewhere: nobody will let us in again
        except Exception as error:  # noqa: BLE001 - whatever the packages raise, it is over
            _log.debug("websocket down: %s", reason(error))
            return True
        finally:
            for bell in self.topics.bells():
                bell.fail()
            discarding = asyncio.create_task(socket.discard())
            try:
                await asyncio.shield(discarding)
            except asyncio.CancelledError:
                await discarding  # half a second at most, and no connection is left open
                raise
        return False


def _retrieve(task: asyncio.Task[None]) -> None:
    """Look at how a check ended, so that asyncio does not report it when nobody waits any more."""
    if not task.cancelled():
        task.exception()
