"""Migrations and their rollbacks, the snapshot of the schema, the seed."""

import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import TupleRow

from customer_tickets import migrate
from customer_tickets.devstack.postgres import Postgres
from sql.describe import described

SUPABASE = Path(__file__).parents[2] / "supabase"
SNAPSHOT = SUPABASE / "schema.sql"
REFRESH = "CUSTOMER_TICKETS_WRITE_SNAPSHOT"
HEAD = f"""-- The schema that the migrations make, for reading and for reviews; not to be run.
-- Compared and, with {REFRESH}=1, written by tests/sql/test_migrations.py.

"""
Connection = psycopg.Connection[TupleRow]


@pytest.fixture
def empty(postgres_server: Postgres) -> Iterator[str]:
    """The address of a database with the system schemas only."""
    name = f"test_{uuid4().hex}"
    postgres_server.create_database(name)
    yield postgres_server.dsn(name)
    postgres_server.drop_database(name)


@pytest.fixture
def connection(empty: str) -> Iterator[Connection]:
    with psycopg.connect(empty, autocommit=True) as connection:
        yield connection


@pytest.fixture
def migrated(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def versions() -> list[str]:
    return [migration.version for migration in migrate.migrations()]


def test_names() -> None:
    files = sorted(path.name for path in (SUPABASE / "migrations").iterdir())
    assert files == sorted(path.name for path in (SUPABASE / "rollbacks").iterdir())
    assert all(re.fullmatch(r"\d{14}_[a-z]+(_[a-z]+)+\.sql", name) for name in files)
    assert [f"{m.version}_{m.name}.sql" for m in migrate.migrations()] == files


@pytest.mark.parametrize("migration", migrate.migrations(), ids=lambda migration: migration.name)
def test_style(migration: migrate.Migration) -> None:
    head = migration.sql.split("\n\n")[0].splitlines()
    assert 2 <= len(head) <= 5
    assert all(line.startswith("-- ") for line in head)
    assert not re.search(r"(?i)(table|index|schema) if |create extension|or replace", migration.sql)
    assert max(len(line) for line in migration.sql.splitlines()) <= 120
    assert migration.rollback.startswith("-- ")


def test_the_schema_is_what_the_snapshot_says(migrated: Connection) -> None:
    schema = HEAD + described(migrated)
    if os.environ.get(REFRESH):
        SNAPSHOT.write_text(schema, encoding="utf-8")
    assert schema == SNAPSHOT.read_text(encoding="utf-8"), f"to accept it: {REFRESH}=1"


def test_up_down_up(connection: Connection) -> None:
    before = described(connection)
    assert migrate.apply(connection) == versions()
    up = described(connection)
    connection.execute("set customer_tickets.allow_data_loss = 'on'")
    assert migrate.roll_back(connection) == versions()[::-1]
    assert described(connection) == before
    assert migrate.applied(connection) == []
    assert migrate.apply(connection) == versions()
    assert described(connection) == up


def test_each_rollback_undoes_its_migration_and_no_other(connection: Connection) -> None:
    connection.execute("set customer_tickets.allow_data_loss = 'on'")
    states = [described(connection)]
    for migration in migrate.migrations():
        connection.execute(migration.sql.encode())
        states.append(described(connection))
    for migration, before in zip(
        reversed(migrate.migrations()), reversed(states[:-1]), strict=True
    ):
        connection.execute(migration.rollback.encode())
        assert described(connection) == before, migration.name


def test_rolling_back_to_a_version(connection: Connection) -> None:
    migrate.apply(connection)
    assert migrate.roll_back(connection, to=versions()[-3]) == versions()[:-3:-1]
    assert migrate.applied(connection) == versions()[:-2]
    assert migrate.roll_back(connection, to=versions()[-3]) == []
    assert migrate.apply(connection) == versions()[-2:]


def test_what_loses_data_refuses_and_leaves_everything(migrated: Connection) -> None:
    before = described(migrated)
    with pytest.raises(psycopg.Error, match="this rollback deletes") as caught:
        migrate.roll_back(migrated)
    assert "customer_tickets.allow_data_loss" in (caught.value.diag.message_hint or "")
    assert described(migrated) == before
    assert migrate.applied(migrated) == versions()


@pytest.mark.parametrize("migration", migrate.migrations(), ids=lambda migration: migration.name)
def test_a_rollback_that_drops_a_table_refuses(
    migrated: Connection, migration: migrate.Migration
) -> None:
    if "create table" in migration.sql:
        with pytest.raises(psycopg.errors.RaiseException, match="deletes"):
            migrated.execute(migration.rollback.encode())
    else:
        assert "allow_data_loss" not in migration.rollback


def test_applying_again_does_nothing(migrated: Connection) -> None:
    assert migrate.apply(migrated) == []


def test_records_are_those_of_the_supabase_cli(migrated: Connection) -> None:
    rows = migrated.execute(
        "select version, name, statements from supabase_migrations.schema_migrations order by 1"
    ).fetchall()
    assert rows == [(m.version, m.name, [m.sql]) for m in migrate.migrations()]


def test_two_installs_at_once(empty: str) -> None:
    def install() -> list[str]:
        with psycopg.connect(empty) as connection:
            return migrate.apply(connection)

    with ThreadPoolExecutor(2) as pool:
        done = [work.result() for work in [pool.submit(install) for _ in range(2)]]
    assert sorted(done[0] + done[1]) == versions()


def test_a_failing_file_leaves_nothing_of_itself(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = migrate.migrations()[0]
    bad = migrate.Migration("20991231000000", "break_things", "create table t (); nonsense", "")
    monkeypatch.setattr(migrate, "migrations", lambda: [good, bad])
    with pytest.raises(psycopg.errors.SyntaxError):
        migrate.apply(connection)
    assert migrate.applied(connection) == [good.version]
    assert connection.execute("select to_regclass('public.t')").fetchone() == (None,)


def test_users_from_before_get_a_profile(connection: Connection) -> None:
    user = uuid4()
    connection.execute("insert into auth.users (id, email) values (%s, 'old@example.com')", [user])
    migrate.apply(connection)
    rows = connection.execute("select user_id, role, display_name from public.profiles").fetchall()
    assert rows == [(user, "customer", "old")]


def test_the_seed(migrated: Connection) -> None:
    started = time.monotonic()
    migrated.execute(migrate.seed().encode())
    assert time.monotonic() - started < 10
    kinds = migrated.execute("select distinct status from public.tickets").fetchall()
    assert {kind for (kind,) in kinds} == {"open", "in-progress", "closed"}
    counts = migrated.execute(
        "select count(*), max(mine) from (select count(*) as mine from public.tickets"
        " group by user_id) t"
    ).fetchall()
    assert counts == [(3, 2000)]
    roles = migrated.execute("select role, count(*) from public.profiles group by 1").fetchall()
    assert dict(roles) == {"customer": 3, "employee": 2, "admin": 1}
    holes = migrated.execute(
        "select count(*) from public.tickets t where array(select e.seq from public.ticket_events e"
        " where e.ticket_id = t.id order by 1) <> array(select generate_series(1, t.last_seq))"
    ).fetchall()
    assert holes == [(0,)]
    rated = migrated.execute("select rating, now() - created_at from public.ticket_feedback")
    ((rating, age),) = rated.fetchall()
    assert (rating, age > timedelta(days=39)) == (2, True)
    assert migrated.execute("select count(*) from public.ticket_drafts").fetchall() == [(1,)]
    notes = migrated.execute(
        "select count(*) from public.ticket_messages where message_type = 'internal'"
    ).fetchall()
    assert notes == [(1,)]
    disabled = migrated.execute("select count(*) from pg_trigger where tgenabled <> 'O'").fetchall()
    assert disabled == [(0,)]
    assert migrated.execute("select auth.uid()").fetchall() == [(None,)]
