"""Exports, over HTTP, in both faces: complete, checked, gone on with, and nobody else's."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import zipfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from customer_tickets import (
    AsyncCustomerTickets,
    ExportDamaged,
    ExportFailed,
    ExportReport,
    InvalidInput,
    NotFound,
    Progress,
    SignInRequired,
    Ticket,
    Upload,
    Verification,
    verify_export,
)
from customer_tickets._export_files import ExportFolder
from customer_tickets.devstack import LocalStack
from faces import Client, Office, got, thread_of
from fix_stack import People
from remote_project import Stack, as_server
from stack.attached import BUCKET, with_files
from stack.conftest import Opener
from stack.test_tickets import create

pytestmark = pytest.mark.anyio

EXAMPLE = Path(__file__).parents[2] / "examples" / "export.py"
CHILD = Path(__file__).with_name("export_child.py")


async def exported(client: Client, to: Path, **options: Any) -> ExportReport:
    """Export with either face; the arguments are checked at run time."""
    return await got(client.export(to, **options))


async def conversation(client: Client, people: People, office: Office) -> Ticket:
    """A ticket with a description's file, three messages, one of them with two files, closed."""
    ticket = await with_files(client, people, Upload(b"first", "a.txt"), description="It *broke*.")
    thread = await thread_of(client, ticket)
    first = await got(
        thread.send("Look:", attachments=[Upload(b"1", "p.csv"), Upload(b"2", "P.CSV")])
    )
    office.answer(ticket.id, "We see it.")
    await got(thread.send("Thank you", reply_to=first))
    await got(thread.close_ticket("solved"))
    await got(thread.rate(5, "quick"))
    return ticket


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def lose(stack: Stack, key: str) -> None:
    """Remove a file from the bucket, as an administrator might."""
    httpx.request(
        "DELETE",
        f"{stack.url}/storage/v1/object/{BUCKET}",
        headers=as_server(stack),
        json={"prefixes": [key]},
    ).raise_for_status()


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, also hidden ones."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


async def test_a_ticket_is_there_with_all_that_belongs_to_it(
    tickets: Client, people: People, office: Office, tmp_path: Path
) -> None:
    ticket = await conversation(tickets, people, office)
    to = tmp_path / "export"
    report = await exported(tickets, to)
    folder = f"{ticket.created_at:%Y-%m-%d}-{ticket.id}"
    files = tree(to)
    assert list(files) == [
        f"{folder}/attachments/P (2).CSV",
        f"{folder}/attachments/a.txt",
        f"{folder}/attachments/p.csv",
        f"{folder}/ticket.json",
        f"{folder}/ticket.md",
        "manifest.json",
    ]
    saved = json.loads(files[f"{folder}/ticket.json"])
    thread = await thread_of(tickets, ticket)
    assert saved["ticket"]["subject"] == "Files"
    assert saved["organization"]["name"] == people.organization_name
    assert (saved["feedback"]["rating"], saved["feedback"]["comment"]) == (5, "quick")
    assert [one["body"] for one in saved["messages"]] == ["Look:", "We see it.", "Thank you"]
    assert [one["seq"] for one in saved["events"]] == [*range(1, thread.ticket.last_seq + 1)]
    assert [one["kind"] for one in saved["events"]] == [event.kind for event in thread.history]
    attached = [saved["attachments"][0], *saved["messages"][0]["attachments"]]
    assert [(one["file_name"], one["file"]) for one in attached] == [
        ("a.txt", "attachments/a.txt"),
        ("p.csv", "attachments/p.csv"),
        ("P.CSV", "attachments/P (2).CSV"),
    ]
    contents = [files[f"{folder}/{one['file']}"] for one in attached]
    assert contents == [b"first", b"1", b"2"]
    page = files[f"{folder}/ticket.md"].decode()
    assert "> It *broke*." in page
    assert "[p\\.csv](<attachments/p.csv>)" in page
    assert "in reply to 2" in page
    size = sum(len(content) for name, content in files.items() if name != "manifest.json")
    assert report == ExportReport(to, tickets=1, messages=3, attachments=3, bytes=size)
    manifest = json.loads(files["manifest.json"])
    assert {
        f"{folder}/{file['path']}": (file["size"], file["sha256"])
        for file in manifest["tickets"][0]["files"]
    } == {
        name: (len(content), sha256(content).hexdigest())
        for name, content in files.items()
        if name != "manifest.json"
    }
    verify_export(to)
    modes = {oct(path.stat().st_mode & 0o777) for path in to.rglob("*") if path.is_file()}
    folders = [to, *(path for path in to.rglob("*") if path.is_dir())]
    assert (modes, {oct(path.stat().st_mode & 0o777) for path in folders}) == ({"0o600"}, {"0o700"})


