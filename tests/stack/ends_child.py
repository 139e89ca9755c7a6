"""A program of its own that is ended in the middle of something, without closing its client.

`python ends_child.py FACE DURING END`, with where and who in ENDS_CHILD. It prints `ready` when it
is in the middle, and at its end which threads are left: `threads []`. Nothing else may be said.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from customer_tickets import AsyncCustomerTickets, ClientClosed, CustomerTickets, Offline

URL, KEY, EMAIL, PASSWORD, ORGANIZATION = os.environ["ENDS_CHILD"].split("\n")
# In debug mode asyncio also tells how long steps took, which on a busy machine is much.
logging.getLogger("asyncio").addFilter(lambda told: not told.getMessage().startswith("Executing"))
# What an upload needs so long for that it can be ended in the middle.
BIG = b"x" * 3_000_000
HOLD = 0.4


def main(face: str, during: str, end: str) -> None:
    if face == "blocking":
        blocking(during, end)
    else:
        with suppress(KeyboardInterrupt):
            asyncio.run(waiting(during, end))
    gc.collect()
    left = [one.name for one in threading.enumerate() if one is not threading.main_thread()]
    # A program that merely ends has its thread until then; a daemon's call may be under way.
    print("threads", "-" if end in {"exit", "ctrl_c", "fork"} else left, flush=True)


def blocking(during: str, end: str) -> None:
    tickets = CustomerTickets(URL, KEY)
    tickets.sign_in(EMAIL, PASSWORD)
    act, *held = blocking_act(tickets, during)
    match end:
        case "ctrl_c":
            threading.Timer(HOLD, os.kill, [os.getpid(), signal.SIGINT]).start()
            print("ready", flush=True)
            with suppress(KeyboardInterrupt):
                act()
                time.sleep(5)
        case "exit":
            threading.Thread(target=quiet, args=[act], daemon=True).start()
            time.sleep(HOLD)
            print("ready", flush=True)
            KEPT.extend([tickets, *held])
        case "drop":
            # A call that waits holds the client: it can be dropped only by one who does not wait.
            if during == "send":
                thread = held[0]
                thread.send("unfinished", wait=False)
                del thread
            print("ready", flush=True)
            del tickets, act, held
        case _:
            threading.Thread(target=quiet, args=[act], daemon=True).start()
            time.sleep(HOLD)
            fork()
            print("ready", flush=True)
            tickets.close()


KEPT: list[object] = []


def quiet(act: Callable[[], object]) -> None:
    """Do something of which the end of the client is the end."""
    with suppress(ClientClosed, Offline):
        act()


def blocking_act(tickets: CustomerTickets, during: str) -> tuple[Callable[[], object], Any]:
    """Begin something; return what goes on with it, and what is open."""
    thread = tickets.thread(tickets.create(organization=ORGANIZATION, subject="x"))
    match during:
        case "feed" | "reconnecting":
            feed = thread.live().__enter__()
            feed.next(timeout=1)
            return feed.next, feed
        case "list":
            changes = tickets.live().__enter__()
            changes.next(timeout=1)
            return changes.next, changes
        case "send":
            for _ in range(5):
                thread.send("x", wait=False)
            return lambda: thread.send("y"), thread
        case "editor":
            editor = tickets.drafts.edit(ticket=thread.ticket, every=0.05).__enter__()
            editor.change(text="x")
            return editor.save, editor
        case _:
            return lambda: thread.send("z", attachments=[BIG]), thread


async def waiting(during: str, end: str) -> None:
    tickets = AsyncCustomerTickets(URL, KEY)
    await tickets.sign_in(EMAIL, PASSWORD)
    act, *held = await waiting_act(tickets, during)
    if end == "ctrl_c":
        threading.Timer(HOLD, os.kill, [os.getpid(), signal.SIGINT]).start()
        print("ready", flush=True)
        await act()
        await asyncio.sleep(5)
    task = asyncio.ensure_future(act())
    await asyncio.sleep(HOLD)
    match end:
        case "cancel":
            task.cancel()
            await asyncio.wait({task})
        case "drop":
            task.cancel()
            await asyncio.wait({task})
            del task, tickets, act, held
            gc.collect()
            await asyncio.sleep(0.2)
        case "fork":
            fork()
            task.cancel()
            await asyncio.wait({task})
            await tickets.aclose()
        case _:
            pass
    print("ready", flush=True)


async def waiting_act(
    tickets: AsyncCustomerTickets, during: str
) -> tuple[Callable[[], Awaitable[object]], Any]:
    thread = await tickets.thread(await tickets.create(organization=ORGANIZATION, subject="x"))
    match during:
        case "feed" | "reconnecting":
            feed = await thread.live().__aenter__()
            await feed.next(timeout=1)
            return feed.next, feed
        case "list":
            changes = await tickets.live().__aenter__()
            await changes.next(timeout=1)
            return changes.next, changes
        case "send":
            for _ in range(5):
                await thread.send("x", wait=False)
            return lambda: thread.send("y"), thread
        case "editor":
            editor = await tickets.drafts.edit(ticket=thread.ticket, every=0.05).__aenter__()
            await editor.change(text="x")
            return editor.save, editor
        case _:
            return lambda: thread.send("z", attachments=[BIG]), thread


def fork() -> None:
    """Leave a child that ends as those of `multiprocessing` do."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
