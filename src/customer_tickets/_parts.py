"""What a client is made of: one HTTP client, a session, a connection and a websocket's line."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import anyio
import httpx

from ._borrowed import AnySession, BorrowedSession, lent
from ._connection import Connection
from ._kept import uninterrupted
from ._keys import checked_cache, checked_key, checked_timeout, checked_url
from ._live.line import Line
from ._one_loop import check_loop
from ._resources import history
from ._session import Session
from ._stores import checked_store

# What is cancelled ends in the loop's next rounds: this is for a loop that has stopped.
_PATIENCE = 1.0


@dataclass(frozen=True)
class Parts:
    """The parts of one client, made and closed together."""

    http: httpx.AsyncClient
    session: AnySession
    connection: Connection
    line: Line

    @classmethod
    def own(cls, url: str, key: str, *, timeout: float, cache: float, store: object) -> Self:
        """Make the parts around a session of their own."""
        url, key, timeout = checked_url(url), checked_key(key), checked_timeout(timeout)
        cache = checked_cache(cache)
        http = _http()
        session = Session(url, key, http, timeout=timeout, store=checked_store(store))
        return cls._around(session, url, key, http, timeout=timeout, cache=cache)

    @classmethod
    def borrowed(cls, client: object, *, timeout: float, blocking: bool) -> Self:
        """Make the parts around the session of a supabase client."""
        url, key, auth = lent(client, blocking=blocking)
        timeout = checked_timeout(timeout)
        session = BorrowedSession(auth, timeout=timeout)
        return cls._around(session, url, key, _http(), timeout=timeout, cache=0.0)

    @classmethod
    def _around(
        cls,
        session: AnySession,
        url: str,
        key: str,
        http: httpx.AsyncClient,
        *,
        timeout: float,
        cache: float,
    ) -> Self:
        connection = Connection(url, key, session, http, timeout=timeout, cache=cache)
        heads = partial(history.heads, connection)
        return cls(http, session, connection, Line(url, key, session, heads))

    async def confirm(self) -> None:
        """Raise, and close the parts, unless somebody is signed in."""
        try:
            await self.session.token()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close everything, also when this is cancelled meanwhile; feeds end."""
        await uninterrupted(self._close())

    async def _close(self) -> None:
        await self.connection.aclose()
        await self.line.aclose()
        await self.session.aclose()
        await self.http.aclose()


def _http() -> httpx.AsyncClient:
    # HTTP/1.1: over HTTP/2 a routine GOAWAY of the server fails requests that are under way.
    return _Http(timeout=httpx.Timeout(10.0, connect=5.0))


class _Http(httpx.AsyncClient):
    """Closes its connections also when it is dropped, or the loop ends, and nobody closed it."""

    def __init__(self, timeout: httpx.Timeout) -> None:
        super().__init__(timeout=timeout)
        self._guard: asyncio.Task[None] | None = None
        self._under_way: set[anyio.CancelScope] = set()
        self._closing = False
        self._all_ended = asyncio.Event()

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send a request; the first one begins the guard, which needs a loop.

        Raises:
            RuntimeError: it was first used in another loop.
        """
        check_loop(self)
        if self._guard is None:
            transports = [self._transport, *filter(None, self._mounts.values())]
            self._guard = asyncio.create_task(_guard(transports), name="customer_tickets.http")
            _guards.add(self._guard)
            self._guard.add_done_callback(_guards.discard)
            dropped = weakref.finalize(self, _end, self._guard)
            dropped.atexit = False
            # An interpreter that is going down has no use for it any more.
            self._guard.add_done_callback(lambda _: dropped.detach())
        with anyio.CancelScope() as scope:
            self._under_way.add(scope)
            try:
                if not self._closing:
                    return await super().send(request, **options)
            finally:
                self._under_way.discard(scope)
                if self._closing and not self._under_way:
                    self._all_ended.set()
        raise httpx.ReadError("the client was closed", request=request)

    async def aclose(self) -> None:
        """End what is under way and close all connections."""
        # httpcore closes those that it has: one that is just being made would stay open.
        self._closing = True
        for scope in self._under_way:
            scope.cancel()
        if self._under_way:
            with anyio.move_on_after(_PATIENCE):
                await self._all_ended.wait()
        await super().aclose()
        # The end of its loop has ended it, if that came first.
        if self._guard is not None and not self._guard.done():
            self._guard.cancel()
            await asyncio.wait({self._guard})


# The loop holds its tasks weakly, and a guard that were dropped with its client would be of no use.
_guards: set[asyncio.Task[None]] = set()


async def _guard(transports: list[httpx.AsyncBaseTransport]) -> None:
    """Wait for the end: `asyncio.run` cancels what is left, and so does `_end`."""
    try:
        await asyncio.Event().wait()
    finally:
        for transport in transports:
            await transport.aclose()
        await asyncio.sleep(0.01)  # a connection with unsent bytes ends in the loop's next rounds


def _end(guard: asyncio.Task[None]) -> None:
    # The garbage collector may run in any thread. A loop that is closed has nothing left to end.
    with suppress(RuntimeError):
        guard.get_loop().call_soon_threadsafe(guard.cancel)
