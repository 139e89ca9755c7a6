"""Everything of one's tickets in a folder or a zip file, to keep and to check."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from uuid import UUID

from ._arguments import check_progress
from ._connection import Connection
from ._errors import FileDamaged, NotFound, SignInRequired
from ._events import MessageAdded, TicketEvent
from ._export_files import ExportFolder, disk_errors, path_of
from ._export_format import (
    FileEntry,
    TicketDocument,
    TicketEntry,
    as_json,
    as_markdown,
    folder_of,
    paths_of,
)
from ._export_zip import clear_work, is_zip, packing, work_folder
from ._files import in_thread
from ._models import Attachment, Message, Ticket
from ._progress import ProgressTo, telling
from ._resources import history, threads, tickets
from ._resources.messages import event_of
from ._resources.tickets import TicketQuery
from ._storage import receive
from ._view import ThreadAnswer

# Seconds of work that a killed run may have to do again; attachments are not among it.
_SAVE_EVERY = 5.0


@dataclass(frozen=True)
class ExportReport:
    """What an export holds of the tickets that it was asked for.

    Attributes:
        path: the folder or the zip file.
        tickets: how many tickets.
        messages: how many messages.
        attachments: how many attachments were saved.
        bytes: how many bytes all their files have.
        skipped: how many of the tickets were there already, unchanged and undamaged.
        missing: the attachments that the server could not give, or gave damaged.
        incomplete: the tickets of whose history the server lacks a part; the rest is there.
    """

    path: Path
    tickets: int = 0
    messages: int = 0
    attachments: int = 0
    bytes: int = 0
    skipped: int = 0
    missing: tuple[UUID, ...] = ()
    incomplete: tuple[UUID, ...] = ()


async def export(
    connection: Connection,
    to: str | os.PathLike[str],
    ticket_id: UUID | None,
    *,
    attachments: bool,
    progress: ProgressTo,
) -> ExportReport:
    """Export one ticket, or all of the caller's own, to a folder or a zip file."""
    target = path_of(to)
    check_progress(progress)
    packed = is_zip(target)
    with disk_errors():
        path = work_folder(target) if packed else target
        folder = ExportFolder(path, connection.session.user.id, version("customer-tickets"))
        await in_thread(folder.open)
    run = _Run(connection, folder, attachments=attachments)
    try:
        await run.all(ticket_id, progress)
        if packed:
            await _pack(folder, target, run.done)
    finally:
        # At once: whoever is cancelled may not be able to wait for a thread any more.
        with disk_errors():
            folder.stop()
            if packed:
                clear_work(folder.path, target)
    return _report(target, run)


async def _pack(folder: ExportFolder, target: Path, entries: dict[UUID, TicketEntry]) -> None:
    # An earlier run may have gathered others.
    folder.entries = entries
    with disk_errors():
        manifest = await in_thread(partial(folder.save, complete=True))
        with packing(folder, manifest, target) as steps:
            while not await in_thread(partial(next, steps, True)):
                pass


def _report(path: Path, run: _Run) -> ExportReport:
    held = run.done.values()
    return ExportReport(
        path,
        tickets=len(held),
        messages=sum(entry.messages for entry in held),
        attachments=sum(entry.attachments for entry in held),
        bytes=sum(entry.size for entry in held),
        skipped=run.skipped,
        missing=tuple(one for entry in held for one in entry.missing),
        incomplete=tuple(entry.id for entry in held if not entry.whole),
    )


