"""The organizations that handle tickets."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from uuid import UUID

from postgrest import CountMethod
from pydantic import TypeAdapter

from .._arguments import check_flags
from .._connection import Connection
from .._errors import NotFound
from .._inputs import OrganizationId, OrganizationName, checked
from .._models import Organization

_ORGANIZATIONS = TypeAdapter(tuple[Organization, ...])
_KEPT_FOR = 300.0


class AsyncOrganizations:
    """The organizations that handle tickets, kept for five minutes after they were read."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._kept: tuple[Organization, ...] = ()
        self._kept_until = 0.0

    async def list(self, *, refresh: bool = False) -> tuple[Organization, ...]:
        """Return all organizations, by name; `refresh` asks the server even when they are kept.

        Raises:
            SignInRequired: nobody is signed in.
        """
        check_flags(refresh=refresh)
        self._connection.session.user  # noqa: B018 - what is kept is not for everybody either
        if refresh or time.monotonic() >= self._kept_until:
            self._kept = tuple(sorted(await self._read(), key=lambda one: one.name.casefold()))
            self._kept_until = time.monotonic() + _KEPT_FOR
        return self._kept

    async def _read(self) -> Sequence[Organization]:
        # The server cuts every answer at a number of rows of its own: the count tells.
        found: list[Organization] = []
        while True:
            query = (
                self._connection.rest.from_("organizations")
                .select("id,name,reopen_window_seconds", count=CountMethod.exact)
                .order("id")
            )
            if found:
                query = query.gt("id", str(found[-1].id))
            answer = await self._connection.select(query, _ORGANIZATIONS)
            found += answer.items
            if not answer.items or len(answer.items) >= (answer.total or 0):
                return found

    async def get(self, id: Organization | UUID | str) -> Organization:
        """Return the organization with this id.

        Raises:
            NotFound: there is none.
            InvalidInput: it is no id; no request was made.
        """
        wanted = checked(OrganizationId, id=id).id
        return await self._find("id", lambda one: one.id == wanted)

    async def named(self, name: str) -> Organization:
        """Return the organization with this name.

        Case does not matter, unless two names that were read differ in nothing else.

        Raises:
            NotFound: there is none.
            InvalidInput: the name is no text; no request was made.
        """
        wanted = checked(OrganizationName, name=name).name
        found = await self._find("name", lambda one: one.name.casefold() == wanted.casefold())
        return next((one for one in self._kept if one.name == wanted), found)

    async def _find(self, what: str, fits: Callable[[Organization], bool]) -> Organization:
        # One that is not among the kept may be new: ask once more before saying no.
        for refresh in (False, True):
            for organization in await self.list(refresh=refresh):
                if fits(organization):
                    return organization
        raise NotFound(
            f"There is no organization with this {what}.", hint="organizations.list() has all."
        )

    def forget(self) -> None:
        """Drop what is kept, because somebody else signs in."""
        self._kept, self._kept_until = (), 0.0
