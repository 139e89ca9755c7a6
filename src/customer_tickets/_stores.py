"""Where a session is kept between two runs of a program: in memory, in a file, or the user's own.

A store holds one text. What the text means is _tokens.py's concern; here it is only kept safe.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
import tempfile
import threading
from collections.abc import Callable
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Protocol, runtime_checkable

from ._errors import FieldError, InvalidInput, StoreFailed
from ._tokens import is_written

Unlock = Callable[[], None]
_log = logging.getLogger("customer_tickets")
_LONGEST = 64 * 1024
_NOT_PLAIN = "The session's file is a folder, a link or something else that is no plain file."


@runtime_checkable
class SessionStore(Protocol):
    """What can keep a session: any object with these three methods, for one user and project.

    They are called one at a time, in a worker thread (`load` also where the client is made), so
    they are plain functions for the asynchronous face too. They may raise whatever they like: it
    becomes a StoreFailed without their words.

    A store that several processes share may have a fourth one, `try_lock()`: it returns at once,
    either a function that unlocks, or None while another process has the lock. It is held during a
    refresh, so that one refresh token is not used twice.
    """

    def load(self) -> str | None:
        """Return the text that was saved last, None when there is none."""
        ...

    # Whatever a store of somebody else's calls it.
    def save(self, text: str, /) -> None:
        """Keep this text instead of the last one. It is a secret, as good as a password."""
        ...

    def clear(self) -> None:
        """Forget the text; nothing happens when there is none."""
        ...


class MemoryStore:
    """Keeps a session as long as the program runs; a client that is made with it goes on there."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._lock = threading.Lock()

    def load(self) -> str | None:
        """Return the text that was saved last, None when there is none."""
        return self._text

    def save(self, text: str) -> None:
        """Keep this text instead of the last one."""
        self._text = text

    def clear(self) -> None:
        """Forget the text."""
        self._text = None

    def try_lock(self) -> Unlock | None:
        """Return a function that unlocks, or None while somebody else has the lock."""
        return self._lock.release if self._lock.acquire(blocking=False) else None


class FileStore:
    """Keeps a session in a file that only its owner can read (mode 600).

    Args:
        path: the file; `~` is the home folder. Folders that are missing are made with mode 700.

    Processes may share the file: a second one, whose name ends with `.lock`, lets one of them
    refresh at a time (not on Windows). A file that others can read is made private when it is
    read. What is no session of this library is neither read nor overwritten nor deleted.

    Raises:
        InvalidInput: the path is none.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            self._path = Path(path).expanduser()
            valid = self._path.name != "" and "\0" not in str(self._path)
        except (TypeError, RuntimeError):  # no home folder
            valid = False
        if not valid:
            raise InvalidInput([FieldError("path", "must be the path of a file")])

    def __repr__(self) -> str:
        return f"FileStore({str(self._path)!r})"

    def load(self) -> str | None:
        """Return the file's text, None when there is no file or its text is not of a session.

        Raises:
            StoreFailed: it is no plain file, it is somebody else's, or it cannot be read.
        """
        text = self._content()
        return text if text is not None and is_written(text) else None

    def save(self, text: str) -> None:
        """Replace the file by one with this text; a reader sees the old one or the new one.

        Raises:
            StoreFailed: the file holds something else, or it cannot be written.
        """
        found = self._content()
        if found is not None and found.strip() and not is_written(found):
            raise StoreFailed(
                "The file holds something that is no session, so it was not overwritten.",
                hint="Give FileStore another path.",
            )
        self._make_folders()
        # mkstemp: mode 600 from the first byte.
        number, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def clear(self) -> None:
        """Delete the file, if it holds a session.

        Raises:
            StoreFailed: it is no plain file, it is somebody else's, or it cannot be deleted.
        """
        if self.load() is not None:
            self._path.unlink(missing_ok=True)

    def try_lock(self) -> Unlock | None:
        """Return a function that unlocks, or None while another process has the lock."""
        if sys.platform == "win32":
            return _nothing
        import fcntl

        self._make_folders()
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        # A file beside it: the session's own is another one after each save.
        number = os.open(f"{self._path}.lock", flags, 0o600)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(number)
            return None
        except BaseException:
            os.close(number)
            raise
        return lambda: os.close(number)

    def _make_folders(self) -> None:
        missing = [folder for folder in self._path.parents if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)

    def _content(self) -> str | None:
        """Return what is in the file, None without one; what is no text is a text of no session."""
        # Never through a link, and never waiting for the other end of a pipe.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            number = os.open(self._path, flags)
        except FileNotFoundError:
            return None
        except OSError:
            if self._path.is_symlink():
                raise StoreFailed(_NOT_PLAIN) from None
            raise
        try:
            _check_file(os.fstat(number))
            text = os.read(number, _LONGEST).decode("utf-8", "replace")
            if is_written(text):
                _make_private(number)
            return text
        finally:
            os.close(number)


def checked_store(store: object) -> SessionStore:
    """Return a store, a new one in memory for None, or raise InvalidInput."""
    if store is None:
        return MemoryStore()
    if isinstance(store, type) or not isinstance(store, SessionStore):
        raise InvalidInput(
            [FieldError("store", "must be a FileStore, or have load, save and clear")]
        )
    lock = getattr(store, "try_lock", None)
    if any(map(iscoroutinefunction, (store.load, store.save, store.clear, lock))):
        # Nobody would await them: nothing would be kept, without a word.
        raise InvalidInput(
            [FieldError("store", "has methods that are `async def`")],
            hint="They are called in a thread of their own, where they may block.",
        )
    return store


def _check_file(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise StoreFailed(_NOT_PLAIN)
    if sys.platform != "win32" and found.st_uid != os.geteuid():
        raise StoreFailed("The session's file belongs to another user of this machine.")


def _make_private(number: int) -> None:
    if sys.platform != "win32" and os.fstat(number).st_mode & 0o077:
        _log.warning("a session's file could be read by others; it is private now")
        os.fchmod(number, 0o600)


def _nothing() -> None:
    """Unlock what was not locked."""
