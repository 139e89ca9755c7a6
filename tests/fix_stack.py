"""Fixtures on real servers: a Postgres, a database per test, the whole stack, people."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from customer_tickets import migrate
from customer_tickets.devstack import LocalStack
from customer_tickets.devstack.people import insert_user
from customer_tickets.devstack.postgres import TEMPLATE, Postgres
from tcp_proxy import TcpProxy

MIGRATED = "template_migrated"
PASSWORD = "secret123"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A server with the system schemas, for tests of the SQL alone."""
    # Not pytest's folder: when tests run as root, Postgres runs as a user who may not enter it.
    folder = Path(tempfile.mkdtemp(prefix="customer-tickets-test-"))
    try:
        with Postgres.start(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def migrated_template(postgres_server: Postgres) -> str:
    """The name of a database with every migration, to be cloned."""
    postgres_server.create_database(MIGRATED, TEMPLATE)
    with psycopg.connect(postgres_server.dsn(MIGRATED)) as connection:
        migrate.apply(connection)
    return MIGRATED


@pytest.fixture
def database(postgres_server: Postgres, migrated_template: str) -> Iterator[str]:
    """The address (role `postgres`) of a database with every migration, for one test alone."""
    name = f"test_{uuid.uuid4().hex}"
    postgres_server.create_database(name, migrated_template)
    yield postgres_server.dsn(name)
    postgres_server.drop_database(name)


@dataclass(frozen=True)
class Person:
    """Somebody who can sign in."""

    id: UUID
    email: str
    password: str
    display_name: str


@dataclass(frozen=True)
class People:
    """One organization and the people around it, nobody else's."""

    organization_id: UUID
    organization_name: str
    ana: Person
    """A customer."""
    ben: Person
    """Another customer: a stranger to ana's tickets."""
    eva: Person
    """An employee of the organization."""
    admin: Person
    """An admin of the organization."""


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    """The whole local stack, without seed and without realtime's real delays."""
    with LocalStack.start(faults=True) as running:
        yield running


@pytest.fixture(scope="session")
def password_hash(stack: LocalStack) -> str:
    """What the auth server stores of PASSWORD."""
    return stack.hashed(PASSWORD)


@pytest.fixture
def people(stack: LocalStack, password_hash: str) -> People:
    """An organization and four people of this test's own; row level security keeps tests apart."""
    mark = uuid.uuid4().hex[:12]
    with psycopg.connect(stack.database_url) as connection:

        def person(name: str, role: str | None = None) -> Person:
            email = f"{name}-{mark}@example.com"
            user = insert_user(connection, email, password_hash, display_name=name.title())
            if role is not None:
                connection.execute(
                    "update public.profiles set role = %s, org_id = %s where user_id = %s",
                    [role, organization, user],
                )
            return Person(user, email, PASSWORD, name.title())

        row = connection.execute(
            "insert into public.organizations (name) values (%s) returning id", [f"Acme {mark}"]
        ).fetchone()
        assert row is not None
        organization: UUID = row[0]
        return People(
            organization_id=organization,
            organization_name=f"Acme {mark}",
            ana=person("ana"),
            ben=person("ben"),
            eva=person("eva", "employee"),
            admin=person("admin", "admin"),
        )


@pytest.fixture
def proxy(stack: LocalStack) -> Iterator[TcpProxy]:
    """A proxy of this test's own in front of the stack: connect to `proxy.url`."""
    with TcpProxy(stack.port) as running:
        yield running
