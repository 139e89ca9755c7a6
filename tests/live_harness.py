"""Proves a live feed: programs that read a ticket while others write it, and a verdict.

Readers are programs of both faces as customers of the library write them. Writers commit through
Postgres and REST, as the customer and as an employee, and roll some back; they write what they mean
to write, whatever fails meanwhile. The verdict: exactly 1..n, in order, once, for every reader.
"""

import asyncio
import gc
import random
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg

from customer_tickets import (
    AsyncCustomerTickets,
    AsyncTicketFeed,
    CustomerTickets,
    FeedState,
    FeedStopped,
    TicketEvent,
    TicketFeed,
)
from customer_tickets.devstack import LocalStack
from customer_tickets.devstack.people import insert_user

PASSWORD = "a password of tests"
_INSERT = (
    "insert into public.ticket_messages (id, ticket_id, body, author_id, message_type)"
    " values (%s, %s, 'x', %s, 'public') on conflict (id) do nothing"
)


@dataclass(frozen=True)
class Scene:
    """A customer and an employee of one organization, on a stack."""

    stack: LocalStack
    organization: UUID
    ana: UUID
    email: str
    eva: UUID

    def ticket(self) -> UUID:
        """Make a ticket of the customer's."""
        ticket = uuid.uuid4()
        with psycopg.connect(self.stack.database_url) as connection:
            connection.execute(
                "insert into public.tickets (id, subject, user_id, handling_org_id)"
                " values (%s, 'Help', %s, %s)",
                [ticket, self.ana, self.organization],
            )
        return ticket

    def write(self, ticket: UUID) -> int:
        """Commit one more message and return the ticket's last number."""
        with psycopg.connect(self.stack.database_url) as connection:
            connection.execute(_INSERT, [uuid.uuid4(), ticket, self.eva])
        return self.last(ticket)

    def last(self, ticket: UUID) -> int:
        """The number of the ticket's last event."""
        with psycopg.connect(self.stack.database_url) as connection:
            row = connection.execute(
                "select last_seq from public.tickets where id = %s", [ticket]
            ).fetchone()
        assert row is not None
        return int(row[0])


def seeded(stack: LocalStack) -> Scene:
    """Make the people."""
    word = uuid.uuid4().hex[:12]
    email = f"ana-{word}@example.com"
    password = stack.hashed(PASSWORD)
    with psycopg.connect(stack.database_url) as connection:
        row = connection.execute(
            "insert into public.organizations (name) values (%s) returning id", [f"Acme {word}"]
        ).fetchone()
        assert row is not None
        ana = insert_user(connection, email, password, display_name="Ana")
        eva = insert_user(connection, f"eva-{word}@example.com", password, display_name="Eva")
        connection.execute(
            "update public.profiles set role = 'employee', org_id = %s where user_id = %s",
            [row[0], eva],
        )
    return Scene(stack, row[0], ana, email, eva)


