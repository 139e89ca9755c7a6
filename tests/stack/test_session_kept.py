"""Sessions that outlive a program: in a file, shared by processes, in a store that fails."""

import asyncio
import logging
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from customer_tickets import (
    AsyncCustomerTickets,
    CustomerTickets,
    FileStore,
    MemoryStore,
    Offline,
    SessionStore,
    SignInRequired,
    StoreFailed,
)
from customer_tickets._session import Session
from customer_tickets._tokens import Tokens, read, written
from customer_tickets.devstack import LocalStack
from faces import Client, closed, got
from fix_stack import People, Person
from remote_project import Stack
from tcp_proxy import TcpProxy

pytestmark = pytest.mark.anyio
Face = type[CustomerTickets] | type[AsyncCustomerTickets]


@pytest.fixture(params=[CustomerTickets, AsyncCustomerTickets], ids=["blocking", "async"])
def face(request: pytest.FixtureRequest) -> Face:
    made: Face = request.param
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session"


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Move the wall clock; monotonic ones stay."""
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + seconds)


def token_requests(caplog: pytest.LogCaptureFixture) -> int:
    return sum("/auth/v1/token" in record.getMessage() for record in caplog.records)


def tokens_in(client: AsyncCustomerTickets) -> Tokens | None:
    assert isinstance(client._session, Session)
    return client._session._tokens


def content(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def put(path: Path, text: str) -> None:
    path.write_text(text)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


async def sign_in(stack: Stack, store: SessionStore, person: Person) -> AsyncCustomerTickets:
    client = AsyncCustomerTickets(stack.url, stack.publishable_key, store=store)
    await client.sign_in(person.email, person.password)
    return client


async def signed_in_once(stack: Stack, path: Path, person: Person) -> None:
    await (await sign_in(stack, FileStore(path), person)).aclose()


async def test_the_next_program_is_signed_in_without_a_request(
    face: Face, stack: Stack, people: People, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await signed_in_once(stack, path, people.ana)
    with caplog.at_level(logging.INFO, "httpx"):
        caplog.clear()
        client: Client = face(stack.url, stack.publishable_key, store=FileStore(path))
        assert client.user.id == people.ana.id
        assert client.user.email == people.ana.email
        assert caplog.records == []
        assert (await got(client.counts())).open == 0
        assert token_requests(caplog) == 0
    await got(client.sign_out())
    assert content(path) is None
    await closed(client)


async def test_from_env_takes_a_store_too(
    face: Face, stack: Stack, people: People, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await signed_in_once(stack, path, people.ana)
    monkeypatch.setenv("SUPABASE_URL", stack.url)
    monkeypatch.setenv("SUPABASE_PUBLISHABLE_KEY", stack.publishable_key)
    client: Client = face.from_env(store=FileStore(path))
    assert client.user.id == people.ana.id
    await closed(client)


@pytest.mark.faults
async def test_expired_and_offline_is_offline_and_the_session_stays(
    face: Face,
    stack: LocalStack,
    people: People,
    path: Path,
    proxy: TcpProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = FileStore(path)
    client: Client = face(proxy.url, stack.publishable_key, store=store, timeout=2)
    await got(client.sign_in(people.ana.email, people.ana.password))
    await closed(client)
    before = content(path)
    later(monkeypatch, 7200)
    proxy.refuse()
    client = face(proxy.url, stack.publishable_key, store=store, timeout=2)
    with pytest.raises(Offline):
        await got(client.counts())
    assert client.user.id == people.ana.id
    assert content(path) == before
    proxy.heal()
    assert (await got(client.counts())).open == 0
    assert content(path) != before
    await closed(client)


async def test_a_refresh_token_that_auth_refuses_ends_the_session_in_the_store_too(
    stack: Stack, people: People, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await sign_in(stack, FileStore(path), people.ana)
    other = await sign_in(stack, MemoryStore(), people.ana)
    await other.sign_out(everywhere=True)
    later(monkeypatch, 3610)
    with pytest.raises(SignInRequired, match="session has ended"):
        await client.counts()
    assert content(path) is None
    await client.aclose()
    await other.aclose()


async def test_clients_that_share_a_file_refresh_once(
    stack: Stack,
    people: People,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await signed_in_once(stack, path, people.ana)
    clients = [
        AsyncCustomerTickets(stack.url, stack.publishable_key, store=FileStore(path))
        for _ in range(5)
    ]
    later(monkeypatch, 3610)
    with caplog.at_level(logging.INFO, "httpx"):
        caplog.clear()
        await asyncio.gather(*(client.counts() for client in clients for _ in range(3)))
    assert token_requests(caplog) == 1
    assert len({tokens.access for client in clients if (tokens := tokens_in(client))}) == 1
    for client in clients:
        await client.aclose()


class Unlocked:
    """A store of a user's own, without a lock; `before_save` happens in the middle."""

    def __init__(self, text: str | None = None) -> None:
        self.text = text
        self.saved: list[str] = []
        self.before_save: Callable[[], object] = lambda: None
        self.on_clear: Callable[[], object] = lambda: None

    def load(self) -> str | None:
        return self.text

    def save(self, text: str) -> None:
        self.before_save()
        self.text = text
        self.saved.append(text)

    def clear(self) -> None:
        self.on_clear()
        self.text = None


