"""What every request needs: the database, the files, the secret, the limit."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from aiohttp import web

from customer_tickets.devstack.storage.caller import SERVICE, Caller, Scope
from customer_tickets.devstack.storage.database import Database
from customer_tickets.devstack.storage.files import Files

__all__ = ["Call", "Handler", "Project", "Route", "Tail"]


@dataclass(frozen=True, slots=True)
class Project:
    """One Supabase project's storage."""

    database: Database
    files: Files
    jwt_secret: str = field(repr=False)
    file_size_limit: int
    """Bytes of the largest file, whatever a bucket says."""

    @staticmethod
    def now() -> float:
        """Seconds since the epoch."""
        return time.time()


@dataclass(frozen=True, slots=True)
class Call:
    """One request: what it is about, and in whose name."""

    request: web.Request
    scope: Scope
    bucket: str = ""
    key: str = ""

    @property
    def caller(self) -> Caller:
        """Who asks."""
        return self.scope.caller

    @property
    def service(self) -> Scope:
        """The same request past every policy, for what the caller was allowed by other means."""
        return replace(self.scope, caller=SERVICE)


Tail = Literal["", "bucket", "bucket/empty", "bucket/key"]
Handler = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """Which requests a handler answers."""

    method: str
    prefix: str
    """The parts of the path that are fixed, such as `object/sign`."""
    tail: Tail
    operation: str
    handler: Handler
    access: Literal["token", "anyone"] = "token"
    """Whether a good token is a must. With `anyone`, a bad one is the same as none."""
