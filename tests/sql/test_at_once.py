"""What two do at the same moment with drafts, files and ratings: the second waits, then knows."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from sql.test_attachments import new_message, new_ticket
from sql.test_sequence import wait_until_blocked
from sql.world import Actor, World


@pytest.fixture
def ticket(lasting_world: World) -> UUID:
    """Ana's, at Acme, without anything in it."""
    asked = new_ticket(lasting_world)
    with lasting_world.acting(lasting_world.ana) as ana:
        ana.call("create_ticket", **asked)
    return UUID(str(asked["id"]))


def meet(
    world: World,
    first: Callable[[Actor], object],
    second: Callable[[Actor], Any],
    *,
    undo: bool = False,
    who: UUID | None = None,
) -> Any:
    """Let Ana do the first; the second waits for its commit (or undoing). What that answers.

    A refusal is answered as its SQLSTATE. `who` does the first, when it is not Ana.
    """

    def do_second(connection: psycopg.Connection[Any]) -> Any:
        try:
            return second(Actor(connection))
        except psycopg.Error as error:
            return error.sqlstate

    with (
        world.connected(who or world.ana) as one,
        world.connected(world.ana) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        with one.transaction(force_rollback=undo):
            first(Actor(one))
            answer = pool.submit(do_second, other)
            wait_until_blocked(world, other.info.backend_pid)
        return answer.result(20)


def saved(world: World, **content: object) -> UUID:
    draft = uuid4()
    with world.acting(world.ana) as ana:
        ana.call("save_draft", id=draft, version=0, **content)
    return draft


def save(draft: UUID, version: int, **content: object) -> Callable[[Actor], Any]:
    return lambda actor: actor.call("save_draft", id=draft, version=version, **content)


def submit(draft: UUID) -> Callable[[Actor], Any]:
    return lambda actor: actor.call("submit_draft", id=draft, version=1)


def discard(draft: UUID) -> Callable[[Actor], Any]:
    return lambda actor: actor.call("discard_draft", id=draft)


def send(**message: object) -> Callable[[Actor], Any]:
    return lambda actor: actor.call("send_message", **message)


def test_a_ticket_is_made_of_a_draft_once(lasting_world: World) -> None:
    world = lasting_world
    file = world.upload(world.ana)
    draft = saved(world, subject="One", handling_org_id=world.acme, attachments=[file])
    answer = meet(world, submit(draft), submit(draft))
    assert answer["ticket"]["id"] == str(draft)
    assert [one["id"] for one in answer["attachments"]] == [file["id"]]
    assert answer["ticket"]["last_seq"] == 1


def test_a_message_is_made_of_a_draft_once(lasting_world: World, ticket: UUID) -> None:
    world = lasting_world
    draft = saved(world, ticket_id=ticket, body="One")
    answer = meet(world, submit(draft), submit(draft))
    assert (answer["message"]["id"], answer["ticket"]["last_seq"]) == (str(draft), 2)


def test_a_submission_that_fails_leaves_it_to_the_other(lasting_world: World, ticket: UUID) -> None:
    draft = saved(lasting_world, ticket_id=ticket, body="One")
    answer = meet(lasting_world, submit(draft), submit(draft), undo=True)
    assert (answer["message"]["body"], answer["ticket"]["last_seq"]) == ("One", 2)


def test_two_versions_at_once(lasting_world: World) -> None:
    draft = saved(lasting_world)
    first, other = save(draft, 1, subject="A"), save(draft, 1, subject="B")
    assert meet(lasting_world, first, other) == "TK009"
    assert (
        meet(lasting_world, save(draft, 2, subject="C"), save(draft, 2, subject="C"))["draft"][
            "version"
        ]
        == 3
    )


def test_two_new_ones_of_one_id_at_once(lasting_world: World) -> None:
    draft = uuid4()
    first = save(draft, 0, subject="A")
    assert meet(lasting_world, first, save(draft, 0, subject="A"))["draft"]["version"] == 1
    draft = uuid4()
    assert meet(lasting_world, save(draft, 0), save(draft, 0, subject="B")) == "TK009"


def test_saving_what_is_being_submitted_or_discarded(lasting_world: World, ticket: UUID) -> None:
    for first in (submit, discard):
        draft = saved(lasting_world, ticket_id=ticket, body="One")
        late = save(draft, 1, ticket_id=ticket, body="Two")
        assert meet(lasting_world, first(draft), late) == "TK002"
    draft = saved(lasting_world, ticket_id=ticket, body="One")
    late = save(draft, 1, ticket_id=ticket, body="Two")
    assert meet(lasting_world, late, submit(draft)) == "TK009"


def test_submitting_what_is_being_discarded(lasting_world: World, ticket: UUID) -> None:
    draft = saved(lasting_world, ticket_id=ticket, body="One")
    assert meet(lasting_world, discard(draft), submit(draft)) == "TK002"
    draft = saved(lasting_world, ticket_id=ticket, body="One")
    assert meet(lasting_world, submit(draft), discard(draft)) == {"discarded": False}


def test_submitting_to_a_ticket_that_is_being_closed(lasting_world: World, ticket: UUID) -> None:
    world = lasting_world
    draft = saved(world, ticket_id=ticket, body="One")

    def close(actor: Actor) -> object:
        return actor.call("close_ticket", ticket_id=ticket, request_id=uuid4())

    assert meet(world, close, submit(draft), who=world.eva) == "TK003"
    with world.acting(world.ana) as ana:
        assert ana.call("discard_draft", id=draft) == {"discarded": True}


def test_the_two_hundredth_draft_is_one(lasting_world: World) -> None:
    world = lasting_world
    with world.backend() as backend:
        backend.changed("delete from public.ticket_drafts")
        backend.changed(
            "insert into public.ticket_drafts (id, user_id)"
            " select gen_random_uuid(), %s from generate_series(1, 199)",
            world.ana,
        )
    assert meet(world, save(uuid4(), 0), save(uuid4(), 0)) == "TK001"
    with world.backend() as backend:
        backend.changed("delete from public.ticket_drafts")


def remove(file: dict[str, Any]) -> Callable[[Actor], int]:
    """Delete as the storage API does."""

    def do(actor: Actor) -> int:
        with actor.connection.transaction():
            actor.changed("set local storage.allow_delete_query = 'true'")
            return actor.changed(
                "delete from storage.objects where bucket_id = 'ticket-attachments' and name = %s",
                f"{actor.value('select auth.uid()')}/{file['id']}",
            )

    return do


def test_removing_what_is_being_attached(lasting_world: World, ticket: UUID) -> None:
    world = lasting_world
    file = world.upload(world.ana)
    attach = send(**new_message(world, file, ticket_id=ticket))
    assert meet(world, attach, remove(file)) == 0


def test_removing_what_was_nearly_attached(lasting_world: World, ticket: UUID) -> None:
    world = lasting_world
    file = world.upload(world.ana)
    attach = send(**new_message(world, file, ticket_id=ticket))
    assert meet(world, attach, remove(file), undo=True) == 1


@pytest.mark.parametrize("undo", [False, True])
def test_attaching_what_is_being_removed(lasting_world: World, ticket: UUID, undo: bool) -> None:
    world = lasting_world
    file = world.upload(world.ana)
    attach = send(**new_message(world, file, ticket_id=ticket))
    answer = meet(world, remove(file), attach, undo=undo)
    if undo:
        assert answer["message"]["attachments"][0]["id"] == file["id"]
    else:
        assert answer == "TK001"


def test_a_file_goes_to_one_of_two_tickets(lasting_world: World) -> None:
    world = lasting_world
    file = world.upload(world.ana)
    one, other = new_ticket(world, file), new_ticket(world, file)
    answer = meet(
        world,
        lambda actor: actor.call("create_ticket", **one),
        lambda actor: actor.call("create_ticket", **other),
    )
    assert answer == "TK001"
    with world.acting(world.ana) as ana:
        assert ana.rows("select from public.tickets where id = %s", other["id"]) == []


def test_the_same_ticket_with_a_file_at_once_is_one(lasting_world: World) -> None:
    world = lasting_world
    asked = new_ticket(world, world.upload(world.ana))

    def create(actor: Actor) -> dict[str, Any]:
        return actor.call("create_ticket", **asked)

    assert len(meet(world, create, create)["attachments"]) == 1


def test_the_same_rating_at_once_is_one_event(lasting_world: World, ticket: UUID) -> None:
    world = lasting_world
    with world.acting(world.eva) as eva:
        eva.call("close_ticket", ticket_id=ticket, request_id=uuid4())
    request = uuid4()

    def rate(rating: int, request_id: UUID) -> Callable[[Actor], dict[str, Any]]:
        return lambda actor: actor.call(
            "rate_ticket", ticket_id=ticket, rating=rating, request_id=request_id
        )

    answer = meet(world, rate(5, request), rate(5, request))
    assert (answer["event"]["seq"], answer["ticket"]["last_seq"]) == (3, 3)
    assert meet(world, rate(4, uuid4()), rate(3, uuid4()))["event"]["seq"] == 5


def test_following_up_what_is_being_reopened(lasting_world: World, ticket: UUID) -> None:
    world = lasting_world
    with world.acting(world.eva) as eva:
        eva.call("close_ticket", ticket_id=ticket, request_id=uuid4())
    again = new_ticket(world) | {"follow_up_of": ticket}
    answer = meet(
        world,
        lambda actor: actor.call("reopen_ticket", ticket_id=ticket, request_id=uuid4()),
        lambda actor: actor.call("create_ticket", **again),
    )
    assert answer == "TK001"
