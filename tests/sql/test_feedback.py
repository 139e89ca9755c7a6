"""Rating a closed ticket, and following it up."""

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from sql.world import Actor, World


@pytest.fixture
def closed(world: World) -> World:
    """Ana's ticket is closed."""
    with world.acting(world.eva) as eva:
        eva.call("close_ticket", ticket_id=world.ticket, request_id=uuid4())
    return world


def rate(actor: Actor, ticket: UUID, rating: int | None, **more: object) -> dict[str, Any]:
    return actor.call(
        "rate_ticket", **({"ticket_id": ticket, "rating": rating, "request_id": uuid4()} | more)
    )


def age(world: World, days: float) -> None:
    with world.backend() as backend:
        backend.changed(
            "update public.ticket_feedback set created_at = created_at - %s", timedelta(days=days)
        )


def test_rating_answers_with_event_and_feedback(closed: World) -> None:
    with closed.acting(closed.ana) as ana:
        answer = rate(ana, closed.ticket, 4, comment="  Secret, but fine.\u3000")
        thread = ana.call("ticket_thread", ticket_id=closed.ticket)
    assert set(answer) == {"ticket", "can", "event", "feedback"}
    assert answer["event"]["kind"] == "rated"
    assert answer["event"]["data"] == {"rating": 4}
    assert answer["event"]["actor_name"] == "Ana"
    assert answer["event"]["seq"] == answer["ticket"]["last_seq"] == 4
    feedback = dict(answer["feedback"])
    assert feedback.pop("created_at") <= feedback.pop("updated_at")
    assert feedback == {
        "ticket_id": str(closed.ticket),
        "rating": 4,
        "comment": "Secret, but fine.",
    }
    assert thread["feedback"] == answer["feedback"]
    assert thread["events"][-1] == answer["event"]


def test_a_rating_does_not_make_the_ticket_unread(closed: World) -> None:
    with closed.acting(closed.ana) as ana:
        before = ana.call("ticket_counts")
        rate(ana, closed.ticket, 1)
        assert ana.call("ticket_counts") == before


@pytest.mark.parametrize("kind", ["owner", "employee", "admin"])
def test_whoever_sees_the_ticket_sees_its_rating(closed: World, kind: str) -> None:
    with closed.acting(closed.ana) as ana:
        rate(ana, closed.ticket, 2, comment="Slow")
    with closed.as_kind(kind) as actor:
        thread = actor.call("ticket_thread", ticket_id=closed.ticket)
        assert thread["feedback"]["comment"] == "Slow"
        assert len(actor.rows("select * from public.ticket_feedback")) == 1
    for other in ("stranger", "other_employee", "other_admin"):
        with closed.as_kind(other) as actor:
            assert actor.rows("select * from public.ticket_feedback") == []


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"rating": 0}, ["rating"]),
        ({"rating": 6}, ["rating"]),
        ({"rating": None}, ["rating"]),
        ({"rating": 2**31 - 1}, ["rating"]),
        ({"rating": -1, "request_id": None}, ["request_id", "rating"]),
        ({"comment": "é" * 2001}, ["comment"]),
        ({"comment": " " + "é" * 2000 + "\n"}, []),
        ({"comment": " \n"}, []),
    ],
)
def test_wrong_ratings(closed: World, changes: dict[str, object], fields: list[str]) -> None:
    asked = {"ticket_id": closed.ticket, "rating": 3, "request_id": uuid4()} | changes
    with closed.as_kind("owner") as ana:
        if fields:
            assert ana.problems("rate_ticket", **asked) == fields
        else:
            comment = str(changes["comment"]).strip()
            assert ana.call("rate_ticket", **asked)["feedback"]["comment"] == (comment or None)


