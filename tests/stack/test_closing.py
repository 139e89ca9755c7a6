"""A client that is closed in the middle of calls ends them, and leaves nothing open."""

import asyncio
import gc
import warnings

import pytest

from customer_tickets import AsyncCustomerTickets, ClientClosed, Offline
from customer_tickets.devstack import LocalStack
from faces import until
from fix_stack import People
from live_harness import PASSWORD, Scene, nothing_left
from tcp_proxy import TcpProxy


@pytest.mark.anyio
@pytest.mark.faults
@pytest.mark.parametrize("delay", [0.0, 0.001, 0.005, 0.02])
async def test_calls_end_and_no_socket_stays_open(
    stack: LocalStack, people: People, proxy: TcpProxy, delay: float
) -> None:
    with warnings.catch_warnings(record=True, action="always") as warned:
        tickets = AsyncCustomerTickets(proxy.url, stack.publishable_key)
        await tickets.sign_in(people.ana.email, people.ana.password)
        proxy.half_open()
        calls = [asyncio.create_task(tickets.counts()) for _ in range(10)]
        # The first ones are sent by then, the last are still to be connected.
        await asyncio.sleep(delay)
        async with asyncio.timeout(2):
            await tickets.aclose()
            ended = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(error, ClientClosed | Offline) for error in ended), ended
        del tickets, calls, ended
        gc.collect()
        await asyncio.sleep(0.05)
        gc.collect()
    ours = [one for one in warned if issubclass(one.category, ResourceWarning)]
    assert not ours, [str(one.message) for one in ours]


@pytest.mark.anyio
@pytest.mark.faults
async def test_who_is_cancelled_while_closing_is_cancelled_and_all_is_closed(
    scene: Scene, stack: LocalStack, proxy: TcpProxy
) -> None:
    async def program() -> None:
        async with AsyncCustomerTickets(proxy.url, stack.publishable_key) as tickets:
            await tickets.sign_in(scene.email, PASSWORD)
            thread = await tickets.thread(scene.ticket())
            async with thread.live() as feed:
                await until(feed, "live")
            proxy.half_open()  # so that hanging up takes its half a second
            closing.set()

    async with nothing_left():
        closing = asyncio.Event()
        running = asyncio.create_task(program())
        await closing.wait()
        await asyncio.sleep(0.1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
