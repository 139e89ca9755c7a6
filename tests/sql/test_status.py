"""Closing, reopening, status and assignment, and their repetition."""

from datetime import datetime
from uuid import uuid4

import pytest

from sql.world import World


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
        assert ana.problems("close_ticket", **asked) == ["request_id", "reason"]
        asked = {"ticket_id": world.ticket, "request_id": None}
        assert ana.problems("reopen_ticket", **asked) == ["request_id"]
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
        assert eva.problems("set_ticket_status", **on, status="done") == ["status"]
        wrong = {"employee": world.gus, "team": "x" * 201}
        assert eva.problems("assign_ticket", **on, **wrong) == ["employee", "team"]
        customer = {"employee": world.ana, "team": None}
        assert eva.problems("assign_ticket", **on, **customer) == ["employee"]


def test_an_employee_in_their_own_ticket_is_its_customer(world: World) -> None:
    asked = {"id": uuid4(), "subject": "Own", "description": "", "handling_org_id": world.globex}
    on = {"ticket_id": asked["id"]}
    with world.acting(world.eva) as eva:
        answer = eva.call("create_ticket", **asked)
        assert answer["events"][0]["actor_role"] == "customer"
        assert eva.call("ticket_thread", **on)["me"]["role"] == "customer"
        with eva.refused("TK008"):
            eva.call("set_ticket_status", **on, status="closed")
        assert eva.problems(
            "send_message", id=uuid4(), **on, body="x", message_type="internal"
        ) == ["message_type"]


def test_nobody_edits_a_closed_ticket_not_even_a_backend(world: World) -> None:
    with world.acting(world.ana) as ana:
        ana.call("close_ticket", ticket_id=world.ticket, request_id=uuid4())
    for column in ("subject", "description"):
        with world.backend() as backend, backend.refused("TK003"):
            backend.changed(f"update public.tickets set {column} = 'Other'")
