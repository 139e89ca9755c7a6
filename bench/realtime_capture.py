"""Reading committed broadcasts: the server's temporary slot against NOTIFY with ids.

Run with `python bench/realtime_capture.py` (a minute; `--seconds 1 --rounds 1` is a quick look).
Linux only: what Postgres uses of the processor is read from /proc.

Measured, for each way in turns and on the same Postgres, each listener in a process of its own:
- milliseconds from the moment at which a writer sends COMMIT to the delivery of each row;
- milliseconds that the COMMIT itself takes, for NOTIFY is paid for by whoever writes;
- processor time of the listener, and of all of Postgres, for each 1000 rows;
- rows lost, and rows out of their writer's order.
Afterwards both listen at the same time to writers of whom every fifth transaction is rolled back:
the two must tell the same rows in the same order.

The slot is `devstack.realtime.capture.Capture`, as the server runs it. The alternative exists only
here: a trigger on realtime.messages notifies of the id of each row, and the listener fetches the
rows of all the ids that have come together. Ids, because a notification has room for 8000 bytes
and a broadcast may have three million.

Found on 2 cores that others used as well (November 2026, Postgres 16 without fsync, 2 seconds, 3
rounds; medians):

    case                          way      rows/s  delivered ms  COMMIT ms  listener CPU ms/1000
    1 writer, 50 commits/s        slot         50          0.73       0.37                   370
                                  notify       50          1.42       0.52                   719
    4 writers, 400 commits/s      slot        393          0.79       0.75                   137
                                  notify      388          2.01       1.21                   290
    4 writers, flat out           slot       1366          0.56       0.68                    99
                                  notify      973          2.37       0.85                   188
    1 writer, 1000 rows a commit  slot      15038         12.34       3.10                    10
                                  notify     8961         19.99       3.74                    12

Postgres itself uses about as much either way, and twice as much for NOTIFY when commits are large.
With fsync the picture is the same. Neither lost or disordered a row. So the slot is kept:

- Order and rolled-back rows do not decide: NOTIFY is transactional too, and the comparison finds
  the same rows in the same order. But its order comes from one lock for the whole server, held from
  before the commit until after it: whoever sends a broadcast commits one after the other, and waits
  for the others' disks. The slot makes no writer wait and reads the order from the log.
- The payload limit makes a second query necessary: twice the time to deliver and more, and the row
  must still be there by then.
- NOTIFY needs a trigger on realtime.messages that hosted projects do not have. A session with
  `session_replication_role = replica` would pass it by, and PREPARE TRANSACTION would refuse
  whoever has sent a broadcast. Hosted projects read a temporary slot, and so does this.
- What speaks for NOTIFY: neither wal_level = logical nor the right to replicate is needed. The
  stack has both.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from realtime_listeners import WAYS, Listener, Seen

from customer_tickets.devstack import Postgres
from stack import family

TRIGGER = """
create function public.bench_notify() returns trigger language plpgsql as $$
begin perform pg_notify('bench_messages', new.id::text); return null; end $$;
create trigger bench_notify after insert on realtime.messages
  for each row execute function public.bench_notify();
