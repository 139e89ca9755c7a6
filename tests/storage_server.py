"""The storage server as the process it is, and what tests do around it."""

import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import httpx
import jwt
import psycopg

from customer_tickets.devstack import bare
from customer_tickets.devstack.postgres import TEMPLATE, Postgres
from customer_tickets.devstack.process import Child, answers, free_port

SECRET = "a secret of the tests that is long enough for any algorithm"

# Who may do what is data, so that each test gives and takes rights on buckets of its own. Made by
# the role postgres, as migrations are.
POLICIES = """
create table public.rights (
  bucket text, sub text, verbs text[], own_folder boolean, primary key (bucket, sub)
);
grant select on public.rights to anon, authenticated;
create function public.may(verb text, bucket text, name text) returns boolean
language sql stable
as $$
  select exists (
    select from public.rights
    where rights.bucket = may.bucket and rights.sub = auth.uid()::text and verb = any (verbs)
      and (not own_folder or (storage.foldername(name))[1] = rights.sub)
  )
$$;
create policy "rights decide who adds" on storage.objects for insert to authenticated
  with check (public.may('insert', bucket_id, name));
create policy "rights decide who sees" on storage.objects for select to authenticated
  using (public.may('select', bucket_id, name));
create policy "rights decide who changes" on storage.objects for update to authenticated
  using (public.may('update', bucket_id, name)) with check (public.may('update', bucket_id, name));
create policy "rights decide who deletes" on storage.objects for delete to authenticated
  using (public.may('delete', bucket_id, name));
create policy "rights decide who adds buckets" on storage.buckets for insert to authenticated
  with check (public.may('bucket', 'any', ''));
create policy "rights decide who sees buckets" on storage.buckets for select to authenticated
  using (public.may('bucket', 'any', ''));
"""


def token(sub: str | None = None, *, role: str = "authenticated", lifetime: float = 600) -> str:
    """Mint a token as the auth server would."""
    return jwt.encode({"role": role, "sub": sub, "exp": time.time() + lifetime}, SECRET, "HS256")


@dataclass(frozen=True)
class Storage:
    """A running server and its surroundings."""

    child: Child
    port: int
    folder: Path
    dsn: str
    connection: psycopg.Connection
    """As the superuser, each statement by itself."""

    @property
    def url(self) -> str:
        """The address that a storage client wants."""
        return f"http://127.0.0.1:{self.port}/"

    def client(self, bearer: str | None) -> httpx.Client:
        """A bare client that sends this token."""
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        # There is nothing to verify, and reading the certificates takes longer than most tests.
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, verify=False)

    def files(self) -> list[str]:
        """What lies in the folder of the files."""
        return sorted(path.name for path in (self.folder / "objects").iterdir())

    def rows(self, bucket: str) -> list[tuple[str, str]]:
        """Name and version of the bucket's objects."""
        found = self.connection.execute(
            "select name, version from storage.objects where bucket_id = %s order by name",
            [bucket],
        )
        return [(name, version) for name, version in found]

    def run(self, statement: str, values: list[object] | None = None) -> None:
        """Do something to the database, as its superuser."""
        self.connection.execute(statement.encode(), values)

    def bucket(
        self,
        sub: str | None = None,
        *verbs: str,
        own_folder: bool = False,
        public: bool = False,
        limit: int | None = None,
        types: list[str] | None = None,
    ) -> str:
        """Make a bucket of this test's own, in which `sub` may do what the verbs say."""
        bucket = f"bucket-{uuid.uuid4().hex[:12]}"
        self.run(
            "insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)"
            " values (%s, %s, %s, %s, %s)",
            [bucket, bucket, public, limit, types],
        )
        if sub is not None:
            self.allow(bucket, sub, *verbs, own_folder=own_folder)
        return bucket

    def allow(self, bucket: str, sub: str, *verbs: str, own_folder: bool = False) -> None:
        """Replace what `sub` may do in the bucket."""
        self.run(
            "insert into public.rights values (%s, %s, %s, %s) on conflict (bucket, sub)"
            " do update set verbs = excluded.verbs, own_folder = excluded.own_folder",
            [bucket, sub, list(verbs), own_folder],
        )


ALL = ("insert", "select", "update", "delete")


def storage_database(server: Postgres, name: str) -> str:
    """Make a database with the schema and the tests' policies; return its superuser's address."""
    server.create_database(name, TEMPLATE)
    with psycopg.connect(server.dsn(name, "supabase_admin")) as connection:
        there = connection.execute("select to_regclass('storage.objects')").fetchone()
        if there == (None,):
            sql = files("customer_tickets.devstack").joinpath("storage.sql").read_bytes()
            connection.execute(sql)
    with psycopg.connect(server.dsn(name)) as connection:
        connection.execute(POLICIES)
    return server.dsn(name, "supabase_admin")


@contextmanager
def serving(dsn: str, folder: Path, *options: str, wait: float = 30) -> Iterator[Storage]:
    """A server of this folder and database, as the stack starts it."""
    port = free_port()
    command = [sys.executable, "-P", bare.__file__, "customer_tickets.devstack.storage"]
    command += ["--port", str(port), "--database-url", dsn, "--folder", str(folder)]
    command += ["--jwt-secret-env", "STORAGE_TEST_SECRET", *options]
    child = Child(
        "storage",
        command,
        log=folder.with_suffix(".log"),
        healthy=lambda: answers(port, "/health"),
        environment={"STORAGE_TEST_SECRET": SECRET},
    )
    try:
        child.start(wait)
        with psycopg.connect(dsn, autocommit=True) as connection:
            yield Storage(child, port, folder, dsn, connection)
    finally:
        child.stop()


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    """The HTTP status, and the body's statusCode and error."""
    body = answer.json()
    assert body.keys() == {"statusCode", "error", "message", "code"}
    return answer.status_code, body["statusCode"], body["error"]
