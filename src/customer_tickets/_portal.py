"""One event loop in one thread, for code that does not await. Knows nothing of tickets."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

from anyio.from_thread import BlockingPortal

from ._errors import ClientClosed

_P = ParamSpec("_P")
_T = TypeVar("_T")
_End = Callable[[], Coroutine[Any, Any, None]]


class Portal:
    """Runs coroutines in a thread of its own, also while the caller's thread has a running loop.

    Args:
        at_end: is awaited in the loop before it ends: when the portal is closed, when the last
            object that holds it is dropped, or when the program ends.
    """

    def __init__(self, at_end: _End) -> None:
        self._loop = _Loop()
        self._end = weakref.finalize(self, self._loop.end, at_end)

    def run(
        self,
        function: Callable[_P, Coroutine[Any, Any, _T]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Run a coroutine function and return its result; Ctrl-C here cancels it there.

        Raises:
            ClientClosed: the portal was closed, or made by the parent of this process.
        """
        return self._loop.run(partial(function, *args, **kwargs))

    def close(self) -> None:
        """End what runs and the thread; closing twice is fine."""
        self._end()


class _Loop:
    """The thread; it knows nothing of the portal, so that a dropped portal can end it.

    It is a daemon: anyio's own portal thread would keep a program that forgot to close its client
    from ending.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        started: Future[BlockingPortal] = Future()
        self._thread = threading.Thread(
            target=self._serve, args=(started,), name="customer_tickets", daemon=True
        )
        self._thread.start()
        self._inner: BlockingPortal | None = started.result()

    def run(self, function: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        if os.getpid() != self._pid:
            raise ClientClosed(
                "This client was made before a fork.", hint="Make a new one in the child process."
            )
        inner = self._inner
        if inner is None:
            raise ClientClosed("This client is closed.", hint="Make a new one.")
        if threading.current_thread() is self._thread:
            raise RuntimeError("the blocking face cannot be called from its own event loop")
        try:
            future: Future[_T] = inner.start_task_soon(_kept_from_the_loop, function)
        except RuntimeError:  # it was closed in this moment
            raise ClientClosed("This client is closed.", hint="Make a new one.") from None
        try:
            return future.result()
        except CancelledError:
            raise ClientClosed("This client was closed meanwhile.") from None
        except _Raised as raised:
            raise raised.error from None
        except BaseException:
            future.cancel()
            raise

    def end(self, at_end: _End) -> None:
        inner, self._inner = self._inner, None
        if inner is None or os.getpid() != self._pid:
            return  # in a forked child the connections are the parent's
        try:
            finish = partial(_finish, inner, at_end)
            ending = inner.start_task_soon(_kept_from_the_loop, finish)
        except RuntimeError:
            return  # the loop has ended by itself
        # The garbage collector may run in any thread, in the loop's own too: that cannot wait.
        if threading.current_thread() is not self._thread:
            with suppress(Exception):
                ending.result(timeout=10)
            self._thread.join(timeout=5)

    def _serve(self, started: Future[BlockingPortal]) -> None:
        async def wait() -> None:
            async with BlockingPortal() as inner:
                started.set_result(inner)
                await inner.sleep_until_stopped()

        try:
            with asyncio.Runner() as runner:
                loop = runner.get_loop()
                waiting = loop.create_task(wait())
                while not waiting.done():
                    # What a callback raises to end the program ends its own call, in the thread
                    # that made it. asyncio has it stop the loop too: the loop goes on.
                    with suppress(SystemExit, KeyboardInterrupt):
                        loop.run_until_complete(waiting)
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)


class _Raised(Exception):
    """Carries what is no Exception past the portal, which would end with it."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


async def _kept_from_the_loop(function: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    try:
        return await function()
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:
        raise _Raised(error) from error


async def _finish(inner: BlockingPortal, at_end: _End) -> None:
    try:
        await at_end()
    finally:
        await inner.stop(cancel_remaining=True)
