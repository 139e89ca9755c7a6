"""Transactions of the database in the name of a caller, on a few connections that are kept."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import psycopg
from psycopg.rows import DictRow, dict_row

from customer_tickets.devstack.realtime.authorize import KNOWN_ROLE
from customer_tickets.devstack.storage import errors
from customer_tickets.devstack.storage.caller import SERVICE, Scope

__all__ = ["Connection", "Database"]

Connection = psycopg.AsyncConnection[DictRow]

_CONNECTIONS = 10
# A policy that never ends must not hold a connection for ever; the rest is as on hosted projects.
_OPTIONS = "-c TimeZone=UTC -c statement_timeout=15s -c search_path=storage,public,extensions"
# One round trip. No row, and nothing set, when the API may not take on that role.
_BECOME = f"""
    select set_config('request.jwt.claims', %s, true),
      set_config('request.jwt.claim.sub', %s, true),
      set_config('request.jwt.claim.role', %s, true),
      set_config('request.headers', %s, true),
      set_config('request.method', %s, true),
      set_config('request.path', %s, true),
      set_config('storage.operation', %s, true),
      set_config('storage.allow_delete_query', 'true', true),
      set_config('role', %s, true)
    from ({KNOWN_ROLE}) as known
""".encode()  # noqa: S608 - both halves are constants


class Database:
    """Hands out transactions in which a caller's policies hold."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._idle: list[Connection] = []
        self._places = asyncio.Semaphore(_CONNECTIONS)

    @asynccontextmanager
    async def acting(self, scope: Scope, *, trial: bool = False) -> AsyncGenerator[Connection]:
        """A transaction as the scope's caller; committed at the end, unless it is a trial.

        Raises Unauthorized for a role that the API may not take on, and psycopg.Error.
        """
        async with self._places:
            connection = await self._begun(scope)
            try:
                yield connection
                if not trial:
                    await connection.commit()
            finally:
                await self._put_back(connection)

    async def reachable(self) -> bool:
        """Whether a query can be answered now."""
        try:
            async with self.acting(Scope(SERVICE, "health"), trial=True):
                return True
        except psycopg.Error:
            return False

    async def close(self) -> None:
        """Close the connections that are idle."""
        while self._idle:
            await self._idle.pop().close()

    async def _begun(self, scope: Scope) -> Connection:
        while True:
            kept = bool(self._idle)
            connection = self._idle.pop() if kept else await self._connect()
            try:
                return await _become(connection, scope)
            except BaseException as error:
                await connection.close()
                # One that was idle may have died meanwhile: Postgres was restarted.
                if not kept or not isinstance(error, psycopg.OperationalError):
                    raise

    async def _put_back(self, connection: Connection) -> None:
        # Closing rolls back as well, whatever state it is in.
        try:
            await connection.rollback()
        except psycopg.Error:
            await connection.close()
        except BaseException:
            await connection.close()
            raise
        else:
            self._idle.append(connection)

    async def _connect(self) -> Connection:
        return await psycopg.AsyncConnection[DictRow].connect(
            self._dsn,
            row_factory=dict_row,
            connect_timeout=5,
            application_name="storage",
            options=_OPTIONS,
        )


async def _become(connection: Connection, scope: Scope) -> Connection:
    known = await connection.execute(_BECOME, [*scope.settings(), scope.caller.role])
    if await known.fetchone() is None:
        raise errors.access_denied("permission denied to set role")
    return connection