def test_a_rating_can_be_changed_for_14_days_reopened_or_not(closed: World) -> None:
    with closed.acting(closed.ana) as ana:
        first = rate(ana, closed.ticket, 5)
        can = ana.call("reopen_ticket", ticket_id=closed.ticket, request_id=uuid4())["can"]
        assert can["rate"]["allowed"]
        until = datetime.fromisoformat(can["rate"]["until"])
        assert until - datetime.fromisoformat(first["feedback"]["created_at"]) == timedelta(days=14)
        assert (
            rate(ana, closed.ticket, 3)["feedback"]["created_at"]
            == (first["feedback"]["created_at"])
        )
    age(closed, 13.9)
    with closed.acting(closed.ana) as ana:
        assert rate(ana, closed.ticket, 2, comment="No")["feedback"]["rating"] == 2
    age(closed, 0.2)
    with closed.acting(closed.ana) as ana:
        can = ana.call("ticket_thread", ticket_id=closed.ticket)["can"]["rate"]
        assert (can["allowed"], can["reason"]) == (False, "window_over")
        with ana.refused("TK007") as caught:
            rate(ana, closed.ticket, 1)
        assert caught.value.diag.message_detail == can["until"]
        # What changes nothing is not refused.
        assert rate(ana, closed.ticket, 2, comment=" No")["event"] is None


def test_the_same_again_is_no_event(closed: World) -> None:
    request = uuid4()
    with closed.acting(closed.ana) as ana:
        first = rate(ana, closed.ticket, 5, comment="x", request_id=request)
        again = rate(ana, closed.ticket, 5, comment=" x ")
        assert (again["event"], again["ticket"]["last_seq"]) == (None, 4)
        other = rate(ana, closed.ticket, 4)
        # A late repetition of the first request does not undo the second.
        repeated = rate(ana, closed.ticket, 5, comment="x", request_id=request)
        assert repeated["event"] == first["event"]
        assert repeated["feedback"] == other["feedback"]
        with ana.refused("23505"):
            rate(ana, closed.ticket, 1, request_id=request)
        with ana.refused("23505"):
            ana.call("reopen_ticket", ticket_id=closed.ticket, request_id=request)


def test_staff_do_not_rate_but_may_be_customers_themselves(closed: World) -> None:
    with closed.as_kind("employee") as eva:
        can = eva.call("ticket_thread", ticket_id=closed.ticket)["can"]
        assert can["rate"]["reason"] == can["follow_up"]["reason"] == "not_customer"
        with eva.refused("TK008"):
            rate(eva, closed.ticket, 5)
        own = uuid4()
        eva.call(
            "create_ticket", id=own, subject="Mine", description="", handling_org_id=closed.acme
        )
        eva.call("close_ticket", ticket_id=own, request_id=uuid4())
        assert rate(eva, own, 5)["event"]["actor_role"] == "customer"


def follow_up(world: World, of: object) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "subject": "Again",
        "description": "",
        "handling_org_id": world.acme,
        "follow_up_of": of,
    }


def test_a_closed_ticket_is_followed_up(closed: World) -> None:
    asked = follow_up(closed, closed.ticket)
    with closed.acting(closed.ana) as ana:
        assert ana.call("ticket_thread", ticket_id=closed.ticket)["can"]["follow_up"]["allowed"]
        answer = ana.call("create_ticket", **asked)
        assert answer["ticket"]["follow_up_of"] == str(closed.ticket)
        assert answer["events"][0]["data"] == {"follow_up_of": str(closed.ticket)}
        ana.call("reopen_ticket", ticket_id=closed.ticket, request_id=uuid4())
        assert ana.call("create_ticket", **asked) == answer
        with ana.refused("23505"):
            ana.call("create_ticket", **(asked | {"follow_up_of": None}))
    with closed.backend() as backend:
        backend.changed("delete from public.tickets where id = %s", closed.ticket)
    with closed.acting(closed.ana) as ana:
        assert ana.call("create_ticket", **asked)["ticket"]["follow_up_of"] is None


def test_only_an_own_closed_ticket_is_followed_up(closed: World) -> None:
    with closed.acting(closed.gus) as gus:
        gus.call("close_ticket", ticket_id=closed.ben_ticket, request_id=uuid4())
    said = set()
    with closed.as_kind("owner") as ana:
        ana.call("reopen_ticket", ticket_id=closed.ticket, request_id=uuid4())
        for of in (closed.ticket, closed.ben_ticket, uuid4()):
            with ana.refused("TK001") as caught:
                ana.call("create_ticket", **follow_up(closed, of))
            said.add(caught.value.diag.message_detail)
    (detail,) = said
    assert [problem["field"] for problem in json.loads(detail or "")] == ["follow_up_of"]
    with closed.as_kind("employee") as eva:
        assert eva.problems("create_ticket", **follow_up(closed, closed.ticket)) == ["follow_up_of"]
