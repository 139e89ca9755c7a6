"""PURE: what an export consists of: its names, its JSON, its Markdown and its manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Annotated, Any, Literal
from unicodedata import normalize
from urllib.parse import quote
from uuid import UUID

from pydantic import AfterValidator, Field

from ._events import MessageAdded, TicketCreated, TicketEvent
from ._file_names import LONGEST_NAME, name_on_disk
from ._html import TURNING
from ._models import Attachment, Feedback, Frozen, Message, Organization, Ticket
from ._rows import what

MANIFEST = "manifest.json"
_ATTACHMENTS = "attachments"
_FOLDER = re.compile(r"\d{4}-\d\d-\d\d-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_FILE = re.compile(rf"({_ATTACHMENTS}/)?[^/\\:\0\r\n]+")
# What Markdown gives a meaning to somewhere; a backslash takes it away.
_MEANING = re.compile(r"([!-/:-@\[-`{-~])")
_LINE_END = re.compile(r"\r\n|\r|\n")


def _folder_name(name: str) -> str:
    if not _FOLDER.fullmatch(name):
        raise ValueError("is no folder of a ticket")
    return name


def _file_path(path: str) -> str:
    # A manifest is read from a disk where anybody may have changed it: no path leads elsewhere.
    if not _FILE.fullmatch(path) or path.rpartition("/")[2] in {".", ".."}:
        raise ValueError("is no file of a ticket")
    return path


class FileEntry(Frozen):
    """A file of an export, by its path in the ticket's folder."""

    _shown = ("size", "sha256")
    path: Annotated[str, AfterValidator(_file_path)]
    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class TicketEntry(Frozen):
    """A ticket of an export, as it was with event number `last_seq`.

    `missing` names attachments that were asked for and could not be had; `whole` is False where
    the server lacks a part of the history.
    """

    _shown = ("id", "last_seq")
    id: UUID
    folder: Annotated[str, AfterValidator(_folder_name)]
    last_seq: int
    messages: int
    attachments: int
    with_attachments: bool
    whole: bool = True
    missing: tuple[UUID, ...] = ()
    files: tuple[FileEntry, ...]

    @property
    def size(self) -> int:
        """The bytes of all its files."""
        return sum(file.size for file in self.files)


class Manifest(Frozen):
    """What an export holds; `complete` is False while one is made."""

    _shown = ("user_id", "complete")
    kind: Literal["customer_tickets.export"] = "customer_tickets.export"
    format: Literal[1] = 1
    complete: bool
    exported_at: datetime
    user_id: UUID
    library_version: str
    tickets: tuple[TicketEntry, ...] = ()


@dataclass(frozen=True)
class TicketDocument:
    """All of one ticket, from one moment."""

    ticket: Ticket
    organization: Organization
    feedback: Feedback | None
    attachments: tuple[Attachment, ...]
    events: tuple[TicketEvent, ...]

    @property
    def is_whole(self) -> bool:
        """Whether no event is missing."""
        return [event.seq for event in self.events] == [*range(1, self.ticket.last_seq + 1)]

    def with_messages(self, messages: Iterable[MessageAdded]) -> TicketDocument:
        """Return the document with the messages whose events it lacks."""
        known = {event.seq: event for event in self.events}
        for event in messages:
            if not isinstance(known.get(event.seq), MessageAdded):
                known[event.seq] = event
        return replace(self, events=tuple(known[seq] for seq in sorted(known)))

    @property
    def messages(self) -> tuple[Message, ...]:
        """The public messages, oldest first."""
        return tuple(event.message for event in self.events if isinstance(event, MessageAdded))

    @property
    def all_attachments(self) -> tuple[Attachment, ...]:
        """The files of the description and of all messages, in their order."""
        sent = [attachment for message in self.messages for attachment in message.attachments]
        return (*self.attachments, *sent)


def folder_of(ticket: Ticket) -> str:
    """Return the name of a ticket's folder: the day it was created, in UTC, and its id."""
    return f"{ticket.created_at.astimezone(UTC):%Y-%m-%d}-{ticket.id}"


def paths_of(attachments: Iterable[Attachment]) -> dict[UUID, str]:
    """Return where each attachment is saved in the ticket's folder, by its id.

    The names are safe on every system, and no two of them are the same on any, whatever case and
    normal form its file system is blind to. More attachments after these change none of them.
    """
    taken: set[str] = set()
    paths: dict[UUID, str] = {}
    for attachment in attachments:
        name = _unlike(taken, name_on_disk(attachment.file_name, windows=True))
        taken.add(_folded(name))
        paths[attachment.id] = f"{_ATTACHMENTS}/{name}"
    return paths


def _folded(name: str) -> str:
    return normalize("NFKC", normalize("NFKC", name).casefold())


