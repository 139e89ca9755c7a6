"""May this caller read from, or write to, this topic? The policies of realtime.messages decide.

The database is asked as the caller would be: rows are tried out in a transaction that is rolled
back. The SELECT policies decide about reading, the INSERT policies about writing.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from customer_tickets.devstack.realtime.database import Connection, Database, DatabaseTrouble
from customer_tickets.devstack.realtime.tokens import Claims
from customer_tickets.devstack.realtime.values import to_json

__all__ = ["Caller", "Grants", "ask_read", "ask_write"]

BROADCAST, PRESENCE = "broadcast", "presence"
PROBE = sql.SQL(
    "insert into realtime.messages (id, topic, extension, inserted_at, updated_at)"
    " values (%s, %s, %s, now(), now())"
)
# Supabase would take on whatever role a token names. Here it has to be one that the API may take
# on as well, so that a token for `postgres` opens nothing.
KNOWN_ROLE = (
    "select 1 from pg_catalog.pg_roles where rolname = %s"
    " and pg_catalog.pg_has_role('authenticator', oid, 'member') and not rolsuper"
)
BECOME = (
    "select set_config('realtime.topic', %s, true), set_config('request.jwt.claims', %s, true),"
    " set_config('request.jwt.claim.sub', %s, true),"
    " set_config('request.jwt.claim.role', %s, true),"
    " set_config('request.headers', %s, true), set_config('role', %s, true)"
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the claims of the token and the `x-` headers of the connection."""

    claims: Claims
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Grants:
    """What is allowed on a topic, for each of the two extensions."""

    broadcast: bool = False
    presence: bool = False


async def ask_read(database: Database, caller: Caller, topic: str, *, presence: bool) -> Grants:
    """What the caller may receive. An error in a policy, or an unknown role, means nothing at all.

    Presence is asked about only when wanted. Raises DatabaseTrouble.
    """
    extensions = [BROADCAST, PRESENCE] if presence else [BROADCAST]

    async def work(connection: Connection) -> Grants:
        probes = {extension: uuid.uuid4() for extension in extensions}
        for extension, probe in probes.items():
            await connection.execute(PROBE, (probe, topic, extension))
        await _become(connection, caller, topic)
        seen = await _visible(connection, list(probes.values()))
        return Grants(probes[BROADCAST] in seen, probes.get(PRESENCE) in seen)

    try:
        return await database.run(work)
    except psycopg.Error as error:
        _refuse_if_partition_missing(error)
        return Grants()


async def ask_write(database: Database, caller: Caller, topic: str) -> Grants:
    """What the caller may send. Raises DatabaseTrouble, also when a policy raises an error."""

    async def work(connection: Connection) -> Grants:
        await _become(connection, caller, topic)
        return Grants(
            await _may_insert(connection, topic, BROADCAST),
            await _may_insert(connection, topic, PRESENCE),
        )

    try:
        return await database.run(work)
    except psycopg.Error as error:
        _refuse_if_partition_missing(error)
        raise DatabaseTrouble("RlsPolicyError", "A policy of realtime.messages failed") from None


async def _become(connection: Connection, caller: Caller, topic: str) -> None:
    claims = caller.claims
    known = await connection.execute(KNOWN_ROLE, (claims.role,))
    if await known.fetchone() is None:
        raise psycopg.errors.InvalidParameterValue("unknown role")
    subject = claims.all.get("sub")
    await connection.execute(
        BECOME,
        (
            topic,
            to_json(claims.all),
            "" if subject is None else str(subject),
            claims.role,
            to_json(caller.headers),
            claims.role,
        ),
    )


async def _visible(connection: Connection, ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    rows = await connection.execute(
        "select id from realtime.messages where id = any(%s)", (list(ids),)
    )
    return {row[0] for row in await rows.fetchall()}


async def _may_insert(connection: Connection, topic: str, extension: str) -> bool:
    try:
        async with connection.transaction(force_rollback=True):
            await connection.execute(PROBE, (uuid.uuid4(), topic, extension))
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def _refuse_if_partition_missing(error: psycopg.Error) -> None:
    if isinstance(error, psycopg.errors.CheckViolation):
        raise DatabaseTrouble(
            "MissingPartition", "Realtime was unable to find the expected messages partition"
        ) from None
