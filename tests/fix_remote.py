"""`pytest --remote`: the end-to-end tests on a project that was not started for them.

Tests with the marker `faults` are skipped there, and files about the local stack's own parts are
not collected. Whatever a test has made is removed after it.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import psycopg
import pytest

from customer_tickets.devstack import LocalStack
from customer_tickets.devstack.fixtures import OrganizationFactory, StackUser, UserFactory
from remote_project import RemoteProject, Stack

# They start the parts one by one, or ask how the local stack itself behaves.
LOCAL_FILES = ("test_devstack_", "test_storage_", "test_realtime_", "test_faults_", "test_remote")
NEEDS_LOCAL = "needs the local stack's processes, fault switches or secrets"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("customer_tickets")
    group.addoption("--remote", action="store_true", help="run on the project in SUPABASE_URL")
    group.addoption(
        "--remote-migrate",
        action="store_true",
        help="with --remote: apply the migrations that the project lacks; they stay",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--remote"):
        return
    try:
        project = RemoteProject.from_environment(os.environ)
        missing = project.missing_migrations()
    except LookupError as error:
        raise pytest.UsageError(f"--remote runs on your project: {error}.") from None
    except psycopg.OperationalError as error:
        raise pytest.UsageError(f"SUPABASE_DB_URL cannot be reached: {error}") from None
    if missing and not config.getoption("--remote-migrate"):
        raise pytest.UsageError(
            f"{project.url} lacks the migrations {', '.join(missing)}: apply them yourself"
            " (supabase db push), or give --remote-migrate (make test-remote MIGRATE=1)."
        )
    if missing:
        project.migrate()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    local = collection_path.name.startswith(LOCAL_FILES)
    return True if local and config.getoption("--remote") else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--remote"):
        for item in items:
            if item.get_closest_marker("faults"):
                item.add_marker(pytest.mark.skip(reason=NEEDS_LOCAL))


@dataclass
class Made:
    """What one test has made, to be removed from a project that lives on."""

    users: list[UUID] = field(default_factory=list[UUID])
    organizations: list[UUID] = field(default_factory=list[UUID])


@pytest.fixture(scope="session")
def supabase_stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The project of the environment with `--remote`, else the package's fixture of this name."""
    if request.config.getoption("--remote"):
        yield RemoteProject.from_environment(os.environ)
        return
    options: dict[str, Any] = request.getfixturevalue("supabase_stack_options")
    with LocalStack.start(**options) as stack:
        yield stack


@pytest.fixture
def made(supabase_stack: Stack) -> Iterator[Made]:
    """What is added here is removed after the test, where the project outlives the tests."""
    made = Made()
    yield made
    if isinstance(supabase_stack, RemoteProject):
        supabase_stack.remove(made.users, made.organizations)


@pytest.fixture
def supabase_organization(
    supabase_organization: OrganizationFactory, made: Made
) -> OrganizationFactory:
    """The package's fixture of this name; what it makes is removed from a remote project."""

    def make(name: str = "Acme") -> UUID:
        organization = supabase_organization(name)
        made.organizations.append(organization)
        return organization

    return make


@pytest.fixture
def supabase_user(supabase_user: UserFactory, made: Made) -> UserFactory:
    """The package's fixture of this name; whom it makes is removed from a remote project."""

    def make(
        name: str = "user",
        *,
        role: Literal["customer", "employee", "admin"] = "customer",
        organization: UUID | None = None,
    ) -> StackUser:
        user = supabase_user(name, role=role, organization=organization)
        made.users.append(user.id)
        return user

    return make
