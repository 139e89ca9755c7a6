"""Who else is at a ticket now, and who types: what the user reads of a presence topic."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from .._arguments import checked_wait
from .._errors import CustomerTicketsError, NotAllowed, SignInRequired, UnexpectedAnswer
from .._models import Frozen, Role
from .._view import ThreadView
from .bell import Bell
from .room import Room
from .typists import SAID_EVERY, Throttle


def meeting_place(ticket: UUID) -> str:
    """Return the topic on which a ticket's people meet."""
    return f"ticket:{ticket}:presence"


class Meeting(Protocol):
    """Where people meet: the client's line."""

    def enter(self, room: Room) -> None:
        """Start listening and speaking."""
        ...

    def leave(self, bell: Bell) -> None:
        """Stop both."""
        ...


class PeopleState(StrEnum):
    """How well it is known who is here.

    `connecting`: nobody is known yet. `live`: who is here is told at once. `offline`: no
    connection; who was here is remembered for a minute. `stopped`: nothing more will come.
    """

    CONNECTING = "connecting"
    LIVE = "live"
    OFFLINE = "offline"
    STOPPED = "stopped"


class Person(Frozen):
    """Somebody who is at the ticket.

    `name` and `role` are those of their events in the ticket, as far as it was read. Of somebody
    who did nothing there yet, `role` is None and `name` what they call themselves, at most 100
    characters, or empty.
    """

    _shown = ("id", "role")
    id: UUID
    name: str
    role: Role | None = None


class Presence(Frozen):
    """Who else is at the ticket, and who of them is typing."""

    here: tuple[Person, ...] = ()
    typists: tuple[Person, ...] = ()

    _shown = ("here", "typists")


class AsyncPeople:
    """Who else is at a ticket; open it with `async with`, and you are there for the others too.

    Read `here` and `typists` whenever you like, or wait for changes with `async for` or `next`.
    Changes are merged: who looks seldom gets the newest picture, not a queue of old ones.
    """

    def __init__(self, view: ThreadView, user: UUID, *, line: Meeting) -> None:
        topic, name = meeting_place(view.ticket.id), view.name_of(user)
        self._view = view
        self._line = line
        self._room = Room(topic, user, name, lambda: view.read_to)
        self._throttle = Throttle(SAID_EVERY)
        self._shown = Presence()
        self._opened = False
        self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state} here={len(self.here)}>"

    async def __aenter__(self) -> Self:
        if self._opened:
            raise RuntimeError("this is opened once: call people() again for another")
        self._line.enter(self._room)
        self._opened = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Be there no more, and stop listening; closing twice is fine."""
        if self._opened and not self._closed:
            self._closed = True
            self._line.leave(self._room)
            self._room.close()

    @property
    def state(self) -> PeopleState:
        """How well it is known who is here."""
        if self._over:
            return PeopleState.STOPPED
        if self._room.current:
            return PeopleState.LIVE
        return PeopleState.OFFLINE if self._room.tried else PeopleState.CONNECTING

    @property
    def error(self) -> CustomerTicketsError | None:
        """Why nothing more will come; None while something may, or if you closed it."""
        reason = self._room.refused
        if reason is not None:
            # As the server words it when the database's rules do not let somebody in.
            denied = reason.startswith(("Unauthorized", "You "))
            kind = NotAllowed if denied else UnexpectedAnswer
            return kind("The realtime server refuses to say who is here.", hint=f"{reason}.")
        if self._room.closed and not self._closed:
            return SignInRequired("Signed out, or the client was closed.")
        return None

    @property
    def here(self) -> tuple[Person, ...]:
        """Who else is at the ticket; you are not among them, in whatever windows you are."""
        return tuple(self._person(user, claim) for user, claim in self._room.here().items())

    @property
    def typists(self) -> tuple[Person, ...]:
        """Who else is typing: until they act, leave, or say nothing more for six seconds."""
        return tuple(
            self._person(typing.user, typing.claim)
            for typing in self._room.typists()
            if self._view.last_act_of(typing.user) <= typing.read_to
        )

    async def typing(self) -> None:
        """Say that you are typing; call it at every key, one word in three seconds is sent.

        Does nothing while there is no connection: this is not worth an error.

        Raises:
            RuntimeError: it is not open yet.
        """
        self._check_opened()
        say = self._room.say
        if say is not None and not self._over and self._throttle.passes(time.monotonic()):
            await say({"user_id": str(self._room.user), "name": self._room.name})

    async def next(self, timeout: float | None = None) -> Presence | None:
        """Wait for a change and return the new picture; None when there was none, or never will be.

        The first picture comes when somebody else is here; `state` says whether that is known.

        Args:
            timeout: seconds.

        Raises:
            RuntimeError: it is not open yet.
        """
        self._check_opened()
        try:
            async with asyncio.timeout(checked_wait(timeout)):
                while not self._over:
                    now = Presence(here=self.here, typists=self.typists)
                    if now != self._shown:
                        self._shown = now
                        return now
                    await self._room.wait_for_change()
        except TimeoutError:
            pass
        return None

    def __aiter__(self) -> AsyncIterator[Presence]:
        return self

    async def __anext__(self) -> Presence:
        picture = await self.next()
        if picture is None:
            raise StopAsyncIteration
        return picture

    @property
    def _over(self) -> bool:
        return self._closed or self._room.closed or self._room.refused is not None

    def _check_opened(self) -> None:
        if not self._opened:
            raise RuntimeError("open it first: `with thread.people() as people`")

    def _person(self, user: UUID, claim: str) -> Person:
        name, role = self._view.name_of(user), self._view.role_of(user)
        return Person(id=user, name=name or claim, role=role)
