"""Attachments when things go wrong: all or nothing, once, and nothing left behind."""

import asyncio
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from customer_tickets import (
    AsyncCustomerTickets,
    CustomerTickets,
    CustomerTicketsError,
    FileChanged,
    Offline,
    Progress,
    Unavailable,
    Upload,
)
from customer_tickets._storage import Sending
from customer_tickets._uploads import _take_back
from customer_tickets.devstack import LocalStack
from faces import Client, got, thread_of
from fix_stack import People
from stack import attachment_child
from stack.attached import attached, limits, objects, put, tickets_of, with_files
from stack.conftest import Opener
from tcp_proxy import TcpProxy

pytestmark = [pytest.mark.anyio, pytest.mark.faults]

UPLOAD = "/storage/v1/object/ticket-attachments"
CREATE = "/rest/v1/rpc/create_ticket"
Database = psycopg.Connection[Any]


@pytest.mark.parametrize("path", [UPLOAD, CREATE])
async def test_a_lost_answer_changes_nothing(
    tickets: Client, people: People, stack: LocalStack, supabase_database: Database, path: str
) -> None:
    stack.faults.lose_answers(path, method="POST")
    received = await attached(tickets, people, b"one", b"two")
    assert stack.faults.requests_left() == 0
    assert [await got(tickets.attachments.read(one)) for one in received] == [b"one", b"two"]
    assert len(tickets_of(supabase_database, people.ana)) == 1
    assert len(objects(supabase_database, people.ana)) == 2


async def test_a_lost_answer_to_a_message_changes_nothing(
    tickets: Client, people: People, stack: LocalStack, supabase_database: Database
) -> None:
    thread = await thread_of(tickets, await with_files(tickets, people))
    stack.faults.lose_answers(UPLOAD, method="POST")
    stack.faults.lose_answers("/rest/v1/rpc/send_message", method="POST")
    message = await got(thread.send("With a file.", attachments=[b"one"]))
    assert stack.faults.requests_left() == 0
    assert len(message.attachments) == len(thread.messages) == 1
    assert len(objects(supabase_database, people.ana)) == 1


@pytest.mark.parametrize(("status", "wait"), [(503, None), (429, 1), (502, None)])
async def test_a_busy_storage_is_asked_again(
    tickets: Client, people: People, stack: LocalStack, status: int, wait: int | None
) -> None:
    source = io.BytesIO(b"read again")
    stack.faults.answer_with(status, UPLOAD, method="POST", times=2, retry_after=wait)
    (one,) = await attached(tickets, people, source)
    stack.faults.answer_with(status, UPLOAD, method="GET", times=2, retry_after=wait)
    assert await got(tickets.attachments.read(one)) == b"read again"
    assert stack.faults.requests_left() == 0


async def test_a_create_that_failed_is_repeated_with_its_id(
    tickets: Client, people: People, stack: LocalStack, supabase_database: Database
) -> None:
    stack.faults.answer_with(503, CREATE, times=20)
    with pytest.raises(Unavailable) as caught:
        await with_files(tickets, people, b"one", b"two")
    stack.faults.reset()
    # It may have arrived, as far as the client knows: what was sent stays for the repetition.
    assert len(objects(supabase_database, people.ana)) == 2
    ticket = await with_files(tickets, people, b"one", b"two", id=caught.value.write_id)
    assert len((await thread_of(tickets, ticket)).attachments) == 2
    assert len(objects(supabase_database, people.ana)) == 2


async def test_what_an_earlier_call_sent_is_not_taken_back(
    tickets: Client, people: People, stack: LocalStack, supabase_database: Database
) -> None:
    stack.faults.answer_with(503, CREATE, times=20)
    with pytest.raises(Unavailable) as caught:
        await with_files(tickets, people, b"one")
    stack.faults.reset()
    nowhere = replace(people, organization_id=uuid4())
    with pytest.raises(CustomerTicketsError) as refused:
        await with_files(tickets, nowhere, b"one", b"two", id=caught.value.write_id)
    assert not isinstance(refused.value, Unavailable)
    # The first call may be arriving still: its file is not this call's to remove.
    assert list(objects(supabase_database, people.ana).values()) == [3]


