"""Opening, editing, closing, reopening, assigning: what is stored, answered and refused."""

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from sql.world import Actor, World


def problems(actor: Actor, function: str, **arguments: object) -> list[str]:
    with actor.refused("TK001") as caught:
        actor.call(function, **arguments)
    return [problem["field"] for problem in json.loads(caught.value.diag.message_detail or "")]


def new_ticket(world: World, **changes: object) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "subject": "New",
        "description": "Text",
        "handling_org_id": world.acme,
        "priority": "low",
    } | changes


def test_create_answers_with_ticket_and_first_event(world: World) -> None:
    asked = new_ticket(world, subject="  \u3000Trimmed\n")
    with world.acting(world.ana) as ana:
        answer = ana.call("create_ticket", **asked)
    ticket, events = answer["ticket"], answer["events"]
    assert set(answer) == {"ticket", "events"}
    assert ticket["subject"] == "Trimmed"
    assert ticket["user_id"] == str(world.ana)
    assert (ticket["status"], ticket["priority"]) == ("open", "low")
    assert (ticket["last_seq"], ticket["last_staff_seq"], ticket["last_read_seq"]) == (1, 0, 0)
    assert ticket["created_at"] == ticket["updated_at"] == events[0]["created_at"]
    assert set(ticket) == {
        *("id", "user_id", "subject", "description", "status", "priority", "handling_org_id"),
        *("assigned_team", "assigned_employee", "follow_up_of", "closed_at", "close_reason"),
        *("last_seq", "last_staff_seq", "last_message_at", "created_at", "updated_at"),
        "last_read_seq",
    }
    created_at = events[0].pop("created_at")
    assert datetime.fromisoformat(created_at).utcoffset() == timedelta(0)
    assert events == [
        {
            "ticket_id": str(asked["id"]),
            "seq": 1,
            "kind": "created",
            "actor_id": str(world.ana),
            "actor_role": "customer",
            "actor_name": "Ana",
            "data": {},
            "message": None,
        }
    ]


def test_create_names_every_wrong_field_at_once(world: World) -> None:
    with world.as_kind("owner") as ana:
        wrong = {"id": None, "subject": " \u3000\n", "priority": "urgent", "handling_org_id": None}
        fields = problems(ana, "create_ticket", **wrong, description="x" * 20001)
        assert sorted(fields) == ["description", "handling_org_id", "id", "priority", "subject"]


@pytest.mark.parametrize("missing", [None, uuid4()])
def test_create_wants_an_organization_that_exists(world: World, missing: object) -> None:
    with world.as_kind("owner") as ana:
        asked = new_ticket(world, handling_org_id=missing)
        assert problems(ana, "create_ticket", **asked) == ["handling_org_id"]


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"subject": "\U0001f600" * 200, "description": "ß" * 20000}, []),
        ({"subject": " " + "x" * 200 + " "}, []),
        ({"subject": "x" * 201}, ["subject"]),
        ({"subject": None}, ["subject"]),
        ({"description": None}, []),
        ({"description": "x" * 20001}, ["description"]),
        ({"priority": None}, ["priority"]),
    ],
)
def test_create_counts_characters(
    world: World, changes: dict[str, object], fields: list[str]
) -> None:
    with world.as_kind("owner") as ana:
        asked = new_ticket(world, **changes)
        if fields:
            assert problems(ana, "create_ticket", **asked) == fields
        else:
            assert ana.call("create_ticket", **asked)["ticket"]["last_seq"] == 1


def test_the_default_priority_is_medium(world: World) -> None:
    asked = new_ticket(world)
    del asked["priority"]
    with world.as_kind("owner") as ana:
        assert ana.call("create_ticket", **asked)["ticket"]["priority"] == "medium"


def test_repeating_create_changes_nothing(world: World) -> None:
    asked = new_ticket(world, subject=" Mine ")
    with world.acting(world.ana) as ana:
        first = ana.call("create_ticket", **asked)
        assert ana.call("create_ticket", **asked) == first
        assert ana.value("select count(*) from public.ticket_events where seq = 1") == 2


def test_repeating_create_after_edit_and_closure_returns_the_ticket_as_it_is(world: World) -> None:
    asked = new_ticket(world)
    with world.acting(world.ana) as ana:
        ana.call("create_ticket", **asked)
        ana.call("edit_ticket", ticket_id=asked["id"], subject="Other", priority="high")
        ana.call("close_ticket", ticket_id=asked["id"], request_id=uuid4())
        answer = ana.call("create_ticket", **asked)
        assert (answer["ticket"]["subject"], answer["ticket"]["status"]) == ("Other", "closed")
        assert answer["events"][0]["seq"] == 1
        edited = asked | {"subject": "Other", "priority": "high"}
        with ana.refused("23505"):
            ana.call("create_ticket", **edited)


