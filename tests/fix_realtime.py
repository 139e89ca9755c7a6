"""Fixtures: a realtime server in the test's own loop, on a database of its own."""

import uuid
from collections.abc import AsyncGenerator, Iterator

import psycopg
import pytest

from customer_tickets.devstack.postgres import TEMPLATE, Postgres
from realtime_client import Realtime, serve

# Who may do what is data, so that each test gives and takes rights on topics of its own.
POLICIES = """
create table public.rights (topic text, sub text, reads text[], writes text[]);
grant select on public.rights to authenticated;
create policy "rights decide who reads" on realtime.messages for select to authenticated
  using (extension = any ((
    select reads from public.rights
    where topic = realtime.topic() and sub = current_setting('request.jwt.claim.sub', true)
  )::text[]));
create policy "rights decide who writes" on realtime.messages for insert to authenticated
  with check (extension = any ((
    select writes from public.rights
    where topic = realtime.topic() and sub = current_setting('request.jwt.claim.sub', true)
  )::text[]));
"""


@pytest.fixture(scope="session")
def realtime_dsn(postgres_server: Postgres) -> Iterator[str]:
    """A database with the system schemas and the tests' policies, as the superuser."""
    postgres_server.create_database("realtime_tests", TEMPLATE)
    dsn = postgres_server.dsn("realtime_tests", "supabase_admin")
    with psycopg.connect(dsn) as connection:
        connection.execute(POLICIES)
    yield dsn
    postgres_server.drop_database("realtime_tests")


@pytest.fixture
async def realtime(realtime_dsn: str, anyio_backend: str) -> AsyncGenerator[Realtime]:
    """A server with the profile `fast`."""
    async with serve(realtime_dsn) as server:
        yield server


@pytest.fixture
def topic() -> str:
    """A topic that no other test uses."""
    return f"room:{uuid.uuid4().hex[:12]}"
