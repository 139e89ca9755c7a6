import argparse
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from customer_tickets.devstack.command import add_arguments
from customer_tickets.devstack.ports import HeldPort, PortTaken
from customer_tickets.devstack.process import StackError

ASKS_FOR_80 = """
import os
from customer_tickets.devstack.ports import HeldPort, StackError
if os.geteuid() == 0:
    os.setuid(65534)
try:
    HeldPort(80)
except StackError as error:
    print(error)
"""
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


@pytest.mark.parametrize("number", [-5, 65536, 99999])
def test_what_is_no_port_is_not_called_taken(number: int) -> None:
    with pytest.raises(StackError, match=f"There is no port {number}: choose one from 1024"):
        HeldPort(number)


@pytest.mark.skipif(sys.platform != "linux", reason="others let everybody have every port")
def test_a_port_that_is_not_for_this_user_is_not_called_taken() -> None:
    least = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if least <= 80:
        pytest.skip("this system lets everybody have every port")
    with subprocess.Popen([sys.executable, "-c", ASKS_FOR_80], stdout=subprocess.PIPE) as ordinary:
        assert ordinary.stdout is not None
        assert b"Port 80 is not for ordinary users" in ordinary.stdout.read()


@pytest.mark.parametrize("option", ["--port=-5", "--port=0", "--port=99999", "--port=x", "--data="])
def test_the_command_refuses_what_is_no_port_or_folder(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args([option])
    assert ended.value.code == 2
    assert "no port" in (said := capsys.readouterr().err) or "a folder has a name" in said


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