async def test_what_arrives_after_it_was_taken_back_is_removed_too(
    people: People, stack: LocalStack, supabase_database: Database
) -> None:
    whole, broken = Sending(f"{people.ana.id}/{uuid4()}", whole=True), Sending("x/y")
    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as tickets:
        await tickets.sign_in(people.ana.email, people.ana.password)
        taking = asyncio.create_task(_take_back(tickets.attachments._connection, [whole, broken]))
        await asyncio.sleep(0.1)
        put(stack, people.ana, b"late", whole.key).raise_for_status()
        await taking
    assert objects(supabase_database, people.ana) == {}


async def test_a_storage_that_is_down_leaves_nothing(
    tickets: Client, people: People, stack: LocalStack, supabase_database: Database
) -> None:
    key = uuid4()
    stack.faults.answer_with(503, UPLOAD, method="POST", times=20)
    with pytest.raises(Unavailable) as caught:
        await with_files(tickets, people, b"one", id=key)
    assert caught.value.write_id == key
    assert tickets_of(supabase_database, people.ana) == []
    assert objects(supabase_database, people.ana) == {}


async def test_two_at_once_with_one_id_make_one_ticket(
    opener: Opener, people: People, stack: LocalStack, supabase_database: Database
) -> None:
    key, content = uuid4(), os.urandom(400_000)
    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as tickets:
        await tickets.sign_in(people.ana.email, people.ana.password)
        first, second = await asyncio.gather(
            *(with_files(tickets, people, content, b"two", id=key) for _ in range(2))
        )
    assert first == second
    assert len(objects(supabase_database, people.ana)) == 2
    assert tickets_of(supabase_database, people.ana) == [key]


