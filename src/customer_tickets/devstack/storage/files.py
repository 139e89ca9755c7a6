"""The files of the objects: one folder, each file named by the version in the object's row.

A file without a row is invisible, so writing the row is what makes an upload happen. What a crash
has left without a row is removed at the next start.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import BinaryIO

from customer_tickets.devstack.storage import errors

__all__ = ["Files", "FolderInUse", "Stored"]

# Large enough that the hand-over to a thread does not count, small enough for the memory.
_PIECE = 1 << 18


class FolderInUse(Exception):
    """Another storage server runs on this folder."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of a file that was written."""

    version: str
    size: int
    etag: str


class Files:
    """The folder; locked against a second server from `open` on."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self._objects = folder / "objects"
        self._lock = folder / "lock"
        self._durable = durable
        self._locked: int | None = None

    def open(self) -> None:
        """Make the folder and lock it; raises FolderInUse or OSError."""
        self._objects.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise FolderInUse from None
        self._locked = lock

    def close(self) -> None:
        """Let another server have the folder."""
        if self._locked is not None:
            os.close(self._locked)
            self._locked = None

    def versions(self) -> set[str]:
        """Every version that has a file."""
        return {entry.name for entry in os.scandir(self._objects)}

    async def write(self, chunks: AsyncIterator[bytes], limit: int) -> Stored:
        """Write a new file as the chunks come; nothing is left of it when that fails.

        Raises `Payload too large` as soon as there are more than `limit` bytes.
        """
        version = str(uuid.uuid4())
        path = self._objects / version
        digest, size = md5(usedforsecurity=False), 0
        try:
            with path.open("xb", buffering=0) as file:
                async for piece in _pieces(chunks):
                    size = _within(limit, size + len(piece))
                    digest.update(piece)
                    await asyncio.to_thread(_write_all, file, piece)
                if self._durable:
                    await asyncio.to_thread(os.fsync, file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Stored(version, size, f'"{digest.hexdigest()}"')

    async def copy(self, version: str) -> str:
        """Give a file a second version and return that; raises FileNotFoundError."""
        source, copy = self._path(version), str(uuid.uuid4())
        try:
            # Files are never written to again, so two versions may be one file.
            (self._objects / copy).hardlink_to(source)
        except FileNotFoundError:
            raise
        except OSError:
            await asyncio.to_thread(shutil.copyfile, source, self._objects / copy)
        return copy

    def reading(self, version: str | None) -> BinaryIO:
        """Open a file; raises FileNotFoundError."""
        return self._path(version).open("rb")

    def remove(self, versions: Iterable[str | None]) -> None:
        """Remove files, as far as they exist."""
        for version in versions:
            with contextlib.suppress(FileNotFoundError):
                self._path(version).unlink()

    def remove_all_but(self, kept: Collection[str | None], of: Collection[str]) -> int:
        """Remove those of the versions that are not kept, and return how many that were."""
        orphans = [version for version in of if version not in kept]
        self.remove(orphans)
        return len(orphans)

    def _path(self, version: str | None) -> Path:
        # A row may have been written by SQL, with whatever in it.
        try:
            name = str(uuid.UUID(version))
        except (ValueError, TypeError, AttributeError):
            raise FileNotFoundError from None
        return self._objects / name


def _within(limit: int, size: int) -> int:
    if size > limit:
        raise errors.too_large()
    return size


def _write_all(file: BinaryIO, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[file.write(view) :]


async def _pieces(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    held = bytearray()
    async for chunk in chunks:
        held += chunk
        if len(held) >= _PIECE:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)
