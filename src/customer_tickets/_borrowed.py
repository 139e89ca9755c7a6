"""The session of a `supabase` client that somebody else keeps: asked for, never kept here.

Two owners who refresh one session get it revoked. So the tokens are asked of that client each time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Any, TypeAlias
from uuid import UUID

from supabase_auth import AsyncGoTrueClient, SyncGoTrueClient
from supabase_auth.types import AuthResponse
from supabase_auth.types import Session as LentSession

from ._auth import new_account, not_accepted, not_refreshed, signed_in, translated
from ._errors import (
    ClientClosed,
    CustomerTicketsError,
    FieldError,
    InvalidInput,
    Offline,
    SignInFailed,
    SignInRequired,
    StoreFailed,
)
from ._keys import checked_key, checked_url
from ._models import User
from ._retry import retrying
from ._session import Session
from ._tokens import checked_tokens

_log = logging.getLogger("customer_tickets")
# supabase_auth refreshes this many seconds before the end.
_THEIR_MARGIN = 10.0
_GRACE = 2.0

Lender: TypeAlias = AsyncGoTrueClient | SyncGoTrueClient


class BorrowedSession:
    """The user and tokens of another client's auth, asked by one caller at a time.

    A blocking one is asked in a thread. It is one user's: while somebody else is signed in to that
    client, nobody is signed in here.
    """

    def __init__(self, auth: Lender, *, timeout: float) -> None:
        self._auth = auth
        self._timeout = timeout
        self._user: User | None = None
        self._last: LentSession | None = None
        self._asking: asyncio.Task[LentSession] | None = None
        self._closed = False

    @property
    def user(self) -> User:
        """Who was signed in when that client was asked last.

        Raises:
            SignInRequired: nobody was.
        """
        if self._user is None or self._last is None:
            raise _nobody()
        return self._user

    async def sign_in(self, email: str, password: str) -> User:
        """Sign that client in."""
        credentials = {"email": email, "password": password}
        return self._begin(await self._order("sign_in_with_password", credentials))

    async def sign_up(self, email: str, password: str, display_name: str | None) -> User:
        """Make an account and sign that client in to it."""
        data = {} if display_name is None else {"display_name": display_name}
        fields = {"email": email, "password": password, "options": {"data": data}}
        answer = await self._order("sign_up", fields, signing_up=True)
        new_account(answer)
        return self._begin(answer)

    async def take_over(self, access: str, refresh: str) -> User:
        """Let that client go on with a session that was begun elsewhere."""
        checked_tokens(access, refresh)
        try:
            return self._begin(await self._order("set_session", access, refresh))
        except (SignInRequired, SignInFailed) as error:
            refused = error
        raise not_accepted(refused)

    async def sign_out(self, *, everywhere: bool) -> None:
        """Sign that client out."""
        self._last = None
        await self._order("sign_out", {"scope": "global" if everywhere else "local"})

    async def aclose(self) -> None:
        """Stop asking; that client is left as it is."""
        self._closed = True
        if self._asking is not None and not self._asking.done():
            await asyncio.wait({self._asking}, timeout=_GRACE)
            self._asking.cancel()
            await asyncio.wait({self._asking})

    async def token(self) -> str:
        """Return the access token that client has, which refreshes it shortly before its end.

        Raises:
            SignInRequired: nobody, or somebody else, is signed in to that client.
        """
        return (await self._outcome(self._begin_asking())).access_token

    def seconds_fresh(self) -> float:
        """Return after how many seconds to ask for the token again, at least 1."""
        if self._last is None or self._last.expires_at is None:
            return 1.0
        return max(1.0, self._last.expires_at - _THEIR_MARGIN - time.time())

    async def replace(self, rejected: str) -> None:
        """Let that client refresh because the server rejected this token, unless it has another."""
        if await self.token() == rejected:
            await self._outcome(self._begin_asking(rejected))

    def _begin(self, answer: AuthResponse) -> User:
        self._user, self._last = signed_in(answer).user, answer.session
        return self._user

    def _begin_asking(self, rejected: str | None = None) -> asyncio.Task[LentSession]:
        # A task of its own: a caller that is cancelled must not tear down a refresh under way.
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._current(rejected))
            self._asking.add_done_callback(_retrieve)
        return self._asking

    async def _current(self, rejected: str | None) -> LentSession:
        session: LentSession | None = None
        async for attempt in retrying(self._timeout):
            with attempt:
                try:
                    session = await self._ask("get_session")
                    if session is not None and session.access_token == rejected:
                        session = (await self._ask("refresh_session")).session
                except SignInFailed as refused:
                    raise not_refreshed(refused) from None
        if session is None:
            self._last = None
            raise _nobody()
        user = User(id=UUID(session.user.id), email=session.user.email)
        if self._user is not None and self._user.id != user.id:
            self._last = None
            raise SignInRequired(
                "Somebody else is signed in to the supabase client now.",
                hint="Call from_supabase() again.",
            )
        self._user, self._last = user, session
        return session

    async def _outcome(self, asking: asyncio.Task[LentSession]) -> LentSession:
        await asyncio.wait({asking}, timeout=self._timeout)
        if not asking.done():
            raise _too_slow()
        if asking.cancelled():
            raise ClientClosed("This client was closed meanwhile.")
        return asking.result()

    async def _order(self, method: str, *arguments: object, signing_up: bool = False) -> Any:
        if self._closed:
            raise ClientClosed("This client is closed.", hint="Make a new one.")
        try:
            async with asyncio.timeout(self._timeout):
                return await self._ask(method, *arguments, signing_up=signing_up)
        except TimeoutError:
            raise _too_slow() from None

    async def _ask(self, method: str, *arguments: object, signing_up: bool = False) -> Any:
        ask: Any = partial(getattr(self._auth, method), *arguments)
        if isinstance(self._auth, SyncGoTrueClient):
            ask = partial(asyncio.to_thread, ask)
        try:
            return await translated(ask, signing_up=signing_up)
        except CustomerTicketsError:
            raise
        except Exception as error:  # noqa: BLE001 - its store, or who listens to it, may raise anything
            reason = type(error).__name__
        raise StoreFailed(f"The supabase client's own session keeping failed ({reason}).")


AnySession: TypeAlias = Session | BorrowedSession


def lent(client: object, *, blocking: bool) -> tuple[str, str, Lender]:
    """Return the URL, the key and the auth of a supabase client.

    Raises:
        InvalidInput: it is none, an asynchronous one where that cannot work, or has a secret key.
    """
    auth = getattr(client, "auth", None)
    if not isinstance(auth, AsyncGoTrueClient | SyncGoTrueClient):
        raise InvalidInput([FieldError("client", "must be a client made by the package supabase")])
    if blocking and isinstance(auth, AsyncGoTrueClient):
        raise InvalidInput(
            [FieldError("client", "is an asynchronous client of supabase")],
            hint="Use AsyncCustomerTickets.from_supabase().",
        )
    url, key = getattr(client, "supabase_url", None), getattr(client, "supabase_key", None)
    return checked_url(str(url)), checked_key(key), auth


def _too_slow() -> Offline:
    return Offline("The server did not answer in time.", hint="Is the network up?")


def _nobody() -> SignInRequired:
    return SignInRequired(
        "Nobody is signed in to the supabase client.", hint="Sign in with that client first."
    )


def _retrieve(task: asyncio.Task[LentSession]) -> None:
    """Look at how it ended though nobody waits, so that asyncio does not report it."""
    if not task.cancelled():
        task.exception()
