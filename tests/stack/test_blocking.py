"""The blocking face among threads, loops, forks, Ctrl-C, and programs that forget to close it."""

import asyncio
import gc
import io
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from pathlib import Path

import pytest

from customer_tickets import (
    ClientClosed,
    CustomerTickets,
    FeedStopped,
    MessageAdded,
    Offline,
    Progress,
    TicketThread,
)
from customer_tickets.devstack import LocalStack
from fix_stack import People
from tcp_proxy import TcpProxy


def run(stack: LocalStack, people: People, program: str) -> "subprocess.CompletedProcess[str]":
    """Run a program of its own that finds `tickets`, signed in."""
    start = f"""
    from customer_tickets import CustomerTickets
    tickets = CustomerTickets({stack.url!r}, {stack.publishable_key!r})
    tickets.sign_in({people.ana.email!r}, {people.ana.password!r})
    ticket = tickets.create(organization={str(people.organization_id)!r}, subject="x")
    thread = tickets.thread(ticket)
    """
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(start) + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    "program",
    [
        "print('done')",
        "tickets.close(); tickets.close(); print('done')",
        "feed = thread.live().__enter__(); feed.next(timeout=0.5); print('done')",
        "feed = thread.live().__enter__(); print('done')",
        "del tickets, thread\nimport gc; gc.collect(); print('done')",
    ],
)
def test_a_program_that_ends_without_closing_ends_at_once_and_silently(
    stack: LocalStack, people: People, program: str
) -> None:
    began = time.monotonic()
    ended = run(stack, people, program)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")
    assert time.monotonic() - began < 8


def test_ctrl_c_in_a_read_loses_nothing_and_the_feed_goes_on(
    stack: LocalStack, people: People
) -> None:
    ended = run(
        stack,
        people,
        """
        import os, signal, threading, time
        with thread.live() as events:
            while events.state != "live":
                events.next(timeout=0.05)
            threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
            began = time.monotonic()
            try:
                events.next()
            except KeyboardInterrupt:
                print("interrupted", time.monotonic() - began < 2)
            thread.send("after")
            print(events.next(timeout=5).seq)
        tickets.close()
        """,
    )
    assert (ended.stdout, ended.stderr) == ("interrupted True\n2\n", "")


def test_a_forked_child_is_told_and_the_parent_goes_on(stack: LocalStack, people: People) -> None:
    ended = run(
        stack,
        people,
        """
        import os
        from customer_tickets import ClientClosed
        if (child := os.fork()) == 0:
            try:
                tickets.counts()
            except ClientClosed as error:
                print(error, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(tickets.counts())
        tickets.close()
        """,
    )
    assert "This client was made before a fork." in ended.stdout
    assert "open=1" in ended.stdout
    assert ended.stderr == ""


@pytest.mark.anyio
async def test_it_works_where_a_loop_is_running(stack: LocalStack, people: People) -> None:
    with CustomerTickets(stack.url, stack.publishable_key) as tickets:
        tickets.sign_in(people.ana.email, people.ana.password)
        await asyncio.sleep(0)
        assert tickets.counts().open == 0


def test_threads_share_one_client(stack: LocalStack, people: People) -> None:
    with CustomerTickets(stack.url, stack.publishable_key) as tickets:
        tickets.sign_in(people.ana.email, people.ana.password)
        made = []

        def work() -> None:
            for _ in range(3):
                ticket = tickets.create(organization=people.organization_id, subject="x")
                thread = tickets.thread(ticket)
                thread.send("y")
                made.append(thread.ticket.last_seq)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert made == [2] * 18
        assert tickets.counts().open == 18


def test_two_threads_reading_one_feed_share_its_events(stack: LocalStack, people: People) -> None:
    with CustomerTickets(stack.url, stack.publishable_key) as tickets:
        tickets.sign_in(people.ana.email, people.ana.password)
        thread = tickets.thread(tickets.create(organization=people.organization_id, subject="x"))
        seen: list[int] = []
        with thread.live() as events:

            def listen() -> None:
                while (event := events.next(timeout=2)) is not None:
                    assert not isinstance(event, FeedStopped)
                    seen.append(event.seq)

            listeners = [threading.Thread(target=listen) for _ in range(2)]
            for listener in listeners:
                listener.start()
            for _ in range(10):
                thread.send("x")
            for listener in listeners:
                listener.join()
        assert sorted(seen) == list(range(2, 12))


def test_a_closed_client_says_so(stack: LocalStack, people: People) -> None:
    tickets = CustomerTickets(stack.url, stack.publishable_key)
    tickets.sign_in(people.ana.email, people.ana.password)
    tickets.close()
    with pytest.raises(ClientClosed):
        tickets.counts()


class Stop(BaseException):
    """What a framework may raise to end a task of its own."""


class Quitter(io.BytesIO):
    """A file that ends the program when it is read."""

    def __init__(self, what: type[BaseException]) -> None:
        super().__init__(b"x")
        self.what = what

    def read(self, size: int | None = -1, /) -> bytes:
        raise self.what(4)


