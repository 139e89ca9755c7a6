"""The folder of one stack: locked while it runs, and swept when its owner was killed."""

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
        """Take a folder whose data stays; raises StackError when another stack runs on it."""
        path = path.resolve()
        try:
            path.mkdir(mode=0o711, parents=True, exist_ok=True)
            return cls(path, _locked(path), temporary=False)
        except BlockingIOError:
            raise StackError(
                f"Another local stack is running on {path}: stop it, or choose another folder."
            ) from None
        except OSError as error:
            raise StackError(f"The data folder {path} cannot be used: {error.strerror}.") from None

    @classmethod
    def fresh(cls) -> Self:
        """Make a temporary folder, after removing what killed stacks have left of theirs."""
        for stale in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            _sweep(stale)
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        # Enterable, not readable: Postgres may run as another user below it.
        path.chmod(0o711)
        return cls(path, _locked(path), temporary=True)

    @property
    def _keys(self) -> Path:
        return self.path / "keys.json"

    @property
    def _layout(self) -> Path:
        return self.path / "layout"

    def keys(self) -> Keys:
        """Return the folder's keys, made at its first start.

        Raises StackError for a folder that another version of this package has made.
        """
        if not self._keys.exists():
            self._layout.write_text(_LAYOUT)
            aside = self._keys.with_suffix(".new")
            aside.touch(mode=0o600)
            aside.write_text(json.dumps(Keys.made_now().to_dict()))
            aside.replace(self._keys)
        keys = self._readable_keys()
        if keys is None or not self._layout.exists() or self._layout.read_text() != _LAYOUT:
            raise StackError(
                f"{self.path} was made by another version of customer_tickets, or is damaged: "
                "choose another folder, or throw its data away with --reset (reset=True)."
            )
        return keys

    def _readable_keys(self) -> Keys | None:
        try:
            return Keys(**json.loads(self._keys.read_text()))
        except (TypeError, ValueError):
            return None

    def reset(self) -> None:
        """Throw the data, the users and the files away; the keys stay, if this version knows them.

        Raises StackError for a folder that no stack has used: it is somebody else's.
        """
        used = self._keys.exists()
        if not used and any(self.path.iterdir()):
            raise StackError(
                f"{self.path} is no folder of a local stack, so nothing in it was removed."
            )
        end_orphan(self.postgres / "data")
        for part in (self.postgres, self.storage):
            _remove(part)
        if used and self._readable_keys() is None:
            self._keys.unlink()
        self._layout.write_text(_LAYOUT)

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
        if path.stat().st_uid != os.geteuid() or not (path / "keys.json").exists():
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