async def test_a_long_conversation_is_complete(
    tickets: Client, people: People, tmp_path: Path, supabase_database: psycopg.Connection[Any]
) -> None:
    ticket = await with_files(tickets, people)
    with supabase_database.transaction():
        supabase_database.execute(
            "select set_config('request.jwt.claims', %s, true)",
            [json.dumps({"sub": str(people.ana.id), "role": "authenticated"})],
        )
        supabase_database.execute(
            "select public.send_message(gen_random_uuid(), %s, 'message ' || n)"
            " from generate_series(1, 460) n",
            [ticket.id],
        )
    report = await exported(tickets, tmp_path / "all", ticket=ticket)
    assert report.messages == 460
    (path,) = (tmp_path / "all").glob("*/ticket.json")
    saved = json.loads(path.read_text())
    assert [one["body"] for one in saved["messages"]] == [f"message {n}" for n in range(1, 461)]
    assert [one["seq"] for one in saved["events"]] == [*range(1, 462)]


async def test_a_zip_holds_the_same(
    tickets: Client, people: People, office: Office, tmp_path: Path
) -> None:
    await conversation(tickets, people, office)
    hidden = await exported(tickets, tmp_path / ".zip")
    verify_export(hidden.path)
    hidden.path.unlink()
    report = await exported(tickets, tmp_path / "export.zip")
    await exported(tickets, tmp_path / "folder")
    assert names_in(tmp_path) == ["export.zip", "folder"]
    assert (tmp_path / "export.zip").stat().st_mode & 0o777 == 0o600
    verify_export(report.path)
    expected = tree(tmp_path / "folder")
    with zipfile.ZipFile(report.path) as archive:
        assert {name: archive.read(name) for name in archive.namelist()}.keys() == expected.keys()
        assert all(
            archive.read(name) == content
            for name, content in expected.items()
            if name != "manifest.json"
        )
    with pytest.raises(InvalidInput, match="exists already"):
        await exported(tickets, tmp_path / "export.zip")


async def test_what_is_there_is_not_fetched_again(
    tickets: Client, people: People, office: Office, tmp_path: Path
) -> None:
    ticket = await conversation(tickets, people, office)
    other = await with_files(tickets, people, Upload(b"two", "b.txt"))
    first = await exported(tickets, tmp_path / "e")
    before = tree(tmp_path / "e")
    again = await exported(tickets, tmp_path / "e")
    assert (again.skipped, again.bytes, first.skipped) == (2, first.bytes, 0)
    assert tree(tmp_path / "e") == before
    office.answer(other.id, "News.")
    changed = await exported(tickets, tmp_path / "e")
    assert (changed.tickets, changed.skipped, changed.messages) == (2, 1, 4)
    verify_export(tmp_path / "e")
    (page,) = (tmp_path / "e").glob(f"*-{ticket.id}/ticket.md")
    page.write_text("somebody wrote here")
    healed = await exported(tickets, tmp_path / "e")
    assert healed.skipped == 1
    verify_export(tmp_path / "e")
    one = await exported(tickets, tmp_path / "e", ticket=other)
    assert (one.tickets, one.skipped) == (1, 1)
    assert len(json.loads((tmp_path / "e" / "manifest.json").read_text())["tickets"]) == 2


async def test_an_export_is_of_now_whatever_is_kept(
    opener: Opener, people: People, office: Office, tmp_path: Path
) -> None:
    tickets = await opener(people.ana, cache=60.0)
    ticket = await create(tickets, people)
    assert (await exported(tickets, tmp_path / "all")).messages == 0
    office.answer(ticket.id, "Meanwhile")
    await create(await opener(people.ana), people, "Elsewhere")
    report = await exported(tickets, tmp_path / "all")
    assert (report.tickets, report.messages, report.skipped) == (2, 1, 0)


