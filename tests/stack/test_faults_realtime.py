"""The fault switches of realtime, through the control endpoint of a whole stack."""

import json
import uuid
from collections.abc import AsyncGenerator, Callable

import psycopg
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage

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


async def test_a_websocket_can_lose_its_answer(
    stack: LocalStack, faults: Faults, client: Frames
) -> None:
    faults.lose_answers("/realtime/v1/websocket")
    address = stack.url.replace("http", "ws")
    url = f"{address}/realtime/v1/websocket?apikey={stack.publishable_key}&vsn=1.0.0"
    with pytest.raises((ConnectionError, InvalidMessage)):
        await connect(url, open_timeout=5)
    assert faults.requests_left() == 0
    async with connect(url):
        pass
    # Who was connected before is not disturbed.
    await client.nothing_more()


ASKED_WRONGLY: list[tuple[Callable[[Faults], object], str]] = [
    (lambda f: f.spoil_rows("burn"), "action"),  # type: ignore[arg-type] # the point
    (lambda f: f.spoil_rows("drop", times=0), "times"),
    (lambda f: f.spoil_rows("delay", seconds=-1), "seconds"),
    (lambda f: f.refuse_joins("x", times=-1), "times"),
    (lambda f: f.close_sockets(1006), "code .* None to close without a word"),
    (lambda f: f.close_sockets(999), "code"),
    (lambda f: f.spoil_channels([]), "event"),  # type: ignore[arg-type] # the point
    (lambda f: f.token_lifetime("long"), "seconds"),  # type: ignore[arg-type] # the point
    (lambda f: f.token_lifetime(-1), "seconds"),
    (lambda f: f.lose_answers("rest/v1/"), "path has to be a path that begins with /"),
    (lambda f: f.lose_answers("/rest/v1/", method="post"), "method"),
    (lambda f: f.lose_requests("/rest/v1/", times=0), "times"),
    (lambda f: f.delay("/rest/v1/", -1.0), "seconds"),
    (lambda f: f.answer_with(99, "/rest/v1/"), "status"),
]


@pytest.mark.parametrize(("ask", "words"), ASKED_WRONGLY)
async def test_nonsense_is_refused_before_it_is_sent(
    ask: Callable[[Faults], object], words: str
) -> None:
    # Nothing listens there.
    faults = Faults("http://127.0.0.1:1", "key")
    with pytest.raises(ValueError, match=words):
        ask(faults)


@pytest.mark.parametrize("seconds", ["long", -1, 1.5, None])
async def test_the_auth_part_refuses_it_too(faults: Faults, seconds: object) -> None:
    with pytest.raises(StackError, match=r"\(400\).*not understood"):
        faults._call("POST", "/faults/auth/tokens", {"seconds": seconds})


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