class Writers:
    """Four threads that write one ticket, through Postgres and REST, as both people."""

    def __init__(self, scene: Scene, ticket: UUID, each: int, pace: float, seed: int) -> None:
        self._scene, self._ticket = scene, ticket
        self._each, self._pace = each, pace
        self._given_up = threading.Event()
        self.errors: list[BaseException] = []
        plans = [
            (self._through_postgres, scene.ana),
            (self._through_postgres, scene.eva),
            (self._through_rest, scene.ana),
            (self._through_rest, scene.eva),
        ]
        self._threads = [
            threading.Thread(target=self._run, args=(plan, random.Random(f"{seed}:{number}")))
            for number, plan in enumerate(plans)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self, timeout: float = 60) -> None:
        """Wait until all is written; raises what went wrong."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._given_up.set()
        for thread in self._threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def _run(self, plan: tuple[Callable[..., None], UUID], dice: random.Random) -> None:
        try:
            plan[0](plan[1], dice)
        except BaseException as error:  # noqa: BLE001 - is raised by `join`
            self.errors.append(error)

    def _persist(self, action: Callable[[], None], pause: float = 0.1) -> None:
        """Repeat what fails because the stack is down; ids make that safe."""
        while True:
            try:
                action()
            except (psycopg.OperationalError, httpx.HTTPError):
                if self._given_up.wait(pause):
                    raise
            else:
                return

    def _through_postgres(self, author: UUID, dice: random.Random) -> None:
        for number in range(self._each):
            key = uuid.uuid4()

            def commit(key: UUID = key, rolled_back: bool = number % 3 == 1) -> None:
                # A connection for each: one that a fault broke is no matter.
                with psycopg.connect(self._scene.stack.database_url) as connection:
                    if rolled_back:
                        with connection.transaction(force_rollback=True):
                            connection.execute(_INSERT, [uuid.uuid4(), self._ticket, author])
                            time.sleep(dice.random() * 0.02)
                    connection.execute(_INSERT, [key, self._ticket, author])
                    time.sleep(dice.random() * 0.02)

            self._persist(commit)
            time.sleep(dice.uniform(0.5, 1.5) * self._pace)

    def _through_rest(self, author: UUID, dice: random.Random) -> None:
        stack = self._scene.stack
        token = stack.mint_token(author)
        headers = {"apikey": stack.publishable_key, "Authorization": f"Bearer {token}"}
        with httpx.Client(headers=headers, timeout=10) as http:
            for number in range(self._each):
                # Internal notes of the employee's take no number.
                internal = author == self._scene.eva and number % 3 == 1
                message = {
                    "id": str(uuid.uuid4()),
                    "ticket_id": str(self._ticket),
                    "body": "x",
                    "message_type": "internal" if internal else "public",
                }

                def post(message: dict[str, str] = message) -> None:
                    url = f"{stack.url}/rest/v1/rpc/send_message"
                    http.post(url, json=message).raise_for_status()

                self._persist(post)
                time.sleep(dice.uniform(0.5, 1.5) * self._pace)


class Reader:
    """A program that follows a ticket from its beginning, and what it was handed out."""

    def __init__(self, scene: Scene, ticket: UUID, url: str, **options: Any) -> None:
        self.numbers: list[int] = []
        self.arrived: dict[int, float] = {}
        self.states: list[tuple[float, FeedState]] = []
        self.stopped: FeedStopped | None = None
        self.error: BaseException | None = None
        self._scene, self._ticket, self._url, self._options = scene, ticket, url, options
        self._feed: AsyncTicketFeed | TicketFeed | None = None

    @property
    def state(self) -> FeedState | None:
        """The state of its feed, while it has one open."""
        return None if self._feed is None else self._feed.state

    @property
    def live(self) -> bool:
        return self.state is FeedState.LIVE

    def note(self, event: TicketEvent | FeedStopped) -> None:
        if isinstance(event, FeedStopped):
            self.stopped = event
            return
        self.numbers.append(event.seq)
        self.arrived.setdefault(event.seq, time.monotonic())

    async def run(self) -> None:
        """Read until `stop` is called or the feed ends."""
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def _client(self) -> AsyncCustomerTickets:
        return AsyncCustomerTickets(self._url, self._scene.stack.publishable_key)


class AsyncReader(Reader):
    """`async for`, until it is cancelled."""

    async def run(self) -> None:
        self._task = asyncio.current_task()
        async with self._client() as tickets:
            await tickets.sign_in(self._scene.email, PASSWORD)
            thread = await tickets.thread(self._ticket)
            async with thread.live(after=0, **self._options) as feed:
                self._feed = feed
                async for event in feed:
                    self.note(event)

    def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()


class ImpatientReader(Reader):
    """`next` with a timeout, over and over."""

    _stopping = False

    async def run(self) -> None:
        async with self._client() as tickets:
            await tickets.sign_in(self._scene.email, PASSWORD)
            thread = await tickets.thread(self._ticket)
            async with thread.live(after=0, **self._options) as feed:
                self._feed = feed
                while not self._stopping and self.stopped is None:
                    event = await feed.next(timeout=0.03)
                    if event is not None:
                        self.note(event)

    def stop(self) -> None:
        self._stopping = True


class ResumingReader(Reader):
    """Saves its place after every few events and goes on in another client."""

    _stopping = False

    @property
    def live(self) -> bool:
        """Its feeds are too short-lived to say: what it has is what counts."""
        return True

    async def run(self) -> None:
        async with self._client() as first, self._client() as second:
            threads = []
            for tickets in (first, second):
                await tickets.sign_in(self._scene.email, PASSWORD)
                threads.append(await tickets.thread(self._ticket))
            saved = turn = 0
            while not self._stopping and self.stopped is None:
                async with threads[turn % 2].live(after=saved, **self._options) as feed:
                    self._feed = feed
                    for _ in range(7):
                        event = await feed.next(timeout=0.5)
                        if event is None or self._stopping:
                            break
                        self.note(event)
                    saved = feed.last_seq
                turn += 1

    def stop(self) -> None:
        self._stopping = True


class BlockingReader(Reader):
    """`for`, in a thread, until the feed is closed."""

    async def run(self) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def read() -> None:
            self._read()
            loop.call_soon_threadsafe(ended.set)

        thread = threading.Thread(target=read, name="blocking-reader")
        thread.start()
        await ended.wait()
        thread.join()
        if self.error is not None:
            raise self.error

    def _read(self) -> None:
        try:
            with CustomerTickets(self._url, self._scene.stack.publishable_key) as tickets:
                tickets.sign_in(self._scene.email, PASSWORD)
                with tickets.thread(self._ticket).live(after=0, **self._options) as feed:
                    self._feed = feed
                    for event in feed:
                        self.note(event)
        except BaseException as error:  # noqa: BLE001 - is raised by `run`
            self.error = error

    def stop(self) -> None:
        # From another thread than the one that reads, as a signal handler's would be.
        assert isinstance(self._feed, TicketFeed)
        closing = threading.Thread(target=self._feed.close)
        closing.start()


READERS = (AsyncReader, ImpatientReader, ResumingReader, BlockingReader)


class Audience:
    """Readers of one ticket that run side by side."""

    def __init__(
        self,
        scene: Scene,
        ticket: UUID,
        url: str,
        kinds: Sequence[type[Reader]] = READERS,
        **options: Any,
    ) -> None:
        self.scene, self.ticket = scene, ticket
        self.readers = [kind(scene, ticket, url, **options) for kind in kinds]
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Run the readers; all are live when this begins, and ended when it ends."""
        self._tasks = [asyncio.create_task(reader.run()) for reader in self.readers]
        try:
            await self.wait(lambda reader: reader.live and reader.numbers, 20, "live")
            yield
        finally:
            for reader, task in zip(self.readers, self._tasks, strict=True):
                if not task.done():
                    reader.stop()
            _, hanging = await asyncio.wait(self._tasks, timeout=15)
            for task in hanging:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            assert not hanging, "a reader does not end"

    async def wait(self, fine: Callable[[Reader], object], timeout: float, what: str) -> float:
        """Wait until all readers are fine; returns how long that took, in seconds."""
        began = time.monotonic()
        while not all(fine(reader) for reader in self.readers):
            self._look()
            for task in self._tasks:
                if task.done() and not task.cancelled():
                    task.result()  # raises what ended it
            waited = time.monotonic() - began
            assert waited < timeout, f"not {what} within {timeout} s:\n{self.report()}"
            await asyncio.sleep(0.005)
        return time.monotonic() - began

    def _look(self) -> None:
        for reader in self.readers:
            if reader.state and (not reader.states or reader.states[-1][1] is not reader.state):
                reader.states.append((time.monotonic(), reader.state))

    async def caught_up(self, timeout: float) -> float:
        """Wait until every reader has all events; returns how long that took, in seconds."""
        return await self.has(await asyncio.to_thread(self.scene.last, self.ticket), timeout)

    async def has(self, number: int, timeout: float) -> float:
        """Wait until every reader is live and has this event; returns how long that took."""
        return await self.wait(
            lambda reader: reader.live and len(reader.numbers) >= number, timeout, "there"
        )

    async def judge(self) -> int:
        """Demand exactly 1..n, in order, once, of every reader; returns n."""
        await asyncio.sleep(0.2)  # what would come twice comes now
        last = await asyncio.to_thread(self.scene.last, self.ticket)
        expected = list(range(1, last + 1))
        for reader in self.readers:
            assert reader.numbers == expected, f"not 1..{last}:\n{self.report()}"
        return last

    def report(self) -> str:
        """What each reader has, in words."""
        return "\n".join(
            f"{type(reader).__name__}: {reader.state}, {len(reader.numbers)} events, the last"
            f" {reader.numbers[-3:]}, first out of place {_first_wrong(reader.numbers)},"
            f" {reader.stopped or ''} {reader.error or ''}"
            for reader in self.readers
        )


