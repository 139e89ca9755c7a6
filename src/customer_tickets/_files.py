"""What the user hands in as a file, read so that nothing blocks and nothing is in memory whole."""

from __future__ import annotations

import asyncio
import io
import os
import re
import stat
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO, BinaryIO, TypeVar, cast

import anyio

from ._errors import FieldError, InvalidInput
from ._file_names import found_name, guessed_type, nameless, stated_name, stated_type

PIECE = 1 << 19
MOST_FILES = 20
_T = TypeVar("_T")

Read = Callable[[int, int], bytes]

FileSource = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | io.BufferedIOBase
"""A path, the bytes themselves, or an object open for reading bytes.

OSError and ValueError that an object raises become InvalidInput; anything else is raised as it is.
"""


@dataclass(frozen=True)
class Upload:
    """A file to attach, where its own name or type will not do.

    Attributes:
        source: a path, the bytes themselves, or an object open for reading bytes.
        name: what it is called; left out, the path's or the object's own name.
        content_type: its type, such as image/png; left out, the name tells.
    """

    source: FileSource = field(repr=False)
    name: str | None = field(default=None, repr=False)
    content_type: str | None = None


@dataclass(frozen=True)
class MeasuredFile:
    """A file that was read through once.

    Attributes:
        label: what errors call it: `attachments[0]`.
        read: returns up to so many bytes from a place on, none at the end; it blocks.
    """

    label: str
    name: str = field(repr=False)
    content_type: str
    size: int
    sha256: str
    read: Read = field(repr=False)


class _Wrong(Exception):
    """What is wrong with one file, in words for the user."""


async def in_thread(function: Callable[..., _T], *args: object) -> _T:
    """Run something that blocks in a thread; who is cancelled still waits until it has ended.

    So a file is never closed while a thread reads it.
    """
    running = asyncio.ensure_future(asyncio.to_thread(function, *args))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            await asyncio.wait({running})
        if not running.cancelled():
            running.exception()  # looked at, so that asyncio does not report it
        raise


async def measured(
    sources: Mapping[int, FileSource | Upload], opened: ExitStack
) -> list[MeasuredFile]:
    """Read every file through once, for its size and its SHA-256; the keys are places in a list.

    What is opened here is closed by `opened`, which the caller keeps until the files were sent.

    Raises:
        InvalidInput: some cannot be read, or are called what no file may be called; every one of
            them is named.
    """
    files: list[MeasuredFile] = []
    wrong: list[FieldError] = []
    locks: dict[int, threading.Lock] = {}
    for number, source in sources.items():
        label = f"attachments[{number}]"
        upload = source if isinstance(source, Upload) else Upload(source)
        try:
            files.append(await _measured(label, upload, opened, locks))
        except (_Wrong, OSError) as error:
            wrong.append(_problem(label, error))
    if wrong:
        raise InvalidInput(wrong)
    return files


def _problem(label: str, error: _Wrong | OSError) -> FieldError:
    if isinstance(error, OSError):
        return FieldError(label, f"cannot be read ({error.strerror or 'no reason'})")
    return FieldError(label, str(error))


def _naming(label: str, read: Read) -> Read:
    """Return what reads as `read` does, and says which file it is that cannot be read any more."""

    def named(start: int, count: int) -> bytes:
        try:
            return read(start, count)
        except (_Wrong, OSError) as error:
            problem = _problem(label, error)
        # Outside the handler: what the system says may hold the file's name.
        raise InvalidInput([problem])

    return named


async def _measured(
    label: str, upload: Upload, opened: ExitStack, locks: dict[int, threading.Lock]
) -> MeasuredFile:
    stated = _stated(stated_name, upload.name, "name")
    content_type = _stated(stated_type, upload.content_type, "content type")
    read, own_name = await _opened(upload.source, opened, locks)
    digest, size, beginning = sha256(), 0, b""

    def step(start: int) -> bytes:
        piece = read(start, PIECE)
        digest.update(piece)
        return piece

    while piece := await in_thread(step, size):
        beginning = beginning or piece[:16]
        size += len(piece)
    name = stated or (own_name and found_name(own_name))
    if not name:
        name, content_type = nameless(beginning, content_type)
    kind = content_type or guessed_type(name)
    return MeasuredFile(label, name, kind, size, digest.hexdigest(), _naming(label, read))


