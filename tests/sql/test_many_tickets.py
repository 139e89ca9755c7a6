"""Following many tickets: where each is, and which of one's own changed, whoever commits when."""

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from sql.world import World


def changes(world: World, who: UUID, since: int | None, **more: Any) -> dict[str, Any]:
    with world.acting(who) as actor:
        answer: dict[str, Any] = actor.call("ticket_changes", since=since, **more)
    return answer


def ids(answer: dict[str, Any]) -> list[UUID]:
    return [UUID(one["ticket"]["id"]) for one in answer["tickets"]]


def test_heads_are_those_of_tickets_that_one_sees(world: World) -> None:
    asked = [world.ticket, world.ben_ticket, uuid4()]
    seen = {
        world.ana: {str(world.ticket)},
        world.ben: {str(world.ben_ticket)},
        world.eva: {str(world.ticket)},
        world.gus: {str(world.ben_ticket)},
    }
    for who, tickets in seen.items():
        with world.acting(who) as actor:
            assert set(actor.call("ticket_heads", ticket_ids=asked)) == tickets
    with world.acting(world.ana) as ana:
        before = ana.call("ticket_heads", ticket_ids=asked)[str(world.ticket)]
        ana.call("send_message", id=uuid4(), ticket_id=world.ticket, body="x")
        assert ana.call("ticket_heads", ticket_ids=asked)[str(world.ticket)] == before + 1
        assert ana.problems("ticket_heads", ticket_ids=[uuid4()] * 1001) == ["ticket_ids"]


def test_nothing_known_asks_only_for_the_horizon(world: World) -> None:
    answer = changes(world, world.ana, None)
    assert (answer["tickets"], answer["more"], answer["ahead"]) == ([], False, False)
    assert answer["horizon"] > 0


def test_changes_are_ones_own_even_for_staff(lasting_world: World) -> None:
    world = lasting_world
    ana, ben = ids(changes(world, world.ana, 0)), ids(changes(world, world.ben, 0))
    assert world.ticket in ana
    assert world.ticket not in ben
    assert world.ben_ticket in ben
    assert world.ben_ticket not in ana
    assert ids(changes(world, world.eva, 0)) == []


def test_notes_change_nothing(lasting_world: World) -> None:
    world = lasting_world
    horizon = changes(world, world.ana, None)["horizon"]
    with world.acting(world.eva) as eva:
        eva.call(
            "send_message", id=uuid4(), ticket_id=world.ticket, body="x", message_type="internal"
        )
    assert ids(changes(world, world.ana, horizon)) == []


def test_every_kind_of_event_is_a_change(lasting_world: World) -> None:
    world, ticket = lasting_world, uuid4()
    opening = {"subject": "N", "description": "", "handling_org_id": world.acme}
    steps: list[tuple[UUID, str, dict[str, Any]]] = [
        (world.ana, "create_ticket", {"id": ticket, **opening}),
        (world.eva, "send_message", {"id": uuid4(), "ticket_id": ticket, "body": "x"}),
        (world.ana, "edit_ticket", {"ticket_id": ticket, "subject": "M"}),
        (world.eva, "set_ticket_status", {"ticket_id": ticket, "status": "in-progress"}),
        (world.eva, "assign_ticket", {"ticket_id": ticket, "employee": world.eva, "team": None}),
        (world.ana, "close_ticket", {"ticket_id": ticket, "request_id": uuid4()}),
        (world.ana, "rate_ticket", {"ticket_id": ticket, "rating": 5, "request_id": uuid4()}),
        (world.ana, "reopen_ticket", {"ticket_id": ticket, "request_id": uuid4()}),
    ]
    for who, function, arguments in steps:
        horizon = changes(world, world.ana, None)["horizon"]
        with world.acting(who) as actor:
            actor.call(function, **arguments)
        assert ids(changes(world, world.ana, horizon)) == [ticket], function
    with world.backend() as backend:
        done = backend.rows(
            "select distinct kind from public.ticket_events where ticket_id = %s", ticket
        )
        kinds = backend.value(
            "select pg_get_constraintdef(oid) from pg_constraint"
            " where conrelid = 'public.ticket_events'::regclass and conname like '%%kind%%'"
        )
    assert all(f"'{kind}'" in kinds for (kind,) in done)
    assert len(done) == kinds.count("'::text")


@pytest.mark.parametrize("change", ["message", "status", "create"])
def test_a_change_that_commits_after_a_later_one_is_not_missed(
    lasting_world: World, change: str
) -> None:
    """What a timestamp as cursor loses: begun first, committed last."""
    world = lasting_world
    horizon = changes(world, world.ana, None)["horizon"]
    new = uuid4()
    with psycopg.connect(world.dsn) as slow:
        if change == "message":
            slow.execute(
                "insert into public.ticket_messages (id, ticket_id, author_id, body)"
                " values (%s, %s, %s, 'x')",
                [uuid4(), world.ticket, world.eva],
            )
        elif change == "status":
            slow.execute(
                "update public.tickets set status = 'in-progress' where id = %s", [world.ticket]
            )
        else:
            slow.execute(
                "insert into public.tickets (id, user_id, subject, handling_org_id)"
                " values (%s, %s, 'Slow', %s)",
                [new, world.ana, world.acme],
            )
        other = uuid4()
        with world.acting(world.ana) as ana:
            ana.call(
                "create_ticket",
                id=other,
                subject="Quick",
                description="",
                handling_org_id=world.acme,
            )
        first = changes(world, world.ana, horizon)
        assert ids(first) == [other]
        slow.commit()
    late = new if change == "create" else world.ticket
    assert late in ids(changes(world, world.ana, first["horizon"]))
    assert ids(changes(world, world.ana, changes(world, world.ana, None)["horizon"])) == []


def test_pages_of_changes_lose_and_repeat_none(lasting_world: World) -> None:
    world = lasting_world
    horizon = changes(world, world.ana, None)["horizon"]
    made = [uuid4() for _ in range(7)]
    with world.acting(world.ana) as ana:
        for ticket in made:
            ana.call(
                "create_ticket", id=ticket, subject="N", description="", handling_org_id=world.acme
            )
    page = changes(world, world.ana, horizon, max_tickets=3)
    found = ids(page)
    while page["more"]:
        last = page["tickets"][-1]
        page = changes(
            world,
            world.ana,
            horizon,
            max_tickets=3,
            after_id=last["ticket"]["id"],
            after_change=last["changed_in"],
        )
        found += ids(page)
    assert sorted(found) == sorted(made)


def test_a_horizon_of_another_cluster_is_said(world: World) -> None:
    assert changes(world, world.ana, 2**60)["ahead"] is True
