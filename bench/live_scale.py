"""How many live threads one process holds: memory, processor, connections, latency.

Run with `python bench/live_scale.py`. For 1, 100 and 1,000 tickets, a process of its own opens each
thread and follows it with `async for`: what it uses is measured before the feeds, idle, and while
an employee's messages are committed at 20 a second to tickets drawn at random. The stack is the
fast one, so that joins are not limited to Supabase's hundred a second.

It exits with 1 when an event is missing, or a bar of a thousand threads is missed. What was found
is in bench/results/live_scale.json and docs/live-figures.md.
"""

import argparse
import asyncio
import gc
import json
import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from live_readers import processor
from live_world import PASSWORD, World, populated, save, spread, write

from customer_tickets import AsyncCustomerTickets, AsyncTicketFeed, FeedState, FeedStopped
from customer_tickets.devstack import LocalStack

BARS = {"memory_mb": 100.0, "idle_cpu_percent": 2.0, "websockets": 10}
"""Of a thousand threads; the memory is what the feeds add."""
AT_ONCE = 20
"""Threads that are opened at the same time."""


def resident() -> float:
    """The resident memory of this process, in megabytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def sockets() -> int:
    """The open sockets of this process."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one that lists them
            count += str(descriptor.readlink()).startswith("socket:")
    return count


class Follower:
    """The reading process."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._given = arguments
        self._feeds: list[AsyncTicketFeed] = []
        self._arrived: list[tuple[str, int, float]] = []
        self._all = asyncio.Event()
        self._found: dict[str, Any] = {}

    async def run(self) -> None:
        """Open everything, measure, and say what was found."""
        given = self._given
        names = json.loads(sys.stdin.readline())
        async with AsyncCustomerTickets(given.url, given.key) as tickets:
            await tickets.sign_in(given.email, PASSWORD)
            threads = [await tickets.thread(names[0])]
            del threads[:]
            before, used, began = resident(), processor(), time.monotonic()
            self._found["memory_before_mb"] = before
            gate = asyncio.Semaphore(AT_ONCE)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._follow(tickets, name, gate)) for name in names]
                await self._live(len(names))
                self._found["open_seconds"] = time.monotonic() - began
                self._found["open_cpu_seconds"] = processor() - used
                await self._idle()
                self._found["memory_mb"] = resident() - before
                await self._traffic()
                self._found["memory_after_traffic_mb"] = resident() - before
                for task in tasks:
                    task.cancel()
        print(json.dumps(self._found), flush=True)

    async def _follow(
        self, tickets: AsyncCustomerTickets, name: str, gate: asyncio.Semaphore
    ) -> None:
        async with gate:
            thread = await tickets.thread(UUID(name))
        async with thread.live() as events:
            self._feeds.append(events)
            async for event in events:
                assert not isinstance(event, FeedStopped), event
                self._arrived.append((name, event.seq, time.monotonic()))
                if len(self._arrived) == self._given.count:
                    self._all.set()

    async def _live(self, count: int) -> None:
        async with asyncio.timeout(180):
            while True:
                states = [feed.state for feed in self._feeds]
                if states.count(FeedState.LIVE) == count:
                    return
                await asyncio.sleep(0.1)

    async def _idle(self) -> None:
        await asyncio.sleep(2)
        used, began = processor(), time.monotonic()
        await asyncio.sleep(self._given.idle)
        share = (processor() - used) / (time.monotonic() - began)
        self._found["idle_cpu_percent"] = 100 * share
        self._found["sockets"] = sockets()

    async def _traffic(self) -> None:
        used = processor()
        print("idle", flush=True)
        async with asyncio.timeout(120):
            await self._all.wait()
        self._found["cpu_ms_per_event"] = 1000 * (processor() - used) / self._given.count
        self._found["arrived"] = self._arrived


def measure(world: World, threads: int, idle: float, count: int) -> dict[str, Any]:
    """Let one process follow so many tickets; returns what it used."""
    names = [str(ticket) for ticket in world.tickets(threads)]
    stack = world.stack
    command = [sys.executable, __file__, "--follow", "--idle", str(idle), "--count", str(count)]
    command += ["--url", stack.url, "--key", stack.publishable_key, "--email", world.email]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(names) + "\n")
        process.stdin.flush()
        if process.stdout.readline() != "idle\n":
            raise RuntimeError(f"{threads} threads did not become live")
        websockets = connections(stack)
        committed: dict[tuple[str, int], float] = {}
        last = dict.fromkeys(names, 1)
        with psycopg.connect(stack.database_url) as connection:
            for _ in range(count):
                time.sleep(random.uniform(0.025, 0.075))
                name = random.choice(names)
                last[name] += 1
                committed[name, last[name]] = write(connection, world, UUID(name))[0]
        found: dict[str, Any] = json.loads(process.communicate(timeout=120)[0])
    arrived = {(name, seq): at for name, seq, at in found.pop("arrived")}
    found["latency"] = spread([arrived[key] - at for key, at in committed.items()])
    return {"threads": threads, "websockets": websockets} | {
        key: round(value, 2) if isinstance(value, float) else value for key, value in found.items()
    }


def connections(stack: LocalStack) -> int:
    """The websockets that the realtime server has open."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    port = f":{stack._ports['realtime']:04X}"
    return sum(line.split()[1].endswith(port) and line.split()[3] == "01" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 100, 1000])
    parser.add_argument("--idle", type=float, default=30, help="seconds without traffic")
    parser.add_argument("--count", type=int, default=400, help="events")
    parser.add_argument("--save", action="store_true", help="keep the figures in bench/results")
    for hidden in ("url", "key", "email"):
        parser.add_argument(f"--{hidden}", help=argparse.SUPPRESS)
    parser.add_argument("--follow", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.follow:
        asyncio.run(Follower(arguments).run())
        return 0
    load = os.getloadavg()[0]
    with LocalStack.start() as stack:
        world = populated(stack)
        found = []
        for threads in arguments.threads:
            found.append(measure(world, threads, arguments.idle, arguments.count))
            print(json.dumps(found[-1]), flush=True)
    if arguments.save:
        save("live_scale", {"load_before": load, "processes": found})
    most = found[-1]
    missed = [name for name, bar in BARS.items() if most[name] > bar]
    print("missed: " + (", ".join(missed) or "nothing"))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
