"""The fault switches of realtime, through the control endpoint of a whole stack."""

import json
import uuid
from collections.abc import AsyncGenerator

import psycopg
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from customer_tickets.devstack import Faults, LocalStack, StackError
from realtime_client import Frames

pytestmark = [pytest.mark.anyio, pytest.mark.faults]


@pytest.fixture
def faults(stack: LocalStack) -> Faults:
    return stack.faults


@pytest.fixture
def topic() -> str:
    return f"room:{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def client(stack: LocalStack, anyio_backend: str) -> AsyncGenerator[Frames]:
    address = stack.url.replace("http", "ws")
    url = f"{address}/realtime/v1/websocket?apikey={stack.publishable_key}&vsn=1.0.0"
    async with connect(url) as socket:
        yield Frames(socket)


def tell(stack: LocalStack, topic: str, *numbers: int) -> None:
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        for n in numbers:
            connection.execute(
                "select realtime.send(%s, 'event', %s, false)", [json.dumps({"n": n}), topic]
            )


async def heard(client: Frames, count: int) -> list[int]:
    frames = [await client.until("broadcast") for _ in range(count)]
    return [frame["payload"]["payload"]["n"] for frame in frames]


async def test_rows_are_dropped_repeated_and_swapped(
    stack: LocalStack, faults: Faults, client: Frames, topic: str
) -> None:
    await client.join_ready(topic)
    faults.spoil_rows("drop", topic=topic)
    faults.spoil_rows("repeat", topic=topic)
    faults.spoil_rows("swap", topic=topic)
    tell(stack, topic, 1, 2, 3, 4)
    assert await heard(client, 4) == [2, 2, 4, 3]
    faults.spoil_rows("delay", topic=topic, seconds=0.3)
    tell(stack, topic, 5, 6)
    assert await heard(client, 2) == [6, 5]


async def test_joins_are_refused_for_a_reason(faults: Faults, client: Frames, topic: str) -> None:
    faults.refuse_joins("ChannelRateLimitReached: Too many channels", topic=topic)
    refused = await client.join(topic)
    assert refused["status"] == "error"
    assert refused["response"]["reason"].startswith("ChannelRateLimitReached")
    assert (await client.join(topic))["status"] == "ok"


async def test_replication_stops_and_starts_and_nobody_is_told(
    stack: LocalStack, faults: Faults, client: Frames, topic: str
) -> None:
    await client.join_ready(topic)
    faults.replication(running=False)
    tell(stack, topic, 1)
    await client.nothing_more()
    faults.reset()
    await client.join_ready(f"{topic}:other")
    tell(stack, topic, 2)
    assert await heard(client, 1) == [2]


@pytest.mark.parametrize(("code", "seen"), [(1012, 1012), (None, 1006)])
async def test_sockets_are_closed(
    faults: Faults, client: Frames, topic: str, code: int | None, seen: int
) -> None:
    await client.join(topic)
    faults.close_sockets(code)
    with pytest.raises(ConnectionClosed):
        await client.until("never")
    assert client.socket.close_code == seen


async def test_channels_end_in_every_way(faults: Faults, client: Frames, topic: str) -> None:
    await client.join(topic)
    faults.spoil_channels("stale_close", topic=topic)
    assert (await client.receive())["event"] == "phx_close"
    faults.spoil_channels("end", topic=topic, message="Too many messages per second")
    assert (await client.until("system"))["payload"]["message"] == "Too many messages per second"
    await client.join(f"{topic}:2")
    faults.spoil_channels("error", topic=f"{topic}:2")
    assert (await client.until("phx_error"))["topic"] == f"realtime:{topic}:2"


async def test_what_is_not_understood_is_refused(faults: Faults) -> None:
    with pytest.raises(StackError, match="not understood"):
        faults.spoil_rows("burn")  # type: ignore[arg-type] # the point
    with pytest.raises(StackError, match="not understood"):
        faults.token_lifetime("long")  # type: ignore[arg-type] # the point


async def test_a_part_that_is_down_has_forgotten_its_faults(
    stack: LocalStack, faults: Faults
) -> None:
    faults.spoil_rows("drop", times=1000)
    stack.realtime.kill()
    try:
        with pytest.raises(StackError, match="realtime is down"):
            faults.spoil_rows("drop")
        faults.reset()
    finally:
        stack.realtime.start()