async def test_attachments_can_be_left_out_and_fetched_later(
    tickets: Client, people: People, tmp_path: Path
) -> None:
    await with_files(tickets, people, Upload(b"one", "a.txt"))
    assert (await exported(tickets, tmp_path / "e", attachments=False)).attachments == 0
    assert not [*(tmp_path / "e").glob("*/attachments")]
    verify_export(tmp_path / "e")
    assert (await exported(tickets, tmp_path / "e")).attachments == 1
    assert (await exported(tickets, tmp_path / "e", attachments=False)).skipped == 1
    verify_export(tmp_path / "e")


async def test_what_the_server_lost_is_named_and_asked_for_again(
    tickets: Client, people: People, tmp_path: Path, stack: Stack
) -> None:
    ticket = await with_files(tickets, people, Upload(b"one", "a.txt"), Upload(b"two", "b.txt"))
    lost, kept = (await thread_of(tickets, ticket)).attachments
    lose(stack, f"{lost.user_id}/{lost.id}")
    for _ in range(2):
        report = await exported(tickets, tmp_path / "e")
        assert (report.attachments, report.missing, report.skipped) == (1, (lost.id,), 0)
        verify_export(tmp_path / "e")
    (path,) = (tmp_path / "e").glob("*/ticket.json")
    assert [one["file"] for one in json.loads(path.read_text())["attachments"]] == [
        None,
        f"attachments/{kept.file_name}",
    ]


@pytest.mark.parametrize("lost", ["some", "all", "the first"])
async def test_a_hole_in_one_history_does_not_stop_the_others(
    tickets: Client,
    people: People,
    office: Office,
    tmp_path: Path,
    supabase_database: psycopg.Connection[Any],
    lost: str,
) -> None:
    await with_files(tickets, people)
    ticket = await conversation(tickets, people, office)
    await with_files(tickets, people)
    seqs = {"some": [2, 5], "all": [*range(1, 10)], "the first": [1]}[lost]
    # Only who owns the database can do that.
    supabase_database.execute(
        "delete from public.ticket_events where ticket_id = %s and seq = any(%s)",
        [ticket.id, seqs],
    )
    for _ in range(2):
        report = await exported(tickets, tmp_path / "e")
        assert (report.tickets, report.incomplete, report.missing) == (3, (ticket.id,), ())
        verify_export(tmp_path / "e")
    assert report.skipped == 2
    (path,) = (tmp_path / "e").glob(f"*-{ticket.id}/ticket.json")
    saved = json.loads(path.read_text())
    assert [one["body"] for one in saved["messages"]] == ["Look:", "We see it.", "Thank you"]
    # A message stands for its own event.
    kept = {"some": [1, 2, 3, 4, 6], "all": [2, 3, 4], "the first": [2, 3, 4, 5, 6]}[lost]
    assert [one["seq"] for one in saved["events"]] == kept
    assert "lacks a part" in path.with_name("ticket.md").read_text()
    thread = await thread_of(tickets, ticket)
    if lost == "all":
        assert await got(thread.older_history()) is False
        assert await got(thread.verify()) == Verification(first_seq=1, last_seq=0)


async def test_messages_that_lost_their_events_are_exported(
    tickets: Client, people: People, tmp_path: Path, supabase_database: psycopg.Connection[Any]
) -> None:
    ticket = await with_files(tickets, people)
    with supabase_database.transaction():
        supabase_database.execute(
            "select set_config('request.jwt.claims', %s, true)",
            [json.dumps({"sub": str(people.ana.id), "role": "authenticated"})],
        )
        supabase_database.execute(
            "select public.send_message(gen_random_uuid(), %s, 'message ' || n)"
            " from generate_series(1, 460) n",
            [ticket.id],
        )
    supabase_database.execute(
        "delete from public.ticket_events where ticket_id = %s and seq between 5 and 300",
        [ticket.id],
    )
    report = await exported(tickets, tmp_path / "e")
    # The messages are there, and they say all that their events said.
    assert (report.messages, report.incomplete) == (460, ())
    (path,) = (tmp_path / "e").glob("*/ticket.json")
    assert [one["seq"] for one in json.loads(path.read_text())["events"]] == [*range(1, 462)]


