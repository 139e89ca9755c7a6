"""Files that are there: save them, read them, link to them, clean up what was left over."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from io import BytesIO, TextIOBase
from pathlib import Path
from typing import IO, Annotated, BinaryIO, TypeVar, cast
from unicodedata import normalize
from urllib.parse import quote
from uuid import UUID, uuid4

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from .._arguments import check_flags, check_kind, check_progress, check_text, listed, refuse_unless
from .._connection import Connection
from .._errors import FieldError, InvalidInput, UnexpectedAnswer
from .._file_names import name_on_disk
from .._files import PIECE, in_thread
from .._inputs import checked
from .._markdown import pointed_at, render
from .._models import Attachment, Frozen
from .._progress import ProgressTo, telling
from .._storage import BUCKET, key_of, receive, remove

_T = TypeVar("_T")
_SIGNED_AT_ONCE = 500


class _LinkOptions(Frozen):
    seconds: Annotated[int, Field(ge=1, le=10 * 365 * 86_400, strict=True)]


class _CleanUpOptions(Frozen):
    older_than: Annotated[float, Field(ge=0, le=10 * 365 * 86_400, allow_inf_nan=False)]


class _Signed(BaseModel):
    path: str
    url: str | None = Field(validation_alias="signedURL")


class _SignedOne(BaseModel):
    url: str = Field(validation_alias="signedURL")


class _Orphan(BaseModel):
    object_key: str


class _Orphans(BaseModel):
    uploads: tuple[_Orphan, ...]


_MANY_SIGNED = TypeAdapter(tuple[_Signed, ...])
_ONE_SIGNED = TypeAdapter(_SignedOne)
_ORPHANS = TypeAdapter(_Orphans)


class AsyncAttachments:
    """The files of tickets, messages and drafts: saved, read, linked to, cleaned up.

    What is received is checked against the size and the SHA-256 of what was attached; what does
    not fit raises FileDamaged and is not kept.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def save(
        self,
        attachment: Attachment,
        to: str | os.PathLike[str] = ".",
        *,
        progress: ProgressTo = None,
        overwrite: bool = False,
    ) -> Path:
        """Save an attachment, and return where it is; it appears there whole or not at all.

        Args:
            attachment: one of a message, a thread or a draft.
            to: the file to make, or a folder, in which it gets its own name made safe.
            progress: a function that gets a Progress as bytes arrive, or True for a bar.
            overwrite: replace a file that is there; what is there and is no file is left alone.

        Raises:
            InvalidInput: `to` exists already, or its folder does not; no request was made.
            NotFound: the attachment is not there, or not yours to see.
            FileDamaged: it is not the file that was attached any more; nothing was kept.
            OSError: the disk is full, or you may not write there; nothing was kept.
        """
        check_kind(attachment, Attachment, "attachment")
        check_flags(overwrite=overwrite)
        check_progress(progress)
        target = await in_thread(_target, to, attachment, overwrite)
        part = target.with_name(f".{uuid4().hex}.part")
        try:
            with telling(progress, 1) as teller, ExitStack() as opened:
                tell = teller.of(attachment.file_name, attachment.size_bytes, 1)
                file = cast("BinaryIO", await in_thread(_made, part, opened))
                await receive(self._connection, attachment, file, tell)
            await in_thread(_put, part, target, overwrite)
        finally:
            part.unlink(missing_ok=True)
        return target

    async def write_to(
        self, attachment: Attachment, file: IO[bytes], *, progress: ProgressTo = None
    ) -> int:
        """Write an attachment into an object open for writing bytes; return how many bytes.

        Nothing is written before the whole file has come and was found to be the right one.

        Raises:
            NotFound: the attachment is not there, or not yours to see.
            FileDamaged: it is not the file that was attached any more.
        """
        check_kind(attachment, Attachment, "attachment")
        writes = callable(getattr(file, "write", None)) and not isinstance(file, TextIOBase)
        refuse_unless(writes, "file", "must be an object open for writing bytes")
        with ExitStack() as opened, telling(progress, 1) as teller:
            tell = teller.of(attachment.file_name, attachment.size_bytes, 1)
            spool = opened.enter_context(tempfile.SpooledTemporaryFile(max_size=PIECE))
            await receive(self._connection, attachment, cast("BinaryIO", spool), tell)
            spool.seek(0)
            await in_thread(shutil.copyfileobj, spool, file, PIECE)
        return attachment.size_bytes

    async def read(self, attachment: Attachment) -> bytes:
        """Return an attachment's bytes.

        Raises:
            NotFound: the attachment is not there, or not yours to see.
            FileDamaged: it is not the file that was attached any more.
        """
        check_kind(attachment, Attachment, "attachment")
        file = BytesIO()
        await receive(self._connection, attachment, file, _tell_nobody)
        return file.getvalue()

    async def link(
        self, attachment: Attachment, seconds: int = 3600, *, download: bool = False
    ) -> str:
        """Return an address at which anybody can get the file for so many seconds.

        Args:
            attachment: one of a message, a thread or a draft.
            seconds: how long the address works.
            download: let a browser save the file under its name instead of showing it.

        Raises:
            InvalidInput: `seconds` is not a whole number from 1 on.
            NotFound: the attachment is not there, or not yours to see.
        """
        check_kind(attachment, Attachment, "attachment")
        check_flags(download=download)
        lifetime = checked(_LinkOptions, seconds=seconds).seconds
        answer = await self._connection.storage(
            "POST", f"sign/{BUCKET}/{key_of(attachment)}", "sign", json={"expiresIn": lifetime}
        )
        return self._address(_parsed(_ONE_SIGNED, answer.content).url, attachment, download)

    async def links(
        self, attachments: Iterable[Attachment], seconds: int = 3600, *, download: bool = False
    ) -> dict[UUID, str]:
        """Return such addresses by the attachments' ids, in one request for 500 of them.

        What is not there, or not yours to see, is left out.

        Raises:
            InvalidInput: `seconds` is not a whole number from 1 on.
        """
        check_flags(download=download)
        lifetime = checked(_LinkOptions, seconds=seconds).seconds
        wanted = {key_of(one): one for one in listed(attachments, Attachment, "attachments")}
        keys, found = list(wanted), dict[UUID, str]()
        for first in range(0, len(keys), _SIGNED_AT_ONCE):
            some = keys[first : first + _SIGNED_AT_ONCE]
            answer = await self._connection.storage(
                "POST", f"sign/{BUCKET}", "sign", json={"expiresIn": lifetime, "paths": some}
            )
            for signed in _parsed(_MANY_SIGNED, answer.content):
                attachment = wanted.get(signed.path)
                if attachment is not None and signed.url is not None:
                    found[attachment.id] = self._address(signed.url, attachment, download)
        return found

    async def render(
        self, body: str, attachments: Iterable[Attachment], seconds: int = 3600
    ) -> str:
        """Return Markdown as safe HTML that shows the attachments it points at, for some seconds.

        `![photo](attachment:photo.jpg)` becomes an image, `[receipt](attachment:receipt.pdf)` a
        link; the id of an attachment does for its name, and of several with one name it is the
        first. One that is not there, or not yours to see, is left as its text. Makes one request,
        or none when nothing is pointed at.

        Args:
            body: a message's `body`, or a ticket's `description`.
            attachments: what it may point at, such as `message.attachments`.
            seconds: how long the addresses work.

        Raises:
            InvalidInput: `seconds` is not a whole number from 1 on.
        """
        check_text(body, "body")
        files: dict[str, Attachment] = {}
        for one in listed(attachments, Attachment, "attachments"):
            files.setdefault(normalize("NFC", one.file_name), one)
            files[str(one.id)] = one
        wanted = {name: files[name] for name in pointed_at(body) if name in files}
        signed = await self.links({one.id: one for one in wanted.values()}.values(), seconds)
        return render(
            body, {name: signed[one.id] for name, one in wanted.items() if one.id in signed}
        )

    async def clean_up(self, older_than: float = 3600.0) -> int:
        """Remove your own uploads that belong to nothing; return how many there were.

        They are left over when a program ends in the middle of creating or sending.

        Args:
            older_than: seconds; younger ones may belong to something that is just being written.

        Raises:
            InvalidInput: a negative time.
        """
        options = checked(_CleanUpOptions, older_than=older_than)
        arguments = {"older_than_seconds": int(options.older_than)}
        removed = 0
        while True:
            found = await self._connection.call("orphaned_uploads", arguments, _ORPHANS)
            gone = await remove(self._connection, [one.object_key for one in found.uploads])
            removed += len(gone)
            if not gone:
                return removed

    def _address(self, signed: str, attachment: Attachment, download: bool) -> str:
        ending = f"&download={quote(attachment.file_name, safe='')}" if download else ""
        return f"{self._connection.storage_url}{signed}{ending}"