@pytest.mark.parametrize("what", [SystemExit, KeyboardInterrupt, Stop])
def test_what_ends_the_program_in_a_callback_ends_its_own_call_only(
    stack: LocalStack, people: People, tmp_path: Path, what: type[BaseException]
) -> None:
    def quit_(progress: Progress) -> None:
        raise what(4)

    with CustomerTickets(stack.url, stack.publishable_key) as tickets:
        tickets.sign_in(people.ana.email, people.ana.password)
        ticket = tickets.create(
            organization=people.organization_id, subject="x", attachments=[b"y"]
        )
        thread = tickets.thread(ticket)
        with thread.live() as events:
            for attempt in (
                lambda: thread.send("a", attachments=[b"z"], progress=quit_),
                lambda: thread.send("b", attachments=[Quitter(what)]),
                lambda: tickets.attachments.save(thread.attachments[0], tmp_path, progress=quit_),
            ):
                with pytest.raises(what) as caught:
                    attempt()
                assert caught.value.args == (4,)
            # Nobody waits for this one.
            thread.send("c", attachments=[b"z"], progress=quit_, wait=False)
            while any(message.state == "pending" for message in thread.messages):
                time.sleep(0.01)
            assert [type(message.error) for message in thread.messages] == [what] * 3
            assert tickets.counts().open == 1
            assert tickets.attachments.clean_up(older_than=0) == 0
            thread.send("d")
            event = events.next(timeout=10)
            assert isinstance(event, MessageAdded)
            assert event.message.body == "d"
    with pytest.raises(ClientClosed):
        tickets.counts()


def test_a_program_that_exits_in_a_callback_ends_at_once_and_silently(
    stack: LocalStack, people: People
) -> None:
    ended = run(
        stack,
        people,
        """
        import sys
        with tickets:
            thread.send("x", attachments=[b"y"], progress=lambda _: sys.exit(4))
        """,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (4, "", "")


def test_a_dropped_client_ends_its_thread(stack: LocalStack) -> None:
    def threads() -> int:
        return sum(thread.name == "customer_tickets" for thread in threading.enumerate())

    before = threads()
    tickets = CustomerTickets(stack.url, stack.publishable_key)
    assert threads() == before + 1
    gone = weakref.ref(tickets)
    del tickets
    gc.collect()
    assert gone() is None
    assert threads() == before


def test_a_thread_outlives_the_client_that_opened_it(stack: LocalStack, people: People) -> None:
    def opened() -> TicketThread:
        tickets = CustomerTickets(stack.url, stack.publishable_key)
        tickets.sign_in(people.ana.email, people.ana.password)
        return tickets.thread(tickets.create(organization=people.organization_id, subject="x"))

    thread = opened()
    gc.collect()
    assert thread.send("Still here").seq == 2


def test_a_feed_that_is_closed_by_another_thread_ends(stack: LocalStack, people: People) -> None:
    with CustomerTickets(stack.url, stack.publishable_key) as tickets:
        tickets.sign_in(people.ana.email, people.ana.password)
        thread = tickets.thread(tickets.create(organization=people.organization_id, subject="x"))
        with thread.live() as events:
            threading.Timer(0.3, events.close).start()
            assert list(events) == []


@pytest.mark.faults
def test_a_client_that_is_closed_under_a_call_says_so(
    stack: LocalStack, people: People, proxy: TcpProxy
) -> None:
    tickets = CustomerTickets(proxy.url, stack.publishable_key)
    tickets.sign_in(people.ana.email, people.ana.password)
    proxy.half_open()
    threading.Timer(0.3, tickets.close).start()
    with pytest.raises((ClientClosed, Offline)):
        tickets.counts()


def test_a_wait_is_as_long_as_was_said_also_while_another_thread_waits(
    stack: LocalStack, people: People
) -> None:
    with CustomerTickets(stack.url, stack.publishable_key) as tickets:
        tickets.sign_in(people.ana.email, people.ana.password)
        thread = tickets.thread(tickets.create(organization=people.organization_id, subject="x"))
        with thread.live() as events:
            waiting = threading.Thread(target=events.next, args=[2])
            waiting.start()
            time.sleep(0.1)
            began = time.monotonic()
            assert events.next(timeout=0.3) is None
            assert time.monotonic() - began < 1.5
            waiting.join()


def test_clients_in_cycles_that_are_dropped_by_the_collector_hang_nothing(
    stack: LocalStack, people: People
) -> None:
    program = f"""
    from customer_tickets import CustomerTickets, CustomerTicketsError
    for _ in range(25):
        tickets = CustomerTickets({stack.url!r}, {stack.publishable_key!r}, timeout=5)
        tickets.me = tickets
        try:
            tickets.counts()
        except CustomerTicketsError as error:
            tickets.error = error
        del tickets
    print("done")
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("done\n", "")


def test_a_client_that_cannot_start_its_loop_says_so() -> None:
    program = """
    import resource
    from customer_tickets import CustomerTickets
    resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))
    try:
        CustomerTickets("http://127.0.0.1:1", "sb_publishable_x")
    except OSError as error:
        print("said:", error)
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert "Too many open files" in ended.stdout


def test_open_files_return_to_where_they_were(stack: LocalStack, people: People) -> None:
    def files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = files()
    for _ in range(3):
        with CustomerTickets(stack.url, stack.publishable_key) as tickets:
            tickets.sign_in(people.ana.email, people.ana.password)
            ticket = tickets.create(organization=people.organization_id, subject="x")
            with tickets.thread(ticket).live() as events:
                events.next(timeout=0.2)
    assert files() <= before
