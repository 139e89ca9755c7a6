"""Fixtures for pytest: one local stack per session, users per test.

In the conftest.py at the root of your tests:

    pytest_plugins = ["customer_tickets.devstack.fixtures"]

and in a test:

    def test_tickets(supabase_stack, supabase_user):
        ana = supabase_user("Ana")
        with CustomerTickets(supabase_stack.url, supabase_stack.publishable_key) as tickets:
            tickets.sign_in(ana.email, ana.password)

Row level security keeps tests apart: give each its own users and organizations. Whatever a test
asks of `supabase_stack.faults` ends with the test, and a part that it killed is started again.
pytest itself is not a requirement of this package: it is there when your tests run.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from uuid import UUID

import psycopg
import pytest

from customer_tickets.devstack import LocalStack
from customer_tickets.devstack.people import insert_user

__all__ = ["OrganizationFactory", "StackUser", "UserFactory"]

PASSWORD = "a password of tests"  # noqa: S105 - of users that live as long as the stack


@dataclass(frozen=True)
class StackUser:
    """Somebody who can sign in to the stack."""

    id: UUID
    email: str
    password: str = field(repr=False)
    display_name: str


class UserFactory(Protocol):
    """What the fixture `supabase_user` is."""

    def __call__(
        self,
        name: str = "user",
        *,
        role: Literal["customer", "employee", "admin"] = "customer",
        organization: UUID | None = None,
    ) -> StackUser:
        """Make a user whom no other test has.

        Args:
            name: the display name, and how the e-mail begins.
            role: what the user is; staff belong to an organization.
            organization: the organization of an employee or admin.
        """
        ...


class OrganizationFactory(Protocol):
    """What the fixture `supabase_organization` is."""

    def __call__(self, name: str = "Acme") -> UUID:
        """Make an organization whose name begins so, and return its id."""
        ...


@pytest.fixture(scope="session")
def supabase_stack_options() -> dict[str, Any]:
    """What `LocalStack.start` is given; override it to choose, for example, a profile."""
    return {"faults": True}


@pytest.fixture(scope="session")
def supabase_stack(supabase_stack_options: dict[str, Any]) -> Iterator[LocalStack]:
    """The whole stack, with every migration and without seed, for all tests of the session."""
    with LocalStack.start(**supabase_stack_options) as stack:
        yield stack


@pytest.fixture(autouse=True)
def supabase_faults_end(request: pytest.FixtureRequest) -> Iterator[None]:
    """Start, after each test, the parts that it killed, and end the faults that it asked for."""
    # Asking for the stack here would start it for tests that do not want it.
    uses_stack = "supabase_stack" in request.fixturenames
    stack = request.getfixturevalue("supabase_stack") if uses_stack else None
    yield
    # Another project than a local one may stand in its place.
    if isinstance(stack, LocalStack):
        _mend(stack)


def _mend(stack: LocalStack) -> None:
    parts = (stack.rest, stack.auth, stack.storage, stack.realtime, stack.gateway)
    for child in (stack.postgres.child, *parts):
        # The gateway, too, when it was started a moment ago: it has to be asked.
        if not child.running or child is stack.gateway:
            child.start()
    if stack.has_faults:
        stack.faults.reset()


@pytest.fixture(scope="session")
def supabase_password_hash(supabase_stack: LocalStack) -> str:
    """What the auth server stores of the password of every user made here."""
    return supabase_stack.hashed(PASSWORD)


@pytest.fixture
def supabase_database(supabase_stack: LocalStack) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the stack's database as `postgres`; each statement is committed."""
    with psycopg.connect(supabase_stack.database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def supabase_organization(supabase_database: psycopg.Connection[Any]) -> OrganizationFactory:
    """Makes organizations of this test's own."""

    def make(name: str = "Acme") -> UUID:
        row = supabase_database.execute(
            "insert into public.organizations (name) values (%s) returning id",
            [f"{name} {uuid.uuid4().hex[:12]}"],
        ).fetchone()
        assert row is not None
        made: UUID = row[0]
        return made

    return make


@pytest.fixture
def supabase_user(
    supabase_database: psycopg.Connection[Any], supabase_password_hash: str
) -> UserFactory:
    """Makes users of this test's own, straight in the database: milliseconds each."""

    def make(
        name: str = "user",
        *,
        role: Literal["customer", "employee", "admin"] = "customer",
        organization: UUID | None = None,
    ) -> StackUser:
        if role != "customer" and organization is None:
            raise ValueError(f"an {role} belongs to an organization: give its id")
        email = f"{'-'.join(name.lower().split())}-{uuid.uuid4().hex[:12]}@example.com"
        with supabase_database.transaction():
            user = insert_user(supabase_database, email, supabase_password_hash, display_name=name)
            if role != "customer":
                supabase_database.execute(
                    "update public.profiles set role = %s, org_id = %s where user_id = %s",
                    [role, organization, user],
                )
        return StackUser(user, email, PASSWORD, name)

    return make
