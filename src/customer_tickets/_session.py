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

from ._errors import (
    ClientClosed,
    Offline,
    SignInFailed,
    SignInRequired,
    SignUpFailed,
    UnexpectedAnswer,
)
from ._models import User
from ._retry import retrying
from ._translate import ENDED, from_auth

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
        self._http = http
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
        if tokens is None:
            return
        scope: Literal["global", "local"] = "global" if everywhere else "local"
        try:
            access = tokens.access
            if tokens.seconds_fresh(time.time()) <= 0:
                # The server takes no stale token, not even to end its session.
                answer = await self._ask(lambda: self._auth.refresh_session(tokens.refresh))
                access = answer.session.access_token if answer.session else access
            await self._ask(lambda: self._auth.admin.sign_out(access, scope))
        except SignInRequired as error:
            if error.code not in ENDED:
                raise

    async def aclose(self) -> None:
        """End a refresh that is under way; the session itself stays valid on the server."""
        if self._refreshing is not None and not self._refreshing.done():
            self._refreshing.cancel()
            await asyncio.wait({self._refreshing})

    async def token(self) -> str:
        """Return an access token that is good, refreshed in the last minute of its life.

        While the old one is good nobody waits for the new one; an auth server in trouble costs
        nothing until then.

        Raises:
            SignInRequired: nobody is signed in, or the session has ended on the server.
            Offline: the token has expired and the server cannot be asked for another.
        """
        tokens = self._present()
        now = time.time()
        if tokens.seconds_fresh(now) <= 0:
            refreshing = self._begin_refresh()
            if not tokens.is_alive(now):
                await _outcome(refreshing)
        return self._present().access

    def seconds_fresh(self) -> float:
        """Return for how many seconds the token needs no refresh; 0 when it does now."""
        return 0.0 if self._tokens is None else max(0.0, self._tokens.seconds_fresh(time.time()))

    async def replace(self, rejected: str) -> None:
        """Refresh because the server rejected this token, unless that has happened already."""
        if self._present().access == rejected:
            await _outcome(self._begin_refresh())

    def _present(self) -> _Tokens:
        if self._tokens is None:
            raise SignInRequired("Nobody is signed in.", hint="Call sign_in() first.")
        return self._tokens

    def _begin_refresh(self) -> asyncio.Task[None]:
        # A task of its own: a caller that is cancelled must not tear down the refresh that the
        # others wait for, nor lose the new refresh token on its way.
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh(), name="customer_tickets.refresh")
            self._refreshing.add_done_callback(_retrieve)
        return self._refreshing

    async def _refresh(self) -> None:
        tokens = self._present()
        try:
            answer = await self._ask(lambda: self._auth.refresh_session(tokens.refresh))
        except (SignInRequired, SignInFailed) as error:
            # A page of a proxy is no verdict: only auth's own word, which has a code, ends it.
            if error.code is not None and self._tokens is tokens:
                self._tokens = self._user = None
            raise SignInRequired(
                "The session has ended.",
                hint="Sign in again.",
                code=error.code,
                status=error.status,
                request_id=error.request_id,
            ) from None
        # Somebody may have signed in or out meanwhile: theirs is the session then.
        if self._tokens is tokens:
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
        if self._http.is_closed:
            raise ClientClosed("This client is closed.", hint="Make a new one.")
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
    except ValueError:
        failure = UnexpectedAnswer(
            "The server did not answer as Supabase's auth does.",
            hint="Is another program answering at this URL?",
        )
    # Outside the handler: what was raised may hold the e-mail address or a token.
    raise failure


async def _outcome(refreshing: asyncio.Task[None]) -> None:
    await asyncio.wait({refreshing})
    if refreshing.cancelled():
        raise ClientClosed("This client was closed meanwhile.")
    refreshing.result()


def _retrieve(task: asyncio.Task[None]) -> None:
    """Look at how a refresh in the background ended, so that asyncio does not report it."""
    if not task.cancelled():
        task.exception()
