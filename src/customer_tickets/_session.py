"""Who is signed in: sign-up, sign-in, sign-out, and a token that is always fresh."""

from __future__ import annotations

import asyncio
import logging
import time

import httpx

from ._auth import Auth, not_refreshed
from ._errors import ClientClosed, SignInFailed, SignInRequired, StoreFailed
from ._kept import Kept, in_thread, uninterrupted
from ._models import User
from ._stores import SessionStore
from ._tokens import Tokens

_log = logging.getLogger("customer_tickets")
_GRACE = 2.0


class Session:
    """The signed-in user and the tokens; one refresh at a time, whoever asks.

    Raises:
        StoreFailed: the store cannot be read.
    """

    def __init__(
        self, url: str, key: str, http: httpx.AsyncClient, *, timeout: float, store: SessionStore
    ) -> None:
        self._auth = Auth(url, key, http, timeout=timeout)
        self._timeout = timeout
        self._kept = Kept(store, url)
        self._tokens: Tokens | None = self._kept.load()
        self._refreshing: asyncio.Task[None] | None = None
        # What is in the store and what is in use change together, whoever changes them.
        self._changing = asyncio.Lock()
        self._unsaved = False

    @property
    def user(self) -> User:
        """Who is signed in.

        Raises:
            SignInRequired: nobody is.
        """
        return self._present().user

    async def sign_in(self, email: str, password: str) -> User:
        """Sign in with e-mail and password."""
        return await self._begin(await self._auth.sign_in(email, password))

    async def sign_up(self, email: str, password: str, display_name: str | None) -> User:
        """Make an account and sign in to it."""
        return await self._begin(await self._auth.sign_up(email, password, display_name))

    async def take_over(self, access: str, refresh: str) -> User:
        """Go on with a session that was begun elsewhere."""
        return await self._begin(await self._auth.taken_over(access, refresh))

    async def sign_out(self, *, everywhere: bool) -> None:
        """Forget the session here at once, then end it on the server.

        The local part cannot fail. A server that cannot be reached, or a store that cannot be
        cleared, raises after the fact: the tokens are gone from this process either way.
        """
        tokens, self._tokens = self._tokens, None
        if tokens is None:
            return
        failure: StoreFailed | None = None
        try:
            stored = await uninterrupted(self._forget(tokens))
            if tokens.seconds_fresh(time.time()) <= 0 and stored is not None:
                tokens = stored  # another process may have refreshed it
        except StoreFailed as error:
            failure = error
        try:
            await self._auth.sign_out(tokens, everywhere=everywhere)
        finally:
            if failure is not None:
                raise failure

    async def aclose(self) -> None:
        """End a refresh that is under way; the session itself stays valid on the server."""
        if self._refreshing is not None and not self._refreshing.done():
            # Its answer would be lost, and the refresh token in the store is used up.
            await asyncio.wait({self._refreshing}, timeout=_GRACE)
            self._refreshing.cancel()
            await asyncio.wait({self._refreshing})
        if self._unsaved and self._tokens is not None:
            await uninterrupted(self._replace(self._tokens, self._tokens))

    async def token(self) -> str:
        """Return an access token that is good, refreshed in the last minute of its life.

        While the old one is good nobody waits for the new one; an auth server in trouble costs
        nothing until then.

        Raises:
            SignInRequired: nobody is signed in, or somebody else than when this was called, or the
                session has ended on the server.
            Unavailable: the token has expired and auth gives no other now.
        """
        tokens = self._present()
        now = time.time()
        if tokens.seconds_fresh(now) <= 0:
            refreshing = self._begin_refresh()
            if not tokens.is_alive(now):
                await _outcome(refreshing)
        current = self._present()
        if current.user.id != tokens.user.id:
            raise another_user()
        return current.access

    def seconds_fresh(self) -> float:
        """Return for how many seconds the token needs no refresh; 0 when it does now."""
        return 0.0 if self._tokens is None else max(0.0, self._tokens.seconds_fresh(time.time()))

    async def replace(self, rejected: str) -> None:
        """Refresh because the server rejected this token, unless that has happened already."""
        if self._present().access == rejected:
            await _outcome(self._begin_refresh())

    def _present(self) -> Tokens:
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
        unlock = await self._kept.lock(self._timeout)
        try:
            await self._refresh_alone(tokens)
        finally:
            unlock()

    async def _refresh_alone(self, tokens: Tokens) -> None:
        refused: SignInRequired | SignInFailed | None = None
        for _ in range(2):
            stored = await self._stored()
            # Another process may have been faster; a store without a lock shows it only now.
            if stored is not None and _takes_over(stored, tokens, refused is not None):
                if self._tokens is not tokens:
                    return
                self._tokens = tokens = stored
                if tokens.seconds_fresh(time.time()) > 0:
                    return
            elif refused is not None:
                break
            try:
                new = await self._auth.refresh(tokens.refresh)
            except (SignInRequired, SignInFailed) as error:
                refused = error
            else:
                await self._go_on(new, tokens)
                return
        assert refused is not None
        await self._end(tokens, refused)

    async def _go_on(self, new: Tokens, old: Tokens) -> None:
        """Use the new tokens; if somebody signed in or out meanwhile, theirs is the session."""
        if new.user.id != old.user.id:
            await self._end(old, SignInRequired("Another user's.", code="user_mismatch"))
        await uninterrupted(self._replace(old, new))

    async def _end(self, tokens: Tokens, refused: SignInRequired | SignInFailed) -> None:
        error = not_refreshed(refused)
        if isinstance(error, SignInRequired) and self._tokens is tokens:
            self._tokens = None
            try:
                await uninterrupted(self._forget(tokens))
            except StoreFailed as failure:
                _log.warning("%s", failure.message)
        raise error from None

    async def _stored(self) -> Tokens | None:
        try:
            return await in_thread(self._kept.load)
        except StoreFailed as error:
            _log.warning("%s", error.message)
            return None

    async def _begin(self, tokens: Tokens) -> User:
        await uninterrupted(self._start(tokens))
        return tokens.user

    async def _start(self, tokens: Tokens) -> None:
        async with self._changing:
            try:
                await in_thread(lambda: self._kept.save(tokens, over_others=True))
                self._unsaved = False
            except StoreFailed:
                self._unsaved = True
                raise
            finally:
                self._tokens = tokens

    async def _replace(self, old: Tokens, new: Tokens) -> None:
        async with self._changing:
            if self._tokens is not old:
                return
            # First the store: what was used up must not be what the next process finds.
            try:
                await in_thread(lambda: self._kept.save(new, over_others=False))
                self._unsaved = False
            except StoreFailed as error:
                self._unsaved = True
                _log.warning("%s", error.message)
            # Somebody may have signed out while it was saved.
            if self._tokens is old:
                self._tokens = new

    async def _forget(self, tokens: Tokens) -> Tokens | None:
        async with self._changing:
            self._unsaved = False
            # Somebody may have signed in meanwhile: theirs stays.
            if self._tokens is not None:
                return None
            return await in_thread(lambda: self._kept.clear(tokens))


def another_user() -> SignInRequired:
    """Return what ends a call that one user began and another's token would go on with."""
    return SignInRequired("Somebody else has signed in meanwhile.")


def _takes_over(stored: Tokens, tokens: Tokens, refused: bool) -> bool:
    if refused:
        return stored.user.id == tokens.user.id and stored.refresh != tokens.refresh
    return stored.newer_than(tokens)


async def _outcome(refreshing: asyncio.Task[None]) -> None:
    await asyncio.wait({refreshing})
    if refreshing.cancelled():
        raise ClientClosed("This client was closed meanwhile.")
    refreshing.result()


def _retrieve(task: asyncio.Task[None]) -> None:
    """Look at how a refresh in the background ended, so that asyncio does not report it."""
    if not task.cancelled():
        task.exception()
