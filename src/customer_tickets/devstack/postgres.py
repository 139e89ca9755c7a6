"""A real Postgres server in its own folder, with the roles and schemas of a Supabase project."""

import os
import secrets
import shutil
import signal
import time
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from customer_tickets.devstack.binaries import first_closed_folder, postgres_programs, server_user
from customer_tickets.devstack.ports import HeldPort
from customer_tickets.devstack.process import (
    LOOPBACK,
    Child,
    StackError,
    User,
    launched,
    run_to_end,
)

TEMPLATE = "template_system"
# auth.sql first: the others grant to what it makes.
_SYSTEM_SCHEMAS = ("auth.sql", "storage.sql", "realtime.sql")
_SUPERUSER = "supabase_admin"
_LOGINS = ("postgres", "authenticator", "supabase_auth_admin")

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_replication_slots": "10",
    "max_wal_senders": "10",
    "max_connections": "100",
    "shared_buffers": "64MB",
    # A file in the data folder instead of /dev/shm: nothing outlives a killed server there.
    "dynamic_shared_memory_type": "mmap",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements and row values would put customers' text into the log. An error names them in its
    # message, and reaches whoever asked, so it is not logged: "log" is between error and fatal.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
# Nobody misses a temporary folder after a power cut.
# Not synchronous_commit: without it the WAL is handed on only every 200 ms, broadcasts with it.
_THROWAWAY = {"fsync": "off", "full_page_writes": "off"}


