"""One event loop in one thread, for code that does not await. Knows nothing of tickets."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, ParamSpec, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from ._errors import ClientClosed

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Portal:
    """Runs coroutines in a thread of its own, also while the caller's thread has a running loop.

    The thread is a daemon: anyio's own portal thread would keep a program that forgot to close
    its client from ending.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._ready = threading.Event()
        self._inner: BlockingPortal | None = None
        self._thread = threading.Thread(target=self._serve, name="customer_tickets", daemon=True)
        self._thread.start()
        self._ready.wait()

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
        if os.getpid() != self._pid:
            raise ClientClosed(
                "This client was made before a fork.", hint="Make a new one in the child process."
            )
        if self._inner is None:
            raise ClientClosed("This client is closed.", hint="Make a new one.")
        if threading.current_thread() is self._thread:
            raise RuntimeError("the blocking face cannot be called from its own event loop")
        future: Future[_T] = self._inner.start_task_soon(partial(function, *args, **kwargs))
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what runs and end the thread; closing twice is fine."""
        inner, self._inner = self._inner, None
        if inner is None or os.getpid() != self._pid:
            return
        inner.start_task_soon(inner.stop, True)
        self._thread.join(timeout=5)

    def _serve(self) -> None:
        anyio.run(self._wait)

    async def _wait(self) -> None:
        async with BlockingPortal() as inner:
            self._inner = inner
            self._ready.set()
            await inner.sleep_until_stopped()
