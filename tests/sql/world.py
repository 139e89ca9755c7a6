"""Two organizations with their people in one database, and how to act as one of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb


class Actor:
    """A connection that is somebody, inside a transaction."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self.connection = connection

    def call(self, function: str, **arguments: object) -> dict[str, Any]:
        arguments = {
            name: Jsonb(value) if name == "attachments" and isinstance(value, list) else value
            for name, value in arguments.items()
        }
        named = sql.SQL(", ").join(
            sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name))
            for name in arguments
        )
        query = sql.SQL("select {}({})").format(sql.Identifier(*function.split(".")), named)
        # A set of rows may be empty.
        row = self.connection.execute(query, arguments).fetchone()
        answer: dict[str, Any] = row[0] if row else {}
        return answer

    def rows(self, query: str, *values: object) -> list[TupleRow]:
        return self.connection.execute(query.encode(), values or None).fetchall()

    def value(self, query: str, *values: object) -> Any:
        return self.rows(query, *values)[0][0]

    def changed(self, query: str, *values: object) -> int:
        return self.connection.execute(query.encode(), values or None).rowcount

    def problems(self, function: str, **arguments: object) -> list[str]:
        """Expect TK001 of this call; the fields that it names."""
        with self.refused("TK001") as caught:
            self.call(function, **arguments)
        return [problem["field"] for problem in json.loads(caught.value.diag.message_detail or "")]

    @contextmanager
    def refused(self, sqlstate: str) -> Iterator[pytest.ExceptionInfo[psycopg.Error]]:
        """Expect this SQLSTATE of what is done inside, and go on afterwards."""
        with pytest.raises(psycopg.Error) as caught, self.connection.transaction():
            yield caught
        assert caught.value.sqlstate == sqlstate, str(caught.value)


class World:
    """Ana (customer) has a ticket at Acme, Ben (a stranger to it) one at Globex.

    Eva and Ada are Acme's employee and admin, Gus and Gil Globex's.
    """

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.acme, self.globex = uuid4(), uuid4()
        self.ana, self.ben, self.eva, self.gus = uuid4(), uuid4(), uuid4(), uuid4()
        self.ada, self.gil = uuid4(), uuid4()
        self.people = {
            "owner": self.ana,
            "stranger": self.ben,
            "employee": self.eva,
            "other_employee": self.gus,
            "admin": self.ada,
            "other_admin": self.gil,
        }
        self._people()
        self.ticket, self.ben_ticket = uuid4(), uuid4()
        self.message, self.note = uuid4(), uuid4()
        self._tickets()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    @contextmanager
    def backend(self) -> Iterator[Actor]:
        """The owner of the tables, without claims."""
        with self.connection.transaction():
            # Not left out: what the savepoint before set outlives it.
            become(self.connection, None, "postgres")
            yield Actor(self.connection)

    @contextmanager
    def acting(
        self, who: UUID | None, *, role: str = "authenticated", keep: bool = True
    ) -> Iterator[Actor]:
        """Act as PostgREST does for this user: role and claims, in one transaction."""
        with self.connection.transaction(force_rollback=not keep):
            become(self.connection, who, role)
            yield Actor(self.connection)

    @contextmanager
    def as_kind(self, kind: str) -> Iterator[Actor]:
        """Act as one of the kinds of people, or `anonymous`; nothing of it stays."""
        role = "anon" if kind == "anonymous" else "authenticated"
        with self.acting(self.people.get(kind), role=role, keep=False) as actor:
            yield actor

    @contextmanager
    def connected(self, who: UUID) -> Iterator[psycopg.Connection[TupleRow]]:
        """Another connection that is this user, for what happens at the same time."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            become(connection, who, "authenticated", local=False)
            yield connection

    def upload(self, who: UUID, **changes: Any) -> dict[str, Any]:
        """A file of 3 bytes in this user's folder, as storage notes it, to be attached."""
        file: dict[str, Any] = {
            "id": str(uuid4()),
            "file_name": "Étude 1.txt",
            "content_type": "text/plain",
            "size_bytes": 3,
            "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        } | changes
        with self.backend() as backend:
            backend.changed(
                "insert into storage.objects (bucket_id, name, owner_id, metadata)"
                " values ('ticket-attachments', %s, %s, %s)",
                f"{who}/{file['id']}",
                str(who),
                Jsonb({"size": 3, "mimetype": "text/plain"}),
            )
        return file

    def _people(self) -> None:
        names = ["ana", "ben", "eva", "gus", "ada", "gil"]
        ids = [self.ana, self.ben, self.eva, self.gus, self.ada, self.gil]
        staff = [
            (self.eva, "employee", self.acme),
            (self.gus, "employee", self.globex),
            (self.ada, "admin", self.acme),
            (self.gil, "admin", self.globex),
        ]
        with self.connection.cursor() as cursor:
            cursor.executemany(
                "insert into public.organizations (id, name) values (%s, %s)",
                [(self.acme, "Acme"), (self.globex, "Globex")],
            )
            cursor.executemany(
                "insert into auth.users (id, email, raw_user_meta_data) values (%s, %s, %s)",
                [
                    (user, f"{name}@example.com", Jsonb({"display_name": name.title()}))
                    for user, name in zip(ids, names, strict=True)
                ],
            )
            cursor.executemany(
                "update public.profiles set role = %s, org_id = %s where user_id = %s",
                [(role, org, user) for user, role, org in staff],
            )

    def _tickets(self) -> None:
        with self.acting(self.ana) as ana:
            ana.call(
                "create_ticket",
                id=self.ticket,
                subject="Broken",
                description="It is.",
                handling_org_id=self.acme,
            )
            ana.call("send_message", id=self.message, ticket_id=self.ticket, body="Hello?")
            ana.call("mark_ticket_read", ticket_id=self.ticket, seq=1)
        with self.acting(self.ben) as ben:
            ben.call(
                "create_ticket",
                id=self.ben_ticket,
                subject="Lost",
                description="",
                handling_org_id=self.globex,
            )
        with self.acting(self.eva) as eva:
            eva.call(
                "send_message",
                id=self.note,
                ticket_id=self.ticket,
                body="He always complains.",
                message_type="internal",
            )
            eva.call("mark_ticket_read", ticket_id=self.ticket, seq=2)


def become(
    connection: psycopg.Connection[TupleRow], who: UUID | None, role: str, *, local: bool = True
) -> None:
    """Take on role and claims; for the running transaction only, when local."""
    claims = {"role": role} if who is None else {"role": role, "sub": str(who)}
    connection.execute(
        "select set_config('role', %s, %s), set_config('request.jwt.claims', %s, %s)",
        [role, local, json.dumps(claims), local],
    )
