"""Broadcasts from the database, read from the write-ahead log as they are committed.

A temporary logical slot of its own connection: whatever is committed while that connection is down
is never pushed, and no client is told. The same holds on Supabase; the stored rows are the truth.
psycopg has no replication support of its own, but libpq's calls underneath are all there.
"""

import asyncio
import contextlib
import logging
import random
import secrets
from collections.abc import Callable

import psycopg
from psycopg import pq

from customer_tickets.devstack.realtime.wal import Inserted, KeepAlive, Reader, status_update

__all__ = ["Capture"]

logger = logging.getLogger(__name__)

SLOT = "supabase_realtime_messages_replication_slot_"
PUBLICATION = "supabase_realtime_messages_publication"
# Lets Postgres recycle its log; a request for an answer is obeyed at once, besides.
STATUS_SECONDS = 10.0
# A huge transaction must not keep heartbeats waiting.
ROWS_PER_TURN = 200


class Capture:
    """Follows the log in a task of its own, once wanted, and comes back after every loss."""

    def __init__(
        self, dsn: str, deliver: Callable[[Inserted], None], retry: tuple[float, float]
    ) -> None:
        self._dsn = dsn
        self._deliver = deliver
        self._shortest, self._longest = retry
        self._task: asyncio.Task[None] | None = None
        self._allowed = True
        self._wanted = False
        self.ready = asyncio.Event()
        """Set while committed messages flow."""

    def want(self) -> None:
        """Start following the log, unless that goes on already; does not wait for it."""
        self._wanted = True
        if self._allowed and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._follow_for_ever(), name="capture")

    def allow(self, *, running: bool) -> None:
        """The fault switch: when not allowed to, it does not follow the log, wanted or not."""
        self._allowed = running
        if running and self._wanted:
            self.want()
        elif not running:
            self._cancel()

    def rest(self) -> None:
        """Stop following the log until it is wanted again; nobody is told."""
        self._wanted = False
        self._cancel()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = None

    async def stop(self) -> None:
        """Stop following, and wait until the connection is gone."""
        task = self._task
        self.rest()
        if task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _follow_for_ever(self) -> None:
        wait = self._shortest
        while True:
            try:
                await self._follow()
            except Exception as error:  # noqa: BLE001 - whatever it was, it must come back
                if self.ready.is_set():
                    logger.warning("replication lost: %s", type(error).__name__)
                    wait = self._shortest
            finally:
                self.ready.clear()
            await asyncio.sleep(random.uniform(self._shortest, wait))  # noqa: S311 - only jitter
            wait = min(wait * 2, self._longest)

    async def _follow(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            self._dsn, replication="database", autocommit=True, connect_timeout=5
        )
        try:
            await _Stream(connection.pgconn, self._deliver).run(self.ready)
        finally:
            # Not a goodbye: the connection is inside a copy that has no end.
            connection.pgconn.finish()


class _Stream:
    """One replication connection, from making the slot to the connection's end."""

    def __init__(self, pgconn: pq.abc.PGconn, deliver: Callable[[Inserted], None]) -> None:
        self._pgconn = pgconn
        self._deliver = deliver
        self._reader = Reader()
        self._next_status = 0.0
        self._readable = asyncio.Event()

    async def run(self, ready: asyncio.Event) -> None:
        """Read until the connection is lost, which raises psycopg.OperationalError."""
        loop = asyncio.get_running_loop()
        descriptor = self._pgconn.socket
        loop.add_reader(descriptor, self._readable.set)
        try:
            slot = SLOT + secrets.token_hex(6)
            await self._command(f"CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL pgoutput")
            await self._command(
                f"START_REPLICATION SLOT {slot} LOGICAL 0/0"
                f" (proto_version '1', publication_names '{PUBLICATION}')"
            )
            ready.set()
            while True:
                if self._drain():
                    await asyncio.sleep(0)
                elif await self._timed_out(STATUS_SECONDS) or loop.time() > self._next_status:
                    self._confirm()
        finally:
            loop.remove_reader(descriptor)

    async def _command(self, command: str) -> None:
        self._pgconn.send_query(command.encode())
        self._pgconn.flush()
        while True:
            while self._pgconn.is_busy():
                await self._timed_out(STATUS_SECONDS)
                self._pgconn.consume_input()
            result = self._pgconn.get_result()
            if result is None or result.status == pq.ExecStatus.COPY_BOTH:
                return
            if result.status == pq.ExecStatus.FATAL_ERROR:
                raise psycopg.OperationalError("replication command refused")

    async def _timed_out(self, seconds: float) -> bool:
        """Wait until there is something to read, or that long."""
        try:
            async with asyncio.timeout(seconds):
                await self._readable.wait()
        except TimeoutError:
            return True
        self._readable.clear()
        return False

    def _drain(self) -> bool:
        """Hand on what has arrived; True if there may be more than one turn of the loop's worth."""
        self._pgconn.consume_input()
        for _ in range(ROWS_PER_TURN):
            size, data = self._pgconn.get_copy_data(1)
            if size == 0:
                return False
            if size < 0:
                raise psycopg.OperationalError("replication ended")
            message = self._reader.read(bytes(data))
            if isinstance(message, Inserted):
                self._deliver(message)
            elif isinstance(message, KeepAlive) and message.reply:
                self._confirm()
        return True

    def _confirm(self) -> None:
        # Every row was handed on as it was read, so all that was read has been dealt with.
        self._pgconn.put_copy_data(status_update(self._reader.position))
        self._pgconn.flush()
        self._next_status = asyncio.get_running_loop().time() + STATUS_SECONDS
