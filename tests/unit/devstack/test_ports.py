import socket
import subprocess
import sys

import pytest

from customer_tickets.devstack.ports import HeldPort, PortTaken

HOLDS = """
from customer_tickets.devstack.ports import HeldPort
held = HeldPort()
print(held.number, flush=True)
input()
"""


def test_a_port_that_somebody_listens_on_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortTaken, match="is taken by another program"):
            HeldPort(taken.getsockname()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems hold no port without a server")
def test_a_held_port_is_taken_before_anybody_listens_on_it() -> None:
    first = HeldPort()
    with pytest.raises(PortTaken):
        HeldPort(first.number)
    first.release()
    HeldPort(first.number).release()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems hold no port without a server")
def test_a_port_is_held_against_other_processes_and_let_go_at_their_end() -> None:
    command = [sys.executable, "-c", HOLDS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        number = int(other.stdout.readline())
        with pytest.raises(PortTaken):
            HeldPort(number)
        other.kill()
    HeldPort(number).release()


def test_a_held_port_can_be_listened_on() -> None:
    held = HeldPort()
    with socket.create_server(("127.0.0.1", held.number)) as server:
        assert server.getsockname()[1] == held.number
    held.release()