async def test_what_another_process_stored_meanwhile_is_gone_on_with(
    stack: Stack,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Unlocked()
    one = await sign_in(stack, store, people.ana)
    other = AsyncCustomerTickets(stack.url, stack.publishable_key, store=store)
    later(monkeypatch, 3610)
    await other.counts()
    with caplog.at_level(logging.INFO, "httpx"):
        caplog.clear()
        await one.counts()
    assert token_requests(caplog) == 0
    assert tokens_in(one) == tokens_in(other)
    await one.aclose()
    await other.aclose()


async def test_a_refusal_is_no_end_when_another_process_was_faster(
    stack: Stack, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Unlocked()
    client = await sign_in(stack, store, people.ana)
    good = tokens_in(client)
    assert good is not None
    # As if the other's answer was stored while ours was under way, by a clock that is behind.
    session = client._session
    assert isinstance(session, Session)
    session._tokens = Tokens("x.y.z", "usedup", 3600.0, good.expires_at - 3600 + 1, good.user)
    store.text = written(
        Tokens(good.access, good.refresh, 60.0, good.expires_at - 7200, good.user), stack.url
    )
    later(monkeypatch, 5)
    assert (await client.counts()).open == 0
    await client.aclose()


async def test_a_session_of_another_project_is_nobodys_here(
    face: Face, stack: Stack, people: People, path: Path
) -> None:
    await signed_in_once(stack, path, people.ana)
    kept = read(content(path), stack.url)
    assert kept is not None
    put(path, written(kept, "https://other.supabase.co"))
    before = content(path)
    client: Client = face(stack.url, stack.publishable_key, store=FileStore(path))
    with pytest.raises(SignInRequired):
        await got(client.counts())
    await got(client.sign_out())
    assert content(path) == before
    await closed(client)


async def test_whoever_signed_in_last_has_the_store(
    stack: Stack, people: People, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = await sign_in(stack, FileStore(path), people.ana)
    ben = await sign_in(stack, FileStore(path), people.ben)
    later(monkeypatch, 3610)
    await ana.counts()
    assert ana.user.id == people.ana.id
    assert (kept := read(content(path), stack.url)) is not None
    assert kept.user.id == people.ben.id
    await ana.sign_out()
    assert (await ben.counts()).open == 0
    assert read(content(path), stack.url) == tokens_in(ben)
    await ana.aclose()
    await ben.aclose()


async def test_new_tokens_are_stored_before_they_are_used(
    stack: Stack, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Unlocked()
    client = await sign_in(stack, store, people.ana)
    old = tokens_in(client)
    used: list[Tokens | None] = []
    store.before_save = lambda: used.append(tokens_in(client))
    later(monkeypatch, 3610)
    await client.counts()
    assert used == [old]
    assert read(store.text, stack.url) == tokens_in(client) != old
    await client.aclose()


def full() -> None:
    raise OSError(28, "No space left on device")


async def test_a_store_that_cannot_save_is_said_and_the_session_is_usable(
    face: Face, stack: Stack, people: People
) -> None:
    store = Unlocked()
    store.before_save = full
    client: Client = face(stack.url, stack.publishable_key, store=store)
    with pytest.raises(StoreFailed, match="No space left on device"):
        await got(client.sign_in(people.ana.email, people.ana.password))
    assert client.user.id == people.ana.id
    assert (await got(client.counts())).open == 0
    await closed(client)
    assert store.text is None


async def test_a_refresh_that_cannot_be_stored_is_logged_and_stored_at_the_end(
    stack: Stack,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Unlocked()
    client = await sign_in(stack, store, people.ana)
    store.before_save = full
    later(monkeypatch, 3610)
    assert (await client.counts()).open == 0
    assert "No space left on device" in caplog.text
    new = tokens_in(client)
    assert read(store.text, stack.url) != new
    store.before_save = lambda: None
    await client.aclose()
    assert read(store.text, stack.url) == new


async def test_a_store_that_cannot_be_cleared_is_said_and_the_session_is_over(
    face: Face, stack: Stack, people: People
) -> None:
    store = Unlocked()
    client: Client = face(stack.url, stack.publishable_key, store=store)
    await got(client.sign_in(people.ana.email, people.ana.password))
    store.on_clear = full
    with pytest.raises(StoreFailed, match="removed from") as caught:
        await got(client.sign_out())
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("Nobody is signed in here any more, but the tokens may")
    with pytest.raises(SignInRequired):
        await got(client.counts())
    # The server was told as well: what is left in the store is worth nothing.
    again: Client = face(stack.url, stack.publishable_key, store=store)
    store.on_clear = lambda: None
    kept = read(store.text, stack.url)
    assert kept is not None
    store.text = written(Tokens(kept.access, kept.refresh, 60, 1, kept.user), stack.url)
    await closed(again)
    again = face(stack.url, stack.publishable_key, store=store)
    with pytest.raises(SignInRequired, match="session has ended"):
        await got(again.counts())
    assert store.text is None
    await closed(again)
    await closed(client)


async def test_a_file_that_becomes_a_folder_stops_nobody(
    stack: Stack, people: People, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await sign_in(stack, FileStore(path), people.ana)
    replace_by_folder(path)
    later(monkeypatch, 3610)
    assert (await client.counts()).open == 0
    with pytest.raises(StoreFailed, match="no plain file"):
        await client.sign_out()
    with pytest.raises(SignInRequired):
        await client.counts()
    await client.aclose()


async def test_signing_out_while_a_refresh_is_stored_leaves_nothing_in_the_store(
    stack: Stack, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Unlocked()
    client = await sign_in(stack, store, people.ana)
    began, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        began.set()
        go_on.wait(10)

    store.before_save = slow
    later(monkeypatch, 3610)
    asking = asyncio.create_task(client.counts())
    await asyncio.to_thread(began.wait, 10)
    leaving = asyncio.create_task(client.sign_out())
    await asyncio.sleep(0.05)
    go_on.set()
    await leaving
    with pytest.raises(SignInRequired):
        await asking
    assert store.text is None
    assert len(store.saved) == 2
    await client.aclose()


@pytest.mark.faults
async def test_a_refresh_that_is_answered_after_signing_out_is_not_stored(
    stack: LocalStack, people: People, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Unlocked()
    client = AsyncCustomerTickets(proxy.url, stack.publishable_key, store=store)
    await client.sign_in(people.ana.email, people.ana.password)
    proxy.latency = 0.7
    later(monkeypatch, 3610)
    asking = asyncio.create_task(client.counts())
    await asyncio.sleep(1)  # the server has answered, and the answer is on its way
    leaving = asyncio.create_task(client.sign_out())
    await asyncio.sleep(0)
    assert not asking.done()
    await leaving
    with pytest.raises(SignInRequired):
        await asking
    assert store.text is None
    assert len(store.saved) == 1
    await client.aclose()


async def test_a_sign_in_that_is_cancelled_while_it_is_stored_is_whole_or_not_at_all(
    stack: Stack, people: People
) -> None:
    store = Unlocked()
    began = threading.Event()

    def slow() -> None:
        began.set()
        time.sleep(0.2)

    store.before_save = slow
    client = AsyncCustomerTickets(stack.url, stack.publishable_key, store=store)
    signing_in = asyncio.create_task(client.sign_in(people.ana.email, people.ana.password))
    await asyncio.to_thread(began.wait, 10)
    signing_in.cancel()
    with pytest.raises(asyncio.CancelledError):
        await signing_in
    assert tokens_in(client) is not None
    assert read(store.text, stack.url) == tokens_in(client)
    await client.aclose()


@pytest.mark.parametrize("cut_short", ["not kept", "cancelled"])
async def test_what_was_the_last_users_goes_however_the_next_sign_in_ends(
    stack: Stack, people: People, cut_short: str
) -> None:
    store = Unlocked()
    began, cancelled = threading.Event(), threading.Event()

    def slow() -> None:
        began.set()
        cancelled.wait(10)

    async with AsyncCustomerTickets(
        stack.url, stack.publishable_key, cache=600, store=store
    ) as client:
        await client.sign_in(people.ana.email, people.ana.password)
        ticket = await client.create(organization=people.organization_id, subject="Ana's own")
        assert ticket in (await client.page()).items
        async with (await client.thread(ticket)).live() as feed:
            store.before_save = full if cut_short == "not kept" else slow
            signing_in = asyncio.create_task(client.sign_in(people.ben.email, people.ben.password))
            if cut_short == "cancelled":
                await asyncio.to_thread(began.wait, 10)
                signing_in.cancel()
                cancelled.set()
            with pytest.raises((StoreFailed, asyncio.CancelledError)):
                await signing_in
            assert client.user.id == people.ben.id
            assert feed.state == "stopped"
            assert (await client.page()).items == ()


async def test_people_who_come_and_go_while_tokens_are_refreshed_never_mix(
    stack: Stack, people: People, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await sign_in(stack, FileStore(path), people.ana)
    jumps = iter(range(1, 1000))

    async def come_and_go(person: Person) -> None:
        for _ in range(4):
            await client.sign_in(person.email, person.password)
            monkeypatch.undo()
            later(monkeypatch, 3610.0 * next(jumps))
            await client.sign_out()

    async def ask() -> None:
        for _ in range(20):
            try:
                await client.counts()
            except SignInRequired:
                await asyncio.sleep(0.01)

    await asyncio.gather(come_and_go(people.ana), come_and_go(people.ben), ask(), ask())
    left = tokens_in(client)
    kept = read(content(path), stack.url)
    assert kept == left
    await client.sign_in(people.ben.email, people.ben.password)
    assert client.user.id == people.ben.id
    assert (kept := read(content(path), stack.url)) is not None
    assert kept.user.id == people.ben.id
    await client.aclose()


def test_threads_of_one_client_refresh_once(
    stack: Stack,
    people: People,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with CustomerTickets(stack.url, stack.publishable_key, store=FileStore(path)) as tickets:
        tickets.sign_in(people.ana.email, people.ana.password)
        later(monkeypatch, 3610)
        caplog.set_level(logging.INFO, "httpx")
        caplog.clear()
        counted: list[int] = []
        threads = [
            threading.Thread(target=lambda: counted.append(tickets.counts().open)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counted == [0] * 8
        assert token_requests(caplog) == 1


@pytest.mark.parametrize("jump", [-7200.0, -3.0, 3610.0, 86_400.0 * 400])
async def test_a_clock_that_jumps_costs_one_refresh_at_most(
    stack: Stack,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    jump: float,
) -> None:
    client = await sign_in(stack, MemoryStore(), people.ana)
    later(monkeypatch, jump)
    with caplog.at_level(logging.INFO, "httpx"):
        caplog.clear()
        for _ in range(3):
            assert (await client.counts()).open == 0
    assert token_requests(caplog) == (1 if jump > 0 else 0)
    await client.aclose()


@pytest.mark.faults
@pytest.mark.slow
def test_two_processes_share_a_session_whose_tokens_live_three_seconds(
    stack: LocalStack, people: People, path: Path
) -> None:
    stack.faults.token_lifetime(3)
    with CustomerTickets(stack.url, stack.publishable_key, store=FileStore(path)) as tickets:
        tickets.sign_in(people.ana.email, people.ana.password)
    program = f"""
        import logging, threading, time
        from customer_tickets import CustomerTickets, FileStore
        seen = []
        class Count(logging.Handler):
            def emit(self, record):
                if "/auth/v1/token" in record.getMessage():
                    seen.append(record.getMessage())
        logging.getLogger("httpx").setLevel("INFO")
        logging.getLogger("httpx").addHandler(Count())
        store = FileStore({str(path)!r})
        tickets = CustomerTickets({stack.url!r}, {stack.publishable_key!r}, store=store)
        until = time.monotonic() + 8
        failures, asked = [], []
        def ask():
            while time.monotonic() < until:
                try:
                    tickets.counts()
                    asked.append(1)
                except Exception as error:
                    failures.append(repr(error))
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        tickets.close()
        print(len(asked) > 20, failures, len(seen))
    """
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    refreshes = 0
    for process in running:
        output, errors = process.communicate(timeout=50)
        assert errors == ""
        assert output.startswith("True [] "), output
        refreshes += int(output.rsplit(maxsplit=1)[1])
    # In about ten seconds of tokens that are fresh for 2.25: far fewer than twice as many.
    assert 2 <= refreshes <= 8
