"""The folder of one stack: locked while it runs, and swept when its owner was killed."""

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Self

from customer_tickets.devstack.keys import Keys
from customer_tickets.devstack.postgres import end_orphan
from customer_tickets.devstack.process import StackError

_PREFIX = "customer-tickets-"
# The first file in each folder of ours: nothing is ever removed from a folder without it. Two
# names, because a temporary folder is removed when it is found, and a kept one may lie beside it.
_KEPT, _TEMPORARY = "customer-tickets-stack", "customer-tickets-temporary-stack"
# The kept folder's name for it before it was a name of our own.
_FORMER = "layout"
# What lies in a folder and how: the system schemas, the roles, the keys. To be counted up when a
# stack of today cannot go on with a folder of yesterday.
_LAYOUT = "1"


class StackFolder:
    """A folder that no other stack can use until `release`.

    `path` holds the keys, the parts' logs and the Postgres folder.
    """

    def __init__(self, path: Path, lock: int, *, temporary: bool) -> None:
        self.path = path
        self.temporary = temporary
        self._lock = lock

    @property
    def postgres(self) -> Path:
        """The folder of the Postgres server."""
        return self.path / "postgres"

    @property
    def storage(self) -> Path:
        """The folder of the files that users have uploaded."""
        return self.path / "storage"

    @classmethod
    def kept(cls, path: Path) -> Self:
        """Take a folder whose data stays: a new one, an empty one, or one of a stack.

        Raises StackError when another stack runs on it, and when it is somebody else's.
        """
        path = path.resolve()
        try:
            path.mkdir(mode=0o711, parents=True, exist_ok=True)
            folder = cls(path, _locked(path), temporary=False)
            with contextlib.ExitStack() as refused:
                refused.callback(folder.release)
                folder._claim()
                refused.pop_all()
        except BlockingIOError:
            raise StackError(
                f"Another local stack is running on {path}: stop it, or choose another folder."
            ) from None
        except OSError as error:
            raise StackError(f"The data folder {path} cannot be used: {error.strerror}.") from None
        return folder

    @classmethod
    def fresh(cls) -> Self:
        """Make a temporary folder, after removing what killed stacks have left of theirs."""
        for stale in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            _sweep(stale)
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        # Enterable, not readable: Postgres may run as another user below it.
        path.chmod(0o711)
        folder = cls(path, _locked(path), temporary=True)
        folder._marker.write_text(_LAYOUT)
        return folder

    @property
    def _keys(self) -> Path:
        return self.path / "keys.json"

    @property
    def _marker(self) -> Path:
        """The file that says whose the folder is, and in which layout."""
        return self.path / (_TEMPORARY if self.temporary else _KEPT)

    def _claim(self) -> None:
        """Mark an empty folder as ours; raises StackError for one of somebody else."""
        if self._marker.exists():
            return
        if not any(self.path.iterdir()):
            self._marker.write_text(_LAYOUT)
        elif (self.path / _FORMER).exists() and self._readable_keys() is not None:
            (self.path / _FORMER).rename(self._marker)
        else:
            raise StackError(
                f"{self.path} is no folder of a local stack: it holds other files, which a stack "
                "leaves alone. Choose an empty folder, or one that does not exist."
            )

    def keys(self) -> Keys:
        """Return the folder's keys, made at its first start.

        Raises StackError for a folder that another version of this package has made.
        """
        if not self._keys.exists():
            aside = self._keys.with_suffix(".new")
            aside.touch(mode=0o600)
            aside.write_text(json.dumps(Keys.made_now().to_dict()))
            aside.replace(self._keys)
        keys = self._readable_keys()
        if keys is None or self._marker.read_text() != _LAYOUT:
            raise StackError(
                f"{self.path} was made by another version of customer_tickets, or is damaged: "
                "choose another folder, or throw its data away with --reset (reset=True)."
            )
        return keys

    def _readable_keys(self) -> Keys | None:
        """The keys, None when there are none or they are no keys of this version.

        Raises OSError when they may not be read: another user's are not thrown away.
        """
        try:
            return Keys(**json.loads(self._keys.read_text()))
        except (FileNotFoundError, TypeError, ValueError):
            return None

    def reset(self) -> None:
        """Throw data, users and files away; the keys stay, if this version knows them."""
        keys = self._readable_keys()
        end_orphan(self.postgres / "data")
        for part in (self.postgres, self.storage):
            _remove(part)
        if keys is None:
            self._keys.unlink(missing_ok=True)
        self._marker.write_text(_LAYOUT)

    def release(self) -> None:
        """Let others use the folder; a temporary one is removed."""
        if self.temporary:
            _remove(self.path)
        os.close(self._lock)


def _locked(path: Path) -> int:
    """Lock the folder for the life of this process, however that ends; BlockingIOError if taken.

    The folder itself is locked, so there is no moment at which it exists without its lock file.
    """
    lock = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _sweep(path: Path) -> None:
    """Remove a temporary folder of ours that nobody holds; anything else is left alone."""
    try:
        if path.stat().st_uid != os.geteuid() or not (path / _TEMPORARY).exists():
            return
        lock = _locked(path)
    except OSError:
        return
    end_orphan(path / "postgres" / "data")
    _remove(path)
    os.close(lock)


def _remove(path: Path) -> None:
    """Remove a folder in which a process that was just killed may write its last file."""
    for _ in range(50):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(0.02)
