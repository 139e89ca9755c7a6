"""The sequence: 1 to n without a gap, in the order of the commits, whatever happens meanwhile."""

import random
import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
import pytest

from sql.world import World, become

WRITERS = 32
CHANGES = 25


@pytest.fixture
def ticket(lasting_world: World) -> UUID:
    """Ana's, at Acme."""
    new = uuid4()
    with lasting_world.acting(lasting_world.ana) as ana:
        ana.call(
            "create_ticket",
            id=new,
            subject="Broken",
            description="",
            handling_org_id=lasting_world.acme,
        )
    return new


def write(world: World, tickets: list[UUID], seed: int) -> tuple[int, int]:
    """Make changes of every kind, a fifth of them undone; return (kept, undone)."""
    choose = random.Random(seed)
    kept = undone = 0
    people = [world.ana, world.eva, world.ada]
    with psycopg.connect(world.dsn, autocommit=True) as connection:
        for _ in range(CHANGES):
            ticket = choose.choice(tickets)
            # No error is caught here, XX000 of meeting row locks least of all.
            with connection.transaction():
                become(connection, choose.choice(people), "authenticated")
                change(connection, ticket, choose)
                if choose.random() < 0.2:
                    undone += 1
                    raise psycopg.Rollback
                kept += 1
    return kept, undone


def change(
    connection: psycopg.Connection[tuple[object, ...]], ticket: UUID, choose: random.Random
) -> None:
    kind = choose.random()
    if kind < 0.6:
        connection.execute("select public.send_message(%s, %s, 'x')", [uuid4(), ticket])
    elif kind < 0.7:
        # A savepoint rolled back inside a transaction that is kept: a number taken and given back.
        with connection.transaction(force_rollback=True):
            connection.execute("select public.send_message(%s, %s, 'x')", [uuid4(), ticket])
        connection.execute("select public.send_message(%s, %s, 'y')", [uuid4(), ticket])
    elif kind < 0.85:
        subject = f"Subject {choose.random()}"
        connection.execute("select public.edit_ticket(%s, subject => %s)", [ticket, subject])
    else:
        connection.execute("select public.mark_ticket_read(%s, 1)", [ticket])


def watch(world: World, stop: threading.Event) -> dict[UUID, list[int]]:
    """Poll `seq > last` of every ticket, as a reader does, and note what came in what order."""
    seen: dict[UUID, list[int]] = defaultdict(list)
    with psycopg.connect(world.dsn, autocommit=True) as connection:
        while True:
            last_round = stop.is_set()
            rows = connection.execute("select ticket_id, seq from public.ticket_events").fetchall()
            fresh = sorted((seq, ticket) for ticket, seq in rows if seq > (seen[ticket] or [0])[-1])
            for seq, ticket in fresh:
                seen[ticket].append(seq)
            if last_round:
                return seen
            stop.wait(0.01)


@pytest.mark.timeout(120)
def test_32_writers_with_rollbacks_leave_every_number_once(
    lasting_world: World, ticket: UUID
) -> None:
    tickets = [ticket, lasting_world.ticket]
    stop = threading.Event()
    seed = random.randrange(2**32)
    with ThreadPoolExecutor(WRITERS + 1) as pool:
        reader = pool.submit(watch, lasting_world, stop)
        writers = [pool.submit(write, lasting_world, tickets, seed + n) for n in range(WRITERS)]
        done = [writer.result() for writer in writers]
        stop.set()
        seen = reader.result()
    kept, undone = sum(d[0] for d in done), sum(d[1] for d in done)
    assert kept > WRITERS * CHANGES / 2, seed
    assert undone > WRITERS * CHANGES / 10, seed
    with lasting_world.backend() as backend:
        counters: dict[UUID, int] = dict(backend.rows("select id, last_seq from public.tickets"))
        events = backend.rows("select ticket_id, seq from public.ticket_events order by 1, 2")
        placed = backend.value(
            "select count(*) from public.ticket_messages m where m.message_type = 'public'"
            " and not exists (select from public.ticket_events e where e.ticket_id = m.ticket_id"
            " and e.seq = m.seq and e.data ->> 'message_id' = m.id::text)"
        )
        backwards = backend.value(
            "select count(*) from (select created_at < lag(created_at) over"
            " (partition by ticket_id order by seq) as late from public.ticket_events) e where late"
        )
    stored: dict[UUID, list[int]] = defaultdict(list)
    for ticket, seq in events:
        stored[ticket].append(seq)
    for ticket, last in counters.items():
        assert stored[ticket] == list(range(1, last + 1)), seed
    # A reader that asks for what is above the last one seen misses what is committed late.
    assert seen == stored, seed
    assert (placed, backwards) == (0, 0), seed


def together(*calls: tuple[World, UUID, str, Sequence[object]]) -> list[object]:
    """Make these calls at the same moment; their answers, or the SQLSTATEs of their errors."""
    barrier = threading.Barrier(len(calls))

    def one(world: World, who: UUID, query: str, values: Sequence[object]) -> object:
        with world.connected(who) as connection:
            barrier.wait()
            try:
                return connection.execute(query.encode(), values).fetchall()[0][0]
            except psycopg.Error as error:
                return error.sqlstate

    with ThreadPoolExecutor(len(calls)) as pool:
        return [done.result() for done in [pool.submit(one, *call) for call in calls]]


ROUNDS = 8


