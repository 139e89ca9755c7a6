"""Fixtures on real servers: a Postgres, a database per test, the whole stack, people."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from customer_tickets import migrate
from customer_tickets.devstack import LocalStack
from customer_tickets.devstack.fixtures import (
    PASSWORD,
    OrganizationFactory,
    StackUser,
    UserFactory,
)
from customer_tickets.devstack.postgres import TEMPLATE, Postgres
from remote_project import Stack
from tcp_proxy import TcpProxy

MIGRATED = "template_migrated"
Person = StackUser

__all__ = ["PASSWORD", "People", "Person"]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A server with the system schemas, for tests of the SQL alone.

    CUSTOMER_TICKETS_TEST_POSTGRES names the folder with another version's `initdb` and `postgres`.
    """
    other = os.environ.get("CUSTOMER_TICKETS_TEST_POSTGRES")
    # Not pytest's folder: when tests run as root, Postgres runs as a user who may not enter it.
    folder = Path(tempfile.mkdtemp(prefix="customer-tickets-test-"))
    try:
        with Postgres.start(folder, binaries=Path(other) if other else None) as server:
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
def stack(supabase_stack: Stack) -> Stack:
    """The whole local stack, with fault switches, without seed and realtime's real delays.

    With `--remote` a RemoteProject: tests that ask for more than it has carry the marker `faults`.
    """
    return supabase_stack


@pytest.fixture
def people(
    supabase_database: psycopg.Connection[Any],
    supabase_organization: OrganizationFactory,
    supabase_user: UserFactory,
) -> People:
    """An organization and four people of this test's own; row level security keeps tests apart."""
    organization = supabase_organization("Acme")
    row = supabase_database.execute(
        "select name from public.organizations where id = %s", [organization]
    ).fetchone()
    assert row is not None
    return People(
        organization_id=organization,
        organization_name=row[0],
        ana=supabase_user("Ana"),
        ben=supabase_user("Ben"),
        eva=supabase_user("Eva", role="employee", organization=organization),
        admin=supabase_user("Admin", role="admin", organization=organization),
    )


@pytest.fixture
def proxy(stack: LocalStack) -> Iterator[TcpProxy]:
    """A proxy of this test's own in front of the stack: connect to `proxy.url`."""
    with TcpProxy(stack.port) as running:
        yield running
