"""The two listeners that realtime_capture.py compares, each in a process of its own."""

import asyncio
import functools
import multiprocessing
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import psycopg

from customer_tickets.devstack.realtime.capture import Capture
from customer_tickets.devstack.realtime.wal import Inserted

WAYS = ("slot", "notify")
PATIENCE = 10.0
FETCH = (
    "select id::text, topic, extension, payload::text, event, private::text, binary_payload::text"
    " from realtime.messages where id = any (%s::uuid[])"
)
Seen = list[tuple[str, float]]
"""Of each row delivered: its event, which names writer, commit and row, and when."""


async def notified(dsn: str, deliver: Callable[[Inserted], None], ready: asyncio.Event) -> None:
    """The alternative, for ever."""
    connect = functools.partial(psycopg.AsyncConnection.connect, dsn, autocommit=True)
    async with await connect() as ears, await connect() as hands:
        await ears.execute("listen bench_messages")
        ready.set()
        while True:
            # One that has come, and whatever came with it.
            ids = [notification.payload async for notification in ears.notifies(stop_after=1)]
            cursor = await hands.execute(FETCH, [ids])
            names = [column.name for column in cursor.description or ()]
            rows = {row[0]: row for row in await cursor.fetchall()}
            for one in ids:
                deliver(Inserted(dict(zip(names, rows[one], strict=True))))


async def follow(way: str, dsn: str, pipe: Connection) -> None:
    """Listen; say when ready, be told how many rows to expect, and say what has come."""
    seen: Seen = []
    ready, told, enough = asyncio.Event(), asyncio.Event(), asyncio.Event()
    wanted = sys.maxsize

    def deliver(row: Inserted) -> None:
        seen.append((row.columns["event"] or "", time.monotonic()))
        if len(seen) >= wanted:
            enough.set()

    capture = Capture(dsn, deliver, (0.05, 0.5))
    task: asyncio.Task[None] | None = None
    if way == "slot":
        capture.want()
        ready = capture.ready
    else:
        task = asyncio.create_task(notified(dsn, deliver, ready))
    await ready.wait()
    asyncio.get_running_loop().add_reader(pipe.fileno(), told.set)
    started = time.process_time()
    pipe.send("ready")
    await told.wait()
    wanted = pipe.recv()
    if len(seen) < wanted:
        with suppress(TimeoutError):
            await asyncio.wait_for(enough.wait(), PATIENCE)
    pipe.send((seen, time.process_time() - started))
    await capture.stop()
    if task is not None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def listen(way: str, dsn: str, pipe: Connection) -> None:
    asyncio.run(follow(way, dsn, pipe))


class Listener:
    """One listener's process, as seen from here."""

    def __init__(self, way: str, dsn: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process: BaseProcess = context.Process(target=listen, args=(way, dsn, other))
        self._process.start()
        other.close()
        self._pipe.recv()

    def result(self, wanted: int) -> tuple[Seen, float]:
        """What it has seen, waiting for so many rows, and the processor seconds it took."""
        self._pipe.send(wanted)
        seen: Seen
        seen, seconds = self._pipe.recv()
        return seen, seconds

    def stop(self) -> None:
        """Wait until it has ended."""
        self._process.join(PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()
