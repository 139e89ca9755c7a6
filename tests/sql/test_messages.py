"""Messages, internal notes, the thread and its pages, what is unread."""

import json
from typing import Any
from uuid import uuid4

import pytest

from sql.world import World


def test_send_answers_with_message_and_ticket(world: World) -> None:
    sent = uuid4()
    with world.acting(world.ana) as ana:
        answer = ana.call(
            "send_message", id=sent, ticket_id=world.ticket, body=" So? ", reply_to=world.message
        )
    created_at = answer["message"].pop("created_at")
    assert answer["message"] == {
        "id": str(sent),
        "ticket_id": str(world.ticket),
        "seq": 3,
        "author_id": str(world.ana),
        "author_role": "customer",
        "author_name": "Ana",
        "body": " So? ",
        "message_type": "public",
        "reply_to": str(world.message),
        "attachments": [],
    }
    assert answer["ticket"]["last_seq"] == 3
    assert answer["ticket"]["last_message_at"] == answer["ticket"]["updated_at"] == created_at


@pytest.mark.parametrize("who", ["owner", "employee"])
def test_repeating_send_changes_nothing(world: World, who: str) -> None:
    asked: dict[str, Any] = {"id": uuid4(), "ticket_id": world.ticket, "body": "Once"}
    with world.acting(world.people[who]) as actor:
        first = actor.call("send_message", **asked)
        assert actor.call("send_message", **asked) == first
        actor.call("close_ticket", ticket_id=world.ticket, request_id=uuid4())
        again = actor.call("send_message", **asked)
        assert again["message"] == first["message"]
        assert again["ticket"]["status"] == "closed"
        for change in ({"body": "Twice"}, {"reply_to": world.message}):
            with actor.refused("23505"):
                actor.call("send_message", **(asked | change))
        with actor.refused("TK003"):
            actor.call("send_message", **(asked | {"id": uuid4()}))


def test_a_used_message_id_tells_nothing(world: World) -> None:
    texts = set()
    for used in (world.message, world.note):
        with world.acting(world.ben) as ben, ben.refused("23505") as caught:
            ben.call("send_message", id=used, ticket_id=world.ben_ticket, body="Hello?")
        texts.add((caught.value.diag.message_primary, caught.value.diag.message_detail))
    assert len(texts) == 1


def test_another_authors_message_id_is_a_conflict_though_the_content_is_known(
    world: World,
) -> None:
    asked = {"id": world.message, "ticket_id": world.ticket, "body": "Hello?"}
    with world.acting(world.eva) as eva, eva.refused("23505"):
        eva.call("send_message", **asked)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"body": ""}, ["body"]),
        ({"body": " \n\u2003"}, ["body"]),
        ({"body": None}, ["body"]),
        ({"body": "x" * 20001}, ["body"]),
        ({"id": None, "body": "", "message_type": "secret"}, ["id", "body", "message_type"]),
        ({"message_type": None}, ["message_type"]),
        ({"message_type": "internal"}, ["message_type"]),
        ({"reply_to": uuid4()}, ["reply_to"]),
        ({"body": "\U0001f600" * 20000}, None),
    ],
)
def test_wrong_input(world: World, changes: dict[str, object], fields: list[str] | None) -> None:
    asked = {"id": uuid4(), "ticket_id": world.ticket, "body": "x"} | changes
    with world.as_kind("owner") as ana:
        if fields is None:
            ana.call("send_message", **asked)
            return
        with ana.refused("TK001") as caught:
            ana.call("send_message", **asked)
    found = json.loads(caught.value.diag.message_detail or "")
    assert [problem["field"] for problem in found] == fields


