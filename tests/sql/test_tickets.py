"""Opening and editing: what is stored, answered and refused."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from sql.world import World


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
    assert set(answer) == {"ticket", "can", "attachments", "events"}
    assert answer["attachments"] == []
    assert answer["can"]["reply"]["allowed"]
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
        fields = ana.problems("create_ticket", **wrong, description="x" * 20001)
        assert sorted(fields) == ["description", "handling_org_id", "id", "priority", "subject"]


@pytest.mark.parametrize("missing", [None, uuid4()])
def test_create_wants_an_organization_that_exists(world: World, missing: object) -> None:
    with world.as_kind("owner") as ana:
        asked = new_ticket(world, handling_org_id=missing)
        assert ana.problems("create_ticket", **asked) == ["handling_org_id"]


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
            assert ana.problems("create_ticket", **asked) == fields
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


def test_another_authors_id_is_a_conflict_though_ticket_and_content_are_known(
    world: World,
) -> None:
    same = {"subject": "Broken", "description": "It is.", "priority": "medium"}
    with world.acting(world.eva) as eva, eva.refused("23505"):
        eva.call("create_ticket", **new_ticket(world, id=world.ticket, **same))


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
        fields = ana.problems("edit_ticket", ticket_id=world.ticket, **wrong)
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
