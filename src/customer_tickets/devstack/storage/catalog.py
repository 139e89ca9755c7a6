"""The rows of buckets and objects: the questions asked in a caller's transaction."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg.errors import UniqueViolation
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from customer_tickets.devstack.storage import errors
from customer_tickets.devstack.storage.database import Connection

__all__ = ["NewObject", "delete_objects", "find_bucket", "find_object", "insert", "upsert"]

# Names the lock that commits share and the sweep of orphans takes alone.
_COMMITS = 7_309_420_717
_INSERT = """
    insert into storage.objects
      (bucket_id, name, owner, owner_id, version, metadata, user_metadata)
    values (%s, %s, %s, %s, %s, %s, %s)
"""


@dataclass(frozen=True, slots=True)
class NewObject:
    """A row to be written, for trial or in earnest."""

    bucket: str
    key: str
    owner: str | None
    version: str
    metadata: Mapping[str, object] | None
    user_metadata: Mapping[str, object] | None

    def values(self) -> list[object]:
        """In the order of the statements here."""
        return [
            self.bucket,
            self.key,
            as_uuid(self.owner),
            self.owner,
            self.version,
            None if self.metadata is None else Jsonb(self.metadata),
            None if self.user_metadata is None else Jsonb(self.user_metadata),
        ]


def as_uuid(text: str | None) -> uuid.UUID | None:
    """The text as a uuid, None when it is none."""
    try:
        return None if text is None else uuid.UUID(text)
    except ValueError:
        return None


async def find_bucket(connection: Connection, bucket: str) -> DictRow:
    """The bucket's row; raises NoSuchBucket."""
    found = await connection.execute("select * from storage.buckets where id = %s", [bucket])
    row = await found.fetchone()
    if row is None:
        raise errors.no_such_bucket()
    return row


async def find_object(connection: Connection, bucket: str, key: str) -> DictRow:
    """The object's row; raises NoSuchKey."""
    found = await connection.execute(
        "select * from storage.objects where bucket_id = %s and name = %s", [bucket, key]
    )
    row = await found.fetchone()
    if row is None:
        raise errors.no_such_key()
    return row


async def insert(connection: Connection, new: NewObject) -> None:
    """Write a row that is new; needs no right to see it. Raises Duplicate."""
    try:
        await connection.execute(_INSERT, new.values())
    except UniqueViolation:
        raise errors.duplicate("KeyAlreadyExists") from None


async def upsert(connection: Connection, new: NewObject) -> DictRow:
    """Write a row, over the one of that name if there is one; needs the right to see and change."""
    written = await connection.execute(
        _INSERT
        + """
        on conflict (bucket_id, name) do update set
          metadata = excluded.metadata,
          user_metadata = coalesce(excluded.user_metadata, objects.user_metadata),
          version = excluded.version,
          owner = coalesce(excluded.owner, objects.owner),
          owner_id = coalesce(excluded.owner_id, objects.owner_id)
        returning *
        """,
        new.values(),
    )
    row = await written.fetchone()
    assert row is not None
    return row


async def enter_commit(connection: Connection) -> None:
    """Say that a file gets its row in this transaction."""
    await connection.execute(f"select pg_advisory_xact_lock_shared({_COMMITS})".encode())


async def all_versions(connection: Connection) -> set[str | None]:
    """The versions of all rows, those included that a killed server was just committing."""
    await connection.execute(f"select pg_advisory_xact_lock({_COMMITS})".encode())
    found = await connection.execute("select version from storage.objects")
    return {row["version"] async for row in found}


async def locked_version(connection: Connection, bucket: str, key: str) -> str | None:
    """The version of the object's file, None without an object.

    Until the end of the transaction nobody else replaces it, nor makes it when it is not there.
    """
    await connection.execute(
        "select pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{bucket}/{key}"]
    )
    found = await connection.execute(
        "select version from storage.objects where bucket_id = %s and name = %s for update",
        [bucket, key],
    )
    row = await found.fetchone()
    return None if row is None else row["version"]


async def move(
    connection: Connection, source: tuple[str, str], target: tuple[str, str], owner: str | None
) -> DictRow:
    """Give an object another name or bucket; raises NoSuchKey when it may not be changed."""
    moved = await connection.execute(
        """
        update storage.objects set bucket_id = %s, name = %s,
          owner = coalesce(%s, owner), owner_id = coalesce(%s, owner_id)
        where bucket_id = %s and name = %s
        returning *
        """,
        [*target, as_uuid(owner), owner, *source],
    )
    row = await moved.fetchone()
    if row is None:
        raise errors.no_such_key()
    return row


async def delete_objects(
    connection: Connection, bucket: str, keys: Sequence[str] | None
) -> list[DictRow]:
    """Delete the objects of these names (all when None), as far as the caller may; return them."""
    deleted = await connection.execute(
        """
        delete from storage.objects
        where bucket_id = %(bucket)s and (%(keys)s::text[] is null or name = any(%(keys)s))
        returning *
        """,
        {"bucket": bucket, "keys": None if keys is None else list(keys)},
    )
    return await deleted.fetchall()
