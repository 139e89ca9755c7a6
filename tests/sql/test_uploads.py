"""The objects of attachments in storage: who uploads, sees, removes them, and what is left over."""

from typing import Any
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb

from sql.test_attachments import new_message, new_ticket
from sql.world import World


def seen(world: World, kind: str) -> tuple[set[str], set[str]]:
    """The attachments and the objects that this kind of person sees."""
    with world.as_kind(kind) as actor:
        rows = actor.rows("select id::text from public.ticket_attachments")
        objects = actor.rows("select split_part(name, '/', 2) from storage.objects")
    return {row[0] for row in rows}, {row[0] for row in objects}


def test_who_sees_attachments_and_their_files(world: World) -> None:
    own, note, loose = world.upload(world.ana), world.upload(world.eva), world.upload(world.eva)
    with world.acting(world.ana) as ana:
        ana.call("send_message", **new_message(world, own))
    with world.acting(world.eva) as eva:
        eva.call("send_message", **new_message(world, note, message_type="internal"))
    public, internal = {own["id"]}, {note["id"]}
    assert seen(world, "owner") == (public, public)
    assert seen(world, "employee") == (public | internal, public | internal | {loose["id"]})
    assert seen(world, "admin") == (public | internal, public | internal)
    for kind in ("stranger", "other_employee", "other_admin"):
        assert seen(world, kind) == (set(), set()), kind
    with world.as_kind("anonymous") as anonymous:
        assert anonymous.rows("select * from storage.objects") == []


def test_a_notes_file_is_nowhere_in_what_a_customer_can_ask(world: World) -> None:
    def everything() -> str:
        on = {"ticket_id": world.ticket}
        with world.acting(world.ana) as ana:
            return str(
                [
                    ana.call("ticket_thread", **on),
                    ana.call("ticket_events_after", **on, after_seq=0),
                    ana.call("ticket_messages_before", **on, before_seq=99),
                    ana.call("orphaned_uploads", older_than_seconds=0),
                    ana.rows("select * from public.ticket_attachments"),
                    ana.rows("select * from public.ticket_events"),
                    ana.rows("select * from storage.objects"),
                ]
            )

    before = everything()
    note = world.upload(world.eva)
    with world.acting(world.eva) as eva:
        eva.call("send_message", **new_message(world, note, message_type="internal"))
    assert everything() == before


UPLOAD = "insert into storage.objects (bucket_id, name) values (%s, %s)"


@pytest.mark.parametrize(
    ("bucket", "key", "allowed"),
    [
        ("ticket-attachments", "{me}/{new}", True),
        ("ticket-attachments", "{ben}/{new}", False),
        ("ticket-attachments", "{me}/../{ben}/{new}", False),
        ("ticket-attachments", "{me}/{new}/{new}", False),
        ("ticket-attachments", "{me}/{new}.txt", False),
        ("ticket-attachments", "{me}/{new}\n", False),
        ("ticket-attachments", "{me}", False),
        ("ticket-attachments", "{new}", False),
        ("ticket-attachments", "/{new}", False),
        ("other", "{me}/{new}", False),
    ],
)
def test_where_one_uploads(world: World, bucket: str, key: str, allowed: bool) -> None:
    with world.backend() as backend:
        backend.changed("insert into storage.buckets (id, name) values ('other', 'other')")
    name = key.format(me=world.ana, ben=world.ben, new=uuid4())
    with world.as_kind("owner") as ana:
        if allowed:
            assert ana.changed(UPLOAD, bucket, name) == 1
        else:
            with ana.refused("42501"):
                ana.changed(UPLOAD, bucket, name)
    with world.as_kind("anonymous") as anonymous, anonymous.refused("42501"):
        anonymous.changed(UPLOAD, bucket, name)


def remove(world: World, kind: str, file: dict[str, Any]) -> int:
    """How many rows a delete by the storage API reaches."""
    with world.as_kind(kind) as actor:
        actor.changed("set local storage.allow_delete_query = 'true'")
        return actor.changed(
            "delete from storage.objects where split_part(name, '/', 2) = %s", file["id"]
        )


def test_one_removes_own_uploads_until_they_are_attached(world: World) -> None:
    file = world.upload(world.ana)
    assert remove(world, "owner", file) == 1
    for kind in ("stranger", "employee", "admin", "anonymous"):
        assert remove(world, kind, file) == 0, kind
    with world.acting(world.ana) as ana:
        ana.call("send_message", **new_message(world, file))
    for kind in ("owner", "stranger", "employee", "admin", "anonymous"):
        assert remove(world, kind, file) == 0, kind


