"""A live view in a notebook's cell: shows a thread, or the list, anew when something happens."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from . import _html
from ._connection import Connection
from ._errors import CustomerTicketsError, Offline, Unavailable
from ._events import FeedStopped, StopReason, TicketChanged
from ._live.feed import AsyncFeed, FeedState
from ._models import Ticket

# How often the view looks at what tells of itself only when asked: states, messages on their way.
_TICK = 0.25
# After so many seconds "5 min ago" is drawn anew.
_AGES = 30.0
_LONGEST_PAUSE = 15.0

_STATES = {
    FeedState.CONNECTING: "Connecting …",
    FeedState.LIVE: "● Live",
    FeedState.CATCHING_UP: "Reading what was missed …",
    FeedState.STOPPED: "",
}
_REASONS: dict[StopReason, str] = {
    "access_lost": "the ticket is gone, or no longer yours",
    "signed_out": "signed out, or the client was closed",
    "hole": "the server no longer has all events",
    "ahead": "the server has not reached this place: was the database restored?",
}


@dataclass(frozen=True)
class Picture:
    """What a view shows.

    Attributes:
        feed: tells of changes; open.
        parts: returns what is shown, to be compared: drawing costs more than looking.
        html: draws it.
        hear: is told of each event before that.
    """

    feed: AsyncFeed[Any]
    parts: Callable[[], object]
    html: Callable[[], str]
    hear: Callable[[Any], None] = lambda _: None


Opening = Callable[[], AbstractAsyncContextManager[Picture]]


class Newest:
    """The tickets that changed last, kept so by the list's events."""

    def __init__(self, tickets: Sequence[Ticket], size: int) -> None:
        self.tickets = tuple(tickets)
        self._size = size

    def hear(self, event: TicketChanged) -> None:
        """Take in a ticket as it is now."""
        others = [ticket for ticket in self.tickets if ticket.id != event.ticket.id]
        ordered = sorted((*others, event.ticket), key=lambda ticket: ticket.updated_at)
        self.tickets = tuple(ordered[: -self._size - 1 : -1])

    def html(self) -> str:
        """Draw them as a table."""
        return _html.tickets(self.tickets, f"The {self._size} that changed last, at most.")


class AsyncWatch:
    """A live view in a notebook's cell: it follows until `stop`, or until the client is closed."""

    def __init__(self, kind: _html.Kind) -> None:
        self._kind = kind
        self._body = _html.skeleton(kind)
        self._shown: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._handle = _display(self._bundle(""))

    def __repr__(self) -> str:
        running = self._task is not None and not self._task.done()
        return f"<{type(self).__name__} {self._kind} {'running' if running else 'stopped'}>"

    def _ipython_display_(self) -> None:
        """Show nothing more as a cell's last line: the view is there already."""

    async def stop(self) -> None:
        """End the view; what it showed last stays. Stopping twice is fine."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def follow(self, connection: Connection, opening: Opening) -> asyncio.Task[None]:
        """Begin; it ends with the connection at the latest."""
        self._task = connection.in_background(self._run(opening))
        return self._task

    async def _run(self, opening: Opening) -> None:
        why = "an error of the view itself"
        try:
            why = await self._keep_up(opening)
        except asyncio.CancelledError:
            why = "the view or its client was closed"
            raise
        except CustomerTicketsError as error:
            why = error.message
        finally:
            self._show(f"■ Stopped: {why}")

    async def _keep_up(self, opening: Opening) -> str:
        pause = 1.0
        while True:
            try:
                async with opening() as picture:
                    return await self._follow(picture)
            except Unavailable as error:
                self._show(_trouble(error))
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 1.5)

    async def _follow(self, picture: Picture) -> str:
        drawn, drawn_at = None, 0.0
        event: Any = None
        while picture.feed.state is not FeedState.STOPPED or event is not None:
            # A backlog is drawn a few times a second, not once an event.
            if event is None or time.monotonic() - drawn_at > _TICK:
                seen = (picture.parts(), int(time.monotonic() / _AGES))
                if seen != drawn:
                    drawn, drawn_at, self._body = seen, time.monotonic(), picture.html()
                self._show(_status(picture.feed))
            event = await picture.feed.next(timeout=_TICK)
            if isinstance(event, FeedStopped):
                return _REASONS[event.reason]
            if event is not None:
                picture.hear(event)
        return _REASONS["signed_out"]

    def _show(self, line: str) -> None:
        bundle = self._bundle(line)
        if bundle != self._shown:
            self._shown = bundle
            self._handle.update(bundle, raw=True)

    def _bundle(self, line: str) -> dict[str, str]:
        # A viewer without HTML, and a saved notebook's text, have no customer's words.
        return {
            "text/html": self._body + _html.status_line(line),
            "text/plain": f"<live {self._kind}> {line}",
        }


_views: WeakKeyDictionary[Connection, dict[UUID | None, AsyncWatch]] = WeakKeyDictionary()


async def watch(
    connection: Connection, ticket: UUID | None, kind: _html.Kind, opening: Opening
) -> AsyncWatch:
    """Show a view and return at once; it ends an earlier one of the same ticket, or of the list.

    So a cell that is run again leaves none behind that nobody sees any more.
    """
    views = _views.setdefault(connection, {})
    view = AsyncWatch(kind)
    earlier, views[ticket] = views.get(ticket), view
    view.follow(connection, opening)
    if earlier is not None:
        await earlier.stop()
    return view


def _status(feed: AsyncFeed[Any]) -> str:
    if feed.error is not None:
        return _trouble(feed.error)
    if feed.state is FeedState.POLLING:
        why = f" ({feed.reason})" if feed.reason else ""
        return f"◌ Not live: no websocket{why}. The server is asked every few seconds instead."
    return _STATES[feed.state]


def _trouble(error: Unavailable) -> str:
    what = "Offline" if isinstance(error, Offline) else "The server is in trouble"
    return f"⚠ {what}: {error.message} What is shown may be old; trying again."


def _display(bundle: dict[str, str]) -> Any:
    """Show something in the cell that runs, and return what updates it."""
    try:
        ipython: Any = importlib.import_module("IPython")
        shower: Any = importlib.import_module("IPython.display")
    except ImportError:
        raise ImportError(
            "watch() shows a view in a notebook and needs IPython; live() works everywhere"
        ) from None
    if getattr(ipython.get_ipython(), "kernel", None) is None:
        raise RuntimeError("watch() shows a view in a notebook, and this is none; use live()")
    return shower.display(bundle, raw=True, display_id=True)
