"""How long live threads need to be themselves again after each fault.

Run with `python bench/live_recovery.py`. The faults are those of tests/live_faults.py. Each is
struck several times, each time at new programs, one of each face. Measured: seconds from the moment
when the fault is over (or, where it stays, has begun) until both programs say that they are live
and have what was written at that moment. Then: what a lost broadcast costs when nothing follows it.

It exits with 1 when a median is over its bar. What was found is in
bench/results/live_recovery.json and docs/live-figures.md.
"""

import argparse
import asyncio
import os
import random
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from live_world import save

from customer_tickets.devstack import LocalStack
from live_faults import FAULTS, Stage
from live_harness import AsyncReader, Audience, BlockingReader, Scene, seeded
from tcp_proxy import TcpProxy

FACES = (AsyncReader, BlockingReader)
PATIENCE = 60.0
CHECK_EVERY = 3.0
"""Seconds, in place of 30, for the lost broadcasts: what counts is the proportion."""


async def struck(scene: Scene, proxy: TcpProxy, name: str) -> float:
    """Strike once; returns the seconds until all is well."""
    fault = FAULTS[name]
    stage = Stage(scene, scene.ticket(), proxy)
    audience = Audience(scene, stage.ticket, proxy.url, FACES, **fault.options)
    async with audience.reading():
        await asyncio.sleep(random.uniform(0.2, 1.0))
        await asyncio.to_thread(fault.strike, stage)
        wanted = await asyncio.to_thread(scene.write, stage.ticket)
        back = await audience.has(wanted, PATIENCE)
        await asyncio.to_thread(fault.heal, stage)
        await audience.judge()
    scene.stack.faults.reset()
    proxy.heal()
    return back


async def lost(scene: Scene, proxy: TcpProxy, repeats: int) -> list[float]:
    """Lose broadcasts that nothing follows; returns how late each event was, in seconds."""
    ticket = scene.ticket()
    audience = Audience(scene, ticket, proxy.url, FACES[:1], check_every=CHECK_EVERY)
    late = []
    async with audience.reading():
        for _ in range(repeats):
            await asyncio.sleep(random.uniform(0, CHECK_EVERY))
            scene.stack.faults.spoil_rows("drop", topic=f"ticket:{ticket}")
            wanted = await asyncio.to_thread(scene.write, ticket)
            late.append(await audience.has(wanted, PATIENCE))
    return late


async def measure(
    stack: LocalStack, names: list[str], repeats: int
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Strike with all of them; returns each fault's figures, and a lost last broadcast's."""
    scene = await asyncio.to_thread(seeded, stack)
    found: dict[str, dict[str, float]] = {}
    with TcpProxy(stack.port) as proxy:
        for name in names:
            seconds = [await struck(scene, proxy, name) for _ in range(repeats)]
            found[name] = summary(seconds) | {"bar": FAULTS[name].bar}
            show(name, found[name])
        last = summary(await lost(scene, proxy, 4 * repeats)) | {"check_every": CHECK_EVERY}
        show("lost, and nothing follows", last)
    return found, last


def summary(seconds: list[float]) -> dict[str, float]:
    """The middle, and the range."""
    return {
        "repeats": len(seconds),
        "least": round(min(seconds), 3),
        "median": round(statistics.median(seconds), 3),
        "most": round(max(seconds), 3),
    }


def show(name: str, found: dict[str, float]) -> None:
    """Print one line."""
    late = "   over the bar" if found["median"] > found.get("bar", PATIENCE) else ""
    print(
        f"{name:<38}{found['least']:>8.2f}{found['median']:>8.2f}{found['most']:>8.2f} s{late}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=FAULTS, nargs="+", default=list(FAULTS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="keep the figures in bench/results")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    load = os.getloadavg()[0]
    print(f"{'seconds':<38}{'least':>8}{'median':>8}{'most':>8}")
    with LocalStack.start(faults=True) as stack:
        faults, last = asyncio.run(measure(stack, arguments.only, arguments.repeats))
    if arguments.save:
        save("live_recovery", {"load_before": load, "faults": faults, "lost_last": last})
    return int(any(one["median"] > one["bar"] for one in faults.values()))


if __name__ == "__main__":
    sys.exit(main())
