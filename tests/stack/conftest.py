"""Clients of both faces, signed in, closed after the test."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

import live_harness
from customer_tickets import AsyncCustomerTickets, CustomerTickets, SignInRequired
from customer_tickets.devstack import LocalStack
from faces import Client, Office, closed, got
from fix_remote import Made
from fix_stack import People, Person
from live_harness import PASSWORD, Scene
from remote_project import RemoteProject, Stack
from tcp_proxy import TcpProxy

Opener = Callable[..., Awaitable[Client]]


@pytest.fixture(params=["blocking", "async"])
async def opener(request: pytest.FixtureRequest, stack: Stack, made: Made) -> AsyncIterator[Opener]:
    """Opens clients of one face, signed in as a person if one is given."""
    face = CustomerTickets if request.param == "blocking" else AsyncCustomerTickets
    opened: list[Client] = []

    async def open_client(
        person: Person | None = None, *, url: str | None = None, **options: Any
    ) -> Client:
        client = face(url if url is not None else stack.url, stack.publishable_key, **options)
        opened.append(client)
        if person is not None:
            await got(client.sign_in(person.email, person.password))
        return client

    yield open_client
    for client in opened:
        with suppress(SignInRequired):
            made.users.append(client.user.id)  # who may have signed up
        await closed(client)


@pytest.fixture
async def tickets(opener: Opener, people: People) -> Client:
    """Ana's client, of either face."""
    return await opener(people.ana)


@pytest.fixture
def office(stack: Stack, people: People) -> Iterator[Office]:
    """Eva's tools."""
    tools = Office(stack, people.eva)
    yield tools
    tools.close()


@pytest.fixture(scope="module")
def scene(stack: LocalStack) -> Scene:
    """A customer and an employee of their own, for what is done to live feeds."""
    return live_harness.seeded(stack)


@pytest.fixture
async def client(opener: Opener, scene: Scene, proxy: TcpProxy) -> Client:
    """The scene's customer, of either face, through the proxy."""
    client = await opener(url=proxy.url)
    await got(client.sign_in(scene.email, PASSWORD))
    return client


@pytest.fixture(scope="module")
def seeded(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A project with the people and tickets of the seed, as the examples expect."""
    if request.config.getoption("--remote"):
        project: RemoteProject = request.getfixturevalue("supabase_stack")
        if not project.is_seeded():
            pytest.skip("the project has no people of supabase/seed.sql to sign in as")
        yield project
        return
    with LocalStack.start(seed=True) as running:
        yield running
