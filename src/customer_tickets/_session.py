"""Who is signed in: sign-up, sign-in, sign-out, and a token that is always fresh.

supabase_auth does the requests; its own session keeping is left off. It refreshes on a clock that
stops while a laptop sleeps, without a lock, and turns into an anonymous caller when it fails.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar
from uuid import UUID

import httpx
from supabase_auth import AsyncGoTrueClient
from supabase_auth.errors import AuthError
from supabase_auth.types import AuthResponse

from ._errors import CustomerTicketsError, Offline, SignInRequired, SignUpFailed, Unavailable
from ._models import User
from ._retry import retrying
from ._translate import from_auth

_T = TypeVar("_T")
_MARGIN = 60.0


@dataclass(frozen=True)
class _Tokens:
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    lifetime: float
    # By this machine's own wall clock, so that a wrong clock does not matter.
    expires_at: float

    def seconds_fresh(self, now: float) -> float:
        # Tokens of a few seconds exist in tests and strict projects: a quarter of their life.
        return self.expires_at - min(_MARGIN, self.lifetime / 4) - now

    def is_alive(self, now: float) -> bool:
        return now < self.expires_at


class Session:
    """The signed-in user and the tokens; one refresh at a time, whoever asks."""

    def __init__(self, url: str, key: str, http: httpx.AsyncClient, *, timeout: float) -> None:
        self._auth = AsyncGoTrueClient(
            url=f"{url}/auth/v1",
            headers={"apikey": key},
            auto_refresh_token=False,
            persist_session=False,
            http_client=http,
        )
        self._timeout = timeout
        self._tokens: _Tokens | None = None
        self._user: User | None = None
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def user(self) -> User:
        """Who is signed in.

        Raises:
            SignInRequired: nobody is.
        """
        if self._user is None:
            raise SignInRequired("Nobody is signed in.", hint="Call sign_in() first.")
        return self._user

    async def sign_in(self, email: str, password: str) -> User:
        """Sign in with e-mail and password."""
        return self._keep(
            await self._ask(
                lambda: self._auth.sign_in_with_password({"email": email, "password": password})
            )
        )

    async def sign_up(self, email: str, password: str, display_name: str | None) -> User:
        """Make an account and sign in to it."""
        data = {} if display_name is None else {"display_name": display_name}
        answer = await self._ask(
            lambda: self._auth.sign_up(
                {"email": email, "password": password, "options": {"data": data}}
            ),
            signing_up=True,
        )
        if answer.session is None:
            raise SignUpFailed(
                "The account was made, but the e-mail address must be confirmed first.",
                code="email_not_confirmed",
                hint="Open the link in the e-mail, then sign in.",
            )
        return self._keep(answer)

    async def sign_out(self, *, everywhere: bool) -> None:
        """Forget the session here at once, then end it on the server.

        The local part cannot fail. A server that cannot be reached raises, after the fact: the
        tokens are gone from this process either way.
        """
        tokens, self._tokens, self._user = self._tokens, None, None
        if self._refreshing is not None:
            self._refreshing.cancel()
        if tokens is None:
            return
        scope: Literal["global", "local"] = "global" if everywhere else "local"
        try:
            await self._ask(lambda: self._auth.admin.sign_out(tokens.access, scope))
        except SignInRequired:
            return  # the server had ended it already

    async def aclose(self) -> None:
        """End a refresh that is under way; the session itself stays valid on the server."""
        if self._refreshing is not None and not self._refreshing.done():
            self._refreshing.cancel()
            await asyncio.wait({self._refreshing})

    async def token(self) -> str:
        """Return an access token that is good for at least a minute, refreshed if need be.

        Raises:
            SignInRequired: nobody is signed in, or the session has ended on the server.
            Offline: the token has expired and the server cannot be asked for another.
        """
        tokens = self._present()
        if tokens.seconds_fresh(time.time()) <= 0:
            try:
                await self._refresh_once()
            except Unavailable:
                if not tokens.is_alive(time.time()):
                    raise
        return self._present().access

    def seconds_fresh(self) -> float:
        """Return for how many seconds the token needs no refresh; 0 when it does now."""
        return 0.0 if self._tokens is None else max(0.0, self._tokens.seconds_fresh(time.time()))

    async def replace(self, rejected: str) -> None:
        """Refresh because the server rejected this token, unless that has happened already."""
        if self._present().access == rejected:
            await self._refresh_once()

    def _present(self) -> _Tokens:
        if self._tokens is None:
            raise SignInRequired("Nobody is signed in.", hint="Call sign_in() first.")
        return self._tokens

    async def _refresh_once(self) -> None:
        # A task of its own: a caller that is cancelled must not tear down the refresh that the
        # others wait for, nor lose the new refresh token on its way.
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        try:
            await asyncio.shield(self._refreshing)
        except asyncio.CancelledError:
            if self._tokens is None:
                raise SignInRequired("Signed out meanwhile.") from None
            raise

    async def _refresh(self) -> None:
        tokens = self._present()
        try:
            answer = await self._ask(lambda: self._auth.refresh_session(tokens.refresh))
        except Unavailable:
            raise
        except CustomerTicketsError as error:
            self._tokens = self._user = None
            raise SignInRequired(
                "The session has ended.",
                hint="Sign in again.",
                code=error.code,
                status=error.status,
            ) from None
        self._keep(answer)

    def _keep(self, answer: AuthResponse) -> User:
        session = answer.session
        if session is None:
            raise SignInRequired("The server gave no session.", hint="Sign in again.")
        lifetime = float(session.expires_in)
        self._tokens = _Tokens(
            session.access_token, session.refresh_token, lifetime, time.time() + lifetime
        )
        self._user = User(id=UUID(session.user.id), email=session.user.email)
        return self._user

    async def _ask(self, request: Callable[[], Awaitable[_T]], *, signing_up: bool = False) -> _T:
        try:
            async with asyncio.timeout(self._timeout):
                async for attempt in retrying(self._timeout, once=signing_up):
                    with attempt:
                        return await _translated(request, signing_up=signing_up)
        except TimeoutError:
            raise Offline("The server did not answer in time.", hint="Is the network up?") from None
        raise AssertionError("tenacity returns or raises")


async def _translated(request: Callable[[], Awaitable[_T]], *, signing_up: bool) -> _T:
    try:
        return await request()
    except AuthError as error:
        failure = from_auth(error, signing_up=signing_up)
    # Outside the handler: supabase_auth's message may hold the e-mail address.
    raise failure
