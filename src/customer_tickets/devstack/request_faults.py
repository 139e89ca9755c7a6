"""PURE: what goes wrong, on purpose, with the next requests that reach the gateway.

These are failures that clients of a hosted project have to survive; here they happen when asked
for. The gateway asks `take` about every request when the stack was started with faults.
"""

from dataclasses import dataclass, field
from typing import Literal, Self

from customer_tickets.devstack.fault_rules import checked

Action = Literal["lose_answer", "lose_request", "answer", "delay"]


@dataclass(slots=True)
class RequestFault:
    """What happens to the next `times` requests below a path.

    `lose_answer`: the request is carried out, then the connection is cut. `lose_request`: the
    connection is cut at once. `answer`: this status, and the request is not carried out. `delay`:
    it is carried out so many seconds later.
    """

    action: Action
    path: str = "/"
    method: str | None = None
    times: int = 1
    seconds: float = 0.0
    status: int = 503
    retry_after: int | None = None

    @classmethod
    def parsed(cls, fields: object) -> Self:
        """Return the fault that these JSON fields describe; ValueError names a wrong one."""
        return cls(**checked("requests", fields))

    def takes(self, method: str, path: str) -> bool:
        """Count one more request, if this is about it and not used up."""
        if self.times <= 0 or self.method not in {None, method} or not path.startswith(self.path):
            return False
        self.times -= 1
        return True


@dataclass(slots=True)
class RequestFaults:
    """Everything that is to go wrong with requests from now on."""

    waiting: list[RequestFault] = field(default_factory=list[RequestFault])

    def take(self, method: str, path: str) -> RequestFault | None:
        """Return what is to go wrong with this request, the oldest fault first."""
        fault = next((one for one in self.waiting if one.takes(method, path)), None)
        self.waiting = [one for one in self.waiting if one.times > 0]
        return fault

    @property
    def left(self) -> int:
        """How many requests are still to go wrong."""
        return sum(fault.times for fault in self.waiting)
