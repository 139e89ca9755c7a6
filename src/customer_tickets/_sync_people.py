"""The blocking face of who is at a ticket, written by hand as those of the feeds are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from ._errors import ClientClosed, CustomerTicketsError
from ._live.people import AsyncPeople, PeopleState, Person, Presence
from ._portal import Portal


class People:
    """Who else is at a ticket; open it with `with`, and you are there for the others too.

    Read `here` and `typists` whenever you like, or wait for changes with `for` or `next`. Changes
    are merged: who looks seldom gets the newest picture, not a queue of old ones.
    """

    def __init__(self, portal: Portal, people: AsyncPeople) -> None:
        self._portal = portal
        self._async = people

    def __repr__(self) -> str:
        return repr(self._async).replace("Async", "", 1)

    def __enter__(self) -> Self:
        self._portal.run(self._async.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Be there no more, and stop listening; closing twice is fine."""
        with suppress(ClientClosed):
            self._portal.run(self._async.aclose)

    @property
    def state(self) -> PeopleState:
        """How well it is known who is here."""
        return self._async.state

    @property
    def error(self) -> CustomerTicketsError | None:
        """Why nothing more will come; None while something may, or if you closed it."""
        return self._async.error

    @property
    def here(self) -> tuple[Person, ...]:
        """Who else is at the ticket; you are not among them, in whatever windows you are."""
        return self._async.here

    @property
    def typists(self) -> tuple[Person, ...]:
        """Who else is typing: until they act, leave, or say nothing more for six seconds."""
        return self._async.typists

    def typing(self) -> None:
        """Say that you are typing; call it at every key, one word in three seconds is sent.

        Does nothing while there is no connection: this is not worth an error.

        Raises:
            RuntimeError: it is not open yet.
        """
        self._portal.run(self._async.typing)

    def next(self, timeout: float | None = None) -> Presence | None:
        """Wait for a change and return the new picture; None when there was none, or never will be.

        The first picture comes when somebody else is here; `state` says whether that is known.

        Args:
            timeout: seconds.

        Raises:
            RuntimeError: it is not open yet.
        """
        try:
            return self._portal.run(self._async.next, timeout)
        except ClientClosed:
            if self.state != "stopped":
                raise  # a forked child has this of its parent's, for example
            return None

    def __iter__(self) -> Iterator[Presence]:
        return self

    def __next__(self) -> Presence:
        picture = self.next()
        if picture is None:
            raise StopIteration
        return picture
