from collections.abc import Iterator

import psycopg
import pytest

from customer_tickets import migrate
from customer_tickets.devstack import LocalStack
from customer_tickets.devstack.postgres import TEMPLATE


@pytest.fixture(scope="session")
def seeded_stack() -> Iterator[LocalStack]:
    """What the reader of the docs has: a stack with the people and tickets of the seed."""
    with LocalStack.start(seed=True) as running:
        yield running


@pytest.fixture(scope="session")
def spare_template(seeded_stack: LocalStack) -> str:
    """The name of a database with every migration and nothing in it, to be cloned."""
    name = "docs_template"
    seeded_stack.postgres.create_database(name, TEMPLATE)
    with psycopg.connect(seeded_stack.postgres.dsn(name)) as connection:
        migrate.apply(connection)
    return name


@pytest.fixture
def spare_database(seeded_stack: LocalStack, spare_template: str) -> Iterator[str]:
    """The address of such a database, to be spoilt."""
    name = "docs_spare"
    seeded_stack.postgres.create_database(name, spare_template)
    yield seeded_stack.postgres.dsn(name)
    seeded_stack.postgres.drop_database(name)