@pytest.mark.parametrize("who", ["owner", "employee"])
def test_nobody_answers_a_note_in_public(world: World, who: str) -> None:
    asked = {"id": uuid4(), "ticket_id": world.ticket, "body": "x"}
    with world.as_kind(who) as actor, actor.refused("TK001") as caught:
        actor.call("send_message", **asked, reply_to=world.note)
    assert caught.value.diag.message_detail is not None
    # What a missing message answers, word for word.
    with world.as_kind(who) as actor, actor.refused("TK001") as missing:
        actor.call("send_message", **asked, reply_to=uuid4())
    assert missing.value.diag.message_detail == caught.value.diag.message_detail


def test_notes_are_answered_by_notes(world: World) -> None:
    with world.as_kind("admin") as ada:
        answer = ada.call(
            "send_message",
            id=uuid4(),
            ticket_id=world.ticket,
            body="True.",
            message_type="internal",
            reply_to=world.note,
        )
        assert answer["message"]["seq"] is None


def everything_a_customer_can_ask(world: World) -> str:
    on = {"ticket_id": world.ticket}
    with world.acting(world.ana) as ana:
        answers: list[object] = [
            ana.call("ticket_thread", **on),
            ana.call("ticket_events_after", **on, after_seq=0),
            ana.call("ticket_events_before", **on, before_seq=99),
            ana.call("ticket_messages_before", **on, before_seq=99),
            ana.call("ticket_counts"),
            ana.rows("select * from public.tickets"),
            ana.rows("select * from public.ticket_messages"),
            ana.rows("select * from public.ticket_events"),
            ana.rows("select * from public.ticket_reads"),
            ana.rows("select * from realtime.messages"),
        ]
    return str(answers)


def test_a_note_changes_nothing_that_a_customer_can_see(world: World) -> None:
    with world.backend() as backend:
        doorbells = backend.value("select count(*) from realtime.messages")
    before = everything_a_customer_can_ask(world)
    with world.acting(world.eva) as eva:
        note = {"id": uuid4(), "ticket_id": world.ticket, "message_type": "internal"}
        eva.call("send_message", **note, body="Watch out.", reply_to=world.message)
    assert everything_a_customer_can_ask(world) == before
    assert str(world.note) not in before
    with world.backend() as backend:
        assert backend.value("select count(*) from realtime.messages") == doorbells


def test_thread_answers_everything_at_once(world: World) -> None:
    with world.as_kind("owner") as ana:
        thread = ana.call("ticket_thread", ticket_id=world.ticket)
    assert set(thread) == {
        *("ticket", "organization", "messages", "more_messages", "events", "more_events"),
        *("can", "me", "attachments", "feedback", "draft"),
    }
    assert thread["organization"] == {
        "id": str(world.acme),
        "name": "Acme",
        "reopen_window_seconds": 14 * 24 * 3600,
    }
    assert thread["me"] == {"id": str(world.ana), "role": "customer", "name": "Ana"}
    assert [message["body"] for message in thread["messages"]] == ["Hello?"]
    assert [event["kind"] for event in thread["events"]] == ["created", "message"]
    assert all(event["message"] is None for event in thread["events"])
    assert thread["events"][1]["data"] == {"message_id": str(world.message)}
    assert (thread["more_messages"], thread["more_events"]) == (False, False)
    assert thread["ticket"]["last_read_seq"] == 1
    allowed = {"allowed": True, "reason": None, "until": None}
    assert thread["can"] == {
        "reply": allowed,
        "edit": allowed,
        "close": allowed,
        "reopen": {"allowed": False, "reason": "not_closed", "until": None},
        "rate": {"allowed": False, "reason": "not_closed", "until": None},
        "follow_up": {"allowed": False, "reason": "not_closed", "until": None},
    }


@pytest.fixture
def long_thread(world: World) -> World:
    """Public messages 3 to 12, and a note after number 6 and one after 12."""
    with world.acting(world.ana) as ana:
        for number in range(3, 7):
            ana.call("send_message", id=uuid4(), ticket_id=world.ticket, body=f"m{number}")
    note = {"ticket_id": world.ticket, "message_type": "internal"}
    with world.acting(world.eva) as eva:
        eva.call("send_message", id=uuid4(), body="n6", **note)
        for number in range(7, 13):
            eva.call("send_message", id=uuid4(), ticket_id=world.ticket, body=f"m{number}")
        eva.call("send_message", id=uuid4(), body="n12", **note)
    return world


