"""Who may do what: every kind of person, every table, every verb, every function."""

from typing import Any
from uuid import uuid4

import pytest

from sql.world import World

KINDS = ["owner", "stranger", "employee", "other_employee", "admin", "other_admin", "anonymous"]
TABLES = [
    "organizations",
    "profiles",
    "tickets",
    "ticket_messages",
    "ticket_events",
    "ticket_reads",
    "ticket_drafts",
    "ticket_attachments",
    "ticket_feedback",
]
DENIED = "42501"

# How many rows each sees of the world: own ticket or that of the own organization, no more.
SEEN = {
    "organizations": [2, 2, 2, 2, 2, 2, DENIED],
    "profiles": [1, 1, 2, 2, 2, 2, DENIED],
    "tickets": [1, 1, 1, 1, 1, 1, DENIED],
    "ticket_messages": [1, 0, 2, 0, 2, 0, DENIED],
    "ticket_events": [2, 1, 2, 1, 2, 1, DENIED],
    "ticket_reads": [1, 0, 1, 0, 0, 0, DENIED],
    # What is in these, others look at: test_drafts, test_attachments, test_feedback.
    "ticket_drafts": [0, 0, 0, 0, 0, 0, DENIED],
    "ticket_attachments": [0, 0, 0, 0, 0, 0, DENIED],
    "ticket_feedback": [0, 0, 0, 0, 0, 0, DENIED],
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("kind", KINDS)
def test_select(world: World, kind: str, table: str) -> None:
    expected = SEEN[table][KINDS.index(kind)]
    with world.as_kind(kind) as actor:
        if isinstance(expected, str):
            with actor.refused(expected):
                actor.rows(f"select * from public.{table}")
        else:
            assert len(actor.rows(f"select * from public.{table}")) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_seen_is_the_own_ticket_or_the_organizations(world: World, kind: str) -> None:
    if kind == "anonymous":
        return
    mine = kind in ("owner", "employee", "admin")
    with world.as_kind(kind) as actor:
        seen = {row[0] for row in actor.rows("select id from public.tickets")}
        assert seen == {world.ticket if mine else world.ben_ticket}


# What may be inserted at all; everything else is denied to everybody.
INSERTS = {
    "organizations": "insert into public.organizations (name) values ('Mine')",
    "profiles": "insert into public.profiles (user_id, display_name) values (%(new)s, 'x')",
    "tickets": (
        "insert into public.tickets (id, subject, description, priority, handling_org_id)"
        " values (%(new)s, 'New', '', 'low', %(org)s)"
    ),
    "ticket_messages": (
        "insert into public.ticket_messages (id, ticket_id, body) values (%(new)s, %(ticket)s, 'x')"
    ),
    "ticket_events": (
        "insert into public.ticket_events (ticket_id, seq, kind, actor_role, actor_name)"
        " values (%(ticket)s, 99, 'closed', 'admin', 'x')"
    ),
    "ticket_reads": (
        "insert into public.ticket_reads (user_id, ticket_id, last_read_seq)"
        " values (%(me)s, %(ticket)s, 1)"
    ),
    "ticket_drafts": "insert into public.ticket_drafts (id, user_id) values (%(new)s, %(me)s)",
    "ticket_attachments": (
        "insert into public.ticket_attachments"
        " (id, user_id, ticket_id, place, file_name, content_type, size_bytes, sha256)"
        " values (%(new)s, %(me)s, %(ticket)s, 1, 'a', 'b', 1, repeat('0', 64))"
    ),
    "ticket_feedback": (
        "insert into public.ticket_feedback (ticket_id, user_id, rating)"
        " values (%(ticket)s, %(me)s, 5)"
    ),
}
INSERTED: dict[str, list[str | None]] = {
    "tickets": [None, None, None, None, None, None, DENIED],
    "ticket_messages": [None, "TK002", None, "TK002", None, "TK002", DENIED],
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("kind", KINDS)
def test_insert(world: World, kind: str, table: str) -> None:
    expected = INSERTED[table][KINDS.index(kind)] if table in INSERTED else DENIED
    values = {
        "new": uuid4(),
        "org": world.acme,
        "ticket": world.ticket,
        "me": world.people.get(kind),
    }
    with world.as_kind(kind) as actor:
        if expected is None:
            actor.connection.execute(INSERTS[table].encode(), values)
        else:
            with actor.refused(expected):
                actor.connection.execute(INSERTS[table].encode(), values)


# Rows that an update of everything visible reaches; None: the verb or the column is denied.
UPDATES = {
    "organizations": "name = name || '!'",
    "profiles": "role = 'admin'",
    "tickets": "subject = subject || '!'",
    "ticket_messages": "body = 'I never said that'",
    "ticket_events": "actor_name = 'somebody else'",
    "ticket_reads": "last_read_seq = 99",
    "ticket_drafts": "version = 1",
    "ticket_feedback": "rating = 5",
    "ticket_attachments": "message_id = null",
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("kind", KINDS)
def test_update(world: World, kind: str, table: str) -> None:
    statement = f"update public.{table} set {UPDATES[table]}"
    with world.as_kind(kind) as actor:
        if table == "tickets" and kind != "anonymous":
            assert actor.changed(statement) == 1
        else:
            with actor.refused(DENIED):
                actor.changed(statement)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("kind", KINDS)
def test_delete(world: World, kind: str, table: str) -> None:
    with world.as_kind(kind) as actor, actor.refused(DENIED):
        actor.changed(f"delete from public.{table}")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_nobody_truncates(world: World, role: str, table: str) -> None:
    with (
        world.acting(world.ana, role=role, keep=False) as actor,
        actor.refused(DENIED),
    ):
        actor.changed(f"truncate public.{table}")


FORBIDDEN_ON_UPDATE = {
    "status": "'closed'",
    "user_id": "user_id",
    "handling_org_id": "handling_org_id",
    "assigned_team": "'x'",
    "assigned_employee": "user_id",
    "follow_up_of": "id",
    "closed_at": "now()",
    "close_reason": "'x'",
    "last_seq": "last_seq + 1",
    "last_staff_seq": "0",
    "last_message_at": "now()",
    "created_at": "now()",
    "updated_at": "now()",
    "id": "gen_random_uuid()",
}


@pytest.mark.parametrize("column", FORBIDDEN_ON_UPDATE)
@pytest.mark.parametrize("kind", ["owner", "employee", "admin"])
def test_nobody_updates_what_the_database_decides(world: World, kind: str, column: str) -> None:
    with world.as_kind(kind) as actor, actor.refused(DENIED):
        actor.changed(f"update public.tickets set {column} = {FORBIDDEN_ON_UPDATE[column]}")


@pytest.mark.parametrize("column", ["user_id", "status", "last_seq", "created_at", "follow_up_of"])
def test_nobody_inserts_what_the_database_decides(world: World, column: str) -> None:
    value = {"user_id": "%(ben)s", "status": "'closed'", "last_seq": "7"}.get(column, "null")
    with world.as_kind("owner") as actor, actor.refused(DENIED):
        actor.connection.execute(
            f"insert into public.tickets (id, subject, handling_org_id, {column})"
            f" values (gen_random_uuid(), 'x', %(org)s, {value})".encode(),
            {"org": world.acme, "ben": world.ben},
        )


@pytest.mark.parametrize(
    "column", ["author_id", "author_role", "author_name", "place", "created_at"]
)
def test_nobody_chooses_author_or_place_of_a_message(world: World, column: str) -> None:
    with world.as_kind("employee") as actor, actor.refused(DENIED):
        actor.connection.execute(
            f"insert into public.ticket_messages (id, ticket_id, body, {column})"
            " values (gen_random_uuid(), %s, 'x', null)".encode(),
            [world.ticket],
        )


# What each function answers to each kind, called on Ana's ticket: None is an answer.
ON_TICKET = [None, "TK002", None, "TK002", None, "TK002", DENIED]
STAFF_ONLY = ["TK008", "TK002", None, "TK002", None, "TK002", DENIED]
FOR_ALL = [None, None, None, None, None, None, DENIED]
FUNCTIONS: dict[str, list[str | None]] = {
    "create_ticket": FOR_ALL,
    "send_message": ON_TICKET,
    "edit_ticket": ON_TICKET,
    "close_ticket": ON_TICKET,
    "reopen_ticket": ["TK004", "TK002", "TK004", "TK002", "TK004", "TK002", DENIED],
    "set_ticket_status": STAFF_ONLY,
    "assign_ticket": STAFF_ONLY,
    "ticket_thread": ON_TICKET,
    "ticket_events_after": ON_TICKET,
    "ticket_events_before": ON_TICKET,
    "ticket_messages_before": ON_TICKET,
    "ticket_counts": FOR_ALL,
    "ticket_heads": FOR_ALL,
    "ticket_changes": FOR_ALL,
    "mark_ticket_read": ON_TICKET,
    "save_draft": ON_TICKET,
    "discard_draft": FOR_ALL,
    "submit_draft": [*(["TK002"] * 6), DENIED],
    "rate_ticket": ["TK004", "TK002", "TK008", "TK002", "TK008", "TK002", DENIED],
    "search_tickets": FOR_ALL,
    "attachment_limits": FOR_ALL,
    "orphaned_uploads": FOR_ALL,
}


def arguments(world: World, function: str, ticket: object = None) -> dict[str, Any]:
    on = {"ticket_id": ticket or world.ticket}
    new = {
        "id": uuid4(),
        "subject": "New",
        "description": "",
        "handling_org_id": world.acme,
    }
    calls: dict[str, dict[str, Any]] = {
        "create_ticket": new,
        "send_message": on | {"id": uuid4(), "body": "x"},
        "edit_ticket": on | {"subject": "Changed"},
        "close_ticket": on | {"request_id": uuid4(), "reason": "done"},
        "reopen_ticket": on | {"request_id": uuid4()},
        "set_ticket_status": on | {"status": "in-progress"},
        "assign_ticket": on | {"employee": world.eva, "team": "A"},
        "ticket_thread": on,
        "ticket_events_after": on | {"after_seq": 0},
        "ticket_events_before": on | {"before_seq": 9},
        "ticket_messages_before": on | {"before_seq": 9},
        "ticket_counts": {},
        "ticket_heads": {"ticket_ids": [world.ticket]},
        "ticket_changes": {"since": 0},
        "mark_ticket_read": on | {"seq": 1},
        "save_draft": on | {"id": uuid4(), "version": 0, "body": "x"},
        "discard_draft": {"id": uuid4()},
        "submit_draft": {"id": ticket or uuid4(), "version": 1},
        "rate_ticket": on | {"rating": 5, "request_id": uuid4()},
        "search_tickets": {"words": ["a"]},
        "attachment_limits": {},
        "orphaned_uploads": {},
    }
    return calls[function]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_function(world: World, kind: str, function: str) -> None:
    expected = FUNCTIONS[function][KINDS.index(kind)]
    with world.as_kind(kind) as actor:
        if expected is None:
            actor.call(function, **arguments(world, function))
        else:
            with actor.refused(expected):
                actor.call(function, **arguments(world, function))


def test_every_function_of_the_api_is_in_the_table(world: World) -> None:
    with world.backend() as backend:
        names = backend.rows(
            "select p.proname from pg_proc p where p.pronamespace = 'public'::regnamespace"
        )
    assert {name for (name,) in names} == set(FUNCTIONS)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("role", ["authenticated", "service_role"])
def test_function_without_a_user(world: World, role: str, function: str) -> None:
    with world.acting(None, role=role, keep=False) as actor, actor.refused("TK006"):
        actor.call(function, **arguments(world, function))


def error_text(world: World, function: str, ticket: object) -> tuple[object, ...]:
    with world.as_kind("stranger") as actor, actor.refused("TK002") as caught:
        actor.call(function, **arguments(world, function, ticket))
    diagnosis = caught.value.diag
    return diagnosis.message_primary, diagnosis.message_detail, diagnosis.message_hint


@pytest.mark.parametrize("function", [name for name in FUNCTIONS if FUNCTIONS[name] != FOR_ALL])
def test_hidden_and_missing_are_the_same_answer(world: World, function: str) -> None:
    hidden = error_text(world, function, world.ticket)
    assert hidden == error_text(world, function, uuid4())


def test_a_direct_insert_tells_nothing_of_a_hidden_ticket(world: World) -> None:
    with world.acting(world.eva, keep=False) as eva:
        eva.call("close_ticket", ticket_id=world.ticket, request_id=uuid4())
        answers = []
        for ticket in (world.ticket, uuid4()):
            with world.as_kind("stranger") as stranger, stranger.refused("TK002") as caught:
                stranger.changed(
                    "insert into public.ticket_messages (id, ticket_id, body) values (%s, %s, 'x')",
                    uuid4(),
                    ticket,
                )
            answers.append(caught.value.diag.message_primary)
    assert answers[0] == answers[1]


PRIVATE_WRITES = [
    "select private.lock_ticket(%(ticket)s)",
    "select private.close_ticket(%(ticket)s, gen_random_uuid(), null)",
    "select private.reopen_ticket(%(ticket)s, gen_random_uuid())",
    "select private.set_ticket_status(%(ticket)s, 'closed')",
    "select private.assign_ticket(%(ticket)s, null, 'x')",
    "select private.mark_ticket_read(%(ticket)s, 1)",
    "select private.visible_ticket(%(ticket)s)",
]


@pytest.mark.parametrize("statement", PRIVATE_WRITES)
def test_private_functions_are_safe_by_themselves(world: World, statement: str) -> None:
    values = {"ticket": world.ticket}
    with world.as_kind("stranger") as actor, actor.refused("TK002"):
        actor.connection.execute(statement.encode(), values)
    with world.as_kind("anonymous") as actor, actor.refused(DENIED):
        actor.connection.execute(statement.encode(), values)


@pytest.mark.parametrize("table", ["tickets", "ticket_messages"])
def test_a_token_without_a_user_inserts_nothing(world: World, table: str) -> None:
    values = {"new": uuid4(), "org": world.acme, "ticket": world.ticket}
    with world.acting(None, keep=False) as actor:
        assert actor.rows(f"select * from public.{table}") == []
        with actor.refused(DENIED if table == "tickets" else "TK002"):
            actor.connection.execute(INSERTS[table].encode(), values)


def test_staff_who_became_customers_see_no_more_than_customers(world: World) -> None:
    with world.backend() as backend:
        backend.changed(
            "update public.profiles set role = 'customer', org_id = null where user_id = %s",
            world.eva,
        )
    with world.as_kind("employee") as actor:
        assert actor.rows("select * from public.tickets") == []
        # She has read it before, when she was allowed to.
        for function in ("ticket_thread", "mark_ticket_read"):
            with actor.refused("TK002"):
                actor.call(function, **arguments(world, function))


def test_a_user_without_a_profile_is_nobody(world: World) -> None:
    with world.acting(uuid4(), keep=False) as actor:
        assert actor.rows("select * from public.tickets") == []
        assert actor.call("ticket_counts")["open"] == 0
