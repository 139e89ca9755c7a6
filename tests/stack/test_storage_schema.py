"""storage.sql: what migrations and policies written for hosted projects rely on."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from customer_tickets.devstack.postgres import Postgres
from storage_server import Storage, storage_database, token

pytest_plugins = ("fix_storage",)


@pytest.fixture
def administrator(storage_dsn: str) -> Iterator[psycopg.Connection]:
    """The superuser, whose work is rolled back."""
    with psycopg.connect(storage_dsn) as connection:
        yield connection
        connection.rollback()


def one(connection: psycopg.Connection, expression: str) -> object:
    row = connection.execute(f"select {expression}".encode()).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    ("name", "folders", "filename", "extension"),
    [
        ("a/b/c.tar.gz", ["a", "b"], "c.tar.gz", "gz"),
        ("c.txt", [], "c.txt", "txt"),
        ("none", [], "none", "none"),
        ("a//b", ["a", ""], "b", "b"),
        ("a/", ["a"], "", ""),
    ],
)
def test_the_helpers_of_policies(
    administrator: psycopg.Connection,
    name: str,
    folders: list[str],
    filename: str,
    extension: str,
) -> None:
    for role in ("anon", "authenticated", "service_role", "postgres"):
        administrator.execute(f"set local role {role}".encode())
        assert one(administrator, f"storage.foldername('{name}')") == folders
        assert one(administrator, f"storage.filename('{name}')") == filename
        assert one(administrator, f"storage.extension('{name}')") == extension


def test_which_operation_this_is(administrator: psycopg.Connection) -> None:
    administrator.execute("select set_config('storage.operation', 'storage.object.list', true)")
    assert one(administrator, "storage.operation()") == "storage.object.list"
    for name, same in (("storage.object.list", True), ("object.list", True), ("list", False)):
        assert one(administrator, f"storage.allow_only_operation('{name}')") is same
    assert one(administrator, "storage.allow_any_operation(array['x', 'object.list'])") is True
    assert one(administrator, "storage.allow_any_operation('{}')") is False
    assert one(administrator, "storage.allow_only_operation('')") is False


def test_tables_are_owned_as_policies_need_it(administrator: psycopg.Connection) -> None:
    owned = administrator.execute(
        "select tablename, tableowner, rowsecurity from pg_catalog.pg_tables"
        " where schemaname = 'storage' order by 1"
    ).fetchall()
    assert owned == [
        ("buckets", "supabase_storage_admin", True),
        ("objects", "supabase_storage_admin", True),
    ]
    assert (
        one(
            administrator,
            "nspowner::regrole::text from pg_catalog.pg_namespace where nspname = 'storage'",
        )
        == "supabase_admin"
    )


def test_postgres_makes_buckets_and_policies_and_is_no_superuser(
    administrator: psycopg.Connection,
) -> None:
    administrator.execute("set local role postgres")
    administrator.execute(
        "insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)"
        " values ('m', 'm', false, 26214400, array['image/*']) on conflict (id) do nothing"
    )
    administrator.execute(
        'create policy "own folder" on storage.objects for insert to authenticated with check '
        "(bucket_id = 'm' and (storage.foldername(name))[1] = (select auth.uid())::text)"
    )
    administrator.execute('drop policy "own folder" on storage.objects')
    with pytest.raises(errors.InsufficientPrivilege), administrator.transaction():
        administrator.execute("create table storage.mine ()")


@pytest.mark.parametrize("role", ["postgres", "service_role", "authenticated", "supabase_admin"])
@pytest.mark.parametrize("table", ["objects", "buckets"])
def test_rows_are_not_deleted_by_sql(
    administrator: psycopg.Connection, role: str, table: str
) -> None:
    administrator.execute(f"set local role {role}".encode())
    with pytest.raises(errors.InsufficientPrivilege, match="Direct deletion"):
        administrator.execute(f"delete from storage.{table} where false".encode())


def test_whoever_has_no_policy_sees_nothing(administrator: psycopg.Connection) -> None:
    administrator.execute("insert into storage.buckets (id, name) values ('hidden', 'hidden')")
    administrator.execute("insert into storage.objects (bucket_id, name) values ('hidden', 'x')")
    for role in ("anon", "authenticated"):
        administrator.execute(f"set local role {role}".encode())
        assert one(administrator, "count(*) from storage.objects where bucket_id = 'hidden'") == 0
        assert one(administrator, "count(*) from storage.buckets where id = 'hidden'") == 0
        with pytest.raises(errors.InsufficientPrivilege), administrator.transaction():
            administrator.execute(
                "insert into storage.objects (bucket_id, name) values ('hidden', 'y')"
            )


def test_the_columns_of_hosted_projects(administrator: psycopg.Connection) -> None:
    found = administrator.execute(
        "select table_name, array_agg(column_name::text order by ordinal_position)"
        " from information_schema.columns where table_schema = 'storage'"
        " group by table_name order by table_name"
    ).fetchall()
    assert found == [
        (
            "buckets",
            [
                *("id", "name", "owner", "created_at", "updated_at", "public"),
                *("avif_autodetection", "file_size_limit", "allowed_mime_types", "owner_id"),
                "type",
            ],
        ),
        (
            "objects",
            [
                *("id", "bucket_id", "name", "owner", "created_at", "updated_at"),
                *("last_accessed_at", "metadata", "path_tokens", "version", "owner_id"),
                "user_metadata",
            ],
        ),
    ]


def test_sizes_are_summed_by_bucket(storage: Storage, administrator: psycopg.Connection) -> None:
    bucket = storage.bucket()
    with storage.client(token(role="service_role")) as client:
        for name in ("x", "y"):
            client.post(f"object/{bucket}/{name}", content=b"hello").raise_for_status()
    assert (
        one(administrator, f"size from storage.get_size_by_bucket() where bucket_id = '{bucket}'")
        == 10
    )


def test_another_database_of_the_same_server_takes_it_too(
    postgres_server: Postgres, storage_dsn: str
) -> None:
    """Roles belong to the whole server."""
    try:
        assert storage_database(postgres_server, "storage_again") != storage_dsn
    finally:
        postgres_server.drop_database("storage_again")