def bodies(answer: dict[str, Any]) -> list[str]:
    return [message["body"] for message in answer["messages"]]


def test_older_messages_page_by_page(long_thread: World) -> None:
    on = {"ticket_id": long_thread.ticket}
    with long_thread.acting(long_thread.ana) as ana:
        thread = ana.call("ticket_thread", **on, message_limit=4, event_limit=5)
        assert bodies(thread) == ["m9", "m10", "m11", "m12"]
        assert thread["more_messages"]
        assert [event["seq"] for event in thread["events"]] == [8, 9, 10, 11, 12]
        assert thread["more_events"]
        older = ana.call("ticket_messages_before", **on, before_seq=9, max_messages=6)
        assert bodies(older) == ["m3", "m4", "m5", "m6", "m7", "m8"]
        assert older["more"]
        oldest = ana.call("ticket_messages_before", **on, before_seq=3, max_messages=6)
        assert bodies(oldest) == ["Hello?"]
        assert not oldest["more"]
        assert bodies(ana.call("ticket_messages_before", **on, before_seq=2)) == []
        events = ana.call("ticket_events_before", **on, before_seq=8, max_events=6)
        assert [event["seq"] for event in events["events"]] == [2, 3, 4, 5, 6, 7]
        assert events["more"]
        events = ana.call("ticket_events_before", **on, before_seq=2, max_events=6)
        assert [event["seq"] for event in events["events"]] == [1]
        assert not events["more"]


def test_staff_see_notes_where_they_were_written(long_thread: World) -> None:
    on = {"ticket_id": long_thread.ticket}
    with long_thread.acting(long_thread.ada) as ada:
        thread = ada.call("ticket_thread", **on, message_limit=6)
        assert bodies(thread) == ["m7", "m8", "m9", "m10", "m11", "m12", "n12"]
        older = ada.call("ticket_messages_before", **on, before_seq=7, max_messages=2)
        assert bodies(older) == ["m5", "m6", "n6"]
        oldest = ada.call("ticket_messages_before", **on, before_seq=5, max_messages=20)
        assert bodies(oldest) == ["Hello?", "He always complains.", "m3", "m4"]


def test_events_after_bring_their_messages(long_thread: World) -> None:
    with long_thread.acting(long_thread.ana) as ana:
        ana.call("close_ticket", ticket_id=long_thread.ticket, request_id=uuid4())
        answer = ana.call("ticket_events_after", ticket_id=long_thread.ticket, after_seq=10)
        seen = [
            (event["seq"], event["kind"], event["message"] and event["message"]["body"])
            for event in answer["events"]
        ]
        assert seen == [(11, "message", "m11"), (12, "message", "m12"), (13, "closed", None)]
        assert answer["ticket"]["last_seq"] == 13
        assert answer["can"]["reply"]["reason"] == "closed"
        first = ana.call(
            "ticket_events_after", ticket_id=long_thread.ticket, after_seq=0, max_events=2
        )
        assert [event["seq"] for event in first["events"]] == [1, 2]
        none = ana.call("ticket_events_after", ticket_id=long_thread.ticket, after_seq=13)
        assert none["events"] == []


def test_limits_are_bounded(long_thread: World) -> None:
    on = {"ticket_id": long_thread.ticket}
    with long_thread.acting(long_thread.ana) as ana:
        thread = ana.call("ticket_thread", **on, message_limit=-1, event_limit=0)
        assert (thread["messages"], thread["events"]) == ([], [])
        assert thread["more_messages"]
        assert thread["more_events"]
        assert len(bodies(ana.call("ticket_thread", **on, message_limit=2**31 - 1))) == 11


