"""Send the files of a ticket, a message or a draft, before it is written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any, TypeVar
from uuid import UUID, uuid5
from weakref import WeakKeyDictionary

import anyio
from pydantic import BaseModel, TypeAdapter

from ._arguments import check_progress
from ._connection import Connection
from ._errors import CustomerTicketsError, FieldError, InvalidInput, Unavailable, UnexpectedAnswer
from ._file_names import is_taken
from ._files import MOST_FILES, FileSource, MeasuredFile, Upload, measured
from ._models import Attachment
from ._progress import ProgressTo, Tell, telling
from ._storage import Sending, remove, send_file

_T = TypeVar("_T")

Row = dict[str, Any]
"""An attachment as the functions of the database take it."""

AttachmentSource = FileSource | Upload | Attachment
"""A path, bytes, an object open for reading bytes, an Upload, or what a draft has already."""

_AT_ONCE = 3
_KEPT_FOR = 300.0
# Who cancels or fails waits no longer than this for what was sent to be taken back.
_TAKE_BACK_PATIENCE = 5.0
_LOOK_AGAIN = (0.0, 0.2, 0.5, 1.0)


class _Limits(BaseModel):
    max_bytes: int | None
    content_types: tuple[str, ...] | None


_LIMITS = TypeAdapter(_Limits)
_kept_limits: WeakKeyDictionary[Connection, tuple[float, _Limits]] = WeakKeyDictionary()


@asynccontextmanager
async def uploaded(
    connection: Connection,
    write_id: UUID,
    sources: Iterable[AttachmentSource],
    progress: ProgressTo = None,
) -> AsyncGenerator[list[Row]]:
    """Send files and lend their rows to the block that writes what they belong to.

    When sending fails or is cancelled, or the block raises that nothing was written, what this
    call has sent is removed again. A write that may have arrived keeps it; if it did not arrive,
    the clean-up finds it.
    """
    check_progress(progress)
    listed = file_list(sources)
    rows: list[Row] = []
    sent: list[Sending] = []
    try:
        if listed:
            rows = await _send(connection, write_id, listed, progress, sent)
    except BaseException as failure:
        if isinstance(failure, CustomerTicketsError):
            failure.write_id = write_id
        await _take_back(connection, sent)
        raise
    try:
        yield rows
    except CustomerTicketsError as error:
        if not isinstance(error, Unavailable | UnexpectedAnswer):
            await _take_back(connection, sent)
        raise


async def checked_with(check: Callable[[], _T], sources: Iterable[AttachmentSource]) -> _T:
    """Return what a check returns; what it finds wrong is named together with the wrong files."""
    try:
        return check()
    except InvalidInput as error:
        wrong = [*error.fields]
    try:
        with ExitStack() as opened:
            await measured(_new(file_list(sources)), opened)
    except InvalidInput as error:
        wrong += error.fields
    # Outside the handlers, so that the traceback does not show what was rejected.
    raise InvalidInput(wrong)


def file_list(sources: Iterable[AttachmentSource]) -> Sequence[AttachmentSource]:
    """Return the sources as a list; InvalidInput when it is none, or too long."""
    # A path or bytes alone would be taken letter by letter, and a dict by its keys.
    alone = isinstance(sources, str | bytes | bytearray | memoryview | Mapping)
    if alone or not hasattr(sources, "__iter__"):
        raise InvalidInput([FieldError("attachments", "must be a list of files")])
    listed = list(sources)
    if len(listed) > MOST_FILES:
        raise InvalidInput([FieldError("attachments", f"must be at most {MOST_FILES} files")])
    return listed


async def _send(
    connection: Connection,
    write_id: UUID,
    sources: Sequence[AttachmentSource],
    progress: ProgressTo,
    sent: list[Sending],
) -> list[Row]:
    new = _new(sources)
    with ExitStack() as opened, telling(progress, len(new)) as teller:
        files = dict(zip(new, await measured(new, opened), strict=True))
        if files:
            _check(files.values(), await _limits(connection))
        rows = [
            _row(one) if isinstance(one, Attachment) else _new_row(write_id, number, files[number])
            for number, one in enumerate(sources)
        ]
        jobs = [
            (rows[number], file, teller.of(file.name, file.size, position))
            for position, (number, file) in enumerate(files.items(), 1)
        ]
        await _send_all(connection, jobs, sent)
    return rows


def _new(sources: Sequence[AttachmentSource]) -> dict[int, FileSource | Upload]:
    return {n: one for n, one in enumerate(sources) if not isinstance(one, Attachment)}


def _row(attachment: Attachment) -> Row:
    fields = {"id", "file_name", "content_type", "size_bytes", "sha256"}
    return attachment.model_dump(mode="json", include=fields)


def _new_row(write_id: UUID, number: int, file: MeasuredFile) -> Row:
    # Made of what it is: repeating the call finds the objects of the first one.
    return {
        "id": str(uuid5(write_id, f"{number}:{file.sha256}:{file.name}")),
        "file_name": file.name,
        "content_type": file.content_type,
        "size_bytes": file.size,
        "sha256": file.sha256,
    }


async def _send_all(
    connection: Connection, jobs: Sequence[tuple[Row, MeasuredFile, Tell]], sent: list[Sending]
) -> None:
    slots = asyncio.Semaphore(_AT_ONCE)
    folder = connection.session.user.id

    async def send(row: Row, file: MeasuredFile, tell: Tell) -> None:
        async with slots:
            # Noted before: cancelled in the middle, it may be there all the same.
            sent.append(Sending(f"{folder}/{row['id']}"))
            await send_file(connection, sent[-1], file, tell)

    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(send(*job))
    except BaseExceptionGroup as failures:
        first = failures.exceptions[0]
    else:
        return
    raise first


async def _limits(connection: Connection) -> _Limits:
    until, limits = _kept_limits.get(connection, (0.0, None))
    if limits is None or time.monotonic() >= until:
        limits = await connection.call("attachment_limits", {}, _LIMITS)
        _kept_limits[connection] = (time.monotonic() + _KEPT_FOR, limits)
    return limits


def _check(files: Iterable[MeasuredFile], limits: _Limits) -> None:
    wrong: list[FieldError] = []
    for file in files:
        if limits.max_bytes is not None and file.size > limits.max_bytes:
            most = f"must have at most {limits.max_bytes:,} bytes and has {file.size:,}"
            wrong.append(FieldError(file.label, most))
        if not is_taken(file.content_type, limits.content_types):
            taken = f"has the type {file.content_type}, which is not taken"
            wrong.append(FieldError(file.label, taken))
    if wrong:
        raise InvalidInput(wrong)


async def _take_back(connection: Connection, sent: Sequence[Sending]) -> None:
    left = [sending for sending in sent if sending.ours]
    with anyio.move_on_after(_TAKE_BACK_PATIENCE, shield=True), suppress(CustomerTicketsError):
        for pause in _LOOK_AGAIN:
            if not left:
                return
            await asyncio.sleep(pause)
            gone = await remove(connection, [sending.key for sending in left])
            # One that went off whole may arrive after it was to be removed.
            left = [one for one in left if one.whole and not one.there and one.key not in gone]
