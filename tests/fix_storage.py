"""Fixtures: a storage server for all tests, and clients of users that no other test knows."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from customer_tickets.devstack.postgres import Postgres
from storage_server import Storage, serving, storage_database, token


@pytest.fixture(scope="session")
def storage_dsn(postgres_server: Postgres) -> Iterator[str]:
    """A database for all tests of storage; each has buckets of its own."""
    yield storage_database(postgres_server, "storage_tests")
    postgres_server.drop_database("storage_tests")


@pytest.fixture(scope="session")
def storage(storage_dsn: str) -> Iterator[Storage]:
    """A server for all tests that leave it running."""
    folder = Path(tempfile.mkdtemp(prefix="customer-tickets-test-"))
    try:
        with serving(storage_dsn, folder / "storage", "--file-size-limit", "200MB") as server:
            yield server
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def ana() -> str:
    """A user whom no other test knows."""
    return str(uuid.uuid4())


@pytest.fixture
def ben() -> str:
    """A stranger."""
    return str(uuid.uuid4())


@pytest.fixture
def ana_http(storage: Storage, ana: str) -> Iterator[httpx.Client]:
    """A bare client in ana's name."""
    with storage.client(token(ana)) as client:
        yield client


@pytest.fixture
def ben_http(storage: Storage, ben: str) -> Iterator[httpx.Client]:
    """A bare client in ben's name."""
    with storage.client(token(ben)) as client:
        yield client


@pytest.fixture
def service_http(storage: Storage) -> Iterator[httpx.Client]:
    """A bare client past every policy."""
    with storage.client(token(role="service_role")) as client:
        yield client
