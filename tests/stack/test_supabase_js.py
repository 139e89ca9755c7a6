"""The official clients of two languages, supabase-js and supabase-py, on one stack."""

import asyncio
import json
import os
import uuid
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from realtime import AsyncRealtimeChannel, RealtimeSubscribeStates
from supabase import AsyncClient, acreate_client
from supabase.lib.client_options import AsyncClientOptions

from customer_tickets.devstack.npm import NpmParts, npm_parts
from fix_stack import People, Person
from remote_project import Stack, as_server

SUPABASE_JS = Path(__file__).parents[1] / "supabase_js"
WAIT = 10.0
# The first run installs supabase-js.
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


class JavaScript:
    """A supabase-js client in a process of its own, and the lines it has written."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._lines: list[dict[str, Any]] = []
        self._refs = 0

    async def do(self, command: str, *values: object) -> Any:
        """Have a command of client.mjs done and return its result."""
        self._refs += 1
        assert self._process.stdin is not None
        order = {"ref": self._refs, "do": command, "with": values}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        answer = await self.line(ref=self._refs)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer.get("result")

    async def line(self, **wanted: object) -> dict[str, Any]:
        """Take the first line that says this, waiting for it; others are kept for later."""
        assert self._process.stdout is not None
        for line in self._lines:
            if _says(line, wanted):
                self._lines.remove(line)
                return line
        async with asyncio.timeout(WAIT):
            while True:
                written = await self._process.stdout.readline()
                assert written, f"client.mjs ended before it said {wanted}"
                self._lines.append(json.loads(written))
                if _says(self._lines[-1], wanted):
                    return self._lines.pop()


def _says(line: dict[str, Any], wanted: dict[str, object]) -> bool:
    return all(line.get(name) == value for name, value in wanted.items())


class Python:
    """A private channel of supabase-py, and what it has heard."""

    def __init__(self, client: AsyncClient, topic: str, key: str) -> None:
        self._changed = asyncio.Condition()
        self._changes: set[asyncio.Task[None]] = set()
        self.said: list[tuple[str, Any]] = []
        self.ready = False
        self.channel: AsyncRealtimeChannel = client.channel(
            topic,
            {
                "config": {
                    "private": True,
                    "broadcast": {"ack": True, "self": False, "replication_ready": True},
                    "presence": {"key": key, "enabled": True},
                }
            },
        )
        self.channel.on_broadcast("*", self._broadcast)
        self.channel.on_presence_sync(self._notify)
        self.channel.on_system(self._system)

    @property
    def present(self) -> list[str]:
        """Who is there."""
        return sorted(self.channel.presence_state())

    async def join(self) -> None:
        """Join, and wait until broadcasts from the database flow."""
        states: list[RealtimeSubscribeStates] = []
        await self.channel.subscribe(lambda state, error: states.append(state))
        assert states == [RealtimeSubscribeStates.SUBSCRIBED]
        await self.until(lambda: self.ready)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something that has been heard makes it true."""
        async with asyncio.timeout(WAIT), self._changed:
            await self._changed.wait_for(true)

    def _broadcast(self, message: Any) -> None:
        self.said.append((message["event"], message["payload"]))
        self._notify()

    def _system(self, payload: Any) -> None:
        self.ready = True
        self._notify()

    def _notify(self) -> None:
        task = asyncio.create_task(self._wake())
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@pytest.fixture(scope="session")
def supabase_js() -> NpmParts:
    return npm_parts(print, SUPABASE_JS)


Starter = Callable[[Person], Awaitable[JavaScript]]


@pytest.fixture
async def javascript(
    supabase_js: NpmParts, stack: Stack, tmp_path: Path
) -> AsyncGenerator[Starter]:
    """Starts supabase-js clients that are signed in."""
    # Node looks for modules from the program's own place upwards.
    (tmp_path / "node_modules").symlink_to(supabase_js.folder / "node_modules")
    program = tmp_path / "client.mjs"
    program.write_bytes((SUPABASE_JS / "client.mjs").read_bytes())
    async with AsyncExitStack() as cleanup:

        async def start(person: Person) -> JavaScript:
            running = _running(supabase_js.node, program, stack.url, stack.publishable_key)
            client = JavaScript(await cleanup.enter_async_context(running))
            assert await client.do("sign_in", person.email, person.password) == str(person.id)
            return client

        yield start