@pytest.mark.parametrize("damage", ["changed", "missing", "longer", "linked"])
async def test_damage_is_found_and_named(
    tickets: Client, people: People, tmp_path: Path, damage: str
) -> None:
    ticket = await with_files(tickets, people, Upload(b"one", "a.txt"))
    await exported(tickets, tmp_path / "e")
    (path,) = (tmp_path / "e").glob("*/attachments/a.txt")
    if damage == "changed":
        path.write_bytes(b"0ne")
    elif damage == "longer":
        path.write_bytes(b"one more")
    else:
        path.unlink()
    if damage == "linked":
        (tmp_path / "elsewhere").write_bytes(b"one")
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ExportDamaged) as caught:
        verify_export(tmp_path / "e")
    assert caught.value.files == (f"{ticket.created_at:%Y-%m-%d}-{ticket.id}/attachments/a.txt",)
    assert "a.txt" not in str(caught.value)
    assert (await exported(tickets, tmp_path / "e")).skipped == 0
    verify_export(tmp_path / "e")
    assert not path.is_symlink()
    assert damage != "linked" or (tmp_path / "elsewhere").read_bytes() == b"one"


async def test_a_damaged_zip_is_found(tickets: Client, people: People, tmp_path: Path) -> None:
    await with_files(tickets, people, Upload(b"find me here", "a.txt"))
    report = await exported(tickets, tmp_path / "e.zip")
    whole = report.path.read_bytes()
    report.path.write_bytes(whole.replace(b"find me here", b"find ME here"))
    with pytest.raises(ExportDamaged) as caught:
        verify_export(report.path)
    assert [name.rpartition("/")[2] for name in caught.value.files] == ["a.txt"]
    for content in (whole[:100], b"", b"PK"):
        report.path.write_bytes(content)
        with pytest.raises(ExportDamaged):
            verify_export(report.path)
    with pytest.raises(ExportDamaged):
        verify_export(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["fifo", "fifo.zip", "e"])
def test_what_is_no_file_is_no_export(tmp_path: Path, name: str) -> None:
    fifo = tmp_path / name
    if name == "e":
        fifo.mkdir()
        fifo /= "manifest.json"
    os.mkfifo(fifo)
    (tmp_path / "link").symlink_to(tmp_path / name)
    for path in (tmp_path / name, tmp_path / "link"):
        with pytest.raises(ExportDamaged):
            verify_export(path)


async def test_hostile_names_stay_in_their_folder(
    tickets: Client, people: People, tmp_path: Path, supabase_database: psycopg.Connection[Any]
) -> None:
    names = ["x", "y", "CON", "é" * 120 + ".txt", "é" * 120 + ".txt", "\u202egpj.exe", "a:b?.txt"]
    ticket = await with_files(tickets, people, *(Upload(b"1", f"{n}.bin") for n in range(7)))
    attached = (await thread_of(tickets, ticket)).attachments
    for attachment, name in zip(attached, names, strict=True):
        supabase_database.execute(
            "update public.ticket_attachments set file_name = %s where id = %s",
            [name, attachment.id],
        )
    report = await exported(tickets, tmp_path / "e")
    assert report.attachments == 7
    verify_export(tmp_path / "e")
    saved = sorted(path.name for path in (tmp_path / "e").glob("*/attachments/*"))
    assert saved == sorted(
        ["x", "y", "_CON", "é" * 120 + ".txt", "é" * 120 + " (2).txt", "gpj.exe", "a_b_.txt"]
    )
    assert names_in(tmp_path) == ["e"]


async def test_other_peoples_folders_are_left_alone(
    tickets: Client, people: People, opener: Opener, tmp_path: Path
) -> None:
    await with_files(tickets, people)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "note.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "nowhere").symlink_to(tmp_path / "not there")
    bens = tmp_path / "bens"
    await exported(await opener(people.ben), bens)
    before = tree(tmp_path)
    wrong = ["foreign", "file", "file/below", "nowhere", "bens", "file.zip/x\0"]
    for name in wrong:
        with pytest.raises(InvalidInput, match=r"^to: "):
            await exported(tickets, tmp_path / name)
    for manifest in ("{}", "[]", "", '{"kind": "customer_tickets.export", "format": 2}'):
        (foreign / "manifest.json").write_text(manifest)
        with pytest.raises(InvalidInput, match="holds something else"):
            await exported(tickets, foreign)
    (foreign / "manifest.json").unlink()
    assert tree(tmp_path) == before


