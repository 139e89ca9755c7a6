"""Loopback ports that stay ours between the moment they are chosen and the end of the stack."""

import socket
import sys
from dataclasses import dataclass
from typing import Self

from customer_tickets.devstack.process import LOOPBACK, StackError


class HeldPort:
    """A port that the system gives to nobody else, while a server of ours may listen on it.

    A port that was only looked up may become some outgoing connection's own before the server
    starts, or while a killed one is started again.
    """

    def __init__(self, wanted: int = 0) -> None:
        """Hold the wanted port, or any for 0; raises StackError when it is taken."""
        self._socket = socket.socket()
        # Servers set this too: with it on both sides, and one not listening, both may be bound.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((LOOPBACK, wanted))
        except (OSError, OverflowError):
            self._socket.close()
            raise StackError(
                f"Port {wanted} is taken by another program: choose another one, or none to get "
                "one that is free."
            ) from None
        self.number: int = self._socket.getsockname()[1]
        if sys.platform != "linux":
            # Elsewhere the server could not be bound beside it.
            self._socket.close()

    def release(self) -> None:
        """Let others have it."""
        self._socket.close()


@dataclass(frozen=True)
class Ports:
    """The held port of each part that is reached over HTTP."""

    held: dict[str, HeldPort]

    @classmethod
    def found(cls, gateway: int | None) -> Self:
        """Hold a port for each part; raises StackError when the gateway's wanted one is taken."""
        # The wanted one first: otherwise another part might be given it.
        names = ("gateway", "rest", "rest_admin", "auth", "storage", "realtime")
        return cls({name: HeldPort(gateway or 0 if name == "gateway" else 0) for name in names})

    def __getitem__(self, part: str) -> int:
        return self.held[part].number

    def release(self) -> None:
        """Let others have all of them."""
        for port in self.held.values():
            port.release()