def _stated(check: Callable[[str], str], value: object, what: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _Wrong(f"the {what} must be text")
    try:
        return check(value)
    except ValueError as error:
        raise _Wrong(str(error)) from None


async def _opened(
    source: object, opened: ExitStack, locks: dict[int, threading.Lock]
) -> tuple[Read, str | None]:
    """Return what reads a source, and the name that the source has, if it has one."""
    if isinstance(source, bytes | bytearray):
        return lambda start, count: bytes(source[start : start + count]), None
    if isinstance(source, memoryview):
        octets = opened.enter_context(_octets(cast("memoryview[int]", source)))
        return lambda start, count: bytes(octets[start : start + count]), None
    if isinstance(source, str | os.PathLike):
        path = _path(cast("str", source))
        return _reader(await in_thread(_open, path, opened)), path.name
    reads = not isinstance(source, type) and callable(getattr(source, "read", None))
    if isinstance(source, io.TextIOBase) or not reads:
        raise _Wrong("must be a path, bytes, or an object open for reading bytes")
    file = cast("BinaryIO", source)
    name = _name_of(file)
    if await in_thread(_is_seekable, file):
        return _reader(file, locks.setdefault(id(file), threading.Lock())), name
    spool = _spool_of(file)
    # Whoever is cancelled does not wait for a pipe that says nothing; what it says then is kept.
    while await asyncio.to_thread(spool.take, file):
        pass
    return spool.read, name


class _Spool:
    """What an object that cannot be wound back has given, for everybody who sends that object.

    Reading is done once: after it the object has nothing more for a second attempt.
    """

    def __init__(self) -> None:
        # Closed here, and not by who sends: a later call may want it, or one at the same time.
        spooled = tempfile.SpooledTemporaryFile(max_size=PIECE)  # noqa: SIM115 - it outlives calls
        weakref.finalize(self, spooled.close)
        self._file = cast("BinaryIO", spooled)
        self._lock = threading.Lock()
        self._read = _reader(self._file, self._lock)
        self._whole = self._lost = False

    def take(self, source: BinaryIO) -> bool:
        """Keep the next piece of the source; return False when it had no more."""
        with self._lock:
            if self._lost:
                raise _Wrong("could not be kept, and cannot be read again")
            if self._whole:
                return False
            piece = _bytes_from(source, PIECE)
            self._whole, self._lost = not piece, True
            self._file.write(piece)
            self._lost = False
            return not self._whole

    def read(self, start: int, count: int) -> bytes:
        """Return what was kept; it is there as long as this can be called."""
        return self._read(start, count)


# By the ids of the objects, which need not be hashable; each is forgotten with its object.
_spools: dict[int, _Spool] = {}
_spools_lock = threading.Lock()


def _spool_of(source: BinaryIO) -> _Spool:
    with _spools_lock:
        spool = _spools.get(id(source))
        if spool is None:
            try:
                weakref.finalize(source, _spools.pop, id(source), None)
            except TypeError:  # its class forbids weak references: when it ends is never known
                raise _Wrong("can be read only once: hand in the bytes that it gives") from None
            spool = _spools[id(source)] = _Spool()
        return spool


def _octets(view: memoryview[int]) -> memoryview[int]:
    try:
        return view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
    except ValueError:
        raise _Wrong("cannot be read (it was released)") from None


def _path(source: str | os.PathLike[str]) -> Path:
    try:
        return Path(os.fsdecode(source))
    except TypeError:  # of its __fspath__
        raise _Wrong("is no path") from None


def _open(path: Path, opened: ExitStack) -> BinaryIO:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _Wrong("is not a file; what else can be read must be opened by you")
        return opened.enter_context(path.open("rb"))
    except ValueError:  # a NUL in the path
        raise _Wrong("is no path") from None


def _is_seekable(file: BinaryIO) -> bool:
    with suppress(AttributeError, ValueError):
        return bool(file.seekable())
    return False


def _name_of(file: BinaryIO) -> str | None:
    """Return the last part of an object's name, if it has one; `<stdin>` and numbers are none."""
    name = getattr(file, "name", None)
    if not isinstance(name, str) or name.startswith("<"):
        return None
    return re.split(r"[/\\]", name)[-1] or None


def _reader(file: BinaryIO, lock: threading.Lock | None = None) -> Read:
    """Return what reads a file from its beginning, whoever else moves in it."""
    guard = lock or threading.Lock()

    def read(start: int, count: int) -> bytes:
        with guard:
            pieces: list[bytes] = []
            while count and (piece := _bytes_from(file, count, start)):
                pieces.append(piece)
                start, count = start + len(piece), count - len(piece)
            return b"".join(pieces)

    return read


def _bytes_from(file: BinaryIO, count: int, start: int | None = None) -> bytes:
    try:
        if start is not None:
            file.seek(start)
        piece = cast("object", file.read(count))
    except ValueError:  # what a closed file raises
        raise _Wrong("cannot be read (is it closed?)") from None
    if not isinstance(piece, bytes):  # text, or None of one that does not block
        raise _Wrong("must be open for reading bytes, and blocking")
    return piece
