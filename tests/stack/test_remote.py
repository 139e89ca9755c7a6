"""`pytest --remote` on a project of its own: a local stack that it knows by its addresses only."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from customer_tickets.devstack import LocalStack
from customer_tickets.devstack.people import insert_user

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def project() -> Iterator[LocalStack]:
    """Without fault switches, with the people and tickets of others."""
    with LocalStack.start(seed=True) as stack:
        yield stack


def run(
    project: LocalStack, *arguments: str, **variables: str
) -> "subprocess.CompletedProcess[str]":
    given = {
        "SUPABASE_URL": project.url,
        "SUPABASE_PUBLISHABLE_KEY": project.publishable_key,
        "SUPABASE_SECRET_KEY": project.secret_key,
        "SUPABASE_DB_URL": project.database_url,
    } | variables
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "SUPABASE_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--remote", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env=inherited | given,
        capture_output=True,
        text=True,
        check=False,
    )


def content(project: LocalStack) -> list[tuple[object, ...]]:
    """Who and what is in the project."""
    with psycopg.connect(project.database_url) as connection:
        return connection.execute(
            " union all ".join(
                f"select '{table}', {key}::text from {table}"
                for table, key in (
                    *(("auth.users", "id"), ("public.profiles", "user_id")),
                    *(("public.organizations", "id"), ("public.tickets", "id")),
                    *(("public.ticket_messages", "id"), ("storage.objects", "id")),
                    *(("storage.buckets", "id"), ("pg_policies", "policyname")),
                )
            ).encode()
            + b" order by 1, 2"
        ).fetchall()


def test_it_runs_there_skips_what_is_local_and_leaves_nothing(project: LocalStack) -> None:
    before = content(project)
    files = [f"tests/stack/test_{name}.py" for name in ("thread", "session", "supabase_js")]
    done = run(project, "-rs", *files)
    assert done.returncode == 0, done.stdout + done.stderr
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert skipped
    assert all("needs the local stack's" in line for line in skipped)
    assert content(project) == before


def test_files_about_local_parts_are_not_collected(project: LocalStack) -> None:
    done = run(project, "--collect-only", "-q", "tests/stack")
    assert "test_live.py" in done.stdout
    for name in ("devstack", "storage", "realtime", "faults", "remote"):
        assert f"test_{name}" not in done.stdout


def test_what_is_missing_is_said_in_one_message(project: LocalStack) -> None:
    done = run(project, SUPABASE_PUBLISHABLE_KEY="", SUPABASE_DB_URL="")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "set SUPABASE_PUBLISHABLE_KEY or SUPABASE_ANON_KEY, SUPABASE_DB_URL" in done.stderr


def test_a_project_is_migrated_only_when_told(project: LocalStack) -> None:
    name = f"empty_{uuid.uuid4().hex}"
    project.postgres.create_database(name)
    try:
        address = project.postgres.dsn(name)
        done = run(project, "--collect-only", "-q", SUPABASE_DB_URL=address)
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert "lacks the migrations" in done.stderr
        assert "--remote-migrate" in done.stderr
        given = ("--remote-migrate", "--collect-only", "-q", "tests/stack/test_thread.py")
        assert run(project, *given, SUPABASE_DB_URL=address).returncode == 0
        again = run(project, *given[1:], SUPABASE_DB_URL=address)
        assert again.returncode == 0
    finally:
        project.postgres.drop_database(name)


def test_users_are_complete_enough_for_a_hosted_auth_server(project: LocalStack) -> None:
    with psycopg.connect(project.database_url) as connection:
        user = insert_user(connection, "zoe@example.com", "hash", display_name="Zoe")
        filled = connection.execute(
            "select instance_id, aud, role, confirmation_token, recovery_token,"
            " email_change_token_new, email_change, created_at is null, updated_at is null"
            " from auth.users where id = %s",
            [user],
        ).fetchone()
        connection.rollback()
    authenticated = "authenticated"
    assert filled == (uuid.UUID(int=0), authenticated, authenticated, *[""] * 4, False, False)
