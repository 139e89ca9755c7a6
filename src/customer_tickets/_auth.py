"""The one door to the auth server: retries, a bound on the time, translation, parsing.

supabase_auth does the requests; its own session keeping is left off. It refreshes on a clock that
stops while a laptop sleeps, without a lock, and turns into an anonymous caller when it fails.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Literal, TypeVar
from uuid import UUID

import httpx
from supabase_auth import AsyncGoTrueClient
from supabase_auth.errors import AuthError
from supabase_auth.types import AuthResponse

from ._errors import (
    ClientClosed,
    CustomerTicketsError,
    Offline,
    SignInFailed,
    SignInRequired,
    SignUpFailed,
    Unavailable,
    UnexpectedAnswer,
)
from ._models import User
from ._one_loop import check_loop
from ._retry import retrying
from ._tokens import Tokens, checked_tokens
from ._translate import ENDED, from_auth

_log = logging.getLogger("customer_tickets")
_T = TypeVar("_T")


class Auth:
    """What can be asked of a project's auth server; nothing is remembered here."""

    def __init__(self, url: str, key: str, http: httpx.AsyncClient, *, timeout: float) -> None:
        self._client = AsyncGoTrueClient(
            url=f"{url}/auth/v1",
            headers={"apikey": key},
            auto_refresh_token=False,
            persist_session=False,
            http_client=http,
        )
        self._http = http
        self._timeout = timeout

    async def sign_in(self, email: str, password: str) -> Tokens:
        """Sign in with e-mail and password."""
        return signed_in(
            await self._ask(
                lambda: self._client.sign_in_with_password({"email": email, "password": password}),
                "sign_in",
            )
        )

    async def sign_up(self, email: str, password: str, display_name: str | None) -> Tokens:
        """Make an account and sign in to it."""
        data = {} if display_name is None else {"display_name": display_name}
        answer = await self._ask(
            lambda: self._client.sign_up(
                {"email": email, "password": password, "options": {"data": data}}
            ),
            "sign_up",
            signing_up=True,
        )
        return new_account(answer)

    async def refresh(self, refresh: str) -> Tokens:
        """Exchange a refresh token for new tokens; it is used up."""
        return signed_in(await self._ask(lambda: self._client.refresh_session(refresh), "refresh"))

    async def taken_over(self, access: str, refresh: str) -> Tokens:
        """Return tokens from elsewhere once the server has accepted them, refreshed if expired.

        Raises:
            InvalidInput: they cannot be tokens; no request was made.
            SignInFailed: the server does not accept them.
        """
        claims = checked_tokens(access, refresh)
        try:
            if claims.expires_at <= time.time():
                return await self.refresh(refresh)
            try:
                answer = await self._ask(lambda: self._client.get_user(access), "user")
            except SignInRequired:
                # By the server's clock it may have expired already: the other token decides.
                return await self.refresh(refresh)
        except (SignInRequired, SignInFailed) as error:
            refused = error
        else:
            if answer is None:
                raise UnexpectedAnswer("The server did not say whose token it is.")
            user = User(id=UUID(answer.user.id), email=answer.user.email)
            left = claims.expires_at - time.time()
            return Tokens(access, refresh, claims.lifetime or left, claims.expires_at, user)
        raise not_accepted(refused)

    async def sign_out(self, tokens: Tokens, *, everywhere: bool) -> None:
        """End a session on the server; one that has ended already is no error."""
        try:
            access = tokens.access
            if tokens.seconds_fresh(time.time()) <= 0:
                # The server takes no stale token, not even to end its session.
                access = (await self.refresh(tokens.refresh)).access
            scope: Literal["global", "local"] = "global" if everywhere else "local"
            await self._ask(lambda: self._client.admin.sign_out(access, scope), "sign_out")
        except SignInRequired as error:
            if error.code not in ENDED:
                raise

    async def _ask(
        self, request: Callable[[], Awaitable[_T]], what: str, *, signing_up: bool = False
    ) -> _T:
        check_loop(self._http)  # here already: supabase_auth would take it for a lack of network
        try:
            async with asyncio.timeout(self._timeout):
                async for attempt in retrying(self._timeout, once=signing_up):
                    with attempt:
                        if self._http.is_closed:
                            raise ClientClosed("This client is closed.", hint="Make a new one.")
                        with _logged(what):
                            return await translated(request, signing_up=signing_up)
        except TimeoutError:
            raise Offline("The server did not answer in time.", hint="Is the network up?") from None
        raise AssertionError("tenacity returns or raises")


@contextmanager
def _logged(what: str) -> Generator[None]:
    """Write the line of one request; supabase_auth tells the status of a refusal only."""
    started = time.perf_counter()
    try:
        yield
    except CustomerTicketsError as error:
        if error.status is None:
            _log.debug("%s: no answer (%s)", what, type(error).__name__)
        else:
            spent = (time.perf_counter() - started) * 1000
            _log.debug("%s: HTTP %d in %.1f ms", what, error.status, spent)
        raise
    _log.debug("%s: answered in %.1f ms", what, (time.perf_counter() - started) * 1000)


async def translated(request: Callable[[], Awaitable[_T]], *, signing_up: bool = False) -> _T:
    """Return what supabase_auth answers, its errors as ours."""
    failure: CustomerTicketsError
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


def not_accepted(refused: CustomerTicketsError) -> SignInFailed:
    """Return what to raise when auth refused tokens from elsewhere."""
    return SignInFailed(
        "The server does not accept these tokens.",
        hint="Sign in with e-mail and password.",
        code=refused.code,
        status=refused.status,
        request_id=refused.request_id,
    )


def not_refreshed(refused: SignInRequired | SignInFailed) -> SignInRequired | Unavailable:
    """Return what a refused refresh means: only auth's own word, which has a code, ends a session.

    A proxy's refusal is no verdict.
    """
    if refused.code is None:
        return Unavailable(
            "The session could not be refreshed.",
            hint="Does a proxy answer in place of auth? If this lasts, sign in again.",
            status=refused.status,
            request_id=refused.request_id,
        )
    return SignInRequired(
        "The session has ended.",
        hint="Sign in again.",
        code=refused.code,
        status=refused.status,
        request_id=refused.request_id,
    )


def new_account(answer: AuthResponse) -> Tokens:
    """Return the tokens of an account that was just made.

    Raises:
        SignUpFailed: the e-mail address must be confirmed first.
    """
    if answer.session is None:
        raise SignUpFailed(
            "The account was made, but the e-mail address must be confirmed first.",
            code="email_not_confirmed",
            hint="Open the link in the e-mail, then sign in.",
        )
    return signed_in(answer)


def signed_in(answer: AuthResponse) -> Tokens:
    """Return the tokens of an answer, by this machine's clock."""
    session = answer.session
    if session is None:
        raise SignInRequired("The server gave no session.", hint="Sign in again.")
    lifetime = float(session.expires_in)
    return Tokens(
        session.access_token,
        session.refresh_token,
        lifetime,
        time.time() + lifetime,
        User(id=UUID(session.user.id), email=session.user.email),
    )