def _parsed(answer: TypeAdapter[_T], content: bytes) -> _T:
    try:
        return answer.validate_json(content)
    except ValidationError:
        raise UnexpectedAnswer(
            "The server's answer does not fit this version of the library.",
            hint="Is another program answering at this URL?",
        ) from None


def _tell_nobody(_: int) -> None:
    pass


def _target(to: object, attachment: Attachment, overwrite: bool) -> Path:
    try:
        target = Path(os.fsdecode(cast("str", to)))
        os.fsencode(target)
    except (TypeError, UnicodeEncodeError):
        raise InvalidInput([FieldError("to", "must be a path")]) from None
    if "\0" in str(target):
        raise InvalidInput([FieldError("to", "must be a path")])
    if target.is_dir():
        target /= name_on_disk(attachment.file_name)
    if target.is_dir():
        raise InvalidInput([FieldError("to", "is a folder")])
    if not target.parent.is_dir():
        raise InvalidInput([FieldError("to", "is in a folder that does not exist")])
    if not overwrite and os.path.lexists(target):
        raise _exists()
    _refuse_what_is_no_file(target)
    return target


def _refuse_what_is_no_file(target: Path) -> None:
    """Refuse a device, a pipe or a socket: a file in its place would take it from all others."""
    if os.path.lexists(target) and not target.is_file():
        raise InvalidInput(
            [FieldError("to", "is there and is not a file")],
            hint="`write_to` writes into what you have opened.",
        )


def _exists() -> InvalidInput:
    return InvalidInput([FieldError("to", "exists already")], hint="overwrite=True replaces it.")


def _made(part: Path, opened: ExitStack) -> object:
    return opened.enter_context(part.open("xb"))


def _put(part: Path, target: Path, overwrite: bool) -> None:
    if not overwrite:
        # A link is made or refused in one step: nothing that came meanwhile is lost.
        try:
            os.link(part, target)
        except FileExistsError:
            raise _exists() from None
        except OSError:  # a file system without links
            if os.path.lexists(target):
                raise _exists() from None
        else:
            return
    _refuse_what_is_no_file(target)  # it may have come meanwhile
    part.replace(target)
