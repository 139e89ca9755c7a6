"""Keys, sign-out, limits and time: what every call promises, on servers that misbehave."""

import logging
import time
from uuid import uuid4

import pytest

from customer_tickets import (
    AsyncCustomerTickets,
    CustomerTickets,
    InvalidInput,
    NotFound,
    Offline,
    RateLimited,
    SignInRequired,
    Unavailable,
)
from customer_tickets.devstack import LocalStack
from faces import closed, got, opened, thread_of, until
from fix_stack import People
from stack.conftest import Opener
from tcp_proxy import TcpProxy

pytestmark = [pytest.mark.anyio, pytest.mark.faults]


@pytest.mark.parametrize("kind", ["publishable_key", "anon_key"])
@pytest.mark.parametrize("face", [CustomerTickets, AsyncCustomerTickets])
async def test_both_kinds_of_keys_do(
    stack: LocalStack,
    people: People,
    kind: str,
    face: type[CustomerTickets] | type[AsyncCustomerTickets],
) -> None:
    client = face(stack.url, getattr(stack, kind))
    await got(client.sign_in(people.ana.email, people.ana.password))
    ticket = await got(client.create(organization=people.organization_id, subject="x"))
    async with opened((await thread_of(client, ticket)).live()) as events:
        await until(events, "live")
    await got(client.sign_out())
    await closed(client)


async def test_signing_out_ends_this_session_and_everywhere_ends_all(
    opener: Opener, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = await opener(people.ana), await opener(people.ana)
    await got(here.sign_out())
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + 3610)
    assert (await got(there.counts())).open == 0  # by a refresh: its session is alive
    monkeypatch.undo()
    await got(here.sign_in(people.ana.email, people.ana.password))
    await got(here.sign_out(everywhere=True))
    monkeypatch.setattr("time.time", lambda: real() + 7220)
    with pytest.raises(SignInRequired):
        await got(there.counts())


async def test_auth_says_when_to_come_back_and_is_obeyed(
    opener: Opener, stack: LocalStack, people: People
) -> None:
    client = await opener(timeout=5)
    stack.faults.answer_with(429, "/auth/v1/token", retry_after=1)
    began = time.monotonic()
    await got(client.sign_in(people.ana.email, people.ana.password))
    assert 1 <= time.monotonic() - began < 4
    stack.faults.answer_with(429, "/auth/v1/token", times=100, retry_after=3600)
    began = time.monotonic()
    with pytest.raises(RateLimited) as caught:
        await got(client.sign_in(people.ana.email, people.ana.password))
    assert time.monotonic() - began < 2
    assert (caught.value.retry_after, caught.value.status) == (3600, 429)
    assert client.user.id == people.ana.id


async def test_a_refresh_that_is_limited_is_no_end_of_the_session(
    opener: Opener, stack: LocalStack, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await opener(people.ana, timeout=2)
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + 3610)
    stack.faults.answer_with(429, "/auth/v1/token", times=100, retry_after=60)
    with pytest.raises(RateLimited):
        await got(client.counts())
    stack.faults.reset()
    stack.faults.answer_with(503, "/auth/v1/token", times=100)
    with pytest.raises(Unavailable) as caught:
        await got(client.counts())
    assert type(caught.value) is Unavailable
    stack.faults.reset()
    assert (await got(client.counts())).open == 0


async def test_no_call_takes_longer_than_it_may(
    opener: Opener, stack: LocalStack, people: People, proxy: TcpProxy
) -> None:
    client = await opener(people.ana, url=proxy.url, timeout=1.0)
    proxy.half_open()
    for call in (
        client.counts,
        lambda: client.sign_in(people.ana.email, people.ana.password),
        lambda: client.sign_up(f"late-{uuid4().hex}@example.com", "a long password"),
        client.sign_out,
    ):
        began = time.monotonic()
        with pytest.raises(Offline):
            await got(call())
        assert time.monotonic() - began < 2.5
    with pytest.raises(SignInRequired):
        await got(client.counts())


async def test_an_account_is_asked_for_once(
    opener: Opener, stack: LocalStack, caplog: pytest.LogCaptureFixture
) -> None:
    client = await opener()
    stack.faults.answer_with(503, "/auth/v1/signup", times=100)
    caplog.set_level(logging.INFO, "httpx")
    with pytest.raises(Unavailable):
        await got(client.sign_up(f"new-{uuid4().hex}@example.com", "a long password"))
    assert sum("/signup" in record.getMessage() for record in caplog.records) == 1


async def test_the_servers_id_of_a_request_is_in_the_error(opener: Opener, people: People) -> None:
    client = await opener(people.ana)
    with pytest.raises(NotFound) as caught:
        await thread_of(client, uuid4())
    assert caught.value.request_id
    assert caught.value.request_id in str(caught.value)


async def test_what_is_no_name_is_refused_before_any_request(
    opener: Opener, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    client = await opener(people.ana)
    caplog.set_level(logging.INFO, "httpx")
    caplog.clear()
    for wrong in (None, 5, b"Acme"):
        with pytest.raises(InvalidInput, match="name: must be text"):
            await got(client.organizations.named(wrong))  # type: ignore[arg-type] # on purpose
    assert caplog.records == []