"""
NO_TRIGGER = "drop function if exists public.bench_notify() cascade"
SEND = (
    "select realtime.send(%s::jsonb, %s || ':' || row, 'bench:topic')"
    " from generate_series(1, %s) row"
)


@dataclass(frozen=True)
class Case:
    """What the writers do."""

    name: str
    writers: int
    commits: int
    """Of each writer."""
    rows: int = 1
    """In each commit."""
    interval: float = 0.0
    """Seconds from one commit of a writer to its next; 0: as soon as it can."""


@dataclass
class Found:
    """What one way did in one case, all rounds together."""

    latencies: list[float] = field(default_factory=list[float])
    commits: list[float] = field(default_factory=list[float])
    rows: int = 0
    seconds: float = 0.0
    listener: float = 0.0
    postgres: float = 0.0
    lost: int = 0
    disordered: int = 0


# The writers.


async def write(
    connection: psycopg.AsyncConnection, writer: int, case: Case, payload: str, abandon: int = 0
) -> list[tuple[float, float]]:
    """Commit (and roll back every `abandon`th time); returns when each end was sent and done."""
    times: list[tuple[float, float]] = []
    due = time.monotonic()
    for number in range(case.commits):
        end = "rollback" if abandon and number % abandon == 0 else "commit"
        await connection.execute("begin")
        await connection.execute(SEND, [payload, f"{writer}:{number}", case.rows])
        sent = time.monotonic()
        await connection.execute(end)
        times.append((sent, time.monotonic()))
        due += case.interval
        await asyncio.sleep(max(0.0, due - time.monotonic()) if case.interval else 0)
    return times


async def write_all(
    dsn: str, case: Case, payload: str, abandon: int, finished: Callable[[], None]
) -> list[list[tuple[float, float]]]:
    """Run the writers side by side; `finished` is called while they are still connected."""
    async with AsyncExitStack() as cleanup:
        connections = [
            await cleanup.enter_async_context(
                await psycopg.AsyncConnection.connect(dsn, autocommit=True)
            )
            for _ in range(case.writers)
        ]
        for connection in connections:
            await connection.execute("set client_min_messages to error")
        times = await asyncio.gather(
            *(write(c, number, case, payload, abandon) for number, c in enumerate(connections))
        )
        finished()
    return list(times)


# Trials and tables.


def processor_seconds(pids: set[int]) -> float:
    """What these processes have used of the processor until now."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class Bench:
    """One Postgres on which the two ways take turns."""

    def __init__(self, server: Postgres, size: int) -> None:
        self._server = server
        self._superuser = server.dsn(user="supabase_admin")
        self._payload = f'{{"id": "x", "text": "{"x" * size}"}}'

    def trial(self, way: str, case: Case, found: Found) -> None:
        """Let one way listen to one case."""
        self.prepare(trigger=way == "notify")
        listener = Listener(way, self._superuser)
        rows = case.writers * case.commits * case.rows
        result: list[tuple[Seen, float]] = []
        used = 0.0

        def finished() -> None:
            nonlocal used
            result.append(listener.result(rows))
            used = self._used() - before

        try:
            before, started = self._used(), time.monotonic()
            times = asyncio.run(write_all(self._server.dsn(), case, self._payload, 0, finished))
        finally:
            listener.stop()
        ((seen, seconds),) = result
        found.listener += seconds
        found.postgres += used
        found.rows += rows
        found.seconds += max(when for _, when in seen) - started
        found.commits += [done - sent for writer in times for sent, done in writer]
        found.lost += rows - len({event for event, _ in seen})
        found.disordered += disordered(seen)
        for event, when in seen:
            writer, number, _ = map(int, event.split(":"))
            found.latencies.append(when - times[writer][number][0])

    def compare(self, case: Case) -> bool:
        """Let both listen at the same time to writers who change their minds; say what came."""
        self.prepare(trigger=True)
        listeners = [Listener(way, self._superuser) for way in WAYS]
        rows = case.writers * (case.commits - len(range(0, case.commits, 5))) * case.rows
        orders: list[list[str]] = []

        def finished() -> None:
            results = [listener.result(rows)[0] for listener in listeners]
            orders.extend([event for event, _ in seen] for seen in results)

        try:
            asyncio.run(write_all(self._server.dsn(), case, self._payload, 5, finished))
        finally:
            for listener in listeners:
                listener.stop()
        stray = [sum(int(e.split(":")[1]) % 5 == 0 for e in order) for order in orders]
        same = orders[0] == orders[1]
        counts = ", ".join(f"{way} {len(o)}" for way, o in zip(WAYS, orders, strict=True))
        print(f"\nboth at once, {rows} rows committed, every fifth transaction rolled back:")
        print(f"rows told: {counts}; of rolled-back ones: {stray}; same order: {same}")
        return same and len(orders[0]) == rows and not any(stray)

    def prepare(self, *, trigger: bool) -> None:
        """Begin with no rows, and with the alternative's trigger or without."""
        with psycopg.connect(self._superuser, autocommit=True) as connection:
            connection.execute("truncate realtime.messages")
            connection.execute(NO_TRIGGER)
            if trigger:
                connection.execute(TRIGGER)
            connection.execute("checkpoint")

    def _used(self) -> float:
        assert self._server.child.pid is not None
        return processor_seconds(family(self._server.child.pid))


def disordered(seen: Seen) -> int:
    """How many rows came after one that their writer committed later."""
    last: Counter[int] = Counter()
    count = 0
    for event, _ in seen:
        writer, number, row = map(int, event.split(":"))
        place = number * 1_000_000 + row
        count += place < last[writer]
        last[writer] = max(last[writer], place)
    return count


def table(results: dict[tuple[Case, str], Found]) -> None:
    print(f"{'':<38}{'':>7}  {'delivered after, ms':^27}  {'COMMIT':>7}  {'CPU ms/1000 rows':^18}")
    print(
        f"{'case':<30}{'way':<8}{'rows/s':>7}  {'p50':>6} {'p95':>6} {'p99':>6} {'most':>6}"
        f"  {'p50 ms':>7}  {'listener':>9}{'Postgres':>9}  lost  disordered"
    )
    for (case, way), found in results.items():
        cuts = statistics.quantiles(found.latencies, n=100, method="inclusive")
        spread = [cuts[49], cuts[94], cuts[98], max(found.latencies)]
        shown = " ".join(f"{value * 1000:>6.2f}" for value in spread)
        commit = statistics.median(found.commits) * 1000
        listener, postgres = (1e6 * t / found.rows for t in (found.listener, found.postgres))
        print(
            f"{case.name:<30}{way:<8}{found.rows / found.seconds:>7.0f}  {shown}  {commit:>7.2f}"
            f"  {listener:>9.1f}{postgres:>9.1f}  {found.lost:>4}  {found.disordered:>4}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="of each case, each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bytes", type=int, default=200, help="of each payload")
    parser.add_argument("--durable", action="store_true", help="with fsync, as for kept data")
    arguments = parser.parse_args()
    length = arguments.seconds
    cases = [
        Case("1 writer, 50 commits/s", 1, max(1, round(50 * length)), interval=1 / 50),
        Case("4 writers, 400 commits/s", 4, max(1, round(100 * length)), interval=1 / 100),
        Case("4 writers, flat out", 4, max(1, round(200 * length))),
        Case("1 writer, 1000 rows a commit", 1, max(1, round(length)), rows=1000),
    ]
    results = {(case, way): Found() for case in cases for way in WAYS}
    # Not below another user's closed folder: started as root, Postgres runs as somebody else.
    folder = Path(tempfile.mkdtemp(prefix="bench-customer-tickets-"))
    try:
        with Postgres.start(folder, durable=arguments.durable) as server:
            bench = Bench(server, arguments.bytes)
            for turn in range(arguments.rounds):
                for case in cases:
                    # Who begins takes turns as well.
                    for way in WAYS if turn % 2 == 0 else reversed(WAYS):
                        bench.trial(way, case, results[case, way])
            table(results)
            same = bench.compare(cases[2])
    finally:
        shutil.rmtree(folder)
    whole = not any(found.lost or found.disordered for found in results.values())
    return 0 if same and whole else 1


if __name__ == "__main__":
    sys.exit(main())
