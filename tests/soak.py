"""Random faults in random order, for as long as you like: `make soak`, an hour unless told.

Programs of both faces follow several tickets while others write them; after each round every
program must have exactly 1..n of each ticket, in order, once. After each act of some rounds all is
closed, and tasks, threads, sockets and memory must be what they were. The seed is printed first;
SEED=… draws the same faults in the same order again.
"""

import argparse
import asyncio
import gc
import random
import sys
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from customer_tickets.devstack import LocalStack
from live_faults import FAULTS, Stage
from live_harness import Audience, Scene, nothing_left, seeded, writing
from tcp_proxy import TcpProxy

TICKETS = 3
ROUNDS = 6
"""Rounds of an act."""
BACK_WITHIN = 40.0
"""Seconds after the last fault's end until every program has everything."""
GROWTH = 30.0
"""Megabytes that the process may grow by, between the end of the second act and the last."""


def megabytes() -> float:
    """The resident memory of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


async def one_round(audiences: list[Audience], proxy: TcpProxy, dice: random.Random) -> str:
    """Strike with one or two faults while all tickets are written; returns what happened."""
    scene = audiences[0].scene
    names = dice.sample(sorted(FAULTS), dice.choice((1, 1, 2)))
    struck = dice.choice(audiences)
    stage = Stage(scene, struck.ticket, proxy)
    with ExitStack() as writers:
        for audience in audiences:
            each, seed = dice.randrange(2, 8), dice.getrandbits(32)
            writers.enter_context(writing(scene, audience.ticket, each=each, seed=seed))
        for name in names:
            await asyncio.sleep(dice.uniform(0.0, 0.5))
            await asyncio.to_thread(FAULTS[name].strike, stage)
        await asyncio.sleep(dice.choice((0.0, 0.5, 2.0)))
    for name in names:
        await asyncio.to_thread(FAULTS[name].heal, stage)
    await asyncio.to_thread(scene.stack.faults.reset)
    proxy.heal()
    began = time.monotonic()
    for audience in audiences:
        await audience.caught_up(BACK_WITHIN)
    back = time.monotonic() - began
    events = [await audience.judge() for audience in audiences]
    return f"{' + '.join(names)}: {events} events, all there after {back:.1f} s"


async def act(scene: Scene, proxy: TcpProxy, dice: random.Random, until: float) -> None:
    """Open programs on new tickets, play some rounds, close them."""
    async with nothing_left(), AsyncExitStack() as programs:
        audiences = [
            Audience(scene, scene.ticket(), proxy.url, check_every=2.0) for _ in range(TICKETS)
        ]
        for audience in audiences:
            await programs.enter_async_context(audience.reading())
        for _ in range(ROUNDS):
            print(f"  {await one_round(audiences, proxy, dice)}", flush=True)
            if time.monotonic() > until:
                return


async def soak(stack: LocalStack, seconds: float, dice: random.Random) -> bool:
    """Play acts until the time is over; whether memory stayed what it was."""
    until = time.monotonic() + seconds
    scene = await asyncio.to_thread(seeded, stack)
    used: list[float] = []
    with TcpProxy(stack.port) as proxy:
        while time.monotonic() < until:
            await act(scene, proxy, dice, until)
            used.append(megabytes())
            print(f"act {len(used)} is over, nothing is left; {used[-1]:.0f} MB", flush=True)
    return used[-1] - used[min(1, len(used) - 1)] <= GROWTH


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.seconds:g} seconds", flush=True)
    random.seed(arguments.seed)
    with LocalStack.start(faults=True) as stack:
        try:
            flat = asyncio.run(soak(stack, arguments.seconds, random.Random(arguments.seed)))
        except AssertionError as error:
            print(f"seed {arguments.seed}: {error}", file=sys.stderr)
            return 1
    if not flat:
        print(f"seed {arguments.seed}: memory grew by more than {GROWTH:g} MB", file=sys.stderr)
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
