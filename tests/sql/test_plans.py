"""The plans of the queries that lists are made of, for a customer with many tickets."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from sql.world import Actor, World

MINE = 3000
COLUMNS = "id, subject, status, priority, created_at, updated_at"
ORDER = "order by created_at desc, id desc limit 20"


@pytest.fixture(scope="module")
def crowded_world(lasting_world: World) -> World:
    """Ana has 3,000 tickets, 300 others have 10 each; statistics are up to date."""
    with lasting_world.acting(lasting_world.ana) as ana:
        ana.connection.execute("reset role")
        ana.changed(
            "alter table public.ticket_events disable trigger customer_tickets_ring_doorbells"
        )
        ana.changed(
            "insert into public.tickets (id, subject, handling_org_id)"
            " select gen_random_uuid(), 'Mine ' || n, %s from generate_series(1, %s) n",
            lasting_world.acme,
            MINE,
        )
    with lasting_world.backend() as backend:
        backend.changed(
            "insert into auth.users (id, email)"
            " select gen_random_uuid(), n || '@example.org' from generate_series(1, 300) n"
        )
        backend.changed(
            "insert into public.tickets (id, user_id, subject, handling_org_id)"
            " select gen_random_uuid(), u.id, 'Theirs ' || n, %s"
            " from auth.users u, generate_series(1, 10) n where u.email like '%%.org'",
            lasting_world.globex,
        )
        backend.changed(
            "alter table public.ticket_events enable trigger customer_tickets_ring_doorbells"
        )
    lasting_world.connection.execute("vacuum analyze public.tickets")
    lasting_world.connection.execute("analyze public.ticket_events")
    lasting_world.connection.execute("analyze public.profiles")
    return lasting_world


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    found = [plan]
    for child in plan.get("Plans", []):
        found += nodes(child)
    return found


def explain(actor: Actor, query: str, *values: object) -> tuple[list[dict[str, Any]], int]:
    """Run the query; the nodes of its plan, and how many pages it touched."""
    # As PostgREST does: prepared, so that a generic plan has to be as good.
    answer = actor.value(f"explain (analyze, buffers, format json) {query}", *values)
    plan = (json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]
    return nodes(plan), plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def assert_walks(found: list[dict[str, Any]], index: str) -> None:
    tickets = [node for node in found if node.get("Relation Name") == "tickets"]
    assert [node["Node Type"] for node in tickets] == ["Index Scan"], tickets
    assert tickets[0]["Index Name"] == index
    assert not [node for node in found if node["Node Type"] == "Seq Scan"], found
    assert not [node for node in found if node["Node Type"] == "Sort"], found


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
def test_the_first_page_of_a_heavy_customer(crowded_world: World, mode: str) -> None:
    with crowded_world.acting(crowded_world.ana, keep=False) as ana:
        ana.connection.execute(f"set local plan_cache_mode = {mode}".encode())
        found, pages = explain(
            ana,
            f"select {COLUMNS} from public.tickets where user_id = %s {ORDER}",
            crowded_world.ana,
        )
    assert_walks(found, "tickets_user_id_created_at_idx")
    assert pages < 100


def test_a_page_with_the_read_position_as_postgrest_embeds_it(crowded_world: World) -> None:
    with crowded_world.acting(crowded_world.ana, keep=False) as ana:
        found, pages = explain(
            ana,
            f"select {COLUMNS}, r.reads from public.tickets left join lateral ("
            "  select coalesce(jsonb_agg(x.last_read_seq), '[]') as reads"
            "  from public.ticket_reads x where x.ticket_id = tickets.id"
            f") r on true where user_id = %s {ORDER}",
            crowded_world.ana,
        )
    assert [n["Index Name"] for n in found if n.get("Relation Name") == "tickets"] == [
        "tickets_user_id_created_at_idx"
    ]
    assert pages < 200


@pytest.mark.parametrize("extra", ["", "and status = 'open'"])
def test_a_deep_page_costs_what_the_first_costs(crowded_world: World, extra: str) -> None:
    with crowded_world.acting(crowded_world.ana, keep=False) as ana:
        at, ticket = ana.rows(
            "select created_at, id from public.tickets where user_id = %s"
            " order by created_at desc, id desc offset 1000 limit 1",
            crowded_world.ana,
        )[0]
        found, pages = explain(
            ana,
            f"select {COLUMNS} from public.tickets where user_id = %s and created_at <= %s"
            f" and (created_at < %s or id < %s) {extra} {ORDER}",
            *(crowded_world.ana, at, at, ticket),
        )
    assert_walks(found, "tickets_user_id_created_at_idx")
    assert pages < 100


@pytest.mark.parametrize("who", ["employee", "admin"])
def test_the_first_page_of_staff(crowded_world: World, who: str) -> None:
    with crowded_world.as_kind(who) as actor:
        found, pages = explain(
            actor,
            f"select {COLUMNS} from public.tickets where handling_org_id = %s {ORDER}",
            crowded_world.acme,
        )
    assert_walks(found, "tickets_handling_org_id_created_at_idx")
    assert pages < 100


def test_a_stranger_with_the_condition_reads_nothing(crowded_world: World) -> None:
    with crowded_world.acting(crowded_world.ben, keep=False) as ben:
        query = f"select {COLUMNS} from public.tickets where user_id = %s {ORDER}"
        found, _ = explain(ben, query, crowded_world.ana)
        assert ben.rows(query, crowded_world.ana) == []
    assert not [node for node in found if node["Node Type"] == "Seq Scan"]


def test_a_search_reads_the_callers_tickets_only(crowded_world: World) -> None:
    with crowded_world.acting(crowded_world.ben, keep=False) as ben:
        query = "select * from public.search_tickets(array['lost']) where status = 'open'"
        ben.rows(query)
        _, pages = explain(ben, query)
    assert pages < 20
    with crowded_world.acting(crowded_world.ana, keep=False) as ana:
        assert len(ana.rows("select * from public.search_tickets(array['mine', '2999'])")) == 1


def test_events_and_messages_of_a_ticket_are_found_by_index(crowded_world: World) -> None:
    with crowded_world.acting(crowded_world.ana, keep=False) as ana:
        # Few rows lie in these tables, so that a scan might look cheap.
        ana.connection.execute("set local enable_seqscan = off")
        for query, index in {
            "select * from public.ticket_events where ticket_id = %s and seq > 1 order by seq": (
                "ticket_events_pkey"
            ),
            "select * from public.ticket_messages where ticket_id = %s order by place desc": (
                "ticket_messages_ticket_id_place_idx"
            ),
        }.items():
            found, _ = explain(ana, f"{query} limit 50", crowded_world.ticket)
            assert index in {node.get("Index Name") for node in found}
            assert not [node for node in found if node["Node Type"] == "Seq Scan"]


BY_INDEX = {
    "select * from public.ticket_attachments where ticket_id = %s and message_id is null": (
        "ticket_attachments_ticket_id_idx"
    ),
    "select * from public.ticket_attachments where message_id = %s": (
        "ticket_attachments_message_id_idx"
    ),
    "select * from public.ticket_attachments where draft_id = %s order by place": (
        "ticket_attachments_draft_id_idx"
    ),
    "select * from public.ticket_drafts where user_id = %s order by updated_at desc limit 20": (
        "ticket_drafts_user_id_idx"
    ),
    "select * from public.ticket_drafts where ticket_id = %s and user_id = auth.uid()"
    " order by updated_at desc limit 1": "ticket_drafts_ticket_id_idx",
    "select * from public.ticket_feedback where ticket_id = %s": "ticket_feedback_pkey",
    "select * from storage.objects where bucket_id = 'ticket-attachments'"
    " and name = auth.uid() || '/' || %s::uuid": "bucketid_objname",
}


@pytest.mark.parametrize("query", BY_INDEX)
def test_drafts_files_and_ratings_are_found_by_index(crowded_world: World, query: str) -> None:
    with crowded_world.acting(crowded_world.ana, keep=False) as ana:
        ana.connection.execute("set local enable_seqscan = off")
        found, _ = explain(ana, query, crowded_world.ana)
    assert BY_INDEX[query] in {node.get("Index Name") for node in found}
    assert not [
        node
        for node in found
        # With so few organizations' people, a set of staff is read as it lies.
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] != "profiles"
    ]


def test_a_file_of_others_is_found_by_its_key(crowded_world: World) -> None:
    with crowded_world.acting(crowded_world.eva, keep=False) as eva:
        eva.connection.execute("set local enable_seqscan = off")
        found, _ = explain(
            eva,
            "select * from storage.objects where bucket_id = 'ticket-attachments' and name = %s",
            f"{crowded_world.ana}/{crowded_world.ticket}",
        )
    names = {node.get("Index Name") for node in found}
    assert names & {"bucketid_objname", "name_prefix_search"}
    assert "ticket_attachments_object_key_key" in names
    assert not [node for node in found if node["Node Type"] == "Seq Scan"]


LONG = 3000


@pytest.fixture(scope="module")
def long_ticket(crowded_world: World) -> UUID:
    """A ticket of ana's with so many messages, each with its event, from number 2 on."""
    ticket = uuid4()
    with crowded_world.acting(crowded_world.ana) as ana:
        acme = crowded_world.acme
        ana.call("create_ticket", id=ticket, subject="Long", description="", handling_org_id=acme)
    with crowded_world.backend() as backend:
        for table in ("ticket_messages", "ticket_events"):
            backend.changed(f"alter table public.{table} disable trigger user")
        backend.changed(
            "insert into public.ticket_messages"
            " (id, ticket_id, author_id, author_role, author_name, body, place)"
            " select gen_random_uuid(), %s, %s, 'customer', 'Ana', 'Message ' || n, n"
            " from generate_series(2, %s) n",
            ticket,
            crowded_world.ana,
            LONG,
        )
        backend.changed(
            "insert into public.ticket_events"
            " (ticket_id, seq, kind, actor_id, actor_role, actor_name, data)"
            " select ticket_id, seq, 'message', author_id, author_role, author_name,"
            " jsonb_build_object('message_id', id)"
            " from public.ticket_messages where ticket_id = %s",
            ticket,
        )
        for table in ("ticket_messages", "ticket_events"):
            backend.changed(f"alter table public.{table} enable trigger user")
    for table in ("tickets", "ticket_messages", "ticket_events"):
        crowded_world.connection.execute(f"vacuum analyze public.{table}".encode())
    return ticket