def test_nobody_learns_what_of_others_is_attached(world: World) -> None:
    attached, loose = world.upload(world.ana), world.upload(world.ana)
    with world.acting(world.ana) as ana:
        ana.call("send_message", **new_message(world, attached))
    for kind, expected in (("owner", [False, True]), ("stranger", [False, False])):
        with world.as_kind(kind) as actor:
            query = "select private.may_remove_upload(%s)"
            keys = [f"{world.ana}/{file['id']}" for file in (attached, loose)]
            assert [actor.value(query, key) for key in keys] == expected


def test_who_left_the_staff_removes_nothing_that_is_attached(world: World) -> None:
    file = world.upload(world.eva)
    with world.acting(world.eva) as eva:
        eva.call("send_message", **new_message(world, file))
    with world.backend() as backend:
        backend.changed(
            "update public.profiles set role = 'customer', org_id = null where user_id = %s",
            world.eva,
        )
    assert seen(world, "employee") == (set(), {file["id"]})
    assert remove(world, "employee", file) == 0
    with world.as_kind("employee") as eva:
        assert eva.call("orphaned_uploads", older_than_seconds=0) == {"uploads": []}


def test_nobody_overwrites_or_moves_a_file(world: World) -> None:
    world.upload(world.ana)
    with world.as_kind("owner") as ana:
        assert ana.changed("update storage.objects set metadata = '{\"size\": 4}'") == 0
        assert ana.changed("update storage.objects set name = name || 'x'") == 0


@pytest.mark.parametrize("kind", ["owner", "employee"])
def test_nobody_attaches_but_through_the_functions(world: World, kind: str) -> None:
    file = world.upload(world.people[kind])
    with world.as_kind(kind) as actor:
        with actor.refused("42501"):
            actor.rows("select private.attach(%s, %s)", Jsonb([file]), world.ticket)
        # Not to what was there before, not even to one's own.
        actor.rows("select private.complete_message(%s, %s)", world.message, Jsonb([file]))
        actor.rows("select private.complete_ticket(%s, %s)", world.ticket, Jsonb([file]))
        assert actor.rows("select from public.ticket_attachments") == []


def test_the_limits_are_the_buckets(world: World) -> None:
    with world.as_kind("stranger") as ben:
        limits = ben.call("attachment_limits")
        assert limits["max_bytes"] == 25 * 1024 * 1024
        assert {"image/png", "application/pdf", "text/plain"} < set(limits["content_types"])
    with world.backend() as backend:
        backend.changed(
            "update storage.buckets set file_size_limit = null, allowed_mime_types = null"
        )
    with world.as_kind("stranger") as ben:
        assert ben.call("attachment_limits") == {"max_bytes": None, "content_types": None}


def test_orphans_are_ones_own_uploads_that_belong_to_nothing(world: World) -> None:
    attached, orphan = world.upload(world.ana), world.upload(world.ana)
    world.upload(world.ben)
    with world.acting(world.ana) as ana:
        ana.call("send_message", **new_message(world, attached))
        assert ana.call("orphaned_uploads") == {"uploads": []}
        (found,) = ana.call("orphaned_uploads", older_than_seconds=0)["uploads"]
        assert ana.call("orphaned_uploads", older_than_seconds=-5)["uploads"] == [found]
        assert found.pop("created_at")
        assert found == {"object_key": f"{world.ana}/{orphan['id']}", "size_bytes": 3}
    with world.backend() as backend:
        backend.changed("update storage.objects set created_at = now() - interval '2 hours'")
    with world.acting(world.ana) as ana:
        assert len(ana.call("orphaned_uploads")["uploads"]) == 1


def test_deleting_a_customer_takes_their_attachments(world: World) -> None:
    files = [world.upload(world.ana), world.upload(world.ana)]
    evas = world.upload(world.eva)
    with world.acting(world.ana) as ana:
        ana.call("create_ticket", **new_ticket(world, files[0]))
        ana.call("send_message", **new_message(world, files[1]))
    with world.acting(world.eva) as eva:
        eva.call("send_message", **new_message(world, evas))
    with world.backend() as backend:
        backend.changed("delete from auth.users where id = %s", world.eva)
        assert backend.value("select count(*) from public.ticket_attachments") == 3
        backend.changed("delete from auth.users where id = %s", world.ana)
        assert backend.rows("select from public.ticket_attachments") == []
