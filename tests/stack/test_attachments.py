"""Attachments, over HTTP, in both faces: sent, received, linked to, cleaned up."""

import io
import logging
import os
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from customer_tickets import (
    Conflict,
    CustomerTickets,
    FileDamaged,
    InvalidInput,
    NotFound,
    Progress,
    TicketClosedError,
    Upload,
)
from customer_tickets._file_names import found_name, name_on_disk
from customer_tickets.devstack import LocalStack
from faces import Client, got, next_event, opened, thread_of
from fix_stack import People
from remote_project import Stack
from stack.attached import attached, limits, objects, pipe_of, put, tickets_of, with_files
from stack.conftest import Opener
from stack.test_tickets import create, requests

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 30


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def fetched(address: str) -> httpx.Response:
    """What anybody gets there."""
    return httpx.get(address)


def replace(address: str, content: bytes, headers: dict[str, str]) -> None:
    httpx.put(address, content=content, headers=headers).raise_for_status()


async def test_a_ticket_comes_with_all_its_files(
    tickets: Client, people: People, tmp_path: Path
) -> None:
    path = tmp_path / "receipt.pdf"
    path.write_bytes(b"%PDF-1.7 ...")
    sources = (path, PNG, io.BytesIO(b"a,b\n"), Upload(b"x", "b.csv"))
    first = await attached(tickets, people, *sources, Upload(b"", "empty", "text/plain"))
    assert [(one.file_name, one.content_type, one.size_bytes) for one in first] == [
        ("receipt.pdf", "application/pdf", 12),
        ("attachment.png", "image/png", 38),
        ("attachment", "application/octet-stream", 4),
        ("b.csv", "text/csv", 1),
        ("empty", "text/plain", 0),
    ]
    assert {one.user_id for one in first} == {people.ana.id}
    assert first[1].sha256 == sha256(PNG).hexdigest()
    contents = [await got(tickets.attachments.read(one)) for one in first]
    assert contents == [b"%PDF-1.7 ...", PNG, b"a,b\n", b"x", b""]


async def test_a_message_comes_with_its_files(tickets: Client, people: People) -> None:
    ticket = await with_files(tickets, people, b"of the description")
    thread = await thread_of(tickets, ticket)
    async with opened(thread.live()) as feed:
        message = await got(thread.send("Here.", attachments=[Upload(PNG, "photo.png"), b"two"]))
        event = await next_event(feed)
    assert [one.file_name for one in message.attachments] == ["photo.png", "attachment"]
    assert event.message.attachments == message.attachments  # type: ignore[union-attr] # a MessageAdded
    assert [one.message_id for one in thread.attachments] == [None, message.id, message.id]
    again = await thread_of(tickets, ticket)
    assert again.attachments == thread.attachments
    assert await got(tickets.attachments.read(message.attachments[0])) == PNG


async def test_what_staff_attach_can_be_received(
    tickets: Client, people: People, opener: Opener
) -> None:
    eva = await opener(people.eva)
    ticket = await with_files(tickets, people)
    theirs = await thread_of(eva, ticket)
    await got(theirs.send("The form.", attachments=[Upload(b"form", "form.pdf")]))
    thread = await thread_of(tickets, ticket)
    (form,) = thread.attachments
    assert form.user_id == people.eva.id
    assert await got(tickets.attachments.read(form)) == b"form"