async def test_a_download_goes_on_where_it_was_cut(
    opener: Opener,
    people: People,
    proxy: TcpProxy,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tickets = await opener(people.ana, url=proxy.url)
    content = os.urandom(24_000_000)
    (one,) = await attached(tickets, people, Upload(content, "a.bin"))
    told: list[int] = []

    def cut(now: Progress) -> None:
        told.append(now.done)
        if any(last < mark <= now.done for mark in (4e6, 8e6, 12e6) for last in told[-2:-1]):
            proxy.cut()

    caplog.set_level("INFO", "httpx")
    path = await got(tickets.attachments.save(one, tmp_path, progress=cut))
    assert path.read_bytes() == content
    assert told == sorted(set(told))
    lines = [record.getMessage() for record in caplog.records]
    assert sum('"HTTP/1.1 206' in line for line in lines) >= 2


async def test_a_download_that_never_ends_well_is_given_up(
    opener: Opener, people: People, proxy: TcpProxy, tmp_path: Path
) -> None:
    tickets = await opener(people.ana, url=proxy.url, timeout=3)
    (one,) = await attached(tickets, people, Upload(os.urandom(8_000_000), "a.bin"))

    def refuse(now: Progress) -> None:
        if now.done:
            proxy.refuse()

    with pytest.raises(Offline):
        await got(tickets.attachments.save(one, tmp_path, progress=refuse))
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - names are enough


async def test_an_upload_that_is_cut_begins_again(
    opener: Opener, people: People, proxy: TcpProxy, supabase_database: Database
) -> None:
    tickets = await opener(people.ana, url=proxy.url)
    content = os.urandom(8_000_000)
    cuts = iter([3e6, 6e6])
    mark = next(cuts)

    def cut(now: Progress) -> None:
        nonlocal mark
        if now.done > mark:
            mark = next(cuts, 9e9)
            proxy.cut()

    ticket = await with_files(tickets, people, content, progress=cut)
    assert mark == 9e9
    (one,) = (await thread_of(tickets, ticket)).attachments
    assert await got(tickets.attachments.read(one)) == content
    assert len(objects(supabase_database, people.ana)) == 1


async def test_a_token_that_ends_meanwhile_is_replaced(
    opener: Opener, people: People, stack: LocalStack
) -> None:
    stack.faults.token_lifetime(2)
    tickets = await opener(people.ana)
    (one,) = await attached(tickets, people, b"one")
    await asyncio.sleep(2.5)
    (other,) = await attached(tickets, people, b"two")
    await asyncio.sleep(2.5)
    assert await got(tickets.attachments.read(one)) == b"one"
    assert await got(tickets.attachments.read(other)) == b"two"


@pytest.mark.parametrize("size", [8_000_000, 300])
async def test_a_file_that_changes_meanwhile_is_not_sent(
    tickets: Client, people: People, tmp_path: Path, supabase_database: Database, size: int
) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(os.urandom(size))

    def change(_: Progress) -> None:
        with path.open("r+b") as file:
            file.seek(size - 1)
            file.write(b"!" if file.read(1) != b"!" else b"?")
            file.seek(0)
            file.write(b"changed")

    with pytest.raises(FileChanged, match=r"attachments\[0\] changed"):
        await with_files(tickets, people, path, progress=change)
    with pytest.raises(FileChanged):
        await with_files(tickets, people, path, progress=lambda _: os.truncate(path, 10))
    assert objects(supabase_database, people.ana) == {}
    assert tickets_of(supabase_database, people.ana) == []


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("size", [20_000_000, 10])
async def test_cancelled_in_the_middle_leaves_no_object_and_no_row(
    people: People, stack: LocalStack, supabase_database: Database, share: float, size: int
) -> None:
    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as tickets:
        await tickets.sign_in(people.ana.email, people.ana.password)

        def cancel(now: Progress) -> None:
            if now.position == 1 and now.done >= share * now.total:
                creating.cancel()

        files = [Upload(os.urandom(size), f"{number}.bin") for number in range(2)]
        creating = asyncio.create_task(with_files(tickets, people, *files, progress=cancel))
        with pytest.raises(asyncio.CancelledError):
            await creating
        assert objects(supabase_database, people.ana) == {}
        await asyncio.sleep(0.5)
        assert objects(supabase_database, people.ana) == {}
        assert tickets_of(supabase_database, people.ana) == []


async def test_a_timeout_of_the_callers_is_a_cancellation(
    people: People, stack: LocalStack, supabase_database: Database, tmp_path: Path
) -> None:
    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as tickets:
        await tickets.sign_in(people.ana.email, people.ana.password)
        (one,) = await attached(tickets, people, Upload(os.urandom(3_000_000), "a.bin"))
        stack.faults.delay(UPLOAD, 1.0, method="POST")
        stack.faults.delay(UPLOAD, 3.0, method="GET")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await with_files(tickets, people, b"late")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await tickets.attachments.save(one, tmp_path)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - names are enough
    assert list(objects(supabase_database, people.ana)) == [str(one.id)]


def child(stack: LocalStack, people: People, *words: str) -> subprocess.CompletedProcess[str]:
    ana = people.ana
    told = [stack.url, stack.publishable_key, ana.email, ana.password, str(people.organization_id)]
    return subprocess.run(
        [sys.executable, str(attachment_child.__file__), *words],
        env={**os.environ, "ATTACHMENT_CHILD": "\n".join(told)},
        capture_output=True,
        text=True,
        timeout=110,
    )


@pytest.mark.parametrize("moment", ["1", "4", "7", "9", "sent", "never"])
def test_a_killed_program_leaves_the_whole_ticket_or_none(
    stack: LocalStack, people: People, supabase_database: Database, moment: str
) -> None:
    if moment == "sent":
        stack.faults.delay(CREATE, 1.0)
    done = child(stack, people, "kill", moment)
    assert done.returncode == -9, done.stderr
    with CustomerTickets(stack.url, stack.publishable_key) as tickets:
        tickets.sign_in(people.ana.email, people.ana.password)
        left = list(tickets.all())
        files = [one for ticket in left for one in tickets.thread(ticket).attachments]
        assert len(files) == attachment_child.FILES * len(left)
        assert len(left) == (1 if moment == "never" else 0)
        # What was on its way when the program died may still arrive.
        before = len(objects(supabase_database, people.ana))
        assert tickets.attachments.clean_up(older_than=0) >= before - len(files)
    kept = {str(one.id) for one in files}
    assert set(objects(supabase_database, people.ana)) == kept


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_200_mebibytes_need_no_memory_for_them(
    stack: LocalStack, people: People, supabase_database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "big.bin"
    with path.open("wb") as file:
        file.write(os.urandom(1 << 20))
        file.truncate(200 << 20)
    with limits(supabase_database, size=300 << 20):
        done = child(stack, people, "weigh", str(path))
    assert done.returncode == 0, done.stderr
    sent, received = map(float, done.stdout.split())
    assert max(objects(supabase_database, people.ana).values()) == 200 << 20
    assert sent < 40, f"sending took {sent:.0f} MB"
    assert received < 40, f"receiving took {received:.0f} MB"
