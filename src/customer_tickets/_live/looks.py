"""PURE: decides how long a feed waits before it looks at the table again."""

from __future__ import annotations

_LONGEST_PAUSE = 30.0


class Looks:
    """The pace of one feed's looks; all times are in seconds.

    Args:
        check_every: between two looks while all seems well.
        poll_every: between two looks without a websocket.
    """

    def __init__(self, check_every: float, poll_every: float) -> None:
        self._check_every = check_every
        self._poll_every = poll_every
        self._failures = self._lags = 0

    def succeeded(self, *, lagging: bool) -> None:
        """Hear that the table answered, and whether something that was announced is not there."""
        self._failures = 0
        self._lags = self._lags + 1 if lagging else 0

    def failed(self) -> float:
        """Hear that it did not, and return how long to pause at most."""
        self._failures += 1
        return min(_LONGEST_PAUSE, self._poll_every * 2.0 ** min(self._failures - 1, 5))

    def after(self, *, joined: bool, lagging: bool) -> float:
        """Return how long after the last look the next one is due.

        From that look on, not from when somebody asks: a caller who waits in small steps must not
        put it off for ever.
        """
        if not joined:
            return self._poll_every
        if lagging:
            # An announcement can overtake its own commit by a moment, a replica by a while.
            return min(0.02 * 2.0 ** min(self._lags, 6), 1.0, self._check_every)
        return self._check_every
