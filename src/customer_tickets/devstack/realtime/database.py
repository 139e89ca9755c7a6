"""The server's one connection to the database, opened when needed and again after a loss."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import psycopg
from psycopg.rows import TupleRow

__all__ = ["UNREACHABLE", "Connection", "Database", "DatabaseTrouble"]

T = TypeVar("T")
Connection = psycopg.AsyncConnection[TupleRow]

# A policy that never ends must not hold up every join of the project.
STATEMENT_TIMEOUT_MS = 15_000
UNREACHABLE = "Realtime was unable to connect to the project database"
CANCELLED = "Query was cancelled, please try again"


class DatabaseTrouble(Exception):
    """The database could not answer; nothing is known about what was asked."""

    def __init__(self, code: str, text: str):
        super().__init__(text)
        self.code = code
        self.reason = f"{code}: {text}"
        self.text = text


class Database:
    """Runs one piece of work at a time, as the real server does by default (`db_pool` 1)."""

    def __init__(self, dsn: str):
        self._dsn = dsn
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do the work in a transaction that is always rolled back.

        A connection that turns out to be dead (Postgres was restarted) is replaced once. Raises
        DatabaseTrouble when there is no database or it gave up; other errors of the work pass.
        """
        async with self._lock:
            for last in (False, True):
                connection = await self._open()
                try:
                    async with connection.transaction(force_rollback=True):
                        return await work(connection)
                except psycopg.errors.QueryCanceled:
                    raise DatabaseTrouble("QueryCanceled", CANCELLED) from None
                except psycopg.OperationalError:
                    if not connection.closed:
                        raise
                    if last:
                        raise DatabaseTrouble("UnableToConnectToProject", UNREACHABLE) from None
        raise AssertionError

    @asynccontextmanager
    async def own_connection(self) -> AsyncGenerator[Connection]:
        """A short-lived connection outside any transaction, for what must be committed."""
        try:
            connection = await self._connect()
        except psycopg.OperationalError:
            raise DatabaseTrouble("UnableToConnectToProject", UNREACHABLE) from None
        try:
            yield connection
        finally:
            await connection.close()

    async def reachable(self) -> bool:
        """Whether a query can be answered now."""
        try:
            await self.run(_ask)
        except (DatabaseTrouble, psycopg.Error):
            return False
        return True

    async def close(self) -> None:
        """Close the connection; the next use would open another."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            try:
                self._connection = await self._connect()
            except psycopg.OperationalError:
                raise DatabaseTrouble("UnableToConnectToProject", UNREACHABLE) from None
        return self._connection

    async def _connect(self) -> Connection:
        return await psycopg.AsyncConnection.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=5,
            application_name="realtime",
            options=f"-c TimeZone=UTC -c statement_timeout={STATEMENT_TIMEOUT_MS}",
        )


async def _ask(connection: Connection) -> None:
    await connection.execute("select 1")
