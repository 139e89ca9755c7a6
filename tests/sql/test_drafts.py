"""Drafts: saved by version, seen by their owner alone, submitted exactly once."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb

from sql.world import Actor, World


def save(actor: Actor, draft: UUID, version: int = 0, **content: object) -> dict[str, Any]:
    answer = actor.call("save_draft", id=draft, version=version, **content)
    assert set(answer) == {"draft"}
    found: dict[str, Any] = answer["draft"]
    return found


def new_ticket(world: World) -> dict[str, Any]:
    return {
        "handling_org_id": world.acme,
        "subject": "Draft",
        "description": "Text",
        "priority": "high",
    }


def reply(world: World, **changes: object) -> dict[str, Any]:
    return {"ticket_id": world.ticket, "body": "Reply", "reply_to": world.message} | changes


def test_what_is_saved_is_answered(world: World) -> None:
    draft, file = uuid4(), world.upload(world.ana)
    with world.acting(world.ana) as ana:
        saved = save(ana, draft, **new_ticket(world), attachments=[file])
        assert ana.rows("select id, version from public.ticket_drafts") == [(draft, 1)]
    assert saved.pop("created_at") <= saved.pop("updated_at")
    (attachment,) = saved.pop("attachments")
    assert (attachment["id"], attachment["draft_id"]) == (file["id"], str(draft))
    assert saved == {
        "id": str(draft),
        "ticket_id": None,
        "handling_org_id": str(world.acme),
        "subject": "Draft",
        "description": "Text",
        "priority": "high",
        "body": "",
        "reply_to": None,
        "version": 1,
    }


def test_an_empty_draft_is_a_draft(world: World) -> None:
    with world.acting(world.ana) as ana:
        assert save(ana, uuid4())["version"] == 1
        assert save(ana, uuid4(), ticket_id=world.ticket)["body"] == ""


def test_the_newest_reply_is_in_the_thread_of_its_owner_only(world: World) -> None:
    with world.acting(world.ana) as ana:
        save(ana, uuid4(), **reply(world, body="Old"))
        saved = save(ana, uuid4(), **reply(world))
        save(ana, uuid4(), **new_ticket(world))
        assert ana.call("ticket_thread", ticket_id=world.ticket)["draft"] == saved
    with world.acting(world.eva) as eva:
        assert eva.call("ticket_thread", ticket_id=world.ticket)["draft"] is None
        note = save(eva, uuid4(), ticket_id=world.ticket, reply_to=world.note)
        assert eva.call("ticket_thread", ticket_id=world.ticket)["draft"] == note


def test_saving_again_counts_versions_and_repeating_does_not(world: World) -> None:
    draft = uuid4()
    with world.acting(world.ana) as ana:
        first = save(ana, draft, **reply(world))
        assert save(ana, draft, **reply(world)) == first
        second = save(ana, draft, 1, **reply(world, body="Changed"))
        assert second["version"] == 2
        assert second["created_at"] == first["created_at"]
        assert second["updated_at"] > first["updated_at"]
        # The answer was lost; or somebody saves what is there already.
        for version in (0, 1, 2, 9):
            assert save(ana, draft, version, **reply(world, body="Changed")) == second


@pytest.mark.parametrize("version", [0, 1, 3])
def test_another_version_with_other_content_is_a_conflict(world: World, version: int) -> None:
    draft = uuid4()
    with world.acting(world.ana) as ana:
        save(ana, draft, **reply(world))
        save(ana, draft, 1, **reply(world, body="Changed"))
        with ana.refused("TK009") as caught:
            save(ana, draft, version, **reply(world, body="Else"))
        assert caught.value.diag.message_primary == "The draft was changed elsewhere."
        # The server's log keeps what an error says: no text of the draft.
        assert not caught.value.diag.message_detail
        with ana.refused("TK009") as caught:
            ana.call("submit_draft", id=draft, version=version)
        assert not caught.value.diag.message_detail


def test_a_draft_that_is_gone_is_not_saved_again(world: World) -> None:
    draft = uuid4()
    with world.acting(world.ana) as ana:
        with ana.refused("TK002"):
            save(ana, draft, 1)
        save(ana, draft)
        assert ana.call("discard_draft", id=draft) == {"discarded": True}
        assert ana.call("discard_draft", id=draft) == {"discarded": False}
        with ana.refused("TK002"):
            save(ana, draft, 1, subject="x")
        with ana.refused("TK002"):
            ana.call("submit_draft", id=draft, version=1)


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        ({"id": None, "version": None}, ["id", "version"]),
        ({"version": -1}, ["version"]),
        ({"subject": "x" * 201, "priority": "none"}, ["subject", "priority"]),
        ({"description": "x" * 20001}, ["description"]),
        ({"body": "x"}, ["body"]),
        ({"body": "x" * 20001}, ["body"]),
        ({"reply_to": uuid4()}, ["reply_to"]),
        ({"priority": None}, ["priority"]),
        ({"attachments": Jsonb({})}, ["attachments"]),
        ({"attachments": [{"id": str(uuid4())}]}, ["attachments"]),
        ({"attachments": [{}] * 21}, ["attachments"]),
    ],
)
def test_wrong_drafts(world: World, content: dict[str, object], fields: list[str]) -> None:
    with world.as_kind("owner") as ana:
        asked = {"id": uuid4(), "version": 0} | content
        assert ana.problems("save_draft", **asked) == fields
        assert ana.rows("select from public.ticket_drafts") == []


def test_a_reply_has_nothing_of_a_ticket_and_stays_with_its_own(world: World) -> None:
    wrong = new_ticket(world) | {"ticket_id": world.ticket}
    draft = uuid4()
    with world.acting(world.ana) as ana:
        assert ana.problems("save_draft", id=draft, version=0, **wrong) == [
            *("subject", "description", "handling_org_id")
        ]
        save(ana, draft)
        assert ana.problems("save_draft", id=draft, version=1, **reply(world)) == ["ticket_id"]


def test_a_reply_needs_a_ticket_that_is_seen_open_or_not(world: World) -> None:
    with world.acting(world.ana) as ana:
        for ticket in (world.ben_ticket, uuid4()):
            with ana.refused("TK002"):
                save(ana, uuid4(), ticket_id=ticket)
        ana.call("close_ticket", ticket_id=world.ticket, request_id=uuid4())
        draft = uuid4()
        save(ana, draft, **reply(world))
        with ana.refused("TK003"):
            ana.call("submit_draft", id=draft, version=1)
        ana.call("reopen_ticket", ticket_id=world.ticket, request_id=uuid4())
        assert ana.call("submit_draft", id=draft, version=1)["kind"] == "message"


@pytest.mark.parametrize("kind", ["stranger", "employee", "admin", "other_employee"])
def test_nobody_else_sees_or_touches_a_draft(world: World, kind: str) -> None:
    draft = uuid4()
    file = world.upload(world.ana)
    with world.acting(world.ana) as ana:
        save(ana, draft, **reply(world), attachments=[file])
    with world.as_kind(kind) as actor:
        assert actor.rows("select * from public.ticket_drafts") == []
        assert actor.rows("select * from public.ticket_attachments") == []
        assert actor.rows("select * from storage.objects") == []
        assert actor.call("discard_draft", id=draft) == {"discarded": False}
        for function in ("submit_draft", "save_draft"):
            with actor.refused("TK002"):
                actor.call(function, id=draft, version=1)
        texts = set()
        for used in (draft, world.ticket, world.message):
            with actor.refused("23505") as caught:
                save(actor, used)
            texts.add((caught.value.diag.message_primary, caught.value.diag.message_detail))
        assert len(texts) == 1
    with world.as_kind("anonymous") as anonymous, anonymous.refused("42501"):
        anonymous.rows("select * from public.ticket_drafts")


def test_attachments_are_kept_dropped_added_and_ordered(world: World) -> None:
    draft = uuid4()
    first, second, third = (world.upload(world.ana) for _ in range(3))

    def ids(saved: dict[str, Any]) -> list[str]:
        return [file["id"] for file in saved["attachments"]]

    with world.acting(world.ana) as ana:
        save(ana, draft, attachments=[first, second])
        kept = save(ana, draft, 1, subject="x")
        assert ids(kept) == [first["id"], second["id"]]
        # What is there already need not be described again.
        moved = save(ana, draft, 2, subject="x", attachments=[third, {"id": first["id"]}])
        assert ids(moved) == [third["id"], first["id"]]
        assert moved["version"] == 3
        assert moved["attachments"][1]["sha256"] == first["sha256"]
        same = save(ana, draft, 2, subject="x", attachments=[third, {"id": first["id"]}])
        assert same == moved
        (orphan,) = ana.call("orphaned_uploads", older_than_seconds=0)["uploads"]
        assert orphan["object_key"].endswith(second["id"])
        assert ids(save(ana, draft, 3, subject="x", attachments=[])) == []
        again = save(ana, draft, 4, subject="x", attachments=[second])
        other = uuid4()
        with ana.refused("TK001"):
            save(ana, other, attachments=[second])
        assert ids(again) == [second["id"]]
        with ana.refused("TK009"):
            save(ana, draft, 4, subject="x", attachments=[])
        ana.call("discard_draft", id=draft)
        assert ana.rows("select from public.ticket_attachments") == []
        assert len(ana.call("orphaned_uploads", older_than_seconds=0)["uploads"]) == 3


def test_a_draft_becomes_a_ticket_of_its_id_with_its_files(world: World) -> None:
    draft, file = uuid4(), world.upload(world.ana)
    with world.acting(world.ana) as ana:
        save(ana, draft, **new_ticket(world), attachments=[file])
        answer = ana.call("submit_draft", id=draft, version=1)
        assert ana.rows("select from public.ticket_drafts") == []
        assert set(answer) == {"kind", "ticket", "can", "attachments", "events"}
        assert (answer["kind"], answer["ticket"]["id"]) == ("ticket", str(draft))
        assert answer["ticket"]["subject"] == "Draft"
        assert answer["events"][0]["data"] == {"attachments": 1}
        (attachment,) = answer["attachments"]
        assert (attachment["id"], attachment["ticket_id"]) == (file["id"], str(draft))
        assert attachment["draft_id"] is None
        for version in (1, 7):
            assert ana.call("submit_draft", id=draft, version=version) == answer
        ana.call("edit_ticket", ticket_id=draft, subject="Other")
        later = ana.call("submit_draft", id=draft, version=1)
        assert (later["ticket"]["subject"], later["kind"]) == ("Other", "ticket")
        with ana.refused("23505"):
            save(ana, draft)
    with world.acting(world.ben) as ben, ben.refused("TK002"):
        ben.call("submit_draft", id=draft, version=1)


@pytest.mark.parametrize("who", ["owner", "employee"])
def test_a_draft_becomes_a_message_of_its_id_with_its_files(world: World, who: str) -> None:
    draft, file = uuid4(), world.upload(world.people[who])
    with world.acting(world.people[who]) as actor:
        save(actor, draft, **reply(world), attachments=[file])
        answer = actor.call("submit_draft", id=draft, version=1)
        assert set(answer) == {"kind", "message", "ticket", "can"}
        message = answer["message"]
        assert (answer["kind"], message["id"]) == ("message", str(draft))
        assert (message["body"], message["message_type"]) == ("Reply", "public")
        assert message["reply_to"] == str(world.message)
        assert [one["id"] for one in message["attachments"]] == [file["id"]]
        events = actor.call("ticket_events_after", ticket_id=world.ticket, after_seq=2)["events"]
        assert events[0]["data"] == {"message_id": str(draft), "attachments": 1}
        actor.call("close_ticket", ticket_id=world.ticket, request_id=uuid4())
        assert actor.call("submit_draft", id=draft, version=1)["message"] == message
        assert actor.call("ticket_thread", ticket_id=world.ticket)["draft"] is None


def test_what_is_missing_is_named_and_the_draft_stays(world: World) -> None:
    ticket, message = uuid4(), uuid4()
    with world.acting(world.ana) as ana:
        save(ana, ticket)
        save(ana, message, **reply(world, body=" ", reply_to=world.message))
        fields = ana.problems("submit_draft", id=ticket, version=1)
        assert fields == ["subject", "handling_org_id"]
        assert ana.problems("submit_draft", id=message, version=1) == ["body"]
        save(ana, message, 1, **reply(world, reply_to=world.note))
        assert ana.problems("submit_draft", id=message, version=2) == ["reply_to"]
        assert len(ana.rows("select from public.ticket_drafts")) == 2


def test_files_go_to_nothing_that_was_there_before(world: World) -> None:
    """A ticket was opened under the draft's id without submitting it."""
    draft, file = uuid4(), world.upload(world.ana)
    with world.acting(world.ana) as ana:
        save(ana, draft, **new_ticket(world), attachments=[file])
    with world.backend() as backend:
        backend.changed(
            "insert into public.tickets"
            " (id, user_id, subject, description, priority, handling_org_id, created_at)"
            " values (%s, %s, 'Draft', 'Text', 'high', %s, now())",
            *(draft, world.ana, world.acme),
        )
        backend.changed("update public.tickets set created_at = created_at - interval '1 day'")
    with world.acting(world.ana) as ana:
        with ana.refused("23505"):
            ana.call("submit_draft", id=draft, version=1)
        assert ana.value("select count(*) from public.ticket_attachments where ticket_id is null")