class _Run:
    """One call of `export`: what it has done so far, and what it does for each ticket."""

    def __init__(self, connection: Connection, folder: ExportFolder, *, attachments: bool) -> None:
        self.done: dict[UUID, TicketEntry] = {}
        self.skipped = 0
        self._connection = connection
        self._folder = folder
        self._attachments = attachments
        self._user_id = connection.session.user.id
        self._saved_at = time.monotonic()

    async def all(self, ticket_id: UUID | None, progress: ProgressTo) -> None:
        # What is kept for a page's reader may be minutes old; an export is of now.
        self._connection.cache.clear()
        total = await self._count() if progress and ticket_id is None else 1
        with telling(progress, 1, unit="tickets") as teller:
            tell = teller.of("tickets", total, 1)
            tell(0)
            if ticket_id is not None:
                answer = await threads.read(self._connection, ticket_id)
                await self._take(answer.ticket, answer)
                tell(1)
                return await self._finish()
            query = TicketQuery(sort="created_at", size=100)
            async for ticket in tickets.every(self._connection, query):
                with suppress(NotFound):  # deleted since the list was read
                    await self._take(ticket)
                tell(len(self.done))
        return await self._finish()

    async def _count(self) -> int:
        counts = await tickets.counts(self._connection)
        return counts.open + counts.in_progress + counts.closed

    async def _finish(self) -> None:
        self._check_user()
        with disk_errors():
            await in_thread(self._folder.finish)

    async def _take(self, ticket: Ticket, answer: ThreadAnswer | None = None) -> None:
        held = partial(self._folder.holds, attachments=self._attachments)
        entry = await in_thread(held, ticket.id, ticket.last_seq)
        if entry is not None:
            self.skipped += 1
        else:
            read = answer or await threads.read(self._connection, ticket.id)
            document = await self._document(read)
            self._check_user()
            entry = await self._write(document)
        self.done[ticket.id] = self._folder.entries[ticket.id] = entry
        if time.monotonic() > self._saved_at + _SAVE_EVERY:
            with disk_errors():
                await in_thread(partial(self._folder.save, complete=False))
            self._saved_at = time.monotonic()

    def _check_user(self) -> None:
        # `user` raises when nobody is signed in any more.
        if self._connection.session.user.id != self._user_id:
            raise SignInRequired("Somebody else has signed in since the export began.")

    async def _document(self, answer: ThreadAnswer) -> TicketDocument:
        """Read what an answer leaves out: events never change, so they belong to its moment."""
        ticket, older, place = answer.ticket, list[TicketEvent](), 0
        first = answer.events[0].seq if answer.events else ticket.last_seq + 1
        while place < first - 1:
            page = await history.events_after(self._connection, ticket.id, place)
            found = [event for event in page.events if event.seq < first]
            if not found:
                break
            older += found
            place = found[-1].seq
        document = TicketDocument(
            ticket,
            answer.organization,
            answer.feedback,
            answer.attachments,
            (*older, *answer.events),
        )
        if document.is_whole:
            return document
        # An owner has deleted events: the messages that have lost theirs are still there.
        return document.with_messages(await self._messages(ticket))

    async def _messages(self, ticket: Ticket) -> list[MessageAdded]:
        found, top, more = list[Message](), ticket.last_seq + 1, True
        while more:
            page, more = await history.messages_before(self._connection, ticket.id, top, 200)
            found += page
            top = page[0].seq if page else 0
        return [event_of(message) for message in found]

    async def _write(self, document: TicketDocument) -> TicketEntry:
        ticket, folder = document.ticket, folder_of(document.ticket)
        attached = document.all_attachments if self._attachments else ()
        paths = paths_of(attached)
        with disk_errors():
            begin = partial(self._folder.begin, attachments=bool(attached))
            await in_thread(begin, ticket.id, folder)
            got = {one.id: await self._saved(folder, one, paths[one.id]) for one in attached}
            files = {known: entry for known, entry in got.items() if entry is not None}
            saved = {known: entry.path for known, entry in files.items()}
            write = partial(self._folder.write, folder)
            texts = [
                await in_thread(write, "ticket.json", as_json(document, saved)),
                await in_thread(write, "ticket.md", as_markdown(document, saved)),
            ]
        return TicketEntry(
            id=ticket.id,
            folder=folder,
            last_seq=ticket.last_seq,
            messages=len(document.messages),
            attachments=len(files),
            with_attachments=self._attachments,
            whole=document.is_whole,
            missing=tuple(one.id for one in attached if one.id not in files),
            files=(*texts, *files.values()),
        )

    async def _saved(self, folder: str, attachment: Attachment, path: str) -> FileEntry | None:
        """Fetch a file that is not there yet; None where the server cannot give it."""
        entry = FileEntry(path=path, size=attachment.size_bytes, sha256=attachment.sha256)
        if await in_thread(self._folder.has, folder, entry):
            return entry
        try:
            with self._folder.part() as (part, file):
                await receive(self._connection, attachment, file, _tell_nobody)
                await in_thread(self._folder.keep, part, file, folder, entry)
        except (NotFound, FileDamaged):
            return None
        return entry


def _tell_nobody(_: int) -> None:
    pass
