import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.pq import ExecStatus

from customer_tickets.devstack.postgres import Postgres
from customer_tickets.devstack.process import StackError, accepts_connections


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="customer-tickets-test-"))
    yield path
    shutil.rmtree(path)


def test_postgres_is_no_superuser_but_may_do_what_migrations_do(database: str) -> None:
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "select rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
            " from pg_roles where rolname = current_user"
        ).fetchone()
        assert row == (False, True, True, True, True)
        connection.execute("create table public.thing (id uuid references auth.users)")
        connection.execute("create schema thingdom")
        connection.execute(
            "create trigger t after insert on auth.users for each row"
            " execute function suppress_redundant_updates_trigger()"
        )
        connection.execute("set role anon")


def test_postgres_may_let_other_roles_into_the_system_schemas(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("create role guest")
        connection.execute("grant usage on schema storage, realtime to guest")
        privileges = connection.execute(
            "select has_schema_privilege('guest', 'storage', 'usage'),"
            " has_schema_privilege('guest', 'realtime', 'usage')"
        ).fetchone()
        assert privileges == (True, True)
        connection.rollback()


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_the_api_roles_have_what_is_granted_to_them_by_a_role(database: str, role: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("create role reader")
        connection.execute("create schema closed create table thing ()")
        connection.execute("grant usage on schema closed to reader")
        connection.execute("grant select on closed.thing to reader")
        connection.execute(f"grant reader to {role}".encode())
        connection.execute(f"set role {role}".encode())
        connection.execute("select from closed.thing")
        connection.rollback()


def test_the_server_speaks_utc_and_knows_letters(database: str) -> None:
    with psycopg.connect(database) as connection:
        assert connection.execute("show timezone").fetchone() == ("UTC",)
        assert connection.execute("show wal_level").fetchone() == ("logical",)
        assert connection.execute("select lower('ÄÉ')").fetchone() == ("äé",)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ("", (None, None, None)),
        (
            (
                '{"sub": "8d3b2a3c-5c2d-4d6e-9f00-000000000001", "role": "authenticated",'
                ' "email": "a@example.com"}'
            ),
            ("8d3b2a3c-5c2d-4d6e-9f00-000000000001", "authenticated", "a@example.com"),
        ),
    ],
)
def test_auth_functions_read_the_claims(
    database: str, claims: str, expected: tuple[str | None, ...]
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        connection.execute("set local role authenticated")
        row = connection.execute("select auth.uid()::text, auth.role(), auth.email()").fetchone()
        assert row == expected


def test_api_roles_see_nothing_of_auth(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("set role authenticated")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select * from auth.users")


def test_a_database_is_dropped_under_those_who_follow_its_log(postgres_server: Postgres) -> None:
    postgres_server.create_database("followed")
    dsn = postgres_server.dsn("followed", "supabase_admin")
    with psycopg.connect(dsn, replication="database", autocommit=True) as follower:
        slot = follower.pgconn.exec_(b"CREATE_REPLICATION_SLOT follows TEMPORARY LOGICAL pgoutput")
        assert slot.status == ExecStatus.TUPLES_OK
        postgres_server.drop_database("followed")
        assert follower.pgconn.exec_(b"IDENTIFY_SYSTEM").status == ExecStatus.FATAL_ERROR


def test_data_is_kept_between_two_runs(folder: Path) -> None:
    with Postgres.start(folder) as server:
        server.create_database("kept")
        with psycopg.connect(server.dsn("kept")) as connection:
            connection.execute("create table public.thing as select 42 as answer")
    assert not accepts_connections(server.port)
    with (
        Postgres.start(folder, durable=True) as server,
        psycopg.connect(server.dsn("kept")) as connection,
    ):
        assert connection.execute("select answer from public.thing").fetchone() == (42,)
        assert connection.execute("show fsync").fetchone() == ("on",)


def test_a_taken_port_is_said_in_words(folder: Path, postgres_server: Postgres) -> None:
    with pytest.raises(StackError, match=f"Port {postgres_server.port} is taken"):
        Postgres.start(folder, port=postgres_server.port)


def test_other_programs_are_looked_for(folder: Path) -> None:
    with pytest.raises(StackError, match="There is no initdb in"):
        Postgres.start(folder, binaries=folder)


def test_data_of_somebody_else_is_left_alone(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "mydb").touch()
    with pytest.raises(StackError, match="is not the data of a local stack's Postgres"):
        Postgres.start(folder)
    assert (folder / "data" / "mydb").exists()