def test_two_hundred_drafts_are_enough(world: World) -> None:
    with world.backend() as backend:
        backend.changed(
            "insert into public.ticket_drafts (id, user_id)"
            " select gen_random_uuid(), %s from generate_series(1, 199)",
            world.ana,
        )
    with world.acting(world.ana) as ana:
        last = uuid4()
        save(ana, last)
        assert ana.problems("save_draft", id=uuid4(), version=0) == ["draft"]
        assert save(ana, last)["version"] == 1
        assert save(ana, last, 1, subject="x")["version"] == 2
    with world.acting(world.ben) as ben:
        save(ben, uuid4())


def test_deleting_a_user_takes_their_drafts(world: World) -> None:
    evas, anas = world.upload(world.eva), world.upload(world.ana)
    with world.acting(world.eva) as eva:
        save(eva, uuid4(), ticket_id=world.ticket, attachments=[evas])
    with world.acting(world.ana) as ana:
        save(ana, uuid4(), **new_ticket(world), attachments=[anas])
        save(ana, uuid4(), **reply(world))
    with world.backend() as backend:
        backend.changed("delete from auth.users where id = %s", world.ana)
        assert backend.rows("select from public.ticket_drafts") == []
        assert backend.rows("select from public.ticket_attachments") == []
        backend.changed("delete from auth.users where id = %s", world.eva)
