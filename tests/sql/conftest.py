from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from customer_tickets.devstack.postgres import Postgres
from sql.world import World


@contextmanager
def cloned(server: Postgres, template: str) -> Iterator[World]:
    name = f"test_{uuid4().hex}"
    server.create_database(name, template)
    with World(server.dsn(name)) as world:
        yield world
    server.drop_database(name)


@pytest.fixture(scope="session")
def session_world(postgres_server: Postgres, migrated_template: str) -> Iterator[World]:
    with cloned(postgres_server, migrated_template) as world:
        yield world


@pytest.fixture
def world(session_world: World) -> Iterator[World]:
    """The world as it was made; what a test does in it is rolled back."""
    with session_world.connection.transaction(force_rollback=True):
        yield session_world


@pytest.fixture(scope="module")
def lasting_world(postgres_server: Postgres, migrated_template: str) -> Iterator[World]:
    """A world of a module's own, for several connections: what is done in it stays."""
    with cloned(postgres_server, migrated_template) as world:
        yield world


@pytest.fixture
def own_world(postgres_server: Postgres, migrated_template: str) -> Iterator[World]:
    """A world of a test's own, to be broken."""
    with cloned(postgres_server, migrated_template) as world:
        yield world