@asynccontextmanager
async def _running(node: str, program: Path, *arguments: str) -> AsyncGenerator[Process]:
    process = await asyncio.create_subprocess_exec(
        # A proxy of the environment is none of these clients' business.
        *(node, str(program), *arguments),
        env={"PATH": os.environ.get("PATH", os.defpath)},
        stdin=PIPE,
        stdout=PIPE,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()  # which ends the program
        try:
            async with asyncio.timeout(WAIT):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.communicate()
            pytest.fail("client.mjs did not end with its input")


@pytest.fixture
async def python(stack: Stack, people: People) -> AsyncGenerator[AsyncClient]:
    """A supabase-py client, signed in as Eva."""
    async with httpx.AsyncClient() as web:
        options = AsyncClientOptions(httpx_client=web, auto_refresh_token=False)
        client = await acreate_client(stack.url, stack.publishable_key, options)
        signed_in = await client.auth.sign_in_with_password(
            {"email": people.eva.email, "password": people.eva.password}
        )
        assert signed_in.session is not None
        await client.realtime.set_auth(signed_in.session.access_token)
        yield client
        await client.realtime.close()


async def _ticket(client: JavaScript, people: People) -> str:
    """Make a ticket by the API, as supabase-js does it, and return its id."""
    ticket = str(uuid.uuid4())
    made = await client.do(
        "rpc",
        "create_ticket",
        {
            "id": ticket,
            "subject": "Help",
            "description": "Nothing works",
            "handling_org_id": str(people.organization_id),
        },
    )
    assert made["ticket"]["id"] == ticket
    return ticket


async def test_two_languages_talk_on_one_private_channel(
    javascript: Starter,
    python: AsyncClient,
    people: People,
    supabase_database: psycopg.Connection[Any],
) -> None:
    ana = await javascript(people.ana)
    topic = f"ticket:{await _ticket(ana, people)}:presence"
    eva = Python(python, topic, "eva")
    await eva.join()
    joined = await ana.do("join", topic, "ana")
    assert joined == {"state": "SUBSCRIBED", "error": None}
    await ana.line(heard="system", message="Replication connection established")

    # Broadcasts, both ways; the server acknowledges that of supabase-js.
    assert await ana.do("say", "typing", {"text": "Grüße 👋"}) == "ok"
    await eva.until(lambda: ("typing", {"text": "Grüße 👋"}) in eva.said)
    await eva.channel.send_broadcast("typing", {"n": [1, None, 2.5]})
    await ana.line(heard="broadcast", event="typing", payload={"n": [1, None, 2.5]})

    # Presence: each sees both, and sees the other go.
    assert await ana.do("track", {"doing": "writing"}) == "ok"
    await eva.until(lambda: eva.present == ["ana"])
    await eva.channel.track({"doing": "reading"})
    await ana.line(heard="presence", present=["ana", "eva"], doing=["writing", "reading"])
    await eva.until(lambda: eva.present == ["ana", "eva"])

    # One broadcast from the database, heard by both.
    supabase_database.execute(
        "select realtime.send(%s, 'changed', %s)", ['{"id": "m1", "seq": 7}', topic]
    )
    await ana.line(heard="broadcast", event="changed", payload={"id": "m1", "seq": 7})
    await eva.until(lambda: ("changed", {"id": "m1", "seq": 7}) in eva.said)

    assert await ana.do("leave") == "ok"
    await eva.until(lambda: eva.present == ["eva"])


async def test_a_stranger_is_refused_in_javascript_too(javascript: Starter, people: People) -> None:
    ana, ben = await asyncio.gather(javascript(people.ana), javascript(people.ben))
    ticket = await _ticket(ana, people)
    refused = await ben.do("join", f"ticket:{ticket}:presence", "ben")
    assert refused["state"] == "CHANNEL_ERROR"
    assert "Unauthorized: You do not have permissions" in refused["error"]
    # A row that may not be seen is none.
    assert await ana.do("select", "tickets", "id,subject", ticket) == [
        {"id": ticket, "subject": "Help"}
    ]
    assert await ben.do("select", "tickets", "id,subject", ticket) == []


@pytest.fixture
def bucket(stack: Stack, supabase_database: psycopg.Connection[Any]) -> Iterator[str]:
    """A bucket in which everybody has a folder of their own; it goes with the test."""
    name = f"js-{uuid.uuid4().hex[:12]}"
    supabase_database.execute("insert into storage.buckets (id, name) values (%s, %s)", [name] * 2)
    supabase_database.execute(
        f'create policy "{name}" on storage.objects to authenticated'
        f" using (bucket_id = '{name}' and (storage.foldername(name))[1] = auth.uid()::text)"
    )
    yield name
    supabase_database.execute(f'drop policy "{name}" on storage.objects')
    storage = f"{stack.url}/storage/v1/bucket/{name}"
    httpx.post(f"{storage}/empty", headers=as_server(stack)).raise_for_status()
    httpx.delete(storage, headers=as_server(stack)).raise_for_status()


async def test_javascript_files_are_their_owners(
    javascript: Starter, people: People, bucket: str
) -> None:
    ana, ben = await asyncio.gather(javascript(people.ana), javascript(people.ben))
    path = f"{people.ana.id}/a note & more.txt"
    stored = await ana.do("upload", bucket, path, "Grüße 👋", "text/plain")
    assert stored == f"{bucket}/{path}"
    got = await ana.do("download", bucket, path)
    assert got == {"text": "Grüße 👋", "type": "text/plain"}
    with pytest.raises(RuntimeError, match="row-level security"):
        await ben.do("upload", bucket, f"{people.ana.id}/intruder.txt", "x", "text/plain")
    with pytest.raises(RuntimeError, match="not found"):
        await ben.do("download", bucket, path)
