"""Sign-in, sign-up, sign-out, and tokens that are fresh without anybody noticing."""

import asyncio
import dataclasses
import logging
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from customer_tickets import (
    AsyncCustomerTickets,
    ClientClosed,
    InvalidInput,
    Offline,
    SignInFailed,
    SignInRequired,
    SignUpFailed,
    UnexpectedAnswer,
)
from customer_tickets._borrowed import AnySession
from customer_tickets._session import Session
from customer_tickets.devstack import LocalStack
from faces import closed, got, opened, thread_of
from fix_stack import People
from stack.conftest import Opener
from tcp_proxy import TcpProxy

pytestmark = pytest.mark.anyio


def own(session: AnySession) -> Session:
    assert isinstance(session, Session)
    return session


def token_requests(caplog: pytest.LogCaptureFixture) -> int:
    return sum("/auth/v1/token" in record.getMessage() for record in caplog.records)


def an_hour_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a laptop's sleep: the wall clock has moved, monotonic ones have not."""
    real = time.time
    monkeypatch.setattr("customer_tickets._session.time.time", lambda: real() + 3610)


@pytest.fixture
async def client(stack: LocalStack, people: People) -> AsyncIterator[AsyncCustomerTickets]:
    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as client:
        await client.sign_in(people.ana.email, people.ana.password)
        yield client


async def test_sign_up_makes_a_customer_who_is_signed_in(opener: Opener) -> None:
    client = await opener()
    email = f"new-{uuid4().hex}@example.com"
    user = await got(client.sign_up(email, "a long password", display_name="New Person"))
    assert client.user == user
    assert user.email == email
    assert (await got(client.counts())).open == 0
    with pytest.raises(SignUpFailed, match="has an account already") as caught:
        await got((await opener()).sign_up(email, "a long password"))
    assert email not in str(caught.value)


async def test_a_wrong_password_is_said_in_words_without_the_address(
    opener: Opener, people: People
) -> None:
    client = await opener()
    with pytest.raises(SignInFailed, match="Wrong e-mail or password") as caught:
        await got(client.sign_in(people.ana.email, "wrong"))
    assert people.ana.email not in f"{caught.value}{caught.value!r}"
    with pytest.raises(SignInRequired):
        await got(client.counts())


async def test_what_is_no_address_cannot_sign_in(opener: Opener) -> None:
    with pytest.raises(SignInFailed):
        await got((await opener()).sign_in("not an address", "x"))


@pytest.mark.parametrize(
    ("email", "password", "field"),
    [
        ("", "x", "email"),
        ("x", "", "password"),
        ("x", "pass\ud800", "password"),
        (b"x", "x", "email"),
        ("x", 5, "password"),
    ],
)
async def test_what_is_no_text_is_refused_before_any_request(
    opener: Opener, caplog: pytest.LogCaptureFixture, email: str, password: str, field: str
) -> None:
    client = await opener()
    caplog.set_level(logging.INFO, "httpx")
    for call in (client.sign_in, client.sign_up):
        with pytest.raises(InvalidInput) as caught:
            await got(call(email, password))
        assert [wrong.field for wrong in caught.value.fields] == [field]
        assert caught.value.__context__ is None
    with pytest.raises(InvalidInput, match="display_name"):
        await got(client.sign_up("x", "y", display_name="\x00"))
    assert caplog.records == []


async def test_a_weak_password_is_refused(opener: Opener) -> None:
    with pytest.raises(SignUpFailed):
        await got((await opener()).sign_up(f"weak-{uuid4().hex}@example.com", "1"))


async def test_after_sign_out_every_call_asks_to_sign_in(opener: Opener, people: People) -> None:
    client = await opener(people.ana)
    await got(client.organizations.list())
    await got(client.sign_out())
    await got(client.sign_out())
    with pytest.raises(SignInRequired):
        await got(client.organizations.list())
    with pytest.raises(SignInRequired):
        _ = client.user
    await got(client.sign_in(people.ben.email, people.ben.password))
    assert client.user.id == people.ben.id


