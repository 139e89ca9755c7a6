"""The blocking face of live feeds and views, written by hand: they are more than their methods."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Generic, Self, TypeVar

from ._arguments import checked_wait
from ._errors import ClientClosed, Unavailable
from ._events import FeedStopped, TicketChanged, TicketEvent
from ._live.feed import AsyncFeed, FeedState
from ._live.list_feed import AsyncTicketListFeed
from ._live.ticket_feed import AsyncTicketFeed
from ._portal import Portal
from ._watch import AsyncWatch

_Event = TypeVar("_Event")


class Feed(Generic[_Event]):
    """What all live feeds share; open one with `with`, read it with `for`."""

    def __init__(self, portal: Portal, feed: AsyncFeed[_Event]) -> None:
        self._portal = portal
        self._async = feed
        self._lock = threading.Lock()

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
        """Stop listening; closing twice is fine."""
        with suppress(ClientClosed):
            self._portal.run(self._async.aclose)

    @property
    def state(self) -> FeedState:
        """How the feed is doing right now."""
        return self._async.state

    @property
    def reason(self) -> str | None:
        """Why there is no websocket for this ticket, where the server gave a reason."""
        return self._async.reason

    @property
    def error(self) -> Unavailable | None:
        """Why the last question to the server had no answer; None when it had one."""
        return self._async.error

    def __iter__(self) -> Iterator[_Event | FeedStopped]:
        return self

    def __next__(self) -> _Event | FeedStopped:
        event = self.next()
        if event is None:
            raise StopIteration
        return event

    def next(self, timeout: float | None = None) -> _Event | FeedStopped | None:
        """Return the next event, or None when none came within `timeout` seconds or the feed ended.

        A timeout or Ctrl-C loses nothing: the event is there at the next call.
        """
        wait = checked_wait(timeout)
        began = time.monotonic()
        if not self._lock.acquire(timeout=-1 if wait is None else wait):
            return None  # another thread waits for the next event, and has it when it comes
        try:
            while True:
                left = None if wait is None else max(0.0, began + wait - time.monotonic())
                # The event leaves the feed in this thread, after the loop has let go of it: Ctrl-C
                # in between finds it still there.
                try:
                    if not self._portal.run(self._async.ready, left):
                        return None
                except ClientClosed:
                    if self.state is not FeedState.STOPPED:
                        raise  # a forked child has this feed of its parent's, for example
                    return self._async.take()
                event = self._async.take()
                if event is not None:
                    return event
                # Another thread has closed the feed: what is to be said of that?
        finally:
            self._lock.release()


class TicketFeed(Feed[TicketEvent]):
    """The live events of one ticket; open it with `with`, read it with `for`."""

    def __init__(self, portal: Portal, feed: AsyncTicketFeed) -> None:
        super().__init__(portal, feed)
        self._events = feed

    @property
    def last_seq(self) -> int:
        """The number of the last event handed out; save it, and give it back as `after`."""
        return self._events.last_seq


class TicketListFeed(Feed[TicketChanged]):
    """The changes of your tickets; open it with `with`, read it with `for`.

    A ticket that changed several times between two looks at the table comes once, as it is then.
    """

    def __init__(self, portal: Portal, feed: AsyncTicketListFeed) -> None:
        super().__init__(portal, feed)
        self._changes = feed

    @property
    def position(self) -> str:
        """The place after the last ticket handed out: save it, and give it back as `after`.

        Raises:
            RuntimeError: the feed was not opened yet.
        """
        return self._changes.position


class Watch:
    """A live view in a notebook's cell: it follows until `stop`, or until the client is closed."""

    def __init__(self, portal: Portal, view: AsyncWatch) -> None:
        self._portal = portal
        self._async = view

    def __repr__(self) -> str:
        return repr(self._async).replace("Async", "", 1)

    def _ipython_display_(self) -> None:
        """Show nothing more as a cell's last line: the view is there already."""

    def stop(self) -> None:
        """End the view; what it showed last stays. Stopping twice is fine."""
        with suppress(ClientClosed):
            self._portal.run(self._async.stop)
