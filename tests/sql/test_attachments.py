"""Attaching uploaded files to tickets and messages: what is answered, refused and kept apart."""

import json
from typing import Any
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb

from sql.world import World


def new_ticket(world: World, *files: object) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "subject": "New",
        "description": "",
        "handling_org_id": world.acme,
        "attachments": list(files),
    }


def new_message(world: World, *files: object, **changes: object) -> dict[str, Any]:
    asked = {"id": uuid4(), "ticket_id": world.ticket, "body": "See.", "attachments": list(files)}
    return asked | changes


def messages_of(world: World, *files: object) -> list[str]:
    """What Ana is told is wrong with these, in her own words."""
    with world.as_kind("owner") as ana, ana.refused("TK001") as caught:
        ana.call("send_message", **new_message(world, *files))
    problems = json.loads(caught.value.diag.message_detail or "")
    assert {problem["field"] for problem in problems} == {"attachments"}
    return [problem["message"] for problem in problems]


def test_a_ticket_is_opened_with_files(world: World) -> None:
    files = [world.upload(world.ana, file_name=name) for name in ("  ß\u3000", "b" * 255)]
    asked = new_ticket(world, *files)
    with world.acting(world.ana) as ana:
        answer = ana.call("create_ticket", **asked)
        thread = ana.call("ticket_thread", ticket_id=asked["id"])
        keys = ana.rows("select object_key from public.ticket_attachments order by place")
    assert answer["events"][0]["data"] == {"attachments": 2}
    assert [file.pop("file_name") for file in answer["attachments"]] == ["ß", "b" * 255]
    assert [file.pop("created_at")[:2] for file in answer["attachments"]] == ["20", "20"]
    assert answer["attachments"][1] == {
        "id": files[1]["id"],
        "ticket_id": str(asked["id"]),
        "message_id": None,
        "draft_id": None,
        "user_id": str(world.ana),
        "content_type": "text/plain",
        "size_bytes": 3,
        "sha256": files[1]["sha256"],
    }
    assert [file["id"] for file in thread["attachments"]] == [file["id"] for file in files]
    assert keys == [(f"{world.ana}/{file['id']}",) for file in files]


def test_a_message_brings_its_files_wherever_it_is_answered(world: World) -> None:
    files = [world.upload(world.ana) for _ in range(3)]
    on = {"ticket_id": world.ticket}
    with world.acting(world.ana) as ana:
        answer = ana.call("send_message", **new_message(world, *files))
        thread = ana.call("ticket_thread", **on)
        after = ana.call("ticket_events_after", **on, after_seq=2)
        before = ana.call("ticket_messages_before", **on, before_seq=9)
    message = answer["message"]
    assert [file["id"] for file in message["attachments"]] == [file["id"] for file in files]
    assert message["attachments"][0]["message_id"] == message["id"]
    assert thread["messages"] == before["messages"]
    assert thread["messages"][-1] == after["events"][0]["message"] == message
    assert thread["attachments"] == []
    assert after["events"][0]["data"] == {"message_id": message["id"], "attachments": 3}


@pytest.mark.parametrize("function", ["create_ticket", "send_message"])
def test_repeating_is_recognized_by_the_files_too(world: World, function: str) -> None:
    make = {"create_ticket": new_ticket, "send_message": new_message}[function]
    first, second = world.upload(world.ana), world.upload(world.ana)
    asked = make(world, first, second)
    with world.acting(world.ana) as ana:
        answer = ana.call(function, **asked)
        assert ana.call(function, **asked) == answer
        ticket = asked.get("ticket_id", asked["id"])
        ana.call("close_ticket", ticket_id=ticket, request_id=uuid4())
        assert ana.call(function, **asked)["ticket"]["status"] == "closed"
        for other in ([], [first], [second, first], [first, second | {"sha256": "0" * 64}]):
            with ana.refused("23505"):
                ana.call(function, **(asked | {"attachments": other}))
        renamed = [first | {"file_name": "other"}, second]
        assert ana.call(function, **(asked | {"attachments": renamed}))["ticket"]


def changed(**changes: object) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "file_name": "secret.txt",
        "content_type": "text/plain",
        "size_bytes": 3,
        "sha256": "0" * 64,
    } | changes


