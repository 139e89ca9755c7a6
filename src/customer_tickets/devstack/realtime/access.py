"""What one channel may do: its token, and what the policies said when they were last asked."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import replace

from customer_tickets.devstack.realtime.authorize import Caller, Grants, ask_read, ask_write
from customer_tickets.devstack.realtime.database import UNREACHABLE, DatabaseTrouble
from customer_tickets.devstack.realtime.hub import TopicKey
from customer_tickets.devstack.realtime.joining import JoinRefused
from customer_tickets.devstack.realtime.project import Project
from customer_tickets.devstack.realtime.tokens import Claims, TokenRefused

__all__ = ["Access", "AccessLost"]

EVERYTHING = Grants(broadcast=True, presence=True)


class AccessLost(Exception):
    """A new token does not open the channel any longer; the text goes into a system message."""


class Access:
    """Grants are kept until a different token comes: taking a right away changes nothing before."""

    def __init__(
        self, project: Project, key: TopicKey, headers: Mapping[str, str], *, presence: bool
    ) -> None:
        self._project = project
        self._key = key
        self._headers = headers
        self._presence = presence
        self._token = ""
        self._claims: Claims | None = None
        self._write: Grants | None = None
        self.read = Grants()
        """What may be received."""

    async def open(self, token: str) -> None:
        """Let the channel in, or raise JoinRefused with the reason."""
        try:
            self._claims = self._project.verify(token)
        except TokenRefused as refused:
            raise JoinRefused(refused.reason) from None
        self._token = token
        try:
            # A public channel needs the database too, though it asks it nothing.
            if not self._key.private and not await self._project.database.reachable():
                raise JoinRefused(f"UnableToConnectToProject: {UNREACHABLE}")
            self.read = await self._ask_read(presence=self._presence)
        except DatabaseTrouble as trouble:
            raise JoinRefused(trouble.reason) from None
        if not (self.read.broadcast or self.read.presence):
            raise JoinRefused(self.unauthorized)

    @property
    def unauthorized(self) -> str:
        """The reason of a join that is refused for want of the right to read."""
        return f"Unauthorized: {self._denied()}"

    async def renew(self, token: object) -> bool:
        """Take another token; False if there is nothing to take. Raises AccessLost."""
        if token is None or token == self._token:
            return False
        if isinstance(token, str) and token.startswith("sb_"):
            return False
        try:
            self._claims = self._project.verify(token if isinstance(token, str) else "")
        except TokenRefused as refused:
            raise AccessLost(refused.system) from None
        self._token, self._write, before = str(token), None, self.read
        try:
            self.read = await self._ask_read(presence=self._presence)
        except DatabaseTrouble as trouble:
            # Unlike a join, this does not tell of a missing partition.
            is_partition = trouble.code == "MissingPartition"
            raise AccessLost(UNREACHABLE if is_partition else trouble.text) from None
        if not (self.read.broadcast or self.read.presence):
            raise AccessLost(self._denied())
        lost_broadcast = before.broadcast and not self.read.broadcast
        if lost_broadcast or (before.presence and not self.read.presence):
            raise AccessLost(
                f"You no longer have permission to read from this Channel topic: {self._key.name}"
            )
        return True

    async def want_presence(self) -> None:
        """Ask whether presence may be read, unless that was asked when joining.

        If the database cannot say, it is asked again the next time.
        """
        if self._presence:
            return
        with contextlib.suppress(DatabaseTrouble):
            granted = await self._ask_read(presence=True)
            self._presence, self.read = True, replace(self.read, presence=granted.presence)

    async def write(self) -> Grants:
        """What may be sent: asked once, and a denial is remembered as well.

        Nothing, if the database cannot say; then it is asked again the next time.
        """
        if not self._key.private:
            return EVERYTHING
        if self._write is None and self._claims is not None:
            caller = Caller(self._claims, self._headers)
            try:
                self._write = await ask_write(self._project.database, caller, self._key.name)
            except DatabaseTrouble:
                return Grants()
        return self._write if self._write is not None else Grants()

    def seconds_left(self) -> float:
        """Until the token has to be looked at again."""
        expires = self._claims.expires if self._claims is not None else 0.0
        return max(0.0, min(self._project.profile.token_check, expires - time.time()))

    def expired(self) -> TokenRefused | None:
        """The refusal, if the token has run out."""
        return self._claims.expired(time.time()) if self._claims is not None else None

    def _denied(self) -> str:
        return f"You do not have permissions to read from this Channel topic: {self._key.name}"

    async def _ask_read(self, *, presence: bool) -> Grants:
        if not self._key.private or self._claims is None:
            return EVERYTHING
        caller = Caller(self._claims, self._headers)
        return await ask_read(self._project.database, caller, self._key.name, presence=presence)
