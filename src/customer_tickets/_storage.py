"""The files of the attachments' bucket: put one there, receive one whole, remove some."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from ._connection import Connection
from ._errors import (
    Conflict,
    FieldError,
    FileChanged,
    FileDamaged,
    InvalidInput,
    Offline,
    UnexpectedAnswer,
)
from ._files import PIECE, MeasuredFile, in_thread
from ._models import Attachment
from ._progress import Tell
from ._retry import may_repeat, wait_before
from ._translate import from_network

BUCKET = "ticket-attachments"
# What storage takes in one request.
_AT_ONCE = 1000
_PARTIAL = 206


class _Info(BaseModel):
    size: int


class _Removed(BaseModel):
    name: str


_REMOVED = TypeAdapter(tuple[_Removed, ...])


def key_of(attachment: Attachment) -> str:
    """Return the name of an attachment's file in the bucket."""
    return f"{attachment.user_id}/{attachment.id}"


@dataclass
class Sending:
    """What this program knows of a file that it is putting into the bucket.

    Attributes:
        key: the file's name there.
        whole: all of it was handed to the network: the server may keep it, even if nobody waits.
        there: the server has said that it keeps it.
        ours: it was not there before.
    """

    key: str
    whole: bool = False
    there: bool = False
    ours: bool = True


async def send_file(
    connection: Connection, sending: Sending, file: MeasuredFile, tell: Tell
) -> None:
    """Put a measured file into the bucket, noting in `sending` how far that is.

    Raises:
        FileChanged: it is not what it was when it was measured; then it is not in the bucket.
        InvalidInput: the server refuses its size or its type.
    """
    path = f"{BUCKET}/{sending.key}"
    headers = {"Content-Type": file.content_type, "Content-Length": str(file.size)}
    attempts = 0

    def content() -> AsyncIterator[bytes]:
        nonlocal attempts
        attempts += 1
        return _pieces(file, sending, tell)

    try:
        await connection.upload(path, headers, content)
        sending.there = True
    except InvalidInput as error:
        sending.whole = False  # it was refused
        wrong = [FieldError(file.label, problem.message) for problem in error.fields]
        raise InvalidInput(
            wrong, code=error.code, status=error.status, request_id=error.request_id
        ) from None
    except Conflict:
        # The key is made of the content: what is there is this file, or not whole. After a lost
        # answer it was this call that put it there.
        sending.there, sending.ours = True, attempts > 1
        if await _size_of(connection, path) != file.size:
            raise
        tell(file.size)


async def _pieces(file: MeasuredFile, sending: Sending, tell: Tell) -> AsyncIterator[bytes]:
    digest, sent = sha256(), 0

    def step() -> bytes:
        piece = file.read(sent, min(PIECE, file.size - sent))
        digest.update(piece)
        return piece

    tell(0)
    sending.whole = file.size == 0
    while sent < file.size:
        piece = await in_thread(step)
        sent += len(piece)
        # Before the last piece goes: without it the server keeps nothing.
        if not piece or (sent == file.size and digest.hexdigest() != file.sha256):
            raise FileChanged(
                f"{file.label} changed while it was sent.", hint="Attach it when it is complete."
            )
        sending.whole = sent == file.size
        yield piece
        tell(sent)


async def _size_of(connection: Connection, path: str) -> int:
    answer = await connection.storage("GET", f"info/{path}", "info")
    try:
        return _Info.model_validate_json(answer.content).size
    except ValidationError:
        return -1


async def receive(
    connection: Connection, attachment: Attachment, file: BinaryIO, tell: Tell
) -> None:
    """Write an attachment into an empty file; after a broken connection it goes on where it was.

    Raises:
        NotFound: it is not there, or not yours to see.
        FileDamaged: what came has another size or SHA-256 than what was attached.
        Offline: the connection breaks again and again.
    """
    arriving, path = _Arriving(attachment, file), f"{BUCKET}/{key_of(attachment)}"
    attempt = 0
    tell(0)
    while True:
        before = arriving.size
        answer = await connection.download(path, before)
        failure = await _take(answer, arriving, tell)
        if failure is None:
            break
        attempt = 1 if arriving.size > before else attempt + 1
        if not may_repeat(failure, attempt=attempt, once=False):
            raise failure
        dice = random.random()  # noqa: S311 - jitter, not a secret
        await asyncio.sleep(wait_before(failure, attempt=attempt, dice=dice))
        if arriving.size == attachment.size_bytes:
            break  # it was cut after the last byte
    arriving.check()


class _Arriving:
    """A file as far as it has come."""

    def __init__(self, attachment: Attachment, file: BinaryIO) -> None:
        self._attachment = attachment
        self._file = file
        self._digest = sha256()
        self.size = 0

    def begin_again(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._digest = sha256()
        self.size = 0

    def take(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self._attachment.size_bytes:
            self.check()
        self._digest.update(piece)
        self._file.write(piece)

    def check(self) -> None:
        """Raise FileDamaged unless it is the file that was attached."""
        wanted = self._attachment
        if (self.size, self._digest.hexdigest()) != (wanted.size_bytes, wanted.sha256):
            raise FileDamaged(
                f"Attachment {wanted.id} is not the file that was attached any more.",
                hint="Somebody changed it on the server: ask for it once more.",
            )


async def _take(answer: httpx.Response, arriving: _Arriving, tell: Tell) -> Offline | None:
    """Take what comes; return how the connection broke, if it did."""
    try:
        if answer.status_code != _PARTIAL:
            arriving.begin_again()
        async for piece in answer.aiter_bytes(PIECE):
            await in_thread(arriving.take, piece)
            tell(arriving.size)
    except httpx.RequestError as error:
        return from_network(error)
    finally:
        await answer.aclose()
    return None


async def remove(connection: Connection, keys: Iterable[str]) -> set[str]:
    """Remove the caller's own files that are attached to nothing; return the keys of these."""
    left, removed = list(keys), set[str]()
    while left:
        some, left = left[:_AT_ONCE], left[_AT_ONCE:]
        answer = await connection.storage("DELETE", BUCKET, "remove", json={"prefixes": some})
        try:
            removed |= {one.name for one in _REMOVED.validate_json(answer.content)}
        except ValidationError:
            raise UnexpectedAnswer("The server's answer to removing files is none.") from None
    return removed