HOSTILE: list[tuple[Any, str]] = [
    (changed(id=None), "the id is not a UUID in lower case."),
    (changed(id=str(uuid4()).upper()), "the id is not a UUID in lower case."),
    (changed(id="../" + str(uuid4())), "the id is not a UUID in lower case."),
    (changed(id={"id": str(uuid4())}), "the id is not a UUID in lower case."),
    (changed(file_name=" \u3000"), "the file name is missing."),
    (changed(file_name=["a"]), "the file name is missing."),
    (changed(file_name="x" * 256), "the file name is longer than 255 characters."),
    (changed(content_type=""), "the content type does not have 1 to 127 characters."),
    (changed(content_type="x" * 128), "the content type does not have 1 to 127 characters."),
    (changed(size_bytes="3"), "the size is not a number of bytes."),
    (changed(size_bytes=-1), "the size is not a number of bytes."),
    (changed(size_bytes=2.5), "the size is not a number of bytes."),
    (changed(size_bytes=10**30), "the size is not a number of bytes."),
    (changed(sha256="A" * 64), "the SHA-256 is not 64 hex digits in lower case."),
    (changed(sha256="0" * 63), "the SHA-256 is not 64 hex digits in lower case."),
    (changed(sha256="0" * 64 + "\n"), "the SHA-256 is not 64 hex digits in lower case."),
    ({}, "the id is not a UUID in lower case."),
    ([], "it is not an object."),
    (None, "it is not an object."),
    ("secret.txt", "it is not an object."),
    ([[[[changed()]]]], "it is not an object."),
    *(
        (
            changed(file_name=name),
            "the file name is a folder, or has slashes or control characters.",
        )
        for name in (".", "..", "a/b", "a\\b", "a\nb", "a\x7fb", "a\x85b")
    ),
]


@pytest.mark.parametrize(("item", "said"), HOSTILE)
def test_hostile_attachments(world: World, item: object, said: str) -> None:
    assert messages_of(world, world.upload(world.ana), item) == [f"Attachment 2: {said}"]


@pytest.mark.parametrize("value", [{"0": changed()}, "x", 5, True])
def test_what_is_no_list_is_refused(world: World, value: object) -> None:
    for make, function in ((new_ticket, "create_ticket"), (new_message, "send_message")):
        asked = make(world) | {"attachments": Jsonb(value)}
        with world.as_kind("owner") as ana:
            assert ana.problems(function, **asked) == ["attachments"]


@pytest.mark.parametrize("value", [None, Jsonb(None), []])
def test_nothing_is_no_attachments(world: World, value: object) -> None:
    with world.as_kind("owner") as ana:
        answer = ana.call("create_ticket", **(new_ticket(world) | {"attachments": value}))
        assert (answer["attachments"], answer["events"][0]["data"]) == ([], {})


def test_every_wrong_attachment_is_named_with_every_other_wrong_field(world: World) -> None:
    wrong = new_ticket(world, changed(id=1), changed(), changed(sha256=1)) | {"subject": " "}
    with world.as_kind("owner") as ana:
        assert ana.problems("create_ticket", **wrong) == ["subject", "attachments", "attachments"]


def test_twenty_and_no_more(world: World) -> None:
    files = [world.upload(world.ana) for _ in range(21)]
    assert messages_of(world, *files) == ["There are more than 20 attachments."]
    with world.as_kind("owner") as ana:
        answer = ana.call("send_message", **new_message(world, *files[:20]))
        assert len(answer["message"]["attachments"]) == 20


def test_the_same_twice(world: World) -> None:
    file = world.upload(world.ana)
    assert messages_of(world, file, file) == ["Attachment 2: it is in the list twice."]


def test_only_what_the_caller_has_uploaded_is_attached(world: World) -> None:
    bens = world.upload(world.ben)
    missing = "Attachment 1: nothing has been uploaded for it."
    assert messages_of(world, changed(), bens) == [missing, missing.replace("1", "2")]
    assert messages_of(world, world.upload(world.ana) | {"size_bytes": 4}) == [
        "Attachment 1: the uploaded file has another size."
    ]


def test_a_refused_attachment_leaves_nothing(world: World) -> None:
    asked = new_ticket(world, world.upload(world.ana), changed())
    with world.as_kind("owner") as ana:
        assert ana.problems("create_ticket", **asked) == ["attachments"]
        assert ana.rows("select from public.tickets where id = %s", asked["id"]) == []
        assert ana.rows("select from public.ticket_attachments") == []


def test_a_file_is_attached_once_and_ids_tell_nothing(world: World) -> None:
    used = "Attachment 1: its id has been used for something else."
    own, bens = world.upload(world.ana), world.upload(world.ben)
    with world.acting(world.ana) as ana:
        ana.call("create_ticket", **new_ticket(world, own))
    with world.acting(world.ben) as ben:
        ben.call("create_ticket", **new_ticket(world, bens))
    assert messages_of(world, own) == [used]
    # Ana uploads under the id of Ben's attachment: what she hears is the same.
    assert messages_of(world, world.upload(world.ana, id=bens["id"])) == [used]
