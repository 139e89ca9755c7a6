"""From commit to event: `thread.live()` against the bare realtime client and against polling.

Run with `python bench/live.py`. Each reader runs in a process of its own, one at a time, in turns
whose order is drawn anew each round, on the same stack: what else the machine does meets them all
alike. An employee's messages are committed at an uneven pace in this process, which does nothing
else. A latency begins right before the commit is sent and ends when the event is in the program's
hands: for `bare` that is a number without content, since broadcasts carry none (a text in one would
reach whoever lost the right to read it until their token expires). So the bar is set against
`bare+fetch`, the least that a program has to do for the same content, without any guarantee.

It exits with 1 when a reader lacks an event, or the median is over the bar. What was found is in
bench/results/live_latency.json and docs/live-figures.md.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psycopg
from live_world import World, populated, save, spread, write

from customer_tickets.devstack import LocalStack

READERS = ("bare", "bare+fetch", "async", "blocking", "polling")
BAR = 1.2
"""How many times the median of the bare client that reads the message may be reached."""


def turn(world: World, reader: str, count: int, pace: float) -> tuple[list[float], float]:
    """Let one reader hear so many events; returns their latencies and its processor seconds."""
    (ticket,) = world.tickets(1)
    stack = world.stack
    command = [sys.executable, str(Path(__file__).with_name("live_readers.py")), reader]
    given = {
        "url": stack.url,
        "key": stack.publishable_key,
        "email": world.email,
        "ticket": ticket,
        "count": count,
    }
    for name, value in given.items():
        command += [f"--{name}", str(value)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the reader {reader} did not start")
        committed: list[float] = []
        with psycopg.connect(stack.database_url) as connection:
            for _ in range(count):
                time.sleep(random.uniform(0.5, 1.5) * pace)
                committed.append(write(connection, world, ticket)[0])
        try:
            answer = json.loads(process.communicate(timeout=30)[0])
        except subprocess.TimeoutExpired:
            process.kill()
            raise RuntimeError(f"the reader {reader} lacks events") from None
    seen = {int(seq): at for seq, at in answer["seen"].items()}
    # Number 1 is the ticket's creation.
    return [seen[seq] - at for seq, at in enumerate(committed, start=2)], answer["processor"]


def compare(world: World, rounds: int, count: int, pace: float) -> dict[str, dict[str, float]]:
    """Let all readers take turns."""
    latencies: dict[str, list[float]] = {reader: [] for reader in READERS}
    used = dict.fromkeys(READERS, 0.0)
    for number in range(rounds):
        for reader in random.sample(READERS, len(READERS)):
            heard, seconds = turn(world, reader, count, pace)
            latencies[reader] += heard
            used[reader] += seconds
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return {
        reader: spread(heard) | {"cpu_ms_per_event": round(1000 * used[reader] / len(heard), 2)}
        for reader, heard in latencies.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--count", type=int, default=60, help="events of each turn")
    parser.add_argument("--pace", type=float, default=0.05, help="seconds between two commits")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="keep the figures in bench/results")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    load = os.getloadavg()[0]
    with LocalStack.start() as stack:
        found = compare(populated(stack), arguments.rounds, arguments.count, arguments.pace)
    print(f"{'ms':<12}{'median':>9}{'p95':>9}{'p99':>9}{'most':>9}{'cpu':>9}{'ratio':>9}")
    base = found["bare"]["median_ms"]
    for reader, figures in found.items():
        values = [figures[f"{name}_ms"] for name in ("median", "p95", "p99", "most")]
        row = [*values, figures["cpu_ms_per_event"], values[0] / base]
        print(f"{reader:<12}" + "".join(f"{value:>9.2f}" for value in row))
    if arguments.save:
        save("live_latency", {"load_before": load, "readers": found})
    ratio = found["async"]["median_ms"] / found["bare+fetch"]["median_ms"]
    print(f"async against bare+fetch: {ratio:.2f} (the bar is {BAR})")
    return 0 if ratio <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
