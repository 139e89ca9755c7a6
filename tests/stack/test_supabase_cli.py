"""The official Supabase CLI works on the local stack, and its advisors find nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from customer_tickets import CustomerTickets, MessageAdded, migrate
from customer_tickets.devstack import LocalStack
from customer_tickets.devstack.npm import npm_parts
from customer_tickets.devstack.postgres import TEMPLATE, Postgres

ROOT = Path(__file__).parents[2]
# The first run installs the CLI.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


@pytest.fixture(scope="session")
def cli() -> Path:
    parts = npm_parts(print, ROOT / "tests" / "supabase_cli")
    program = parts.folder / "node_modules" / "@supabase" / "cli-linux-x64" / "bin" / "supabase"
    assert program.exists(), "the lock file has the CLI for Linux on x86-64 only"
    return program


def supabase(
    cli: Path, folder: Path, *arguments: str, database: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [cli, *arguments, "--remote", database],
        cwd=folder,
        env={**os.environ, "PGSSLMODE": "disable", "SUPABASE_TELEMETRY_DISABLED": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder as a user's project has it: the migrations are copied, nothing else."""
    target = tmp_path / "supabase"
    (target / "migrations").mkdir(parents=True)
    (target / "config.toml").write_text((ROOT / "supabase" / "config.toml").read_text())
    for path in (ROOT / "supabase" / "migrations").glob("*.sql"):
        (target / "migrations" / path.name).write_text(path.read_text())
    return tmp_path


def test_the_advisors_find_nothing(cli: Path, project: Path, database: str) -> None:
    for kind in ("security", "performance"):
        done = supabase(
            cli, project, "db", "advisors", "--type", kind, "--fail-on", "info", database=database
        )
        assert done.returncode == 0, done.stdout + done.stderr
        findings = json.loads(done.stdout or "[]")
        assert findings == [], findings


def test_the_advisors_would_find_something(cli: Path, project: Path, database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("create table public.forgotten (id int primary key)")
        connection.execute("grant select on public.forgotten to anon")
    done = supabase(
        cli, project, "db", "advisors", "--type", "security", "--fail-on", "info", database=database
    )
    assert "forgotten" in done.stdout


def test_db_push_applies_the_migrations(
    cli: Path, project: Path, postgres_server: Postgres
) -> None:
    postgres_server.create_database("pushed", TEMPLATE)
    try:
        done = supabase(cli, project, "db", "push", "--yes", database=postgres_server.dsn("pushed"))
        assert done.returncode == 0, done.stdout + done.stderr
        with psycopg.connect(postgres_server.dsn("pushed")) as connection:
            applied = connection.execute(
                "select version from supabase_migrations.schema_migrations order by 1"
            ).fetchall()
            assert [row[0] for row in applied] == [one.version for one in migrate.migrations()]
            assert migrate.apply(connection) == []
    finally:
        postgres_server.drop_database("pushed")


@pytest.fixture
def reset_stack() -> Iterator[LocalStack]:
    """A stack of its own: a reset would pull the ground from under other tests."""
    with LocalStack.start() as stack:
        yield stack


@pytest.mark.slow
def test_db_reset_leaves_a_stack_that_works(
    cli: Path, project: Path, reset_stack: LocalStack
) -> None:
    stack = reset_stack
    (project / "supabase" / "seed.sql").write_text((ROOT / "supabase" / "seed.sql").read_text())
    stranger = stack.create_user("stranger@example.com", "secret123")
    versions = [one.version for one in migrate.migrations()]
    done = supabase(cli, project, "db", "reset", "--yes", database=stack.database_url)
    assert done.returncode == 0, done.stdout + done.stderr
    with psycopg.connect(stack.database_url) as connection:
        applied = "select version from supabase_migrations.schema_migrations order by 1"
        assert [row[0] for row in connection.execute(applied)] == versions
        gone = connection.execute("select from auth.users where id = %s", [stranger])
        assert gone.fetchone() is None
    # PostgREST reads the new schema by itself, a moment later; the library tries again.
    with CustomerTickets(stack.url, stack.publishable_key) as tickets:
        tickets.sign_in("ana@example.com", "secret123")
        ticket = next(one for one in tickets.all() if one.status == "open")
        # Asked for so seldom, the table will not tell: only a broadcast can.
        with tickets.thread(ticket).live(check_every=600) as feed:
            while feed.state != "live":
                feed.next(timeout=0.2)
            tickets.thread(ticket).send("Still there?")
            assert isinstance(feed.next(timeout=10), MessageAdded)
    bucket = {"id": "b", "name": "b"}
    headers = {"apikey": stack.secret_key}
    answer = httpx.post(f"{stack.url}/storage/v1/bucket", headers=headers, json=bucket)
    assert answer.status_code == 200, answer.text
    assert stack.reports == []


def test_migration_up_applies_what_is_new(cli: Path, project: Path, database: str) -> None:
    new = project / "supabase" / "migrations" / "20991231000000_add_notes.sql"
    new.write_text(
        "create table public.notes (id int primary key);"
        " alter table public.notes enable row level security;"
    )
    done = supabase(cli, project, "migration", "up", "--yes", database=database)
    assert done.returncode == 0, done.stdout + done.stderr
    with psycopg.connect(database) as connection:
        assert connection.execute("select count(*) from public.notes").fetchone() == (0,)
        last = "select max(version) from supabase_migrations.schema_migrations"
        assert connection.execute(last).fetchone() == ("20991231000000",)


def test_a_migration_that_fails_leaves_nothing(cli: Path, project: Path, database: str) -> None:
    new = project / "supabase" / "migrations" / "20991231000000_fail.sql"
    new.write_text("create table public.notes (id int primary key); select 1 / 0;")
    done = supabase(cli, project, "migration", "up", "--yes", database=database)
    assert done.returncode != 0
    assert "division by zero" in done.stdout + done.stderr
    with psycopg.connect(database) as connection:
        assert connection.execute("select to_regclass('public.notes')").fetchone() == (None,)
        known = "select from supabase_migrations.schema_migrations where version = '20991231000000'"
        assert connection.execute(known).fetchone() is None


def test_types_are_generated_for_python(
    cli: Path, project: Path, database: str, tmp_path: Path
) -> None:
    done = supabase(cli, project, "gen", "types", "--lang", "python", database=database)
    assert done.returncode == 0, done.stderr
    file = tmp_path / "generated.py"
    file.write_text(done.stdout)
    check = "import runpy, sys; names = runpy.run_path(sys.argv[1]); names['PublicTickets']"
    ran = subprocess.run(
        [sys.executable, "-c", check, str(file)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
