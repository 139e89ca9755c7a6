"""The official Supabase CLI works on the local stack, and its advisors find nothing."""

import json
import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from customer_tickets import migrate
from customer_tickets.devstack.npm import npm_parts
from customer_tickets.devstack.postgres import TEMPLATE, Postgres

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(180)  # the first run installs the CLI


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
