"""What the tests of attachments share: tickets with files, and what lies in the bucket."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO
from uuid import UUID, uuid4

import httpx
import psycopg

from customer_tickets import Attachment, Ticket
from faces import Client, got, thread_of
from fix_stack import People, Person
from remote_project import Stack, access_token

BUCKET = "ticket-attachments"


async def with_files(tickets: Client, people: People, *files: Any, **more: Any) -> Ticket:
    """Create a ticket with these attachments; the arguments are checked at run time."""
    return await got(
        tickets.create(
            organization=people.organization_id, subject="Files", attachments=files, **more
        )
    )


async def attached(tickets: Client, people: People, *files: Any) -> tuple[Attachment, ...]:
    """Create a ticket with these attachments and read them back."""
    thread = await thread_of(tickets, await with_files(tickets, people, *files))
    return thread.attachments


def objects(database: psycopg.Connection[Any], owner: Person) -> dict[str, int]:
    """What lies in somebody's folder of the bucket: sizes by attachment id."""
    rows = database.execute(
        "select split_part(name, '/', 2), (metadata ->> 'size')::bigint from storage.objects"
        " where bucket_id = %s and name like %s || '/%%'",
        [BUCKET, str(owner.id)],
    )
    return dict(rows.fetchall())


def tickets_of(database: psycopg.Connection[Any], owner: Person) -> list[UUID]:
    """The ids of somebody's tickets."""
    rows = database.execute("select id from public.tickets where user_id = %s", [owner.id])
    return [row[0] for row in rows]


def put(stack: Stack, person: Person, content: bytes, name: str | None = None) -> httpx.Response:
    """Upload something into somebody's own folder, as any program could."""
    return httpx.post(
        f"{stack.url}/storage/v1/object/{BUCKET}/{name or f'{person.id}/{uuid4()}'}",
        content=content,
        headers={**as_user(stack, person), "Content-Type": "text/plain"},
    )


def as_user(stack: Stack, person: Person) -> dict[str, str]:
    """Return the headers of a request in somebody's name."""
    token = access_token(stack, person)
    return {"apikey": stack.publishable_key, "Authorization": f"Bearer {token}"}


@contextmanager
def limits(
    database: psycopg.Connection[Any], *, size: int | None = None, types: list[str] | None = None
) -> Iterator[None]:
    """Give the bucket other limits for a while; what is left out stays."""
    read = "select file_size_limit, allowed_mime_types from storage.buckets where id = %s"
    before = database.execute(read, [BUCKET]).fetchall()[0]
    change = (
        "update storage.buckets set file_size_limit = %s, allowed_mime_types = %s where id = %s"
    )
    database.execute(change, [size or before[0], types or before[1], BUCKET])
    try:
        yield
    finally:
        database.execute(change, [*before, BUCKET])


@contextmanager
def pipe_of(content: bytes) -> Iterator[BinaryIO]:
    """Lend a pipe that gives some bytes once."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(content)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb") as pipe:
        yield pipe
    writer.join()
