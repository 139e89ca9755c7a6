"""Decides what may be repeated and when; the waiting itself is tenacity's.

Every request this library repeats is a read, or a write that carries the client's own key and so
happens once however often it arrives.
"""

from __future__ import annotations

import random

from tenacity import AsyncRetrying, RetryCallState
from tenacity.retry import retry_base
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from ._errors import Busy, Offline, RateLimited, Unavailable

FIRST_WAIT = 0.2
LONGEST_WAIT = 8.0
MOST_ATTEMPTS = 6


def may_repeat(error: BaseException | None, *, attempt: int, once: bool) -> bool:
    """Tell whether the attempt number `attempt` (from 1) that failed so may be followed by one.

    `once` marks the few requests that carry no key (making an account): they are repeated only
    when they certainly never left.
    """
    if once and not (isinstance(error, Offline) and not error.sent):
        return False
    if isinstance(error, Busy):
        return attempt < 3
    return isinstance(error, Unavailable) and attempt < MOST_ATTEMPTS


def wait_before(error: BaseException | None, *, attempt: int, dice: float) -> float:
    """Return the seconds to wait after attempt number `attempt`; `dice` is in [0, 1).

    Full jitter under an exponential ceiling; a server that says when to come back is obeyed.
    """
    if isinstance(error, RateLimited) and error.retry_after is not None:
        return error.retry_after + dice * FIRST_WAIT
    return dice * min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempt - 1, 10))


class _MayRepeat(retry_base):
    def __init__(self, *, once: bool) -> None:
        self._once = once

    def __call__(self, state: RetryCallState) -> bool:
        return may_repeat(_error(state), attempt=state.attempt_number, once=self._once)


class _Wait(wait_base):
    def __call__(self, state: RetryCallState) -> float:
        dice = random.random()  # noqa: S311 - jitter, not a secret
        return wait_before(_error(state), attempt=state.attempt_number, dice=dice)


class _OutOfTime(stop_base):
    """Give up when the next wait would end after the time there is, not after it is over."""

    def __init__(self, seconds: float, *, waits_only: bool) -> None:
        self._seconds = seconds
        self._waits_only = waits_only

    def __call__(self, state: RetryCallState) -> bool:
        spent = 0.0 if self._waits_only else state.seconds_since_start or 0.0
        return spent + state.upcoming_sleep >= self._seconds


def retrying(seconds: float, *, once: bool = False, waits_only: bool = False) -> AsyncRetrying:
    """Return tenacity's loop for one call that may take `seconds` in all.

    With `waits_only` no single wait is that long, but the attempts may take their time.
    """
    stop = _OutOfTime(seconds, waits_only=waits_only)
    return AsyncRetrying(retry=_MayRepeat(once=once), wait=_Wait(), stop=stop, reraise=True)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
