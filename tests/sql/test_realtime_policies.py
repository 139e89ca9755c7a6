"""Doorbells, and who may hear and say what: asked as the realtime server asks."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import psycopg
import pytest

from sql.world import Actor, World, become

HEARS = ["owner", "employee", "admin"]
HEARS_NOT = ["stranger", "other_employee", "other_admin", "anonymous"]


def readable(
    world: World, who: UUID | None, topic: str, *, role: str = "authenticated"
) -> set[str]:
    """Which extensions a join of this topic is granted to read: probe rows, rolled back."""
    with world.connection.transaction(force_rollback=True):
        become(world.connection, None, "postgres")
        for extension in ("broadcast", "presence"):
            world.connection.execute(
                "insert into realtime.messages (topic, extension) values (%s, %s)",
                [topic, extension],
            )
        become(world.connection, who, role)
        world.connection.execute("select set_config('realtime.topic', %s, true)", [topic])
        rows = world.connection.execute(
            "select extension from realtime.messages where topic = %s and event is null", [topic]
        ).fetchall()
    return {row[0] for row in rows}


def writable(
    world: World, who: UUID | None, topic: str, *, role: str = "authenticated"
) -> set[str]:
    granted = set()
    with world.acting(who, role=role, keep=False) as actor:
        actor.connection.execute("select set_config('realtime.topic', %s, true)", [topic])
        for extension in ("broadcast", "presence"):
            try:
                with actor.connection.transaction():
                    actor.changed(
                        "insert into realtime.messages (topic, extension) values (%s, %s)",
                        topic,
                        extension,
                    )
                granted.add(extension)
            except psycopg.errors.InsufficientPrivilege:
                pass
    return granted


def asked(world: World, kind: str, topic: str) -> tuple[set[str], set[str]]:
    role = "anon" if kind == "anonymous" else "authenticated"
    who = world.people.get(kind)
    return readable(world, who, topic, role=role), writable(world, who, topic, role=role)


@pytest.mark.parametrize("kind", HEARS)
def test_people_of_a_ticket_hear_it_and_are_present(world: World, kind: str) -> None:
    topic = f"ticket:{world.ticket}"
    assert asked(world, kind, topic) == ({"broadcast"}, set())
    both = {"broadcast", "presence"}
    assert asked(world, kind, f"{topic}:presence") == (both, both)


@pytest.mark.parametrize("kind", HEARS_NOT)
def test_others_neither_hear_nor_speak(world: World, kind: str) -> None:
    topic = f"ticket:{world.ticket}"
    assert asked(world, kind, topic) == (set(), set())
    assert asked(world, kind, f"{topic}:presence") == (set(), set())


@pytest.mark.parametrize("kind", HEARS + HEARS_NOT)
def test_a_customers_topic_is_theirs_alone(world: World, kind: str) -> None:
    heard = {"broadcast"} if kind == "owner" else set()
    assert asked(world, kind, f"customer:{world.ana}") == (heard, set())


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "ticket:",
        "ticket:x",
        "ticket:{}x",
        "ticket:{} ",
        " ticket:{}",
        "ticket:{}\n",
        "TICKET:{}",
        "ticket:{}:presence:presence",
        "ticket:{}:PRESENCE",
        "ticket:{}:typing",
        "ticket:%",
        "customer:{me}:presence",
        "customer:{}",
        "room",
        "customer:",
    ],
)
def test_other_topics_are_refused_without_an_error(world: World, topic: str) -> None:
    name = topic.replace("{me}", str(world.ana)).replace("{}", str(world.ticket))
    assert asked(world, "owner", name) == (set(), set())


def test_a_ticket_that_does_not_exist(world: World) -> None:
    assert asked(world, "owner", f"ticket:{uuid4()}") == (set(), set())


def test_without_a_topic_nothing_is_heard(world: World) -> None:
    with world.as_kind("owner") as ana:
        assert ana.rows("select * from realtime.messages") == []


def doorbells(actor: Actor) -> list[tuple[str, str, bool, dict[str, object]]]:
    rows = actor.rows(
        "select topic, event, private, payload - 'id' from realtime.messages"
        " order by (payload ->> 'seq')::bigint, topic desc"
    )
    return [(topic, event, private, payload) for topic, event, private, payload in rows]


def test_each_event_rings_the_ticket_and_its_customer(world: World) -> None:
    with world.backend() as backend:
        backend.changed("delete from realtime.messages")
    with world.acting(world.eva) as eva:
        eva.call("send_message", id=uuid4(), ticket_id=world.ticket, body="Secret text")
        eva.call("close_ticket", ticket_id=world.ticket, request_id=uuid4(), reason="Secret")
    with world.backend() as backend:
        rung = doorbells(backend)
    expected = []
    for seq, kind in [(3, "message"), (4, "closed")]:
        payload = {"ticket_id": str(world.ticket), "seq": seq, "kind": kind}
        expected.append((f"ticket:{world.ticket}", "event", True, payload))
        expected.append((f"customer:{world.ana}", "event", True, payload))
    assert rung == expected


def test_what_is_rolled_back_rings_nobody(world: World) -> None:
    with world.backend() as backend:
        before = len(doorbells(backend))
    with world.acting(world.ana, keep=False) as ana:
        ana.call("send_message", id=uuid4(), ticket_id=world.ticket, body="No")
    with world.backend() as backend:
        assert len(doorbells(backend)) == before


@contextmanager
def notices(world: World) -> Iterator[list[str]]:
    heard: list[str] = []

    def hear(diagnostic: psycopg.errors.Diagnostic) -> None:
        heard.append(diagnostic.message_primary or "")

    world.connection.add_notice_handler(hear)
    yield heard
    world.connection.remove_notice_handler(hear)


SEND = "realtime.send(jsonb, text, text, boolean)"


@pytest.mark.parametrize(
    ("breakage", "warning"),
    [
        # realtime.send as it fails by itself: no partition for today.
        ("alter table realtime.messages rename to gone", "WarnSendingBroadcastMessage"),
        # And as it should not.
        (f"drop function {SEND}", "customer_tickets.doorbell_failed"),
        (f"revoke all on function {SEND} from public", "customer_tickets.doorbell_failed"),
    ],
)
def test_a_failing_broadcast_fails_no_write(own_world: World, breakage: str, warning: str) -> None:
    superuser = own_world.dsn.replace("//postgres:", "//supabase_admin:")
    with psycopg.connect(superuser, autocommit=True) as admin:
        admin.execute(breakage.encode())
    with notices(own_world) as heard, own_world.acting(own_world.ana) as ana:
        answer = ana.call("send_message", id=uuid4(), ticket_id=own_world.ticket, body="Text")
    assert answer["message"]["seq"] == 3
    assert any(notice.startswith(warning) for notice in heard)
    assert not any("Text" in notice for notice in heard)


def test_doorbells_lie_in_the_partition_of_their_utc_day(world: World) -> None:
    with world.acting(world.ana) as ana:
        ana.connection.execute("set local timezone = 'Pacific/Kiritimati'")
        ana.call("send_message", id=uuid4(), ticket_id=world.ticket, body="Text")
    with world.backend() as backend:
        off = backend.value(
            "select max(abs(extract(epoch from inserted_at - (now() at time zone 'UTC'))))"
            " from realtime.messages where payload @> '{\"seq\": 3}'"
        )
    assert off < 60
