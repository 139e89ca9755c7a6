"""Fixtures on real servers: a Postgres, a database per test, the whole stack, people."""

import importlib
import importlib.util
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from customer_tickets.devstack.postgres import TEMPLATE, Postgres

MIGRATED = "template_migrated"


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
    if importlib.util.find_spec("customer_tickets.migrate") is not None:
        migrate = importlib.import_module("customer_tickets.migrate")
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