async def test_repeating_a_create_sends_nothing_again(
    tickets: Client,
    people: People,
    supabase_database: psycopg.Connection[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = uuid4()
    first = await with_files(tickets, people, PNG, b"two", id=key)
    before = objects(supabase_database, people.ana)
    again = await with_files(tickets, people, PNG, b"two", id=key)
    assert again == first
    assert objects(supabase_database, people.ana) == before
    assert len(before) == 2
    with pytest.raises(Conflict):
        await with_files(tickets, people, PNG, b"three", id=key)
    # What the refused call sent is gone again; what the ticket has stays.
    assert objects(supabase_database, people.ana) == before
    assert await got(tickets.attachments.clean_up(older_than=0)) == 0


async def test_all_wrong_files_are_named_and_none_is_sent(
    tickets: Client, people: People, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    big = tmp_path / "big.bin"
    with big.open("wb") as file:
        file.truncate(26_214_401)
    caplog.set_level(logging.INFO, "httpx")
    files = [
        b"good",
        big,
        Upload(b"<p>", "page.html"),
        Upload(b"x", content_type="video/quicktime"),
    ]
    with pytest.raises(InvalidInput) as caught:
        await with_files(tickets, people, *files)
    wrong = {one.field: one.message for one in caught.value.fields}
    assert list(wrong) == ["attachments[1]", "attachments[2]", "attachments[3]"]
    assert wrong["attachments[1]"] == "must have at most 26,214,400 bytes and has 26,214,401"
    assert "text/html" in wrong["attachments[2]"]
    assert not any("/storage/" in record.getMessage() for record in caplog.records)


async def test_wrong_files_are_named_with_the_wrong_fields(
    tickets: Client, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    ticket = await create(tickets, people)
    thread = await thread_of(tickets, ticket)
    files = [b"good", "missing.png", Upload(b"x", "a/b")]
    wrong: Any = "a path"
    with caplog.at_level(logging.INFO, "httpx"):
        caplog.clear()
        calls: list[Callable[[Any], Any]] = [
            lambda given: tickets.create(
                organization=people.organization_id, subject="", attachments=given
            ),
            lambda given: thread.send("", attachments=given),
            lambda given: tickets.drafts.save(subject="x" * 201, attachments=given),
        ]
        for call in calls:
            for given, named in (
                (iter(files), ["attachments[1]", "attachments[2]"]),
                (wrong, ["attachments"]),
                ([b"good"], []),
            ):
                with pytest.raises(InvalidInput) as caught:
                    await got(call(given))
                fields = [problem.field for problem in caught.value.fields]
                assert fields[0] in {"subject", "text"}
                assert fields[1:] == named
        assert requests(caplog) == 0
    assert not thread.messages


@pytest.mark.parametrize("wrong", ["a path", b"bytes", 5, [b""] * 21])
async def test_what_is_no_list_of_files_is_refused(
    tickets: Client, people: People, wrong: Any
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await got(
            tickets.create(organization=people.organization_id, subject="Files", attachments=wrong)
        )
    assert [one.field for one in caught.value.fields] == ["attachments"]


async def test_the_server_has_the_last_word_on_size_and_type(
    tickets: Client, people: People, supabase_database: psycopg.Connection[Any]
) -> None:
    await with_files(tickets, people, b"so that the limits are kept")
    with limits(supabase_database, size=10), pytest.raises(InvalidInput) as caught:
        await with_files(tickets, people, b"short", b"longer than ten")
    (wrong,) = caught.value.fields
    assert (wrong.field, wrong.message) == ("attachments[1]", "is larger than the server takes")
    assert caught.value.write_id is not None
    with limits(supabase_database, types=["image/png"]), pytest.raises(InvalidInput) as caught:
        await with_files(tickets, people, PNG, Upload(b"x", "a.pdf"))
    assert [one.field for one in caught.value.fields] == ["attachments[1]"]
    assert len(tickets_of(supabase_database, people.ana)) == 1
    assert len(objects(supabase_database, people.ana)) == 1


async def test_a_closed_ticket_takes_no_files(
    tickets: Client, people: People, supabase_database: psycopg.Connection[Any]
) -> None:
    thread = await thread_of(tickets, await with_files(tickets, people))
    await got(thread.close_ticket())
    with pytest.raises(TicketClosedError):
        await got(thread.send("late", attachments=[b"late"]))
    assert objects(supabase_database, people.ana) == {}


async def test_a_failed_message_is_retried_with_its_files(
    tickets: Client, people: People, tmp_path: Path
) -> None:
    thread = await thread_of(tickets, await with_files(tickets, people))
    path = tmp_path / "later.txt"
    with pytest.raises(InvalidInput):
        await got(thread.send("See the file.", attachments=[path]))
    (failed,) = thread.messages
    assert failed.state == "failed"
    path.write_text("now")
    sent = await got(thread.retry(failed))
    assert [one.file_name for one in sent.attachments] == ["later.txt"]
    assert thread.messages == (sent,)


async def test_what_can_be_read_only_once_is_sent_whole_by_every_attempt(
    tickets: Client, people: People
) -> None:
    content = os.urandom(1_300_000)
    thread = await thread_of(tickets, await with_files(tickets, people))
    elsewhere = await thread_of(tickets, thread.ticket)
    await got(elsewhere.close_ticket())
    moved = io.BytesIO(b"seekable")
    with pipe_of(content) as source:
        files: list[Any] = [Upload(source, "p.bin"), moved]
        with pytest.raises(TicketClosedError):
            await got(thread.send("See the files.", attachments=files))
    moved.seek(5)
    await got(elsewhere.reopen_ticket())
    sent = await got(thread.retry(thread.messages[-1]))
    contents = [await got(tickets.attachments.read(one)) for one in sent.attachments]
    assert contents == [content, b"seekable"]


async def test_a_call_that_is_repeated_with_its_id_has_what_can_be_read_only_once(
    tickets: Client, people: People
) -> None:
    key = uuid4()
    with pipe_of(b"important") as source:
        with pytest.raises(InvalidInput):
            await with_files(tickets, people, source, 5, id=key)
        first = await with_files(tickets, people, source, id=key)
        assert await with_files(tickets, people, source, id=key) == first
    (one,) = (await thread_of(tickets, first)).attachments
    assert await got(tickets.attachments.read(one)) == b"important"


async def test_a_file_that_was_closed_before_the_retry_is_refused(
    tickets: Client, people: People, tmp_path: Path
) -> None:
    thread = await thread_of(tickets, await with_files(tickets, people))
    elsewhere = await thread_of(tickets, thread.ticket)
    await got(elsewhere.close_ticket())
    (tmp_path / "a.txt").write_text("a")
    with (tmp_path / "a.txt").open("rb") as file, pytest.raises(TicketClosedError):
        await got(thread.send("See the file.", attachments=[file]))
    await got(elsewhere.reopen_ticket())
    with pytest.raises(InvalidInput) as caught:
        await got(thread.retry(thread.messages[-1]))
    (wrong,) = caught.value.fields
    assert (wrong.field, wrong.message) == ("attachments[0]", "cannot be read (is it closed?)")
    assert thread.messages[-1].state == "failed"


async def test_a_file_that_is_closed_while_it_is_sent_is_named(
    tickets: Client, people: People, supabase_database: psycopg.Connection[Any]
) -> None:
    file = io.BytesIO(os.urandom(2_000_000))

    def close(now: Progress) -> None:
        if now.done:
            file.close()

    with pytest.raises(InvalidInput) as caught:
        await with_files(tickets, people, file, progress=close)
    (wrong,) = caught.value.fields
    assert (wrong.field, wrong.message) == ("attachments[0]", "cannot be read (is it closed?)")
    assert objects(supabase_database, people.ana) == {}


async def test_progress_goes_forward_for_each_file(tickets: Client, people: People) -> None:
    told: list[Progress] = []
    sizes = [3_000_000, 10, 0, 1_200_000]
    files = [Upload(os.urandom(size), f"{size}.bin") for size in sizes]
    await with_files(tickets, people, *files, progress=told.append)
    for position, size in enumerate(sizes, 1):
        one = [now for now in told if now.position == position]
        done = [now.done for now in one]
        assert done == sorted(set(done))
        assert (done[0], done[-1]) == (0, size)
        assert {(now.name, now.total, now.count) for now in one} == {(f"{size}.bin", size, 4)}
    assert len(told) > 8
    assert "3000000.bin" not in repr(told)


async def test_a_bar_is_shown_when_asked_for(
    tickets: Client, people: People, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (one,) = await attached(tickets, people, Upload(b"x" * 2_000_000, "[red]a.bin"))
    await got(tickets.attachments.save(one, tmp_path, progress=True))
    shown = capsys.readouterr().out
    assert "[red]a.bin" in shown
    assert "2.0/2.0 MB" in shown


async def test_a_bar_without_rich_says_what_to_install(
    tickets: Client, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(ImportError, match=r"customer-tickets\[rich\]"):
        await with_files(tickets, people, b"x", progress=True)


async def test_a_progress_that_nobody_would_await_is_refused(
    tickets: Client, people: People, tmp_path: Path
) -> None:
    async def show(now: Progress) -> None:
        raise AssertionError

    class Shown:
        async def __call__(self, now: Progress) -> None:
            raise AssertionError

    ticket = await create(tickets, people, attachments=[b"one"])
    thread = await thread_of(tickets, ticket)
    calls: list[Callable[[], Any]] = [
        lambda: create(tickets, people, attachments=[b"one"], progress=show),
        lambda: got(thread.send("x", attachments=[b"one"], progress=show)),
        lambda: got(tickets.drafts.save(subject="x", attachments=[b"one"], progress=show)),
        lambda: got(tickets.attachments.save(thread.attachments[0], tmp_path, progress=show)),
        lambda: got(tickets.export(tmp_path / "all", progress=show)),
        lambda: got(tickets.export(tmp_path / "all", progress=Shown())),
    ]
    for call in calls:
        with pytest.raises(InvalidInput, match="progress: must be a plain function"):
            await call()


async def test_a_progress_that_raises_stops_everything(
    tickets: Client,
    people: People,
    tmp_path: Path,
    supabase_database: psycopg.Connection[Any],
) -> None:
    def refuse(now: Progress) -> None:
        if now.done:
            raise ZeroDivisionError

    content = os.urandom(2_000_000)
    with pytest.raises(ZeroDivisionError):
        await with_files(tickets, people, content, b"other", progress=refuse)
    assert objects(supabase_database, people.ana) == {}
    assert tickets_of(supabase_database, people.ana) == []
    (one,) = await attached(tickets, people, content)
    with pytest.raises(ZeroDivisionError):
        await got(tickets.attachments.save(one, tmp_path, progress=refuse))
    assert names_in(tmp_path) == []


async def test_saving_makes_one_whole_file(tickets: Client, people: People, tmp_path: Path) -> None:
    content = os.urandom(1_300_000)
    (one,) = await attached(tickets, people, Upload(content, "фото 日本.png"))
    told: list[Progress] = []
    path = await got(tickets.attachments.save(one, tmp_path, progress=told.append))
    assert path == tmp_path / "фото 日本.png"
    assert path.read_bytes() == content
    assert [told[0].done, told[-1].done] == [0, len(content)]
    (tmp_path / "new").touch()
    assert path.stat().st_mode == (tmp_path / "new").stat().st_mode
    other = await got(tickets.attachments.save(one, str(tmp_path / "b.png")))
    assert other.read_bytes() == content
    assert names_in(tmp_path) == ["b.png", "new", "фото 日本.png"]


async def test_saving_replaces_only_when_asked_to(
    tickets: Client, people: People, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (one,) = await attached(tickets, people, Upload(b"new", "a.txt"))
    target = tmp_path / "a.txt"
    target.write_text("old")
    caplog.set_level(logging.INFO, "httpx")
    caplog.clear()
    for to in (tmp_path, target, tmp_path / "none" / "a.txt", "a\x00b", 5):
        with pytest.raises(InvalidInput) as caught:
            await got(tickets.attachments.save(one, to))  # type: ignore[arg-type] # a caller without types
        assert [wrong.field for wrong in caught.value.fields] == ["to"]
    assert caplog.records == []
    assert target.read_text() == "old"
    await got(tickets.attachments.save(one, tmp_path, overwrite=True))
    assert target.read_text() == "new"
    assert names_in(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("what", ["fifo", "link to a fifo", "link to nothing", "came meanwhile"])
async def test_what_is_no_file_is_never_replaced(
    tickets: Client, people: People, tmp_path: Path, what: str
) -> None:
    (one,) = await attached(tickets, people, Upload(b"new", "a.txt"))
    fifo, target = tmp_path / "fifo", tmp_path / "a.txt"
    os.mkfifo(fifo)
    if what == "fifo":
        target = fifo
    elif what == "link to a fifo":
        target.symlink_to(fifo)
    elif what == "link to nothing":
        target.symlink_to(tmp_path / "nothing")

    def come(now: Progress) -> None:
        if what == "came meanwhile" and now.done == 0:
            os.mkfifo(target)

    before = target.lstat().st_mode if what != "came meanwhile" else fifo.lstat().st_mode
    with pytest.raises(InvalidInput) as caught:
        await got(tickets.attachments.save(one, target, overwrite=True, progress=come))
    assert [wrong.field for wrong in caught.value.fields] == ["to"]
    assert target.lstat().st_mode == before
    assert names_in(tmp_path) == sorted({"fifo", target.name})


async def test_a_link_to_a_file_is_replaced(
    tickets: Client, people: People, tmp_path: Path
) -> None:
    (one,) = await attached(tickets, people, Upload(b"new", "a.txt"))
    (tmp_path / "old.txt").write_text("old")
    (tmp_path / "a.txt").symlink_to(tmp_path / "old.txt")
    path = await got(tickets.attachments.save(one, tmp_path / "a.txt", overwrite=True))
    assert (path.is_symlink(), path.read_text()) == (False, "new")
    assert (tmp_path / "old.txt").read_text() == "old"


async def test_a_file_that_comes_while_saving_is_not_replaced(
    tickets: Client, people: People, tmp_path: Path
) -> None:
    (one,) = await attached(tickets, people, Upload(b"new", "a.txt"))
    target = tmp_path / "a.txt"
    with pytest.raises(InvalidInput):
        await got(
            tickets.attachments.save(one, target, progress=lambda _: target.write_text("came"))
        )
    assert target.read_text() == "came"
    assert names_in(tmp_path) == ["a.txt"]


async def test_writing_into_an_object(tickets: Client, people: People) -> None:
    content = os.urandom(1_300_000)
    (one,) = await attached(tickets, people, content)
    file = io.BytesIO(b"before ")
    file.seek(0, 2)
    assert await got(tickets.attachments.write_to(one, file)) == len(content)
    assert file.getvalue() == b"before " + content


async def test_what_takes_text_is_refused_before_anything_is_fetched(
    tickets: Client, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    (one,) = await attached(tickets, people, b"one")
    with caplog.at_level(logging.INFO, "httpx"):
        caplog.clear()
        with pytest.raises(InvalidInput, match="file: must be an object open for writing bytes"):
            await got(tickets.attachments.write_to(one, io.StringIO()))  # type: ignore[arg-type] # to see
        assert requests(caplog) == 0


@pytest.mark.faults
@pytest.mark.parametrize("change", ["other", "shorter", "longer", "empty"])
async def test_a_file_that_was_changed_on_the_server_is_refused(
    tickets: Client,
    people: People,
    stack: LocalStack,
    tmp_path: Path,
    change: str,
) -> None:
    content = os.urandom(900_000)
    (one,) = await attached(tickets, people, Upload(content, "a.bin"))
    changed = {"other": b"x" + content[1:], "shorter": content[:-1], "longer": content + b"x"}
    headers = {"apikey": stack.secret_key, "Content-Type": one.content_type}
    url = f"{stack.url}/storage/v1/object/ticket-attachments/{one.user_id}/{one.id}"
    replace(url, changed.get(change, b""), headers)
    file = io.BytesIO()
    for receive in (
        lambda: tickets.attachments.read(one),
        lambda: tickets.attachments.save(one, tmp_path),
        lambda: tickets.attachments.write_to(one, file),
    ):
        with pytest.raises(FileDamaged) as caught:
            await got(receive())
        assert "a.bin" not in str(caught.value)
    assert names_in(tmp_path) == []
    assert file.getvalue() == b""


async def test_links_work_for_anybody_for_a_while(tickets: Client, people: People) -> None:
    one, other = await attached(tickets, people, Upload(PNG, 'a "b" é.png'), Upload(b"2", "2.txt"))
    shown = fetched(await got(tickets.attachments.link(one, 60)))
    assert (shown.content, shown.headers["content-type"]) == (PNG, "image/png")
    assert "content-disposition" not in shown.headers
    saved = fetched(await got(tickets.attachments.link(one, 60, download=True)))
    assert "filename*=UTF-8''a%20%22b%22%20%C3%A9.png" in saved.headers["content-disposition"]
    stranger = one.model_copy(update={"id": uuid4()})
    links = await got(tickets.attachments.links([one, other, stranger]))
    assert list(links) == [one.id, other.id]
    assert fetched(links[other.id]).content == b"2"
    forged = links[other.id].replace(str(other.id), str(one.id))
    assert fetched(forged).status_code == 400
    with pytest.raises(NotFound):
        await got(tickets.attachments.link(stranger))
    for seconds in (0, -1, 1.5, "60"):
        with pytest.raises(InvalidInput):
            await got(tickets.attachments.link(one, seconds))  # type: ignore[arg-type] # no types
    assert await got(tickets.attachments.links([])) == {}


async def test_clean_up_finds_what_belongs_to_nothing(
    tickets: Client, people: People, supabase_database: psycopg.Connection[Any], stack: Stack
) -> None:
    (kept,) = await attached(tickets, people, b"kept")
    for owner in (people.ana, people.ana, people.ana, people.ben):
        put(stack, owner, b"left over").raise_for_status()
    assert await got(tickets.attachments.clean_up()) == 0
    assert await got(tickets.attachments.clean_up(older_than=0)) == 3
    assert objects(supabase_database, people.ana) == {str(kept.id): 4}
    assert len(objects(supabase_database, people.ben)) == 1
    with pytest.raises(InvalidInput):
        await got(tickets.attachments.clean_up(-1))


FILE_NAMES = st.text(min_size=1, max_size=260) | st.text(
    alphabet="./\\\x00\n\u202e\u0301e é日👍 a%'\"<>;", min_size=1, max_size=40
)


@given(st.lists(FILE_NAMES, min_size=1, max_size=15))
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_names_come_back_as_they_were_sent(
    stack: Stack, people: People, tmp_path: Path, names: list[str]
) -> None:
    with CustomerTickets(stack.url, stack.publishable_key) as tickets:
        tickets.sign_in(people.ana.email, people.ana.password)
        files = [Upload(b"x", found_name(name)) for name in names]
        ticket = tickets.create(
            organization=people.organization_id, subject="Names", attachments=files
        )
        received = tickets.thread(ticket).attachments
        assert [one.file_name for one in received] == [file.name for file in files]
        for one in received:
            path = tickets.attachments.save(one, tmp_path)
            assert path == tmp_path / name_on_disk(one.file_name)
            path.unlink()
            answer = fetched(tickets.attachments.link(one, download=True))
            encoded = answer.headers["content-disposition"].partition("filename*=UTF-8''")[2]
            assert unquote(encoded) == one.file_name
        assert list(tmp_path.iterdir()) == []
