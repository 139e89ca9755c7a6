"""A websocket that was thrown away is not heard any more, however late its callbacks come."""

from typing import Any

import pytest

from customer_tickets._live.bell import Bell, Topics
from customer_tickets._live.gate import Gate
from customer_tickets._live.socket import Pace, Socket

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
