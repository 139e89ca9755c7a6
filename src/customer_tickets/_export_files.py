"""An export on disk: made, gone on with, packed into a zip, verified; none of it asks a server."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, cast
from uuid import UUID, uuid4

from pydantic import ValidationError

from ._errors import ExportFailed, FieldError, InvalidInput
from ._export_format import MANIFEST, FileEntry, Manifest, TicketEntry, as_manifest
from ._files import PIECE

_PART = re.compile(r"\.[0-9a-f]{32}\.part", re.ASCII)
# More than any real one: thousands of tickets have some megabytes.
_LONGEST_MANIFEST = 1 << 30


def path_of(to: object) -> Path:
    """Return what the user gave as a path; InvalidInput if it is none."""
    try:
        path = Path(os.fsdecode(cast("str", to)))
        os.fsencode(path)
    except (TypeError, UnicodeEncodeError):
        raise refused("must be a path") from None
    if "\0" in str(path) or not path.name:
        raise refused("must be the path of a folder or of a zip file")
    return path


def refused(problem: str, hint: str | None = None) -> InvalidInput:
    """Return the error about the argument `to`."""
    return InvalidInput([FieldError("to", problem)], hint=hint)


@contextmanager
def disk_errors() -> Generator[None]:
    """Turn what a disk or a file system refuses into an ExportFailed."""
    try:
        yield
    except OSError as error:
        raise ExportFailed(
            f"The export could not be written: {error.strerror or type(error).__name__}.",
            hint="What was complete is kept: run it again, and it goes on there.",
        ) from None  # it names files, and so did customers


class ExportFolder:
    """The folder that one user's tickets are written to; nothing in it is ever half a file.

    Attributes:
        entries: the tickets that are there whole, by their ids.
    """

    def __init__(self, path: Path, user_id: UUID, version: str) -> None:
        self.path = path
        self.entries: dict[UUID, TicketEntry] = {}
        self._user_id = user_id
        self._version = version
        self._complete = False
        self._made = False

    def open(self) -> None:
        """Make the folder, or take up the export that is there.

        Raises:
            InvalidInput: it is no folder, or holds something else, or somebody else's export.
        """
        if self.path.exists() and not self.path.is_dir():
            raise refused("is a file")
        self._made = not self.path.exists()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise refused("is below a file, or a link that leads nowhere") from None
        _sweep(self.path)
        try:
            manifest = read_manifest(self.path)
        except (ValueError, OSError):
            raise refused("holds something else", "Name an empty folder, or a new one.") from None
        if manifest is None:
            if any(self.path.iterdir()):
                raise refused("holds something else", "Name an empty folder, or a new one.")
            return
        if manifest.user_id != self._user_id:
            raise refused("holds somebody else's export", "Name another folder.")
        self.entries = {entry.id: entry for entry in manifest.tickets}
        self._complete = manifest.complete

    def holds(self, ticket_id: UUID, last_seq: int, *, attachments: bool) -> TicketEntry | None:
        """Return the entry of a ticket that is there, as it was then and undamaged."""
        entry = self.entries.get(ticket_id)
        if entry is None or entry.last_seq != last_seq or not entry.whole:
            return None
        if attachments and entry.missing:
            return None
        if attachments and not entry.with_attachments:
            return None
        return (
            entry
            if all(is_there(self.path, f"{entry.folder}/{file.path}", file) for file in entry.files)
            else None
        )

    def begin(self, ticket_id: UUID, folder: str, *, attachments: bool) -> None:
        """Make a ticket's folder; from here on the manifest does not say that all is complete.

        Raises:
            InvalidInput: a file or a link is where the folder belongs.
        """
        self.entries.pop(ticket_id, None)
        if self._complete or not (self.path / MANIFEST).exists():
            self.save(complete=False)
        below = [folder, f"{folder}/attachments"] if attachments else [folder]
        for made in (self.path / name for name in below):
            with suppress(FileExistsError):
                made.mkdir(mode=0o700)
            if not stat.S_ISDIR(made.lstat().st_mode):
                raise refused("holds a file or a link where a ticket's folder belongs")

    def has(self, folder: str, file: FileEntry) -> bool:
        """Tell whether a file is there whole."""
        return is_there(self.path, f"{folder}/{file.path}", file)

    def write(self, folder: str, path: str, content: bytes) -> FileEntry:
        """Write a small file, in one step, and return its entry."""
        with self.part() as (part, file):
            file.write(content)
            entry = FileEntry(path=path, size=len(content), sha256=sha256(content).hexdigest())
            self.keep(part, file, folder, entry)
        return entry

    @contextmanager
    def part(self) -> Generator[tuple[Path, BinaryIO]]:
        """Lend a new file to be written, which is gone after the block unless it was kept."""
        part = self.path / f".{uuid4().hex}.part"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            with os.fdopen(os.open(part, flags, 0o600), "w+b") as file:
                yield part, file
        finally:
            part.unlink(missing_ok=True)

    def keep(self, part: Path, file: BinaryIO, folder: str, entry: FileEntry) -> None:
        """Put a written file in its place, once what can be read of it is what was to be written.

        Raises:
            ExportFailed: the disk gives back something else.
        """
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        if not is_as(file, entry):
            raise ExportFailed("The disk does not hold what was written to it.")
        target = self.path / folder / entry.path
        part.replace(target)
        _settle(target.parent)

    def save(self, *, complete: bool) -> Manifest:
        """Write the manifest, and return it."""
        manifest = Manifest(
            complete=complete,
            exported_at=datetime.now(UTC),
            user_id=self._user_id,
            library_version=self._version,
            tickets=tuple(sorted(self.entries.values(), key=lambda entry: entry.folder)),
        )
        self.write("", MANIFEST, as_manifest(manifest))
        self._complete = complete
        return manifest

    def finish(self) -> None:
        """Write that all is there, unless the manifest says so already."""
        if not self._complete:
            self.save(complete=True)

    def stop(self) -> None:
        """Write how far it has come; a folder that was made for nothing goes again."""
        if self.entries and not self._complete:
            self.save(complete=False)
        elif self._made:
            with suppress(OSError):
                self.path.rmdir()


def _sweep(folder: Path) -> None:
    """Remove what a run that was killed has left of its unfinished files."""
    for entry in folder.iterdir():
        if _PART.fullmatch(entry.name) and not entry.is_dir():
            entry.unlink(missing_ok=True)


def _settle(folder: Path) -> None:
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def read_manifest(folder: Path) -> Manifest | None:
    """Return a folder's manifest, None without one; ValueError or OSError if it is no manifest."""
    try:
        with opened_below(folder, MANIFEST) as file:
            return parsed_manifest(file)
    except FileNotFoundError:
        return None


