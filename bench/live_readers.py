"""One reader of one ticket, in a process of its own: what `bench/live.py` compares.

Its answer on stdout: a line when it listens, then one JSON object: for each number the clock
(CLOCK_MONOTONIC, the same in all processes) when the event was in the program's hands, and the
processor seconds that it took.
"""

import argparse
import asyncio
import json
import resource
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from live_world import PASSWORD
from realtime import AsyncRealtimeClient
from supabase import AsyncClient, acreate_client

from customer_tickets import AsyncCustomerTickets, CustomerTickets, FeedState, FeedStopped

Seen = dict[int, float]


def processor() -> float:
    """The processor seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Report:
    """What was seen, and when."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.seen: Seen = {}
        self._began = 0.0

    def ready(self) -> None:
        """Say that it listens."""
        self._began = processor()
        print("ready", flush=True)

    def note(self, seq: int) -> bool:
        """Note an event; whether it was the last."""
        self.seen[seq] = time.monotonic()
        return len(self.seen) >= self.count

    def done(self) -> None:
        """Say what was seen."""
        print(json.dumps({"seen": self.seen, "processor": processor() - self._began}), flush=True)


async def signed_in(arguments: argparse.Namespace) -> AsyncClient:
    client = await acreate_client(arguments.url, arguments.key)
    await client.auth.sign_in_with_password({"email": arguments.email, "password": PASSWORD})
    return client


async def bare(arguments: argparse.Namespace, report: Report, fetch: bool) -> None:
    """The realtime client as its documentation shows it; with `fetch` it also reads the message."""
    client = await signed_in(arguments)
    session = await client.auth.get_session()
    assert session is not None
    realtime = AsyncRealtimeClient(f"{arguments.url}/realtime/v1", arguments.key)
    await realtime.connect()
    await realtime.set_auth(session.access_token)
    heard: asyncio.Queue[int] = asyncio.Queue()
    flows = asyncio.Event()
    channel = realtime.channel(
        f"ticket:{arguments.ticket}",
        {
            "config": {
                "private": True,
                "broadcast": {"ack": False, "self": False, "replication_ready": True},
                "presence": {"key": "", "enabled": False},
            }
        },
    )
    received = Report(report.count)

    def ring(message: Any) -> None:
        seq = message["payload"]["seq"]
        received.note(seq)
        heard.put_nowait(seq)

    channel.on_broadcast("event", ring)
    channel.on_system(lambda _: flows.set())
    await channel.subscribe()
    await flows.wait()
    report.ready()
    while len(report.seen) < report.count:
        seq = await heard.get()
        if fetch:
            await (
                client.table("ticket_messages")
                .select("id,seq,author_name,body,created_at,ticket_attachments(id,file_name)")
                .eq("ticket_id", arguments.ticket)
                .eq("place", seq)
                .execute()
            )
            report.note(seq)
        else:
            report.seen[seq] = received.seen[seq]
    await realtime.close()


async def polling(arguments: argparse.Namespace, report: Report) -> None:
    """Ask the table once a second, as a program without a websocket does."""
    client = await signed_in(arguments)
    last = 1
    report.ready()
    done = False
    while not done:
        await asyncio.sleep(1)
        rows = await (
            client.table("ticket_events")
            .select("seq,kind,actor_name,data,created_at")
            .eq("ticket_id", arguments.ticket)
            .gt("seq", last)
            .order("seq")
            .execute()
        )
        # The package says that a row may be any JSON.
        for row in cast("list[dict[str, int]]", rows.data):
            last = row["seq"]
            done = report.note(last)


async def ours(arguments: argparse.Namespace, report: Report) -> None:
    """`thread.live()` in asynchronous code."""
    async with AsyncCustomerTickets(arguments.url, arguments.key) as tickets:
        await tickets.sign_in(arguments.email, PASSWORD)
        thread = await tickets.thread(arguments.ticket)
        async with thread.live() as events:
            while events.state is not FeedState.LIVE:
                await events.next(timeout=0.05)
            report.ready()
            async for event in events:
                assert not isinstance(event, FeedStopped), event
                if report.note(event.seq):
                    break


def ours_blocking(arguments: argparse.Namespace, report: Report) -> None:
    """`thread.live()` in blocking code."""
    with CustomerTickets(arguments.url, arguments.key) as tickets:
        tickets.sign_in(arguments.email, PASSWORD)
        with tickets.thread(arguments.ticket).live() as events:
            while events.state is not FeedState.LIVE:
                events.next(timeout=0.05)
            report.ready()
            for event in events:
                assert not isinstance(event, FeedStopped), event
                if report.note(event.seq):
                    break


READERS: dict[str, Callable[[argparse.Namespace, Report], Awaitable[None]]] = {
    "bare": lambda arguments, report: bare(arguments, report, False),
    "bare+fetch": lambda arguments, report: bare(arguments, report, True),
    "polling": polling,
    "async": ours,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", choices=[*READERS, "blocking"])
    for name in ("url", "key", "email", "ticket"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--count", type=int, required=True)
    arguments = parser.parse_args()
    report = Report(arguments.count)
    if arguments.reader == "blocking":
        ours_blocking(arguments, report)
    else:
        asyncio.run(READERS[arguments.reader](arguments, report))
    report.done()


if __name__ == "__main__":
    main()
