"""`realtime.send` and its sisters in SQL: what is stored, and which errors are swallowed."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

pytest_plugins = ("fix_realtime",)


class Database:
    """A transaction that is rolled back, and the warnings it gave."""

    def __init__(self, connection: psycopg.Connection[dict[str, Any]]) -> None:
        self.connection = connection
        self.warnings: list[str] = []
        connection.add_notice_handler(
            lambda notice: self.warnings.append(notice.message_primary or "")
        )

    def send(self, arguments: str) -> None:
        self.connection.execute(f"select realtime.send({arguments})")

    def rows(self) -> list[dict[str, Any]]:
        query = "select * from realtime.messages where topic like 'sent%' order by event"
        return self.connection.execute(query).fetchall()


@pytest.fixture
def sql(realtime_dsn: str) -> Iterator[Database]:
    with psycopg.connect(realtime_dsn, row_factory=dict_row) as connection:
        yield Database(connection)
        connection.rollback()


def test_an_object_gains_the_row_s_id(sql: Database) -> None:
    sql.send("""'{"n": 1}', 'event', 'sent'""")
    [row] = sql.rows()
    assert row["payload"] == {"n": 1, "id": str(row["id"])}
    assert (row["event"], row["private"], row["extension"]) == ("event", True, "broadcast")
    assert row["binary_payload"] is None
    assert sql.connection.execute("select realtime.topic()").fetchone() == {"topic": "sent"}


@pytest.mark.parametrize("payload", ['{"id": 5}', '["id"]', '"id"'])
def test_what_has_an_id_is_kept_as_it_is(sql: Database, payload: str) -> None:
    sql.send(f"'{payload}', 'event', 'sent', false")
    [row] = sql.rows()
    assert row["payload"] in ({"id": 5}, ["id"], "id")
    assert not row["private"]


@pytest.mark.parametrize("payload", ["[1]", "[]", '"text"', "5", "null", "true"])
def test_an_array_or_a_scalar_is_lost_with_a_warning(sql: Database, payload: str) -> None:
    sql.send(f"'{payload}', 'event', 'sent'")
    assert sql.rows() == []
    assert sql.warnings[0].startswith("WarnSendingBroadcastMessage: ")


@pytest.mark.parametrize(
    "arguments",
    ["null, 'event', 'sent'", "'{}', null, 'sent'", "'{}', 'event', 'sent', null"],
)
def test_a_null_is_stored(sql: Database, arguments: str) -> None:
    sql.send(arguments)
    assert len(sql.rows()) == 1
    assert sql.warnings == []


def test_without_a_topic_it_is_lost_with_a_warning(sql: Database) -> None:
    sql.send("'{}', 'event', null")
    assert sql.warnings[0].startswith("WarnSendingBroadcastMessage: null value in column")


def test_without_a_partition_it_is_lost_with_a_warning(sql: Database) -> None:
    sql.connection.execute(
        "do $$ begin execute 'alter table realtime.messages detach partition realtime.'"
        " || to_char(now(), '\"messages_\"YYYY_MM_DD'); end $$"
    )
    sql.send("'{}', 'event', 'sent'")
    [warning] = sql.warnings
    assert "no partition of relation" in warning


def test_a_caller_without_the_right_loses_the_message_and_keeps_the_change(sql: Database) -> None:
    sql.connection.execute("create table changed (n int); grant insert on changed to authenticated")
    sql.connection.execute("set local role authenticated")
    sql.connection.execute("with c as (insert into changed values (1)) select 1")
    sql.send("'{}', 'event', 'sent'")
    sql.connection.execute("reset role")
    assert sql.connection.execute("select n from changed").fetchall() == [{"n": 1}]
    assert sql.rows() == []
    assert "row-level security" in sql.warnings[0]


def test_postgres_may_send_and_make_policies(sql: Database) -> None:
    sql.connection.execute("set local role postgres")
    sql.send("'{}', 'event', 'sent'")
    sql.connection.execute("create policy p on realtime.messages for select using (true)")
    sql.connection.execute("drop policy p on realtime.messages")
    assert len(sql.rows()) == 1


def test_all_of_one_transaction_have_the_same_time(sql: Database) -> None:
    sql.send("'{}', 'one', 'sent'")
    sql.connection.execute("select pg_sleep(0.01)")
    sql.send("'{}', 'two', 'sent'")
    one, two = sql.rows()
    assert one["inserted_at"] == two["inserted_at"]


def test_binary_messages(sql: Database) -> None:
    sql.connection.execute("select realtime.send_binary('\\x00ff', 'event', 'sent')")
    [row] = sql.rows()
    assert (row["payload"], row["binary_payload"], row["private"]) == (None, b"\x00\xff", True)
    sql.connection.execute("select realtime.send_binary('\\x00', 'event', null)")
    assert sql.warnings[0].startswith("WarnSendingBroadcastMessage: ")


def test_changes_of_a_row_by_trigger(sql: Database) -> None:
    sql.connection.execute("""
        create table things (n int);
        create function announce() returns trigger language plpgsql as $$
        begin
          perform realtime.broadcast_changes(
            'sent', tg_op, tg_op, tg_table_name, tg_table_schema, new, old, 'ROW');
          return null;
        end $$;
        create trigger announce after insert or update or delete on things
          for each row execute function announce();
        insert into things values (1); update things set n = 2; delete from things;
    """)
    told = [
        (row["event"], row["payload"]["record"], row["payload"]["old_record"]) for row in sql.rows()
    ]
    assert told == [
        ("DELETE", None, {"n": 2}),
        ("INSERT", {"n": 1}, None),
        ("UPDATE", {"n": 2}, {"n": 1}),
    ]
    assert all(row["private"] for row in sql.rows())


@pytest.mark.parametrize(
    "last", ["'TRUNCATE', 't', 's', null, null", "'INSERT', 't', 's', row(1), null, 'STATEMENT'"]
)
def test_what_broadcast_changes_cannot_do_aborts_the_caller(sql: Database, last: str) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="Failed to process the row: "):
        sql.connection.execute(f"select realtime.broadcast_changes('sent', 'e', {last})")


def test_the_topic_is_null_outside_and_never_empty(sql: Database) -> None:
    assert sql.connection.execute("select realtime.topic()").fetchone() == {"topic": None}
    sql.connection.execute("select set_config('realtime.topic', '', true)")
    assert sql.connection.execute("select realtime.topic()").fetchone() == {"topic": None}


def test_owners_grants_and_partitions(sql: Database) -> None:
    tables = sql.connection.execute(
        "select relname, relkind::text, relowner::regrole::text as owner, relrowsecurity,"
        " has_table_privilege('anon', oid, 'insert') as insert,"
        " has_table_privilege('anon', oid, 'delete') as delete"
        " from pg_class where relnamespace = 'realtime'::regnamespace and relkind in ('r', 'p')"
    ).fetchall()
    parents = [table for table in tables if table["relname"] == "messages"]
    partitions = [table for table in tables if table["relname"] != "messages"]
    owner = "supabase_realtime_admin"
    assert parents == [
        {"relname": "messages", "relkind": "p", "owner": owner, "relrowsecurity": True,
         "insert": True, "delete": False}
    ]  # fmt: skip
    assert len(partitions) >= 5
    assert {(t["owner"], t["relrowsecurity"], t["insert"]) for t in partitions} == {
        (owner, False, False)
    }


def test_a_definer_s_trigger_sends_in_its_owner_s_name(sql: Database) -> None:
    sql.connection.execute("""
        create table things (n int);
        grant insert on things to authenticated;
        create function announce() returns trigger language plpgsql security definer
        set search_path = '' as $$
        begin
          perform realtime.send('{}', 'event', 'sent');
          return null;
        end $$;
        alter function announce() owner to postgres;
        create trigger announce after insert on things
          for each row execute function announce();
        set local role authenticated;
        insert into things values (1);
        reset role;
    """)
    assert len(sql.rows()) == 1
    assert sql.warnings == []


def test_the_time_is_that_of_the_session_s_zone(sql: Database) -> None:
    sql.connection.execute("set local timezone = 'Pacific/Tongatapu'")
    sql.send("'{}', 'event', 'sent'")
    query = "select inserted_at - (now() at time zone 'UTC') = '13 hours' as off from"
    [row] = sql.connection.execute(f"{query} realtime.messages where topic = 'sent'").fetchall()
    assert row == {"off": True}


def test_an_id_of_one_s_own_is_not_the_row_s(sql: Database) -> None:
    sql.send("""'{"id": "own"}', 'event', 'sent'""")
    [row] = sql.rows()
    assert row["payload"] == {"id": "own"}
    assert str(row["id"]) != "own"


def test_the_functions_are_their_caller_s_and_everybody_s(sql: Database) -> None:
    rows = sql.connection.execute(
        "select proname, pronargs, pronargdefaults as optional, prosecdef, provolatile::text,"
        " prorettype::regtype::text as returns,"
        " has_function_privilege('anon', oid, 'execute') as open"
        " from pg_proc where pronamespace = 'realtime'::regnamespace order by proname"
    ).fetchall()
    assert [tuple(row.values()) for row in rows] == [
        ("broadcast_changes", 8, 1, False, "v", "void", True),
        ("send", 4, 1, False, "v", "void", True),
        ("send_binary", 4, 1, False, "v", "void", True),
        ("topic", 0, 0, False, "s", "text", True),
    ]


def test_the_columns_of_the_table(sql: Database) -> None:
    rows = sql.connection.execute(
        "select attname, atttypid::regtype::text as type, attnotnull as needed, pg_get_expr("
        "adbin, adrelid) as otherwise from pg_attribute left join pg_attrdef"
        " on adrelid = attrelid and adnum = attnum"
        " where attrelid = 'realtime.messages'::regclass and attnum > 0 order by attnum"
    ).fetchall()
    time = "timestamp without time zone"
    assert [tuple(row.values()) for row in rows] == [
        ("topic", "text", True, None),
        ("extension", "text", True, None),
        ("payload", "jsonb", False, None),
        ("event", "text", False, None),
        ("private", "boolean", False, "false"),
        ("updated_at", time, True, "now()"),
        ("inserted_at", time, True, "now()"),
        ("id", "uuid", True, "gen_random_uuid()"),
        ("binary_payload", "bytea", False, None),
    ]
    with pytest.raises(psycopg.errors.CheckViolation):
        sql.connection.execute(
            "insert into realtime.messages (topic, extension, payload, binary_payload)"
            " values ('sent', 'broadcast', '{}', '')"
        )


def test_key_index_and_publication(sql: Database) -> None:
    [key] = sql.connection.execute(
        "select pg_get_constraintdef(oid) as is from pg_constraint"
        " where conrelid = 'realtime.messages'::regclass and contype = 'p'"
    ).fetchall()
    assert key == {"is": "PRIMARY KEY (id, inserted_at)"}
    [index] = sql.connection.execute(
        "select indexdef from pg_indexes where tablename = 'messages'"
        " and indexname <> 'messages_pkey'"
    ).fetchall()
    condition = "(extension = 'broadcast'::text) AND (private IS TRUE)"
    assert index["indexdef"].endswith(f"(inserted_at DESC, topic) WHERE ({condition})")
    published = sql.connection.execute(
        "select pubviaroot, puballtables, prrelid::regclass::text from pg_publication"
        " join pg_publication_rel on prpubid = pg_publication.oid"
        " where pubname = 'supabase_realtime_messages_publication'"
    ).fetchall()
    assert published == [
        {"pubviaroot": False, "puballtables": False, "prrelid": "realtime.messages"}
    ]
