"""Looks after running parts: one that dies by itself is reported in words and started again."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from customer_tickets.devstack.process import Child, StackError

_LOOK_EVERY = 0.2
# A part that dies more often than this is broken, not unlucky.
_MOST_RESTARTS = 3
_WITHIN = 60.0


class Supervisor:
    """A thread that looks at the parts until `stop`."""

    def __init__(self, children: Sequence[Child], report: Callable[[str], None]) -> None:
        self._children = children
        self._report = report
        self._deaths = {child.name: deque[float](maxlen=_MOST_RESTARTS) for child in children}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look, name="devstack-supervisor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; the parts are left as they are."""
        self._stopping.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY):
            for child in self._children:
                if child.wanted and not child.running:
                    self._revive(child)

    def _revive(self, child: Child) -> None:
        deaths = self._deaths[child.name]
        now = time.monotonic()
        if len(deaths) == _MOST_RESTARTS and now - deaths[0] < _WITHIN:
            child.wanted = False
            self._report(f"{child.name} {child.how_it_ended()} again; giving it up.")
            return
        deaths.append(now)
        self._report(f"{child.name} {child.how_it_ended()}; starting it again.")
        try:
            child.start()
        except StackError as error:
            self._report(str(error))
