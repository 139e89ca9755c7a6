"""Sessions that were begun elsewhere: two tokens, or a client of the package supabase."""

import asyncio
import base64
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from supabase import AsyncClient, Client, create_async_client, create_client
from supabase.lib.client_options import AsyncClientOptions, SyncClientOptions
from supabase_auth.types import Session as LentSession

from customer_tickets import (
    AsyncCustomerTickets,
    ClientClosed,
    CustomerTickets,
    FeedStopped,
    InvalidInput,
    Offline,
    SignInFailed,
    SignInRequired,
    Unavailable,
)
from customer_tickets.devstack import LocalStack
from faces import Client as Ours
from faces import closed, got, next_event, opened, thread_of, until
from fix_stack import People, Person
from remote_project import Stack
from stack.conftest import Opener
from tcp_proxy import TcpProxy

pytestmark = pytest.mark.anyio


def token_requests(caplog: pytest.LogCaptureFixture) -> int:
    return sum("/auth/v1/token" in record.getMessage() for record in caplog.records)


@pytest.fixture
def web() -> Iterator[httpx.Client]:
    with httpx.Client() as web:
        yield web


def theirs(stack: Stack, web: httpx.Client, person: Person | None, **more: Any) -> Client:
    """A client of supabase-py, signed in as a person if one is given."""
    options = SyncClientOptions(httpx_client=web, auto_refresh_token=False)
    client = create_client(more.get("url", stack.url), stack.publishable_key, options)
    if person is not None:
        sign_in(client, person)
    return client


def sign_in(client: Client, person: Person) -> None:
    client.auth.sign_in_with_password({"email": person.email, "password": person.password})


def session_of(client: Client) -> LentSession:
    session = client.auth.get_session()
    assert session is not None
    return session


@pytest.fixture
async def waiting(stack: Stack, people: People) -> AsyncIterator[AsyncClient]:
    """An asynchronous client of supabase-py, signed in as ana."""
    async with httpx.AsyncClient() as web:
        options = AsyncClientOptions(httpx_client=web, auto_refresh_token=False)
        client = await create_async_client(stack.url, stack.publishable_key, options)
        await client.auth.sign_in_with_password(
            {"email": people.ana.email, "password": people.ana.password}
        )
        yield client


@pytest.fixture(params=["blocking", "async with a blocking one", "async"])
async def borrowed(
    request: pytest.FixtureRequest,
    stack: Stack,
    people: People,
    web: httpx.Client,
    waiting: AsyncClient,
) -> AsyncIterator[tuple[Ours, Any]]:
    """Ana's client of this library, and the auth of the supabase client it borrows from."""
    match request.param:
        case "blocking":
            client = theirs(stack, web, people.ana)
            ours: Ours = CustomerTickets.from_supabase(client)
            auth: Any = client.auth
        case "async":
            ours, auth = await AsyncCustomerTickets.from_supabase(waiting), waiting.auth
        case _:
            client = theirs(stack, web, people.ana)
            ours, auth = await AsyncCustomerTickets.from_supabase(client), client.auth
    yield ours, auth
    await closed(ours)


async def test_tokens_are_taken_over_and_refreshed_from_then_on(
    opener: Opener, stack: Stack, people: People, web: httpx.Client, caplog: Any
) -> None:
    session = session_of(theirs(stack, web, people.ana))
    client = await opener()
    with caplog.at_level(logging.INFO, "httpx"):
        caplog.clear()
        user = await got(client.set_session(session.access_token, session.refresh_token))
        assert len(caplog.records) == 1
    assert (user.id, user.email) == (people.ana.id, people.ana.email)
    assert client.user == user
    assert (await got(client.counts())).open == 0


async def test_an_expired_access_token_is_refreshed(
    opener: Opener,
    stack: Stack,
    people: People,
    web: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = session_of(theirs(stack, web, people.ana))
    client = await opener()
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + 3610)
    assert (
        await got(client.set_session(session.access_token, session.refresh_token))
    ).id == people.ana.id
    monkeypatch.undo()
    assert (await got(client.counts())).open == 0


