"""The packaged SQL: list it, apply it, roll it back.

What is applied is recorded as the Supabase CLI records it, so that either can go on where the
other stopped. It works on a connection of psycopg 3 (the extra `dev` brings it) as role postgres.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from importlib.resources.abc import Traversable

    from psycopg import Connection
    from psycopg.rows import TupleRow

_FILE_NAME = re.compile(r"(?P<version>\d{14})_(?P<name>\w+)\.sql")
# The letters of the project, so that two installations at once wait for one another.
_LOCK = 0x637573746F6D6572
_CREATE_RECORDS = b"""
    create schema if not exists supabase_migrations;
    create table if not exists supabase_migrations.schema_migrations (
        version text not null primary key, statements text[], name text
    );
"""


@dataclass(frozen=True)
class Migration:
    """One packaged migration: 14-digit version, name, SQL, and the SQL that undoes it."""

    version: str
    name: str
    sql: str
    rollback: str


def migrations() -> list[Migration]:
    """Return every packaged migration, oldest first."""
    package = files("customer_tickets")
    found = [
        _read(file, package / "rollbacks" / file.name)
        for file in (package / "migrations").iterdir()
        if file.name.endswith(".sql")
    ]
    return sorted(found, key=lambda migration: migration.version)


def seed() -> str:
    """Return the SQL that fills an empty database with people and tickets to try things on."""
    return (files("customer_tickets") / "seed.sql").read_text(encoding="utf-8")


def applied(connection: Connection[TupleRow]) -> list[str]:
    """Return the versions that are recorded as applied, oldest first."""
    known = connection.execute("select to_regclass('supabase_migrations.schema_migrations')")
    if known.fetchone() == (None,):
        return []
    rows = connection.execute(
        "select version from supabase_migrations.schema_migrations order by version"
    )
    return [row[0] for row in rows]


def apply(connection: Connection[TupleRow]) -> list[str]:
    """Apply what is not applied yet, each file in a transaction of its own.

    Returns the versions that were applied now. A failing file is rolled back whole and its error,
    a `psycopg.Error`, goes to the caller; those before it stay.
    """
    done: list[str] = []
    for migration in migrations():
        with _turn(connection):
            if migration.version in applied(connection):
                continue
            connection.execute(migration.sql.encode())
            connection.execute(
                "insert into supabase_migrations.schema_migrations (version, name, statements)"
                " values (%s, %s, %s)",
                (migration.version, migration.name, [migration.sql]),
            )
            done.append(migration.version)
    return done


def roll_back(connection: Connection[TupleRow], to: str | None = None) -> list[str]:
    """Undo what is applied and newer than the version `to` (None: everything), newest first.

    Returns the versions that were undone: all of them or, when one fails, none. Rollbacks that
    lose data refuse with a `psycopg.Error` unless the connection has said
    `set customer_tickets.allow_data_loss = 'on'`.
    """
    with connection.transaction():
        return list(_undo(connection, to))


def _undo(connection: Connection[TupleRow], to: str | None) -> Iterator[str]:
    for migration in reversed(migrations()):
        if to is not None and migration.version <= to:
            break
        with _turn(connection):
            if migration.version not in applied(connection):
                continue
            connection.execute(migration.rollback.encode())
            connection.execute(
                "delete from supabase_migrations.schema_migrations where version = %s",
                (migration.version,),
            )
            yield migration.version


def _read(file: Traversable, rollback: Traversable) -> Migration:
    parts = _FILE_NAME.fullmatch(file.name)
    if parts is None:
        raise ValueError(f"{file.name} is not named YYYYMMDDHHMMSS_verb_noun.sql")
    return Migration(
        version=parts["version"],
        name=parts["name"],
        sql=file.read_text(encoding="utf-8"),
        rollback=rollback.read_text(encoding="utf-8"),
    )


@contextmanager
def _turn(connection: Connection[TupleRow]) -> Generator[None]:
    """One transaction, alone among those who migrate this database."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
        # Notices of "already exists" are of no interest to whoever listens on the connection.
        connection.execute("set local client_min_messages = warning")
        connection.execute(_CREATE_RECORDS)
        yield
