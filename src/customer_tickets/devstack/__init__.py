"""The local Supabase: a whole stack on one machine, without Docker, for development and tests.

    with LocalStack.start() as stack:
        client = supabase.create_client(stack.url, stack.publishable_key)

Postgres, PostgREST and the auth implementation are the real ones; the gateway, the storage and the
realtime server are written for this package, to the behaviour of hosted projects.
"""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from uuid import UUID

import psycopg

from customer_tickets import migrate
from customer_tickets.devstack import people
from customer_tickets.devstack.faults import Faults
from customer_tickets.devstack.folder import StackFolder
from customer_tickets.devstack.keys import Keys, user_claims
from customer_tickets.devstack.npm import npm_parts
from customer_tickets.devstack.parts import Parts
from customer_tickets.devstack.people import Mail
from customer_tickets.devstack.ports import Ports
from customer_tickets.devstack.postgres import Postgres
from customer_tickets.devstack.process import Child, StackError
from customer_tickets.devstack.supervise import Supervisor

__all__ = ["Child", "Faults", "LocalStack", "Mail", "Postgres", "StackError"]

_log = logging.getLogger(__name__)


class LocalStack:
    """A running stack; made by `start`, and a context manager that stops it.

    `rest`, `auth`, `storage`, `realtime` and `gateway` are its processes: `stack.rest.kill()` ends
    one, which stays down until `stack.rest.start()`. A part that dies by itself is reported
    (`reports`, and `progress` or the logger) and restarted.
    """

    rest: Child
    auth: Child
    storage: Child
    realtime: Child
    gateway: Child

    def __init__(self, keys: Keys, ports: Ports, postgres: Postgres) -> None:
        self._keys = keys
        self._ports = ports
        self.postgres = postgres
        self.reports: list[str] = []
        self._faults: Faults | None = None
        self._cleanup = ExitStack()

    @classmethod
    def start(
        cls,
        *,
        data: Path | None = None,
        port: int | None = None,
        seed: bool = False,
        reset: bool = False,
        profile: Literal["fast", "faithful"] = "fast",
        faults: bool = False,
        progress: Callable[[str], None] | None = None,
    ) -> Self:
        """Start every part and return when all are healthy.

        Args:
            data: a folder whose data, users and keys are kept: a new one, an empty one, or one that
                a stack has made; a temporary one when None.
            port: the stack's one port on the loopback address; a free one when None.
            seed: fill a new database with organizations, people and tickets.
            reset: throw the folder's data, users and files away first; the keys stay.
            profile: whether the realtime server has hosted projects' delays and limits
                ("faithful") or none ("fast").
            faults: have fault switches (`stack.faults`): things go wrong when asked to.
            progress: is told, in words, what happens and which part died; the logger when None.

        Raises:
            StackError: a part cannot be had; the text says which, why and what to do.
        """
        try:
            return cls._started(data, port, seed, reset, profile, faults, progress)
        except OSError as error:
            what = f" ({error.filename})" if error.filename else ""
            raise StackError(f"The local stack cannot start: {error.strerror}{what}.") from error

    @classmethod
    def _started(
        cls,
        data: Path | None,
        port: int | None,
        seed: bool,
        reset: bool,
        profile: str,
        faults: bool,
        progress: Callable[[str], None] | None,
    ) -> Self:
        say = progress or _log.debug
        with ExitStack() as cleanup:
            folder = StackFolder.kept(data) if data is not None else StackFolder.fresh()
            cleanup.callback(folder.release)
            if reset:
                folder.reset()
            keys = folder.keys()
            ports = Ports.found(port)
            cleanup.callback(ports.release)
            npm = npm_parts(say)
            say("Starting Postgres ...")
            postgres = Postgres.start(folder.postgres, durable=data is not None)
            cleanup.callback(postgres.stop)
            stack = cls(keys, ports, postgres)
            parts = Parts(folder.path, keys, ports, postgres, npm, faults, durable=data is not None)
            if faults:
                stack._faults = Faults(stack.url, keys.control)
            say("Starting PostgREST, auth, storage, realtime and the gateway ...")
            stack._start_parts(parts, profile, cleanup)
            _fill(postgres, seed=seed)
            stack.rest.spawn()
            for child in stack._children():
                child.wait_healthy()
            stack._supervise(progress or _log.warning, cleanup)
            stack._cleanup = cleanup.pop_all()
        return stack

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
        return f"<LocalStack {self.url}>"

    @property
    def url(self) -> str:
        """The address that `create_client` wants."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """The port of `url`."""
        return self._ports["gateway"]

    @property
    def rest_port(self) -> int:
        """The port of PostgREST itself, behind the gateway."""
        return self._ports["rest"]

    @property
    def auth_port(self) -> int:
        """The port of the auth part itself, behind the gateway."""
        return self._ports["auth"]

    @property
    def publishable_key(self) -> str:
        """The new-style key of applications (`sb_publishable_…`): role anon."""
        return self._keys.publishable

    @property
    def secret_key(self) -> str:
        """The new-style key of servers (`sb_secret_…`): role service_role, past every policy."""
        return self._keys.secret

    @property
    def anon_key(self) -> str:
        """The JWT key of applications: role anon."""
        return self._keys.anon

    @property
    def service_role_key(self) -> str:
        """The JWT key of servers: role service_role, past every policy."""
        return self._keys.service_role

    @property
    def jwt_secret(self) -> str:
        """The secret that tokens are signed with (HS256)."""
        return self._keys.jwt_secret

    @property
    def faults(self) -> Faults:
        """The fault switches; raises StackError when the stack was started without."""
        if self._faults is None:
            raise StackError("This stack has no fault switches: start it with faults=True.")
        return self._faults

    @property
    def has_faults(self) -> bool:
        """Whether the stack was started with fault switches."""
        return self._faults is not None

    @property
    def control_key(self) -> str:
        """The random key of this folder that opens the fault switches, and nothing of the API."""
        return self._keys.control

    @property
    def database_url(self) -> str:
        """The address of the stack's database, as `postgres`."""
        return self.postgres.dsn()

    def mint_token(
        self, user_id: str | UUID, *, lifetime: float = 3600, email: str | None = None
    ) -> str:
        """Return an access token of this user, without a session; much faster than a sign-in.

        Args:
            user_id: the user, who need not exist.
            lifetime: seconds until it expires; negative for one that has.
            email: what the claim `email` says.
        """
        claims = user_claims(f"{self.url}/auth/v1", str(user_id), email or "", lifetime)
        return self._keys.sign(claims)

    def create_user(self, email: str, password: str, *, display_name: str | None = None) -> UUID:
        """Make a user who can sign in, straight in the database; triggers fire as at a sign-up."""
        password_hash = self.hashed(password)
        with psycopg.connect(self.database_url) as connection:
            return people.insert_user(connection, email, password_hash, display_name=display_name)

    def hashed(self, password: str) -> str:
        """Return what auth.users.encrypted_password holds for this password."""
        return people.AuthControl(self._ports["auth"], self._keys.control).hashed(password)

    def mails(self, to: str) -> list[Mail]:
        """Return the mails that the auth server sent to this address, oldest first."""
        return people.AuthControl(self._ports["auth"], self._keys.control).mails(to)

    def stop(self) -> None:
        """Stop every part, in reverse, and remove a temporary folder; nothing when stopped."""
        self._cleanup.close()

    def _children(self) -> list[Child]:
        return [self.rest, self.auth, self.storage, self.realtime, self.gateway]

    def _start_parts(self, parts: Parts, profile: str, cleanup: ExitStack) -> None:
        self.rest, self.auth = parts.rest(), parts.auth()
        self.storage, self.realtime = parts.storage(), parts.realtime(profile)
        self.gateway = parts.gateway()
        cleanup.callback(self._stop_parts)
        # All at once; PostgREST reads the schema when it starts and waits for the migrations.
        for child in (self.auth, self.storage, self.realtime, self.gateway):
            child.spawn()

    def _stop_parts(self) -> None:
        # The gateway first: nobody is answered by half a stack.
        for child in reversed(self._children()):
            child.ask_to_stop()
        for child in reversed(self._children()):
            child.stop()

    def _supervise(self, say: Callable[[str], None], cleanup: ExitStack) -> None:
        def report(words: str) -> None:
            self.reports.append(words)
            say(words)

        supervisor = Supervisor([self.postgres.child, *self._children()], report)
        cleanup.callback(supervisor.stop)


def _fill(postgres: Postgres, *, seed: bool) -> None:
    """Apply the migrations that the database lacks; a new one gets the seed, if wanted."""
    try:
        with psycopg.connect(postgres.dsn()) as connection:
            fresh = bool(migrate.apply(connection))
            connection.commit()
            if seed and fresh:
                connection.execute(migrate.seed().encode())
    except psycopg.Error as error:
        words = str(error).strip() + postgres.child.last_words()
        raise StackError(f"The local stack's database cannot be used: {words}") from error
