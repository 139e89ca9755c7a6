"""Loopback ports that stay ours between the moment they are chosen and the end of the stack."""

import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from customer_tickets.devstack.process import LOOPBACK, StackError

_CHOOSE = "choose one from 1024 to 65535, or none to get one that is free."


class PortTaken(StackError):
    """Somebody else has the wanted port."""


class HeldPort:
    """A port that the system gives to nobody else, while a server of ours may listen on it.

    A port that was only looked up may become some outgoing connection's own before the server
    starts, or while a killed one is started again.
    """

    def __init__(self, wanted: int = 0) -> None:
        """Hold the wanted port, or any for 0; raises PortTaken when somebody else has it.

        Raises StackError for a number that is no port, or not for this user.
        """
        self._held = ExitStack()
        with ExitStack() as refused:
            refused.callback(self._held.close)
            try:
                self.number = self._taken(wanted)
            except OverflowError:
                raise StackError(f"There is no port {wanted}: {_CHOOSE}") from None
            except PermissionError:
                words = f"Port {wanted} is not for ordinary users (below 1024 none is): {_CHOOSE}"
                raise StackError(words) from None
            except OSError:
                words = f"Port {wanted} is taken by another program: {_CHOOSE}"
                raise PortTaken(words) from None
            refused.pop_all()

    def _taken(self, wanted: int) -> int:
        bound = self._held.enter_context(socket.socket())
        # Servers set this too: with it on both sides, and one not listening, both may be bound.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((LOOPBACK, wanted))
        number: int = bound.getsockname()[1]
        if sys.platform == "linux":
            # Another stack may be bound beside it, too, but only one can have this name. It is the
            # system's own, whoever the users are, and ends with the process.
            name = self._held.enter_context(socket.socket(socket.AF_UNIX))
            name.bind(f"\0customer-tickets-port-{number}")
        else:
            # Elsewhere the server could not be bound beside it.
            bound.close()
        return number

    def release(self) -> None:
        """Let others have it."""
        self._held.close()


@dataclass(frozen=True)
class Ports:
    """The held port of each part that is reached over HTTP."""

    held: dict[str, HeldPort]

    @classmethod
    def found(cls, gateway: int | None) -> Self:
        """Hold a port for each part; raises PortTaken when the gateway's wanted one is."""
        # The wanted one first: otherwise another part might be given it.
        names = ("gateway", "rest", "rest_admin", "auth", "storage", "realtime")
        return cls({name: HeldPort(gateway or 0 if name == "gateway" else 0) for name in names})

    def __getitem__(self, part: str) -> int:
        return self.held[part].number

    def release(self) -> None:
        """Let others have all of them."""
        for port in self.held.values():
            port.release()