class Postgres:
    """A running server; made by `start`, and a context manager that stops it.

    Databases: `template_system` has the system schemas only, `postgres` is the stack's own.
    """

    host = LOOPBACK

    def __init__(self, folder: Path, port: HeldPort, password: str, child: Child) -> None:
        self.folder = folder
        self.port = port.number
        self.child = child
        self._password = password
        self._held = port

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        port: int | None = None,
        binaries: Path | None = None,
        durable: bool = False,
    ) -> Self:
        """Start the server of this folder, and fill the folder first when it is new.

        Args:
            folder: where the data is kept; made when it does not exist.
            port: the port to listen on, on the loopback address; one that is free when None.
            binaries: another installation's folder with `initdb` and `postgres`.
            durable: whether data must survive a power cut (slower).

        Raises:
            StackError: the server cannot run here; the text says why.
        """
        folder = folder.resolve()
        data = folder / "data"
        user = server_user(data)
        _open_the_way(folder, user)
        programs = postgres_programs(user, binaries=binaries)
        ready = folder / "ready"
        if not ready.exists():
            _make_cluster(folder, data, programs, user)
        else:
            end_orphan(data)
        password = (folder / "password").read_text()
        settings = _SETTINGS if durable else _SETTINGS | _THROWAWAY
        held = HeldPort(port or 0)
        child = _server(folder, data, programs, user, held.number, settings)
        server = cls(folder, held, password, child)
        try:
            child.start()
            if not ready.exists():
                server._bootstrap()
                ready.touch()
        except BaseException as error:
            # Ctrl-C as well: nobody else knows of the server yet.
            server.stop()
            if isinstance(error, StackError) and "incompatible with server" in str(error):
                raise StackError(_other_version(data)) from None
            raise
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Postgres port {self.port}>"

    def dsn(self, database: str = "postgres", user: str = "postgres") -> str:
        """Return the address of a database, with the password of one of the server's logins."""
        return f"postgresql://{user}:{self._password}@{self.host}:{self.port}/{database}"

    def dsn_without_password(self, user: str) -> tuple[str, str]:
        """Return the address of database `postgres` and the password, for PGPASSWORD."""
        return f"postgresql://{user}@{self.host}:{self.port}/postgres", self._password

    def create_database(self, name: str, template: str = TEMPLATE) -> None:
        """Clone a database that nobody is connected to; the clone belongs to `postgres`."""
        self._administer(
            sql.SQL("create database {} template {} owner postgres").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it; nothing happens when there is none."""
        # With one who follows the log, it would be refused in spite of the force.
        self._administer(
            sql.SQL(
                "select pg_catalog.pg_terminate_backend(active_pid, 5000)"
                " from pg_catalog.pg_replication_slots"
                " where database = {} and active_pid is not null"
            ).format(sql.Literal(name))
        )
        self._administer(
            sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
        )

    def stop(self) -> None:
        """Stop the server; open connections are ended."""
        self.child.stop()
        self._held.release()

    def _administer(self, statement: sql.Composed) -> None:
        # template1, because a database cannot be dropped by somebody who is connected to it.
        with psycopg.connect(self.dsn("template1", _SUPERUSER), autocommit=True) as connection:
            connection.execute(statement)

    def _bootstrap(self) -> None:
        with psycopg.connect(self.dsn("template1", _SUPERUSER), autocommit=True) as connection:
            connection.execute(_packaged("bootstrap_roles.sql"))
            for login in _LOGINS:
                connection.execute(
                    sql.SQL("alter role {} password {}").format(
                        sql.Identifier(login), sql.Literal(self._password)
                    )
                )
            connection.execute("drop database postgres")
            connection.execute(f"create database {TEMPLATE} owner postgres")
        with psycopg.connect(self.dsn(TEMPLATE, _SUPERUSER)) as connection:
            for name in _SYSTEM_SCHEMAS:
                connection.execute(_packaged(name))
        self.create_database("postgres", TEMPLATE)


def _other_version(data: Path) -> str:
    made_by = (data / "PG_VERSION").read_text().strip()
    return (
        f"{data} was made by Postgres {made_by}, which is not the one here: choose another folder, "
        "or throw its data away with --reset (reset=True)."
    )


def _packaged(name: str) -> bytes:
    return files("customer_tickets.devstack").joinpath(name).read_bytes()


def _open_the_way(folder: Path, user: User | None) -> None:
    """Make the folder, enterable by the server's user, or say which folder above it is not."""
    folder.mkdir(mode=0o711 if user else 0o700, parents=True, exist_ok=True)
    if user is None:
        return
    closed = first_closed_folder(folder)
    if closed is not None:
        raise StackError(
            f"Postgres refuses to run as root and runs as another user instead, who may not enter "
            f"{closed}; choose a data folder outside of it, or start as an ordinary user."
        )
    folder.chmod(0o711)


def _make_cluster(folder: Path, data: Path, programs: Path, user: User | None) -> None:
    """Run initdb; what an interrupted attempt has left is thrown away first."""
    password_file = folder / "password"
    if data.exists() and not password_file.exists():
        # Every attempt of ours begins with the password.
        raise StackError(f"{data} is not the data of a local stack's Postgres.")
    shutil.rmtree(data, ignore_errors=True)
    password_file.touch(mode=0o600)
    password_file.write_text(secrets.token_urlsafe(24))
    data.mkdir(mode=0o700)
    asked = folder / "password.initdb"
    asked.touch(mode=0o600)
    asked.write_text(password_file.read_text())
    if user is not None:
        os.chown(data, user.uid, user.gid)
        os.chown(asked, user.uid, user.gid)
    # C.UTF-8 orders by code point and knows upper and lower case; not every system has it.
    for locale in ("C.UTF-8", "en_US.UTF-8", "C"):
        command = [
            *(str(programs / "initdb"), "--pgdata", str(data), "--username", _SUPERUSER),
            *("--encoding", "UTF8", "--locale", locale, "--no-sync", "--no-instructions"),
            *("--auth", "scram-sha-256", "--pwfile", str(asked)),
        ]
        result = run_to_end(launched(command, user))
        if result.returncode == 0 or "invalid locale name" not in result.stderr:
            break
    asked.unlink()
    if result.returncode != 0:
        words = result.stderr.strip()[-600:]
        raise StackError(f"Postgres could not fill its data folder {data}:\n{words}")


def _server(
    folder: Path,
    data: Path,
    programs: Path,
    user: User | None,
    port: int,
    settings: dict[str, str],
) -> Child:
    command = [str(programs / "postgres"), "-D", str(data), "-p", str(port)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]

    def healthy() -> bool:
        # The server writes there how far it is; a refused connection would litter the log.
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        # The first line tells a killed server's file from this one's.
        return len(lines) >= 8 and lines[0] == str(child.pid) and lines[7].strip() == "ready"

    # INT is Postgres's "end the sessions and shut down"; TERM would wait for them.
    child = Child(
        "Postgres",
        command,
        log=folder / "postgres.log",
        healthy=healthy,
        environment={"LC_ALL": "C", "PATH": os.defpath},
        user=user,
        stop_signal=signal.SIGINT,
        death_signal=signal.SIGINT,
    )
    return child


def end_orphan(data: Path) -> None:
    """End a server of this folder that a killed stack has left, and remove a stale lock file."""
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return
    deadline = time.monotonic() + 10
    while _serves(pid, data) and time.monotonic() < deadline:
        os.kill(pid, signal.SIGINT)
        time.sleep(0.05)
    if not _serves(pid, data):
        lock.unlink(missing_ok=True)


def _serves(pid: int, data: Path) -> bool:
    """Tell whether this process is a server of this folder: numbers are used again."""
    process = Path(f"/proc/{pid}")
    if process.parent.is_dir():
        try:
            return (process / "cwd").resolve(strict=True) == data
        except OSError:
            return False
    return str(data) in run_to_end(["ps", "-o", "command=", "-p", str(pid)]).stdout