def _first_wrong(numbers: list[int]) -> int | None:
    wrong = [n for place, n in enumerate(numbers, start=1) if place != n]
    return wrong[0] if wrong else None


@dataclass(frozen=True)
class Footprint:
    """What a program holds: tasks of this loop, threads, sockets."""

    tasks: set[Any]
    threads: set[Any]
    sockets: int

    @classmethod
    def now(cls) -> "Footprint":
        gc.collect()
        return cls(set(asyncio.all_tasks()), set(threading.enumerate()), _sockets())


def _sockets() -> int:
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += str(descriptor.readlink()).startswith("socket:")
    return count


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Demand that tasks, threads and sockets return to what they were."""
    # The default executor keeps its threads: what `to_thread` may start is started before.
    await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.01) for _ in range(8)))
    before = Footprint.now()
    yield
    for _ in range(40):
        after = Footprint.now()
        left = [*(after.tasks - before.tasks), *(after.threads - before.threads)]
        if not left and after.sockets <= before.sockets:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"left behind: {left}, {after.sockets - before.sockets} sockets")


@contextmanager
def writing(
    scene: Scene, ticket: UUID, *, each: int = 12, pace: float = 0.1, seed: int = 1
) -> Iterator[Writers]:
    """Write while the block runs; at its end all is written."""
    writers = Writers(scene, ticket, each, pace, seed)
    writers.start()
    try:
        yield writers
    finally:
        writers.join()