@pytest.mark.parametrize(
    "change", [{"subject": "Else"}, {"description": "Else"}, {"priority": "high"}]
)
def test_another_content_with_a_used_id_is_a_conflict(
    world: World, change: dict[str, object]
) -> None:
    asked = new_ticket(world)
    with world.as_kind("owner") as ana:
        ana.call("create_ticket", **asked)
        with ana.refused("23505"):
            ana.call("create_ticket", **(asked | change))


def test_a_used_id_tells_a_stranger_nothing(world: World) -> None:
    texts = []
    same = {"subject": "Broken", "description": "It is.", "priority": "medium"}
    with world.acting(world.ben) as ben:
        for asked in (
            new_ticket(world, id=world.ticket, **same),
            new_ticket(world, id=world.ben_ticket),
        ):
            with ben.refused("23505") as caught:
                ben.call("create_ticket", **asked)
            texts.append((caught.value.diag.message_primary, caught.value.diag.message_detail))
    assert texts[0] == texts[1]
    assert "Broken" not in str(texts)


def test_edit_says_what_changed_but_quotes_no_description(world: World) -> None:
    with world.acting(world.ana) as ana:
        answer = ana.call(
            "edit_ticket",
            ticket_id=world.ticket,
            subject=" Solved? ",
            description="Secret",
            priority="high",
        )
    assert answer["ticket"]["subject"] == "Solved?"
    assert answer["event"]["kind"] == "edited"
    assert answer["event"]["data"] == {
        "fields": ["subject", "priority", "description"],
        "from": {"subject": "Broken", "priority": "medium"},
        "to": {"subject": "Solved?", "priority": "high"},
    }
    assert answer["event"]["seq"] == answer["ticket"]["last_seq"] == 3


def test_edit_leaves_what_is_null_and_makes_no_event_of_nothing(world: World) -> None:
    with world.acting(world.ana) as ana:
        assert ana.call("edit_ticket", ticket_id=world.ticket)["event"] is None
        same = ana.call("edit_ticket", ticket_id=world.ticket, subject=" Broken")
        assert (same["event"], same["ticket"]["last_seq"]) == (None, 2)
        only = ana.call("edit_ticket", ticket_id=world.ticket, description="")
        assert only["event"]["data"] == {"fields": ["description"], "from": {}, "to": {}}
        assert only["ticket"]["subject"] == "Broken"


def test_edit_names_every_wrong_field(world: World) -> None:
    with world.as_kind("owner") as ana:
        wrong = {"subject": " ", "description": "x" * 20001, "priority": "none"}
        fields = problems(ana, "edit_ticket", ticket_id=world.ticket, **wrong)
        assert sorted(fields) == ["description", "priority", "subject"]


def test_a_direct_update_is_recorded_like_edit(world: World) -> None:
    with world.acting(world.ana) as ana:
        ana.changed("update public.tickets set subject = '  Direct  '")
        event = ana.rows(
            "select kind, data from public.ticket_events where ticket_id = %s and seq = 3",
            world.ticket,
        )
        assert event[0][0] == "edited"
        assert event[0][1]["to"] == {"subject": "Direct"}


def test_closing_and_reopening(world: World) -> None:
    with world.acting(world.ana) as ana:
        closed = ana.call(
            "close_ticket", ticket_id=world.ticket, request_id=uuid4(), reason=" solved "
        )
        assert closed["ticket"]["status"] == "closed"
        assert closed["ticket"]["close_reason"] == "solved"
        assert closed["ticket"]["closed_at"] is not None
        assert closed["event"]["kind"] == "closed"
        assert closed["event"]["data"] == {"reason": "solved", "from": "open"}
        with ana.refused("TK003"):
            ana.call("close_ticket", ticket_id=world.ticket, request_id=uuid4())
        with ana.refused("TK003"):
            ana.call("edit_ticket", ticket_id=world.ticket, subject="x")
        assert ana.changed("update public.tickets set subject = 'x'") == 0
        reopened = ana.call("reopen_ticket", ticket_id=world.ticket, request_id=uuid4())
        assert reopened["ticket"]["status"] == "open"
        assert reopened["ticket"]["closed_at"] is None
        assert reopened["ticket"]["close_reason"] is None
        assert reopened["event"]["data"] == {"from": "closed", "to": "open"}
        with ana.refused("TK004"):
            ana.call("reopen_ticket", ticket_id=world.ticket, request_id=uuid4())