def _unlike(taken: set[str], name: str) -> str:
    ending = PurePath(name).suffix
    stem, number, wanted = name.removesuffix(ending) if ending else name, 1, name
    while _folded(wanted) in taken:
        number += 1
        mark = f" ({number})"
        while len(f"{stem}{mark}{ending}".encode()) > LONGEST_NAME:
            stem = stem[:-1]
        wanted = f"{stem}{mark}{ending}"
    return wanted


def as_json(document: TicketDocument, paths: Mapping[UUID, str]) -> bytes:
    """Return a ticket's JSON; `paths` says where the attachments are that were saved.

    It holds nothing that can change without a new event: not how far the customer has read.
    """

    def row_of(attachment: Attachment) -> dict[str, Any]:
        return {**attachment.model_dump(mode="json"), "file": paths.get(attachment.id)}

    feedback = document.feedback
    return _dumped(
        {
            "format": 1,
            "ticket": document.ticket.model_dump(mode="json", exclude={"last_read_seq"}),
            "organization": document.organization.model_dump(mode="json"),
            "feedback": None if feedback is None else feedback.model_dump(mode="json"),
            "attachments": [row_of(attachment) for attachment in document.attachments],
            "messages": [
                {
                    **message.model_dump(mode="json", exclude={"state"}),
                    "attachments": [row_of(attachment) for attachment in message.attachments],
                }
                for message in document.messages
            ],
            "events": [_event_row(event) for event in document.events],
        }
    )


def _event_row(event: TicketEvent) -> dict[str, Any]:
    if isinstance(event, MessageAdded):
        row = event.model_dump(mode="json", exclude={"message"})
        return {**row, "message_id": str(event.message.id)}
    return event.model_dump(mode="json")


def as_manifest(manifest: Manifest) -> bytes:
    """Return a manifest's JSON."""
    return _dumped(manifest.model_dump(mode="json"))


def _dumped(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode()


def as_markdown(document: TicketDocument, paths: Mapping[UUID, str]) -> bytes:
    """Return a ticket as a readable page; what people wrote is quoted and stays in its quote."""
    ticket, feedback = document.ticket, document.feedback
    parts = [
        f"# {_plain(ticket.subject)}",
        _facts(document),
        *_quoted(ticket.description),
        *_links(document.attachments, paths),
        "## Conversation",
    ]
    if not document.is_whole:
        parts.append("*The server lacks a part of this history.*")
    numbers = {message.id: message.seq for message in document.messages}
    for event in document.events:
        parts += _entry(event, numbers, paths)
    if feedback is not None:
        parts += ["## Rating", f"{feedback.rating} of 5", *_quoted(feedback.comment or "")]
    return ("\n\n".join(parts) + "\n").encode()


def _facts(document: TicketDocument) -> str:
    ticket = document.ticket
    facts = [
        ("Ticket", str(ticket.id)),
        ("Organization", _plain(document.organization.name)),
        ("Status", ticket.status),
        ("Priority", ticket.priority),
        ("Opened", _time(ticket.created_at)),
        ("Closed", "" if ticket.closed_at is None else _time(ticket.closed_at)),
        ("Goes on with", "" if ticket.follow_up_of is None else str(ticket.follow_up_of)),
    ]
    return "\n".join(f"- {name}: {value}" for name, value in facts if value)


def _entry(
    event: TicketEvent, numbers: Mapping[UUID, int], paths: Mapping[UUID, str]
) -> Sequence[str]:
    who = f"{_plain(event.actor_name)} ({event.actor_role})"
    if not isinstance(event, MessageAdded):
        text = "opened the ticket" if isinstance(event, TicketCreated) else _plain(what(event))
        return [f"*{event.seq}. {_time(event.at)}, {who} {text}*"]
    message = event.message
    answered = numbers.get(message.reply_to) if message.reply_to is not None else None
    reply = "" if answered is None else f", in reply to {answered}"
    return [
        f"### {event.seq}. {who}, {_time(event.at)}{reply}",
        *_quoted(message.body),
        *_links(message.attachments, paths),
    ]


def _links(attachments: Sequence[Attachment], paths: Mapping[UUID, str]) -> list[str]:
    rows: list[str] = []
    for one in attachments:
        name, path = _plain(one.file_name), paths.get(one.id)
        link = f"{name} (not saved)" if path is None else f"[{name}](<{quote(path)}>)"
        rows.append(f"- {link}, {_plain(one.content_type)}, {one.size_bytes:,} bytes")
    return ["\n".join(rows)] if rows else []


def _quoted(text: str) -> list[str]:
    """Return Markdown that somebody wrote as a quote, none if it is blank."""
    if not text.strip():
        return []
    lines = _LINE_END.split(text.strip("\r\n"))
    return ["\n".join(f"> {line}" if line else ">" for line in lines)]


def _plain(text: str) -> str:
    """Return plain text as one line of Markdown in which no character has a meaning."""
    return _MEANING.sub(r"\\\1", " ".join(text.translate(TURNING).split()))


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
