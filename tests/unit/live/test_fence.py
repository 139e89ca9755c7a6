"""Timing inside a websocket: what comes after it was thrown away, and a token during a join."""

from typing import Any, cast

import pytest

from customer_tickets._live.bell import Bell, Topics
from customer_tickets._live.channels import Client
from customer_tickets._live.gate import Gate
from customer_tickets._live.socket import Pace, Socket, _Pulse

pytestmark = pytest.mark.anyio
DOORBELL: Any = {"event": "event", "payload": {"ticket_id": "t", "seq": 7, "kind": "message"}}


async def test_a_discarded_socket_rings_no_bell() -> None:
    topics, bell = Topics(), Bell("ticket:t")
    topics.add(bell)
    session: Any = None  # nobody is asked for a token before it connects
    socket = Socket("http://127.0.0.1:9", "key", session, topics, Pace(), Gate(40))
    socket._ring("ticket:t", DOORBELL)
    assert bell.highest == 7
    bell.highest = 0
    await socket.discard()
    socket._ring("ticket:t", DOORBELL)
    assert bell.highest == 0


class Joining:
    """A channel whose join takes as long as it takes for the token to be replaced."""

    is_joined = False

    def __init__(self) -> None:
        self.told: list[str] = []
        self.meanwhile: Any = None

    async def subscribe(self, heard: object) -> None:
        await self.meanwhile()
        self.is_joined = True

    async def push(self, event: str, payload: dict[str, str]) -> "Joining":
        self.told.append(payload[event])
        return self

    def destroy(self) -> None:
        """As a push has it."""


async def test_a_token_that_is_replaced_during_a_join_is_told_after_it() -> None:
    session, client, channel = Tokens(), Client("http://127.0.0.1:9", "key"), Joining()
    pulse = _Pulse(client, cast("Any", session), Pace(), {"ticket:t": cast("Any", channel)})
    await pulse.take_token()

    async def replaced() -> None:
        session.current = "second"
        await pulse._push_token()

    channel.meanwhile = replaced
    await pulse.join(cast("Any", channel), lambda state, error: None)
    assert channel.told == ["second"]


class Tokens:
    """A session's tokens."""

    current = "first"

    async def token(self) -> str:
        return self.current