def test_repeated_requests_change_nothing(world: World) -> None:
    close = {"ticket_id": world.ticket, "request_id": uuid4(), "reason": "done"}
    reopen = {"ticket_id": world.ticket, "request_id": uuid4()}
    with world.acting(world.ana) as ana:
        closed = ana.call("close_ticket", **close)
        assert ana.call("close_ticket", **close) == closed
        reopened = ana.call("reopen_ticket", **reopen)
        assert ana.call("reopen_ticket", **reopen) == reopened
        late = ana.call("close_ticket", **close)
        assert (late["event"], late["ticket"]) == (closed["event"], reopened["ticket"])
        with ana.refused("23505"):
            ana.call("reopen_ticket", **(reopen | {"request_id": close["request_id"]}))
        with ana.refused("23505"):
            ana.call("close_ticket", **(close | {"reason": "else"}))
    with world.acting(world.eva) as eva, eva.refused("23505"):
        eva.call("close_ticket", **close)


def test_request_ids_of_other_tickets_do_not_matter(world: World) -> None:
    request = uuid4()
    with world.acting(world.ana) as ana:
        ana.call("close_ticket", ticket_id=world.ticket, request_id=request)
    with world.acting(world.ben) as ben:
        answer = ben.call("close_ticket", ticket_id=world.ben_ticket, request_id=request)
        assert answer["ticket"]["id"] == str(world.ben_ticket)


def test_closing_wants_a_request_id_and_a_short_reason(world: World) -> None:
    with world.as_kind("owner") as ana:
        asked = {"ticket_id": world.ticket, "request_id": None, "reason": "x" * 1001}
        assert problems(ana, "close_ticket", **asked) == ["request_id", "reason"]
        asked = {"ticket_id": world.ticket, "request_id": None}
        assert problems(ana, "reopen_ticket", **asked) == ["request_id"]
        blank = {"ticket_id": world.ticket, "request_id": uuid4(), "reason": " \n"}
        assert ana.call("close_ticket", **blank)["ticket"]["close_reason"] is None


@pytest.mark.parametrize(("days", "over"), [(13, False), (15, True)])
def test_the_time_to_reopen(world: World, days: int, over: bool) -> None:
    with world.acting(world.ana) as ana:
        ana.call("close_ticket", ticket_id=world.ticket, request_id=uuid4())
    with world.backend() as backend:
        backend.changed(
            "update public.tickets set closed_at = closed_at - make_interval(days => %s)", days
        )
    with world.acting(world.ana) as ana:
        can = ana.call("ticket_thread", ticket_id=world.ticket)["can"]
        assert can["reopen"]["allowed"] is not over
        assert can["reopen"]["reason"] == ("window_over" if over else None)
        until = datetime.fromisoformat(can["reopen"]["until"])
        for verb in ("reply", "edit", "close"):
            assert can[verb] == {"allowed": False, "reason": "closed", "until": None}
        if not over:
            ana.call("reopen_ticket", ticket_id=world.ticket, request_id=uuid4())
            return
        with ana.refused("TK005") as caught:
            ana.call("reopen_ticket", ticket_id=world.ticket, request_id=uuid4())
        assert datetime.fromisoformat(caught.value.diag.message_detail or "") == until


def test_staff_set_status_and_assign(world: World) -> None:
    on = {"ticket_id": world.ticket}
    with world.acting(world.eva) as eva:
        status = eva.call("set_ticket_status", **on, status="in-progress")
        assert status["event"]["kind"] == "status"
        assert status["event"]["data"] == {"from": "open", "to": "in-progress"}
        assert eva.call("set_ticket_status", **on, status="in-progress")["event"] is None
        assigned = eva.call("assign_ticket", **on, employee=world.ada, team=" Billing ")
        nobody = {"team": None, "employee_id": None, "employee_name": None}
        ada = {"team": "Billing", "employee_id": str(world.ada), "employee_name": "Ada"}
        assert assigned["event"]["data"] == {"from": nobody, "to": ada}
        assert eva.call("assign_ticket", **on, employee=world.ada, team="Billing")["event"] is None
        cleared = eva.call("assign_ticket", **on, employee=None, team=None)
        assert cleared["event"]["data"] == {"from": ada, "to": nobody}
        assert eva.call("set_ticket_status", **on, status="closed")["event"]["kind"] == "closed"
        back = eva.call("set_ticket_status", **on, status="in-progress")
        assert back["event"]["kind"] == "reopened"
        assert back["event"]["data"] == {"from": "closed", "to": "in-progress"}
        assert back["ticket"]["last_staff_seq"] == back["ticket"]["last_seq"]