def test_reading_never_goes_backwards_nor_beyond(world: World) -> None:
    on = {"ticket_id": world.ticket}
    with world.acting(world.ana) as ana:
        for asked, stored in [(2, 2), (1, 2), (-5, 2), (2**62, 2)]:
            answer = ana.call("mark_ticket_read", **on, seq=asked)
            assert answer == {"last_read_seq": stored}
        with ana.refused("TK001"):
            ana.call("mark_ticket_read", **on, seq=None)
    with world.acting(world.ada) as ada:
        assert ada.call("mark_ticket_read", **on, seq=-3) == {"last_read_seq": 0}
        assert ada.call("mark_ticket_read", **on, seq=2**62) == {"last_read_seq": 2}


def test_unread_is_what_others_did_since(world: World) -> None:
    on = {"ticket_id": world.ticket}
    with world.acting(world.ana) as ana:
        ana.call("send_message", id=uuid4(), **on, body="Own")
        assert ana.call("ticket_counts") == {
            "open": 1,
            "in_progress": 0,
            "closed": 0,
            "unread": 0,
        }
    with world.acting(world.eva) as eva:
        eva.call("send_message", id=uuid4(), **on, body="Answer")
        assert eva.call("ticket_counts")["unread"] == 0
    with world.acting(world.ana) as ana:
        assert ana.call("ticket_counts")["unread"] == 1
        ana.call("send_message", id=uuid4(), **on, body="Not read, and yet")
        assert ana.call("ticket_counts")["unread"] == 1
        assert ana.call("ticket_thread", **on)["ticket"]["last_staff_seq"] == 4
        ana.call("mark_ticket_read", **on, seq=4)
        assert ana.call("ticket_counts")["unread"] == 0
    with world.acting(world.eva) as eva:
        eva.call("close_ticket", **on, request_id=uuid4())
    with world.acting(world.ana) as ana:
        assert ana.call("ticket_counts") == {
            "open": 0,
            "in_progress": 0,
            "closed": 1,
            "unread": 1,
        }


def test_several_messages_in_one_statement(world: World) -> None:
    with world.acting(world.ana) as ana:
        ana.changed(
            "insert into public.ticket_messages (id, ticket_id, body)"
            " select gen_random_uuid(), %s, 'm' || n from generate_series(3, 6) n",
            world.ticket,
        )
        events = ana.call("ticket_events_after", ticket_id=world.ticket, after_seq=2)["events"]
        assert [event["seq"] for event in events] == [3, 4, 5, 6]
        assert [event["message"]["seq"] for event in events] == [3, 4, 5, 6]


def test_an_ignored_duplicate_leaves_no_hole(world: World) -> None:
    with world.acting(world.ana) as ana:
        for _ in range(2):
            ana.changed(
                "insert into public.ticket_messages (id, ticket_id, body) values (%s, %s, 'x')"
                " on conflict (id) do nothing",
                world.message,
                world.ticket,
            )
        ana.call("send_message", id=uuid4(), ticket_id=world.ticket, body="Next")
        events = ana.call("ticket_events_after", ticket_id=world.ticket, after_seq=0)["events"]
        assert [event["seq"] for event in events] == [1, 2, 3]


def test_a_backend_writes_for_somebody_or_as_the_system(world: World) -> None:
    with world.backend() as backend:
        backend.changed(
            "insert into public.ticket_messages (id, ticket_id, body, author_id)"
            " values (gen_random_uuid(), %s, 'by mail', %s)",
            world.ticket,
            world.ana,
        )
        backend.changed(
            "insert into public.ticket_messages (id, ticket_id, body)"
            " values (gen_random_uuid(), %s, 'automatic')",
            world.ticket,
        )
        authors = backend.rows(
            "select author_id, author_role from public.ticket_messages where seq > 2 order by seq"
        )
        assert authors == [(world.ana, "customer"), (None, "system")]
        assert (
            backend.value("select last_staff_seq from public.tickets where id = %s", world.ticket)
            == 4
        )