def test_the_same_create_at_once_is_one_ticket(lasting_world: World, ticket: UUID) -> None:
    for _ in range(ROUNDS):
        new = uuid4()
        query = "select public.create_ticket(%s, 'Twice', 'Text', %s)"
        answers = together(
            *[(lasting_world, lasting_world.ana, query, [new, lasting_world.acme])] * 4
        )
        assert all(answer == answers[0] for answer in answers)
        assert isinstance(answers[0], dict)
        with lasting_world.backend() as backend:
            assert (
                backend.value("select count(*) from public.ticket_events where ticket_id = %s", new)
                == 1
            )


def test_the_same_message_at_once_is_one_message(lasting_world: World, ticket: UUID) -> None:
    for _ in range(ROUNDS):
        new = uuid4()
        query = "select public.send_message(%s, %s, 'Twice') -> 'message'"
        answers = together(*[(lasting_world, lasting_world.ana, query, [new, ticket])] * 4)
        assert all(answer == answers[0] for answer in answers)
        assert isinstance(answers[0], dict)


def test_the_same_message_and_a_closure_at_once(lasting_world: World, ticket: UUID) -> None:
    """Both get one answer: a message that is in, or a ticket that is closed. Never both."""
    for _ in range(ROUNDS):
        new, request = uuid4(), uuid4()
        send = "select public.send_message(%s, %s, 'Late?') -> 'message'"
        close = "select public.close_ticket(%s, %s) -> 'event'"
        first, second, closed = together(
            (lasting_world, lasting_world.ana, send, [new, ticket]),
            (lasting_world, lasting_world.ana, send, [new, ticket]),
            (lasting_world, lasting_world.eva, close, [ticket, request]),
        )
        assert first == second
        assert isinstance(closed, dict)
        assert first == "TK003" or (isinstance(first, dict) and first["seq"] < closed["seq"])
        with lasting_world.acting(lasting_world.ana) as ana:
            ana.call("reopen_ticket", ticket_id=ticket, request_id=uuid4())


def test_the_same_closure_at_once_is_one_event(lasting_world: World, ticket: UUID) -> None:
    for _ in range(ROUNDS):
        query = "select public.close_ticket(%s, %s, 'done') -> 'event'"
        answers = together(*[(lasting_world, lasting_world.ana, query, [ticket, uuid4()])] * 4)
        assert all(answer == answers[0] for answer in answers)
        assert isinstance(answers[0], dict)
        with lasting_world.acting(lasting_world.ana) as ana:
            ana.call("reopen_ticket", ticket_id=ticket, request_id=uuid4())


def test_two_different_closures_at_once_are_one(lasting_world: World, ticket: UUID) -> None:
    query = "select public.close_ticket(%s, %s) -> 'event'"
    answers = together(
        (lasting_world, lasting_world.ana, query, [ticket, uuid4()]),
        (lasting_world, lasting_world.eva, query, [ticket, uuid4()]),
    )
    assert sorted(isinstance(answer, dict) for answer in answers) == [False, True]
    assert "TK003" in answers


@pytest.mark.parametrize(
    "query",
    [
        "insert into public.ticket_messages (id, ticket_id, body) values (%s, %s, 'x')",
        "select public.send_message(%s, %s, 'x') ->> 'message'",
    ],
)
def test_no_message_slips_in_behind_a_closure(
    lasting_world: World, ticket: UUID, query: str
) -> None:
    """The statement starts while the ticket is open and waits; the ticket is closed meanwhile."""
    with (
        lasting_world.connected(lasting_world.eva) as closing,
        lasting_world.connected(lasting_world.ana) as writing,
        ThreadPoolExecutor(1) as pool,
    ):
        with closing.transaction():
            closing.execute("select public.close_ticket(%s, %s)", [ticket, uuid4()])
            waiting = pool.submit(writing.execute, query.encode(), [uuid4(), ticket])
            wait_until_blocked(lasting_world, writing.info.backend_pid)
        with pytest.raises(psycopg.Error) as caught:
            waiting.result(timeout=10)
    assert caught.value.sqlstate == "TK003"


@pytest.mark.parametrize(
    "query",
    [
        "update public.tickets set subject = 'Late' where id = %s",
        "select public.edit_ticket(%s, subject => 'Late')",
    ],
)
def test_no_edit_slips_in_behind_a_closure(lasting_world: World, ticket: UUID, query: str) -> None:
    with (
        lasting_world.connected(lasting_world.eva) as closing,
        lasting_world.connected(lasting_world.ana) as writing,
        ThreadPoolExecutor(1) as pool,
    ):
        with closing.transaction():
            closing.execute("select public.close_ticket(%s, %s)", [ticket, uuid4()])
            waiting = pool.submit(writing.execute, query.encode(), [ticket])
            wait_until_blocked(lasting_world, writing.info.backend_pid)
        error = waiting.exception(timeout=10)
        if not isinstance(error, psycopg.Error):
            assert waiting.result().rowcount == 0
        else:
            assert error.sqlstate == "TK003"
    with lasting_world.backend() as backend:
        subjects = backend.rows("select subject from public.tickets where id = %s", ticket)
        assert subjects == [("Broken",)]


def wait_until_blocked(world: World, pid: int) -> None:
    for _ in range(500):
        with world.backend() as backend:
            if backend.value("select cardinality(pg_blocking_pids(%s))", pid):
                return
        threading.Event().wait(0.01)
    raise AssertionError("the second statement did not wait for the first")
