"""Holds a client to the event loop in which it was first used."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

import httpx

_loops: WeakKeyDictionary[httpx.AsyncClient, asyncio.AbstractEventLoop] = WeakKeyDictionary()


def check_loop(http: httpx.AsyncClient) -> None:
    """Raise a RuntimeError where another loop runs than when this was first called.

    Connections and locks are of one loop: in another they fail now and then, or wait for ever.
    """
    here = asyncio.get_running_loop()
    if _loops.setdefault(http, here) is not here:
        raise RuntimeError(
            "an AsyncCustomerTickets belongs to the event loop in which it was first used, and this"
            " is another one: put everything into one asyncio.run(), or make a client for each"
        )