@pytest.mark.faults
async def test_a_token_that_only_the_server_finds_stale_is_refreshed(
    opener: Opener, stack: LocalStack, people: People, web: httpx.Client
) -> None:
    session = session_of(theirs(stack, web, people.ana))
    stale = unsigned_copy(stack.mint_token(people.ana.id, lifetime=-60), exp=time.time() + 900)
    client = await opener()
    assert (await got(client.set_session(stale, session.refresh_token))).id == people.ana.id


def unsigned_copy(token: str, **claims: object) -> str:
    """A token with other claims; no server accepts its signature."""
    head, payload, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(payload + "==")) | claims
    changed = base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")
    return f"{head}.{changed}.{signature}"


def somebody(**claims: object) -> str:
    """What looks like the token of another project's user."""
    said = {"sub": str(uuid4()), "exp": time.time() + 900, "role": "authenticated"} | claims
    parts = ({"alg": "HS256", "typ": "JWT"}, said)
    return ".".join(
        [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
        + ["signature"]
    )


@pytest.mark.parametrize(
    ("access", "refresh", "fields"),
    [
        (None, None, ["access_token", "refresh_token"]),
        ("", "", ["access_token", "refresh_token"]),
        ("rubbish", "refresh", ["access_token"]),
        ("a.b.c", "refresh", ["access_token"]),
        (b"x", 5, ["access_token", "refresh_token"]),
        (somebody(), "with a space", ["refresh_token"]),
        (somebody(), "zeile\n", ["refresh_token"]),
        (somebody(), "\u00e4", ["refresh_token"]),
        (somebody(sub="nobody"), "refresh", ["access_token"]),
        (somebody(sub=5), "refresh", ["access_token"]),
        (somebody(exp=None), "refresh", ["access_token"]),
        (somebody(exp="soon"), "refresh", ["access_token"]),
        (somebody(iat=[1]), "refresh", ["access_token"]),
        ("sb_publishable_x", "refresh", ["access_token"]),
    ],
    ids=range(14),
)
async def test_what_cannot_be_a_session_is_refused_before_any_request(
    opener: Opener, access: Any, refresh: Any, fields: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    client = await opener()
    with caplog.at_level(logging.INFO, "httpx"):
        with pytest.raises(InvalidInput) as caught:
            await got(client.set_session(access, refresh))
        assert [wrong.field for wrong in caught.value.fields] == fields
        assert caplog.records == []
    assert "rubbish" not in f"{caught.value}{caught.value!r}"
    assert caught.value.__context__ is None


async def test_tokens_of_another_project_leave_who_is_signed_in(
    opener: Opener, people: People
) -> None:
    client = await opener(people.ben)
    for token in (somebody(), somebody(exp=1)):
        with pytest.raises(SignInFailed, match="does not accept these tokens") as caught:
            await got(client.set_session(token, "another-projects"))
        assert token not in f"{caught.value}{caught.value!r}"
        assert caught.value.__context__ is None
    assert client.user.id == people.ben.id
    assert (await got(client.counts())).open == 0


async def test_a_session_that_has_ended_is_not_taken_over(
    opener: Opener, stack: Stack, people: People, web: httpx.Client
) -> None:
    client = theirs(stack, web, people.ana)
    session = session_of(client)
    client.auth.sign_out()
    with pytest.raises(SignInFailed):
        await got((await opener()).set_session(session.access_token, session.refresh_token))


async def test_a_refresh_token_of_somebody_else_ends_the_session(
    opener: Opener,
    stack: Stack,
    people: People,
    web: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ana = session_of(theirs(stack, web, people.ana))
    ben = session_of(theirs(stack, web, people.ben))
    client = await opener()
    await got(client.set_session(ana.access_token, ben.refresh_token))
    assert client.user.id == people.ana.id
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + 3610)
    for _ in range(2):
        with pytest.raises(SignInRequired):
            await got(client.counts())


async def test_a_supabase_clients_session_is_shared(
    borrowed: tuple[Ours, Any], people: People
) -> None:
    ours, auth = borrowed
    assert (ours.user.id, ours.user.email) == (people.ana.id, people.ana.email)
    await got(ours.create(organization=people.organization_id, subject="x"))
    assert (await got(ours.counts())).open == 1
    await got(ours.organizations.list())
    await got(auth.sign_out({"scope": "local"}))
    with pytest.raises(SignInRequired, match="Nobody is signed in to the supabase client"):
        await got(ours.counts())
    with pytest.raises(SignInRequired):
        _ = ours.user
    with pytest.raises(SignInRequired):
        await got(ours.organizations.list())
    # Whoever signs in again goes on.
    await got(ours.sign_in(people.ana.email, people.ana.password))
    assert (await got(auth.get_session())).user.id == str(people.ana.id)
    assert (await got(ours.counts())).open == 1


async def test_signing_out_here_signs_that_client_out_and_no_other_device(
    borrowed: tuple[Ours, Any],
    stack: Stack,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, auth = borrowed
    other = AsyncCustomerTickets(stack.url, stack.publishable_key)
    await other.sign_in(people.ana.email, people.ana.password)
    await got(ours.sign_out())
    assert await got(auth.get_session()) is None
    with pytest.raises(SignInRequired):
        await got(ours.counts())
    await got(ours.sign_out())
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + 3610)
    assert (await other.counts()).open == 0  # by a refresh: its session is alive
    await other.aclose()


async def test_somebody_else_in_that_client_is_nobody_here(
    borrowed: tuple[Ours, Any], people: People
) -> None:
    ours, auth = borrowed
    await got(
        auth.sign_in_with_password({"email": people.ben.email, "password": people.ben.password})
    )
    with pytest.raises(SignInRequired, match="Somebody else"):
        await got(ours.counts())
    await got(ours.sign_in(people.ben.email, people.ben.password))
    assert ours.user.id == people.ben.id
    assert (await got(ours.counts())).open == 0


async def test_signing_in_up_and_taking_over_go_through_that_client(
    borrowed: tuple[Ours, Any], stack: Stack, people: People, web: httpx.Client
) -> None:
    ours, auth = borrowed
    with pytest.raises(SignInFailed) as caught:
        await got(ours.sign_in(people.ben.email, "wrong"))
    assert people.ben.email not in str(caught.value)
    assert (await got(ours.counts())).open == 0
    session = session_of(theirs(stack, web, people.ben))
    await got(ours.set_session(session.access_token, session.refresh_token))
    assert (await got(auth.get_session())).user.id == str(people.ben.id) == str(ours.user.id)
    with pytest.raises(SignInFailed):
        await got(ours.set_session(somebody(), "another-projects"))
    with pytest.raises(InvalidInput):
        await got(ours.set_session("x", "y"))
    await closed(ours)
    with pytest.raises(ClientClosed):
        await got(ours.sign_in(people.ana.email, people.ana.password))


@pytest.mark.faults
async def test_ten_callers_let_that_client_refresh_once(
    stack: LocalStack, people: People, waiting: AsyncClient, web: httpx.Client, caplog: Any
) -> None:
    for client in (waiting, theirs(stack, web, people.ana)):
        ours = await AsyncCustomerTickets.from_supabase(client)
        stack.faults.token_lifetime(10)
        await got(client.auth.refresh_session())
        stack.faults.reset()
        with caplog.at_level(logging.INFO, "httpx"):
            caplog.clear()
            await asyncio.gather(*(ours.counts() for _ in range(10)))
            assert token_requests(caplog) == 1
            await ours.counts()
            assert token_requests(caplog) == 1
        await ours.aclose()


@pytest.mark.faults
async def test_a_token_that_only_the_server_finds_stale_makes_that_client_refresh_once(
    stack: LocalStack, people: People, waiting: AsyncClient, caplog: Any
) -> None:
    ours = await AsyncCustomerTickets.from_supabase(waiting)
    session = await waiting.auth.get_session()
    assert session is not None
    session.access_token = stack.mint_token(people.ana.id, lifetime=-60)
    await waiting.auth._save_session(session)
    with caplog.at_level(logging.INFO, "httpx"):
        caplog.clear()
        await asyncio.gather(*(ours.counts() for _ in range(5)))
        assert token_requests(caplog) == 1
    await ours.aclose()


@pytest.mark.faults
async def test_offline_with_that_clients_session_expired_is_offline(
    stack: LocalStack, people: People, web: httpx.Client, proxy: TcpProxy
) -> None:
    client = theirs(stack, web, None, url=proxy.url)
    stack.faults.token_lifetime(5)
    sign_in(client, people.ana)
    stack.faults.reset()
    ours = await AsyncCustomerTickets.from_supabase(client, timeout=2)
    proxy.refuse()
    with pytest.raises(Offline):
        await ours.counts()
    proxy.half_open()
    began = time.monotonic()
    with pytest.raises(Offline):
        await ours.counts()
    assert time.monotonic() - began < 4
    proxy.heal()
    proxy.cut()
    assert (await ours.counts()).open == 0
    await ours.aclose()


async def test_a_client_without_anybody_or_that_is_none_is_refused(
    opener: Opener, stack: Stack, web: httpx.Client, waiting: AsyncClient
) -> None:
    del opener  # both faces are asked below
    anonymous = theirs(stack, web, None)
    with pytest.raises(SignInRequired):
        CustomerTickets.from_supabase(anonymous)
    with pytest.raises(SignInRequired):
        await AsyncCustomerTickets.from_supabase(anonymous)
    wrong: Any
    for wrong in (None, object(), "client", web, Client):
        with pytest.raises(InvalidInput, match="client"):
            CustomerTickets.from_supabase(wrong)
        with pytest.raises(InvalidInput, match="client"):
            await AsyncCustomerTickets.from_supabase(wrong)
    with pytest.raises(InvalidInput, match="asynchronous"):
        CustomerTickets.from_supabase(waiting)  # type: ignore[arg-type] # on purpose
    with pytest.raises(InvalidInput, match="timeout"):
        await AsyncCustomerTickets.from_supabase(waiting, timeout=0)


@pytest.mark.faults
def test_a_client_with_the_secret_key_is_refused(
    stack: LocalStack, people: People, web: httpx.Client
) -> None:
    options = SyncClientOptions(httpx_client=web)
    for key in (stack.secret_key, stack.service_role_key):
        with pytest.raises(InvalidInput, match="secret"):
            CustomerTickets.from_supabase(create_client(stack.url, key, options))


@pytest.mark.faults
async def test_a_proxy_that_answers_in_place_of_auth_ends_nothing(
    stack: LocalStack, people: People, web: httpx.Client
) -> None:
    client = theirs(stack, web, None)
    stack.faults.token_lifetime(5)
    sign_in(client, people.ana)
    async with await AsyncCustomerTickets.from_supabase(client, timeout=2) as ours:
        stack.faults.answer_with(403, "/auth/v1/token", times=1000)
        with pytest.raises(Unavailable, match="proxy"):
            await ours.counts()
        stack.faults.reset()
        assert (await ours.counts()).open == 0


async def test_a_feed_ends_when_that_client_is_signed_out(
    borrowed: tuple[Ours, Any], people: People
) -> None:
    ours, auth = borrowed
    ticket = await got(ours.create(organization=people.organization_id, subject="x"))
    async with opened((await thread_of(ours, ticket)).live()) as events:
        await until(events, "live")
        await got(auth.sign_out({"scope": "local"}))
        event = await got(events.next(timeout=30))
        assert isinstance(event, FeedStopped)


@pytest.mark.faults
@pytest.mark.slow
async def test_a_feed_outlives_the_tokens_of_that_client(
    stack: LocalStack,
    people: People,
    web: httpx.Client,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = theirs(stack, web, None)
    stack.faults.token_lifetime(13)
    sign_in(client, people.ana)
    caplog.set_level(logging.DEBUG, "customer_tickets.live")
    async with await AsyncCustomerTickets.from_supabase(client) as ours:
        thread = await ours.thread(
            await ours.create(organization=people.organization_id, subject="x")
        )
        async with thread.live() as events:
            await until(events, "live")
            for number in range(2, 20):
                await thread.send("x")
                event = await next_event(events)
                assert event.seq == number
                await asyncio.sleep(1)
            assert events.state == "live"
    # The server closes a channel whose token has expired: none did.
    assert "websocket down" not in caplog.text