def test_staff_input_is_checked(world: World) -> None:
    with world.as_kind("employee") as eva:
        on = {"ticket_id": world.ticket}
        assert problems(eva, "set_ticket_status", **on, status="done") == ["status"]
        wrong = {"employee": world.gus, "team": "x" * 201}
        assert problems(eva, "assign_ticket", **on, **wrong) == ["employee", "team"]
        customer = {"employee": world.ana, "team": None}
        assert problems(eva, "assign_ticket", **on, **customer) == ["employee"]


def test_an_employee_in_their_own_ticket_is_its_customer(world: World) -> None:
    asked = new_ticket(world, handling_org_id=world.globex)
    on = {"ticket_id": asked["id"]}
    with world.acting(world.eva) as eva:
        answer = eva.call("create_ticket", **asked)
        assert answer["events"][0]["actor_role"] == "customer"
        assert eva.call("ticket_thread", **on)["me"]["role"] == "customer"
        with eva.refused("TK008"):
            eva.call("set_ticket_status", **on, status="closed")
        assert problems(
            eva, "send_message", id=uuid4(), **on, body="x", message_type="internal"
        ) == ["message_type"]


def test_one_update_of_several_things_is_several_events(world: World) -> None:
    with world.backend() as backend:
        backend.changed(
            "update public.tickets set subject = 'New', status = 'in-progress', assigned_team = 'A'"
            " where id = %s",
            world.ticket,
        )
        events = backend.rows(
            "select seq, kind, actor_role from public.ticket_events"
            " where ticket_id = %s and seq > 2 order by seq",
            world.ticket,
        )
        assert events == [
            (3, "edited", "system"),
            (4, "assigned", "system"),
            (5, "status", "system"),
        ]
        assert backend.value("select last_seq from public.tickets where id = %s", world.ticket) == 5


def test_deleting_people(world: World) -> None:
    with world.acting(world.eva) as eva:
        eva.call("assign_ticket", ticket_id=world.ticket, employee=world.ada, team=None)
        eva.call("send_message", id=uuid4(), ticket_id=world.ticket, body="Answer")
    with world.backend() as backend:
        backend.changed("delete from auth.users where id in (%s, %s)", world.ada, world.eva)
    with world.acting(world.ana) as ana:
        thread = ana.call("ticket_thread", ticket_id=world.ticket)
        assert thread["messages"][-1]["author_name"] == "Eva"
        assert thread["ticket"]["assigned_employee"] is None
        assert thread["events"][-1]["kind"] == "assigned"
        assert thread["events"][-1]["actor_role"] == "system"
    with world.backend() as backend:
        backend.changed("delete from auth.users where id = %s", world.ana)
        assert backend.value("select count(*) from public.tickets") == 1
        assert backend.value("select count(*) from public.ticket_messages") == 0


def test_sign_up_makes_a_customer_whatever_it_asks_for(world: World) -> None:
    long = "ä" * 500
    wishes = [
        ('{"role": "admin", "display_name": " Eve "}', "eve@example.com", "Eve"),
        (json.dumps({"display_name": long}), "long@example.com", long[:200]),
        ('{"display_name": "  "}', "blank@example.com", "blank"),
        ('"text"', "text@example.com", "text"),
        ("null", None, "Customer"),
    ]
    with world.backend() as backend:
        for metadata, email, name in wishes:
            user = uuid4()
            backend.changed(
                "insert into auth.users (id, email, raw_user_meta_data) values (%s, %s, %s)",
                user,
                email,
                metadata,
            )
            profile = backend.rows(
                "select role, org_id, display_name from public.profiles where user_id = %s", user
            )
            assert profile == [("customer", None, name)]


def test_the_auth_server_can_sign_up(lasting_world: World) -> None:
    user = uuid4()
    with psycopg.connect(
        lasting_world.dsn.replace("//postgres:", "//supabase_auth_admin:")
    ) as auth:
        auth.execute("insert into auth.users (id, email) values (%s, 'new@example.com')", [user])
    with lasting_world.acting(user) as new:
        assert new.rows("select role from public.profiles") == [("customer",)]
