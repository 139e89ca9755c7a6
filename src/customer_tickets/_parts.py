"""What a client is made of: one HTTP client, a session, a connection and a websocket's line."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Self

import httpx

from ._borrowed import AnySession, BorrowedSession, lent
from ._connection import Connection
from ._keys import checked_cache, checked_key, checked_timeout, checked_url
from ._live.line import Line
from ._resources import history
from ._session import Session
from ._stores import checked_store


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
        """Close everything; feeds end."""
        await self.connection.aclose()
        await self.line.aclose()
        await self.session.aclose()
        await self.http.aclose()


def _http() -> httpx.AsyncClient:
    # HTTP/1.1: over HTTP/2 a routine GOAWAY of the server fails requests that are under way.
    return httpx.AsyncClient(timeout=httpx.Timeout(10.0, connect=5.0))
