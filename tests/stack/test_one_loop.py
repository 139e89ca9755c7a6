"""An asynchronous client belongs to one loop, and says so in another."""

import asyncio
from uuid import UUID

import pytest

from customer_tickets import AsyncCustomerTickets
from customer_tickets.devstack import LocalStack
from fix_stack import People

SAYS = "belongs to the event loop in which it was first used"


def test_a_second_loop_is_told(stack: LocalStack, people: People) -> None:
    tickets = AsyncCustomerTickets(stack.url, stack.publishable_key)

    async def first() -> UUID:
        await tickets.sign_in(people.ana.email, people.ana.password)
        made = await tickets.create(organization=people.organization_id, subject="x")
        await tickets.thread(made)
        return made.id

    async def follow() -> None:
        async with tickets.live() as feed:
            await feed.next(timeout=5)

    ticket = asyncio.run(first())
    for _ in range(2):
        for call in (
            tickets.counts,
            lambda: tickets.thread(ticket),
            lambda: tickets.sign_in(people.ana.email, people.ana.password),
            follow,
        ):
            with pytest.raises(RuntimeError, match=SAYS):
                asyncio.run(call())
    asyncio.run(tickets.aclose())
