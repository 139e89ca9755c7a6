"""A session in its store: read, saved and cleared in a worker thread, and every failure typed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ._errors import StoreFailed
from ._stores import SessionStore, Unlock
from ._tokens import Tokens, is_written, read, written

_log = logging.getLogger("customer_tickets")
_T = TypeVar("_T")
_STAYS = "Who is signed in stays so as long as this program runs."
_LEFT = "Nobody is signed in here any more, but the tokens may still be in the store: remove them."


class Kept:
    """What a store holds for one project; its methods raise StoreFailed and nothing else."""

    def __init__(self, store: SessionStore, url: str) -> None:
        self._store = store
        self._url = url

    def load(self) -> Tokens | None:
        """Return the project's session; what cannot be read as one is none."""
        return read(_typed(self._store.load, "read from"), self._url)

    def save(self, tokens: Tokens, *, over_others: bool) -> None:
        """Keep a session; over somebody else's, or another project's, only when told to."""
        if not over_others:
            text = _typed(self._store.load, "read from")
            mine = read(text, self._url)
            if mine is None and text is not None and is_written(text):
                return
            if mine is not None and mine.user.id != tokens.user.id:
                return
        text = written(tokens, self._url)
        _typed(lambda: self._store.save(text), "kept in")

    def clear(self, tokens: Tokens) -> Tokens | None:
        """Forget the session of these tokens' user, and return what was forgotten."""
        found = read(_typed(self._store.load, "read from", _LEFT), self._url)
        if found is None or found.user.id != tokens.user.id:
            return None
        _typed(self._store.clear, "removed from", _LEFT)
        return found

    async def lock(self, patience: float) -> Unlock:
        """Wait for the store's lock, if it has one, and return what unlocks it.

        A lock that cannot be had within `patience` seconds is done without: who holds it hangs.
        """
        try_lock: Callable[[], Unlock | None] | None = getattr(self._store, "try_lock", None)
        deadline = time.monotonic() + patience
        while try_lock is not None and time.monotonic() < deadline:
            try:
                unlock = await in_thread(lambda: _typed(try_lock, "locked in"))
            except StoreFailed as error:
                _log.warning("%s", error.message)
                break
            if unlock is not None:
                return unlock
            await asyncio.sleep(0.05)
        return _nothing


def _typed(do: Callable[[], _T], done: str, hint: str = _STAYS) -> _T:
    try:
        return do()
    except StoreFailed:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except Exception as error:  # noqa: BLE001 - a user's own store may raise anything
        reason = type(error).__name__
    # Outside the handler: what a database raises may quote the tokens.
    raise StoreFailed(
        f"The session could not be {done} its store ({reason}).",
        hint=hint,
    )


async def in_thread(do: Callable[[], _T]) -> _T:
    """Run something that may block; who is cancelled meanwhile still waits for its end."""
    return await uninterrupted(asyncio.to_thread(do))


async def uninterrupted(work: Coroutine[Any, Any, _T]) -> _T:
    """Await something to its end, and be cancelled after it."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise


def _nothing() -> None:
    """Unlock what was not locked."""