async def test_links_in_the_folder_are_not_followed(
    tickets: Client, people: People, tmp_path: Path
) -> None:
    ticket = await with_files(tickets, people, Upload(b"one", "a.txt"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    await exported(tickets, tmp_path / "e")
    (folder,) = (tmp_path / "e").glob(f"*-{ticket.id}")
    (folder / "attachments" / "a.txt").unlink()
    (folder / "attachments").rmdir()
    (folder / "attachments").symlink_to(elsewhere)
    with pytest.raises(InvalidInput, match="link"):
        await exported(tickets, tmp_path / "e")
    assert tree(elsewhere) == {}
    (tmp_path / "manifest.json").write_bytes((tmp_path / "e" / "manifest.json").read_bytes())
    (tmp_path / "e" / "manifest.json").unlink()
    (tmp_path / "e" / "manifest.json").symlink_to(tmp_path / "manifest.json")
    with pytest.raises(InvalidInput, match="something else"):
        await exported(tickets, tmp_path / "e")


async def test_a_manifest_names_no_files_elsewhere(
    tickets: Client, people: People, tmp_path: Path
) -> None:
    await with_files(tickets, people)
    await exported(tickets, tmp_path / "e")
    text = (tmp_path / "e" / "manifest.json").read_text()
    for path in ("../../secret", "attachments/../../x", "/etc/passwd", "attachments/.."):
        (tmp_path / "e" / "manifest.json").write_text(text.replace("ticket.md", path))
        with pytest.raises(ExportDamaged) as caught:
            verify_export(tmp_path / "e")
        assert caught.value.files == ("manifest.json",)


async def test_only_what_one_may_see_is_exported(
    tickets: Client, people: People, opener: Opener, tmp_path: Path
) -> None:
    ticket = await with_files(tickets, people)
    ben, eva = await opener(people.ben), await opener(people.eva)
    with pytest.raises(NotFound):
        await exported(ben, tmp_path / "e", ticket=ticket)
    with pytest.raises(NotFound):
        await exported(ben, tmp_path / "e.zip", ticket=ticket.id)
    assert names_in(tmp_path) == []
    with pytest.raises(InvalidInput, match=r"^ticket: "):
        await exported(tickets, tmp_path / "e", ticket="no id")
    assert (await exported(ben, tmp_path / "bens")).tickets == 0
    verify_export(tmp_path / "bens")
    assert (await exported(eva, tmp_path / "all")).tickets == 0
    assert (await exported(eva, tmp_path / "one", ticket=str(ticket.id))).tickets == 1
    await got(ben.sign_out())
    with pytest.raises(SignInRequired):
        await exported(ben, tmp_path / "bens")


async def test_progress_counts_tickets(tickets: Client, people: People, tmp_path: Path) -> None:
    for _ in range(3):
        await with_files(tickets, people)
    seen: list[Progress] = []
    await exported(tickets, tmp_path / "e", progress=seen.append)
    assert [(now.name, now.done, now.total) for now in seen] == [
        ("tickets", done, 3) for done in range(4)
    ]
    await exported(tickets, tmp_path / "e.zip", progress=True)


async def test_a_disk_that_refuses_is_said_so(
    tickets: Client, people: People, tmp_path: Path
) -> None:
    await with_files(tickets, people)
    with pytest.raises(ExportFailed, match="could not be written") as caught:
        await exported(tickets, Path("/proc/nobody/may/write/here"))
    assert "nobody" not in str(caught.value)


def child(
    stack: Stack, people: People, *arguments: str, **options: Any
) -> subprocess.CompletedProcess[str]:
    me = "\n".join([stack.url, stack.publishable_key, people.ana.email, people.ana.password])
    return subprocess.run(
        [sys.executable, str(CHILD), *arguments],
        env={**os.environ, "EXPORT_CHILD": me},
        capture_output=True,
        text=True,
        timeout=50,
        **options,
    )


@pytest.mark.parametrize("name", ["e", "e.zip"])
async def test_a_killed_export_is_gone_on_with(
    tickets: Client, people: People, stack: Stack, tmp_path: Path, name: str
) -> None:
    for number in range(3):
        await with_files(tickets, people, os.urandom(300_000), Upload(b"x" * 999, f"{number}.txt"))
    to = tmp_path / name
    for moment in range(1, 40, 3):
        done = child(stack, people, str(to), "kill", str(moment))
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert name == "e" or not to.exists()
        if name == "e" and moment > 1:
            with pytest.raises(ExportDamaged):
                verify_export(to)
    assert moment > 20
    if name == "e":
        assert (await exported(tickets, to)).tickets == 3
    verify_export(to)
    assert names_in(tmp_path) == [name]
    assert [path for path in tree(tmp_path) if ".part" in path] == []


async def test_a_full_disk_leaves_what_was_there(
    tickets: Client, people: People, stack: Stack, tmp_path: Path
) -> None:
    await with_files(tickets, people, Upload(b"small", "a.txt"))
    await exported(tickets, tmp_path / "e")
    before = tree(tmp_path / "e")
    await with_files(tickets, people, os.urandom(3_000_000))
    done = child(stack, people, str(tmp_path / "e"), "limit", "1000000")
    assert done.stdout.startswith("ExportFailed The export could not be written: File too large.")
    after = tree(tmp_path / "e")
    assert {name: after[name] for name in before if name != "manifest.json"} == {
        name: content for name, content in before.items() if name != "manifest.json"
    }
    assert [name for name in after if ".part" in name] == []
    report = await exported(tickets, tmp_path / "e")
    assert (report.tickets, report.skipped) == (2, 1)
    verify_export(tmp_path / "e")


async def test_memory_does_not_grow_with_the_files(
    tickets: Client, people: People, stack: Stack, tmp_path: Path
) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        for _ in range(20):
            file.write(os.urandom(1 << 20))
    await with_files(tickets, people, big, Upload(big, "again"))
    done = child(stack, people, str(tmp_path / "e.zip"), "weigh")
    assert float(done.stdout) < 16, done.stderr


async def test_a_cancelled_export_is_gone_on_with(
    stack: Stack, people: People, tmp_path: Path, opener: Opener
) -> None:
    client = await opener(people.ana)
    for _ in range(3):
        await with_files(client, people, os.urandom(200_000))
    async with AsyncCustomerTickets(stack.url, stack.publishable_key) as ana:
        await ana.sign_in(people.ana.email, people.ana.password)
        for pause in range(12):
            with suppress(TimeoutError):
                await asyncio.wait_for(ana.export(tmp_path / "e"), 0.005 * (pause + 1))
            assert [name for name in tree(tmp_path) if ".part" in name] == []
        await ana.export(tmp_path / "e")
    verify_export(tmp_path / "e")


async def test_a_change_while_it_is_exported_is_all_there_or_not_at_all(
    tickets: Client, people: People, tmp_path: Path, office: Office
) -> None:
    ticket = await with_files(tickets, people)
    stop = asyncio.Event()

    async def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            await asyncio.to_thread(office.answer, ticket.id, f"{number}")

    writing = asyncio.create_task(write())
    try:
        for number in range(5):
            to = tmp_path / str(number)
            await asyncio.to_thread(lambda: None)
            await exported(tickets, to)
            (path,) = to.glob("*/ticket.json")
            saved = json.loads(path.read_text())
            numbers = [one["seq"] for one in saved["events"]]
            assert numbers == [*range(1, saved["ticket"]["last_seq"] + 1)]
            assert [one["seq"] for one in saved["messages"]] == numbers[1:]
            verify_export(to)
            await asyncio.sleep(0.1)
    finally:
        stop.set()
        await writing


@pytest.mark.faults
async def test_what_the_disk_does_not_keep_is_noticed(
    tickets: Client, people: People, stack: LocalStack, tmp_path: Path
) -> None:
    assert stack.port
    folder = ExportFolder(tmp_path / "e", people.ana.id, "0")
    folder.open()
    entry = folder.write("", "manifest.json", b"content")
    with folder.part() as (part, file):
        file.write(b"another")
        with pytest.raises(ExportFailed, match="does not hold"):
            folder.keep(part, file, "", entry)
    assert (tmp_path / "e" / "manifest.json").read_bytes() == b"content"
    assert names_in(tmp_path / "e") == ["manifest.json"]


def example(stack: Stack, people: People, to: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLE), str(to)],
        env={
            **os.environ,
            "SUPABASE_URL": stack.url,
            "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
            "TICKETS_EMAIL": people.ana.email,
            "TICKETS_PASSWORD": people.ana.password,
        },
        capture_output=True,
        text=True,
        timeout=50,
    )


async def test_the_example_runs_every_day(
    tickets: Client, people: People, stack: Stack, tmp_path: Path
) -> None:
    await with_files(tickets, people, b"one")
    said: list[str] = []
    for _ in range(2):
        done = example(stack, people, tmp_path / "e")
        assert (done.returncode, done.stderr) == (0, "")
        said.append(done.stdout)
    assert "1 tickets, 1 of them new or changed" in said[0]
    assert "1 tickets, 0 of them new or changed" in said[1]