async def test_ten_callers_at_once_refresh_once(
    client: AsyncCustomerTickets,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    an_hour_later(monkeypatch)
    with caplog.at_level(logging.INFO, "httpx"):
        caplog.clear()
        await asyncio.gather(*(client.counts() for _ in range(10)))
    assert token_requests(caplog) == 1


async def test_a_caller_that_is_cancelled_does_not_take_the_refresh_with_it(
    client: AsyncCustomerTickets, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_hour_later(monkeypatch)
    first = asyncio.create_task(client.counts())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = asyncio.create_task(client.counts())
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).open == 0
    with pytest.raises(asyncio.CancelledError):
        await first


@pytest.mark.faults
async def test_a_token_that_only_the_server_finds_stale_is_replaced_once(
    client: AsyncCustomerTickets,
    stack: LocalStack,
    people: People,
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = own(client._session)
    assert session._tokens is not None
    stale = stack.mint_token(people.ana.id, lifetime=-60)
    session._tokens = dataclasses.replace(session._tokens, access=stale)
    with caplog.at_level(logging.INFO, "httpx"):
        caplog.clear()
        await asyncio.gather(*(client.counts() for _ in range(5)))
    assert token_requests(caplog) == 1


async def test_a_session_that_was_ended_elsewhere_asks_to_sign_in_again(
    client: AsyncCustomerTickets,
    stack: LocalStack,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = AsyncCustomerTickets(stack.url, stack.publishable_key)
    await other.sign_in(people.ana.email, people.ana.password)
    await other.sign_out(everywhere=True)
    await other.aclose()
    an_hour_later(monkeypatch)
    with pytest.raises(SignInRequired, match="session has ended"):
        await client.counts()
    with pytest.raises(SignInRequired, match="Nobody is signed in"):
        await client.counts()


@pytest.mark.faults
async def test_offline_with_an_expired_session_is_offline_and_never_anonymous(
    stack: LocalStack, people: People, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = AsyncCustomerTickets(proxy.url, stack.publishable_key, timeout=2)
    await client.sign_in(people.ana.email, people.ana.password)
    real = time.time
    monkeypatch.setattr("customer_tickets._session.time.time", lambda: real() + 7200)
    proxy.refuse()
    with pytest.raises(Offline):
        await client.counts()
    proxy.heal()
    assert (await client.counts()).open == 0
    await client.aclose()


async def test_a_refresh_under_way_does_not_overwrite_a_later_sign_in(
    client: AsyncCustomerTickets, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_hour_later(monkeypatch)
    late = asyncio.create_task(client.counts())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await client.sign_in(people.ben.email, people.ben.password)
    await asyncio.gather(late, return_exceptions=True)
    session = own(client._session)
    if session._refreshing is not None:
        await asyncio.wait({session._refreshing})
    assert client.user.id == people.ben.id
    assert (await client.counts()).open == 0


@pytest.mark.faults
async def test_while_the_token_is_good_trouble_of_auth_costs_nothing(
    client: AsyncCustomerTickets,
    stack: LocalStack,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = time.time
    monkeypatch.setattr("customer_tickets._session.time.time", lambda: real() + 3570)
    stack.auth.kill()
    try:
        began = time.monotonic()
        assert (await client.counts()).open == 0
        assert time.monotonic() - began < 2
        assert client.user.id == people.ana.id
    finally:
        stack.auth.start()
    assert (await client.counts()).open == 0


@pytest.mark.faults
async def test_sign_out_everywhere_with_a_stale_token_still_ends_the_sessions(
    stack: LocalStack, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        AsyncCustomerTickets(stack.url, stack.publishable_key) as one,
        AsyncCustomerTickets(stack.url, stack.publishable_key) as other,
    ):
        for client in (one, other):
            await client.sign_in(people.ana.email, people.ana.password)
        session = own(one._session)
        assert session._tokens is not None
        stale = stack.mint_token(people.ana.id, lifetime=-60)
        session._tokens = dataclasses.replace(session._tokens, access=stale, expires_at=0)
        await one.sign_out(everywhere=True)
        an_hour_later(monkeypatch)
        with pytest.raises(SignInRequired, match="session has ended"):
            await other.counts()


async def test_a_page_of_a_proxy_does_not_end_the_session(
    client: AsyncCustomerTickets, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = own(client._session)
    good = session._auth._client._url
    an_hour_later(monkeypatch)
    session._auth._client._url = good.replace("/auth/v1", "/nowhere")
    with pytest.raises(UnexpectedAnswer):
        await client.counts()
    session._auth._client._url = good
    assert (await client.counts()).open == 0


async def test_a_wrong_password_leaves_the_one_who_is_signed_in(
    opener: Opener, people: People
) -> None:
    client = await opener(people.ana)
    ticket = await got(client.create(organization=people.organization_id, subject="x"))
    async with opened((await thread_of(client, ticket)).live()) as events:
        with pytest.raises(SignInFailed):
            await got(client.sign_in(people.ben.email, "wrong"))
        assert await got(events.next(timeout=0.3)) is None
        assert str(events.state) != "stopped"
    assert client.user.id == people.ana.id


async def test_a_closed_client_says_so(stack: LocalStack, people: People) -> None:
    client = AsyncCustomerTickets(stack.url, stack.publishable_key)
    await client.sign_in(people.ana.email, people.ana.password)
    thread = await client.thread(
        await client.create(organization=people.organization_id, subject="x")
    )
    await client.aclose()
    with pytest.raises(ClientClosed):
        await client.counts()
    with pytest.raises(ClientClosed):
        await thread.live().__aenter__()
    with pytest.raises(ClientClosed):
        await client.sign_in(people.ana.email, people.ana.password)


async def test_a_wrong_url_does_not_look_like_a_wrong_password(
    opener: Opener, stack: LocalStack
) -> None:
    client = await opener(url=f"{stack.url}/nowhere")
    with pytest.raises(UnexpectedAnswer, match="Is another program answering"):
        await got(client.sign_in("ana@example.com", "x"))


async def test_the_session_shows_no_token(opener: Opener, people: People) -> None:
    client = await opener(people.ana)
    inner = client if isinstance(client, AsyncCustomerTickets) else client._async
    tokens = own(inner._session)._tokens
    assert tokens is not None
    assert tokens.access not in f"{client!r}{client.user!r}{tokens!r}"
    assert tokens.refresh not in repr(tokens)
    assert people.ana.email not in f"{client!r}{client.user!r}"
    await closed(client)


@pytest.mark.faults
async def test_calls_that_wait_for_their_next_attempt_hear_that_the_client_was_closed(
    stack: LocalStack, people: People, proxy: TcpProxy
) -> None:
    client = AsyncCustomerTickets(proxy.url, stack.publishable_key)
    await client.sign_in(people.ana.email, people.ana.password)
    proxy.refuse()
    signing_in = client.sign_in(people.ana.email, people.ana.password)
    calls = asyncio.gather(
        signing_in, *(client.counts() for _ in range(10)), return_exceptions=True
    )
    await asyncio.sleep(0.05)
    await client.aclose()
    ends = await calls
    assert {type(end) for end in ends} <= {ClientClosed, Offline}
    assert any(isinstance(end, ClientClosed) for end in ends)


async def test_what_is_asked_of_auth_is_logged_without_saying_whose_it_is(
    opener: Opener, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    tickets = await opener()
    with caplog.at_level(logging.DEBUG, "customer_tickets"):
        with pytest.raises(SignInFailed):
            await got(tickets.sign_in(people.ana.email, "wrong password"))
        await got(tickets.sign_in(people.ana.email, people.ana.password))
        await got(tickets.sign_out())
    lines = [record.getMessage() for record in caplog.records if record.name == "customer_tickets"]
    assert len(lines) == 3
    for line, wanted in zip(
        lines, ("sign_in: HTTP 400", "sign_in: answered", "sign_out: answered"), strict=True
    ):
        assert line.startswith(wanted)
        assert line.endswith(" ms")
    assert people.ana.email not in caplog.text