def parsed_manifest(file: BinaryIO) -> Manifest:
    """Return a manifest; ValueError if it is none of this version's."""
    content = file.read(_LONGEST_MANIFEST + 1)
    if len(content) > _LONGEST_MANIFEST:
        raise ValueError("is too long")
    try:
        return Manifest.model_validate_json(content)
    except ValidationError:
        # Without what was in it.
        raise ValueError("is no manifest") from None


@contextmanager
def opened_below(folder: Path, path: str) -> Generator[BinaryIO]:
    """Open a regular file below a folder; a link anywhere on the way is no file."""
    above = folder
    for name in path.split("/")[:-1]:
        above /= name
        if not stat.S_ISDIR(above.lstat().st_mode):
            raise OSError(f"{name} is no folder")
    target = folder / path
    if not stat.S_ISREG(target.lstat().st_mode):
        raise OSError("is no file")
    # What was put in its place since is not followed, and not waited for.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(target, flags | getattr(os, "O_BINARY", 0)), "rb") as file:
        yield file


def is_there(folder: Path, path: str, wanted: FileEntry) -> bool:
    """Tell whether a file below a folder is there, with the size and SHA-256 of its entry."""
    try:
        with opened_below(folder, path) as file:
            return is_as(file, wanted)
    except OSError:
        return False


def is_as(file: BinaryIO, wanted: FileEntry) -> bool:
    """Read a file to its end, or a little beyond its entry's size, and compare it with that."""
    digest, size = sha256(), 0
    while size <= wanted.size and (piece := file.read(PIECE)):
        digest.update(piece)
        size += len(piece)
    return (size, digest.hexdigest()) == (wanted.size, wanted.sha256)
