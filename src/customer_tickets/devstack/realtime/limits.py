"""Rates as the real server measures them: averages over up to a minute. Pure."""

import math
from collections import deque

__all__ = ["Rate", "Window"]

BUCKET_SECONDS = 5
BUCKETS = 12


class Rate:
    """Events a second, averaged over the last buckets; cold counters make it jumpy, as there."""

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._buckets: deque[tuple[int, int]] = deque(maxlen=BUCKETS)

    def count(self, now: float, events: int = 1) -> None:
        """Note that so many happened now."""
        if self._limit is None:
            return
        bucket = int(now // BUCKET_SECONDS)
        if self._buckets and self._buckets[-1][0] == bucket:
            self._buckets[-1] = (bucket, self._buckets[-1][1] + events)
        else:
            self._buckets.append((bucket, events))

    def exceeded(self, now: float) -> bool:
        """Whether the average has reached the limit."""
        return self._limit is not None and self.average(now) >= self._limit

    def average(self, now: float) -> float:
        """Events a second over the buckets that are not older than a minute."""
        oldest = int(now // BUCKET_SECONDS) - BUCKETS + 1
        recent = [(bucket, events) for bucket, events in self._buckets if bucket >= oldest]
        if not recent:
            return 0.0
        span = int(now // BUCKET_SECONDS) - recent[0][0] + 1
        return sum(events for _, events in recent) / (span * BUCKET_SECONDS)


class Window:
    """At most so many calls in so many seconds; the first call after them begins anew."""

    def __init__(self, calls: int | None, seconds: float) -> None:
        self._calls = calls
        self._seconds = seconds
        self._ends = -math.inf
        self._count = 0

    def allows(self, now: float) -> bool:
        """Count a call, and say whether it is still within the limit."""
        if self._calls is None:
            return True
        if now > self._ends:
            self._ends, self._count = now + self._seconds, 0
        self._count += 1
        return self._count <= self._calls