def read_so_far(actor: Actor) -> tuple[int, int]:
    """Scans of whole tables, and rows found by index, of this transaction."""
    return actor.rows(
        "select sum(seq_scan)::int, sum(idx_tup_fetch)::int from pg_stat_xact_user_tables"
        " where relname in ('tickets', 'ticket_messages', 'ticket_events')"
    )[0]


@pytest.mark.parametrize("who", ["owner", "employee"])
@pytest.mark.parametrize(
    ("call", "most"),
    [
        ("ticket_thread(%s)", 350),
        ("ticket_events_after(%s, 2999)", 20),
        ("ticket_events_after(%s, 1500, 50)", 250),
        ("ticket_events_after(%s, 0, 50)", 250),
        ("ticket_events_before(%s, 1500)", 250),
        ("ticket_events_before(%s, null)", 250),
        ("ticket_messages_before(%s, 1500)", 250),
        ("ticket_messages_before(%s, null)", 250),
    ],
)
def test_a_long_ticket_is_read_from_its_place_on_and_other_tickets_not_at_all(
    crowded_world: World, long_ticket: UUID, call: str, most: int, who: str
) -> None:
    with crowded_world.as_kind(who) as actor:
        scans, rows = read_so_far(actor)
        for _ in range(10):  # often enough for the planner to have settled on a plan
            actor.rows(f"select public.{call}", long_ticket)
        scans_then, rows_then = read_so_far(actor)
    assert scans_then - scans == 0
    assert 0 < (rows_then - rows) / 10 <= most


def test_assigned_tickets_are_found_by_index(crowded_world: World) -> None:
    with crowded_world.as_kind("employee") as eva:
        found, _ = explain(
            eva,
            "select * from public.tickets where assigned_employee = %s",
            crowded_world.eva,
        )
    assert "tickets_assigned_employee_idx" in str(found)


def test_the_counters_updates_touch_no_index(lasting_world: World) -> None:
    """HOT updates: no index on what a message changes, and room on the page."""
    with lasting_world.backend() as backend:
        columns = backend.rows(
            "select distinct a.attname from pg_index i join pg_attribute a"
            " on a.attrelid = i.indrelid and a.attnum = any (i.indkey)"
            " where i.indrelid = 'public.tickets'::regclass"
        )
    changing = {"status", "last_seq", "last_staff_seq", "last_message_at", "updated_at"}
    assert not {name for (name,) in columns} & changing
