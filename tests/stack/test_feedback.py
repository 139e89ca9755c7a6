"""Rate a closed ticket, follow it up, and know beforehand whether one may."""

from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from customer_tickets import (
    InvalidInput,
    NotFound,
    RatingWindowOver,
    TicketNotClosed,
    TicketRated,
)
from customer_tickets.devstack import LocalStack
from faces import Client, Office, got, next_event, opened, thread_of
from fix_stack import People
from stack.conftest import Opener
from stack.test_tickets import create

pytestmark = pytest.mark.anyio


async def test_a_closed_ticket_is_rated_and_the_rating_changed(
    tickets: Client, people: People
) -> None:
    thread = await thread_of(tickets, await create(tickets, people))
    assert (thread.can.rate.allowed, thread.can.rate.reason) == (False, "not_closed")
    with pytest.raises(TicketNotClosed):
        await got(thread.rate(5))
    await got(thread.close_ticket())
    assert thread.can.rate
    first = await got(thread.rate(2, "Slow"))
    assert (first.rating, first.comment) == (2, "Slow")
    second = await got(thread.rate(5))
    assert (second.rating, second.comment, second.created_at) == (5, None, first.created_at)
    assert thread.feedback == second
    assert thread.can.rate.until is not None
    assert abs(thread.can.rate.until - first.created_at - timedelta(days=14)) < timedelta(minutes=1)
    rated = [event for event in thread.history if isinstance(event, TicketRated)]
    assert [event.rating for event in rated] == [2, 5]
    assert (await thread_of(tickets, thread.ticket)).feedback == second


async def test_a_rating_that_is_repeated_is_one(tickets: Client, people: People) -> None:
    thread = await thread_of(tickets, await create(tickets, people))
    await got(thread.close_ticket())
    key = uuid4()
    first = await got(thread.rate(2, request_id=key))
    await got(thread.rate(4))
    again = await got(thread.rate(2, request_id=key))
    assert [e.rating for e in thread.history if isinstance(e, TicketRated)] == [2, 4]
    assert first.rating == 2
    assert again.rating in {2, 4}
    await got(thread.refresh())
    assert thread.feedback is not None
    assert thread.feedback.rating == 4


@pytest.mark.faults
async def test_after_14_days_a_rating_stays(
    tickets: Client, people: People, stack: LocalStack
) -> None:
    thread = await thread_of(tickets, await create(tickets, people))
    await got(thread.close_ticket())
    await got(thread.rate(1))
    with psycopg.connect(stack.database_url) as connection:
        connection.execute(
            "update public.ticket_feedback set created_at = created_at - interval '15 days'"
            " where ticket_id = %s",
            [thread.ticket.id],
        )
    with pytest.raises(RatingWindowOver) as caught:
        await got(thread.rate(5))
    assert caught.value.ended_at is not None
    await got(thread.refresh())
    assert thread.can.rate.reason == "window_over"


@pytest.mark.parametrize("rating", [0, 6, -1, 2.5, "5", True, None, 10**30])
async def test_only_1_to_5_is_a_rating(tickets: Client, people: People, rating: object) -> None:
    thread = await thread_of(tickets, await create(tickets, people))
    with pytest.raises(InvalidInput) as caught:
        await got(thread.rate(rating, "x" * 2001))  # type: ignore[arg-type] # what a caller may do
    assert [wrong.field for wrong in caught.value.fields] == ["rating", "comment"]


async def test_a_rating_is_an_event_without_its_comment(
    tickets: Client, people: People, opener: Opener
) -> None:
    thread = await thread_of(tickets, await create(tickets, people))
    await got(thread.close_ticket())
    elsewhere = await thread_of(await opener(people.ana), thread.ticket)
    async with opened(elsewhere.live()) as feed:
        await got(thread.rate(3, "between us"))
        event = await next_event(feed)
    assert isinstance(event, TicketRated)
    assert event.rating == 3
    assert "between us" not in event.model_dump_json()


async def test_a_closed_ticket_is_followed_up(tickets: Client, people: People) -> None:
    old = await create(tickets, people, "Old")
    with pytest.raises(InvalidInput) as caught:
        await create(tickets, people, "New", follow_up_of=old)
    assert [wrong.field for wrong in caught.value.fields] == ["follow_up_of"]
    thread = await thread_of(tickets, old)
    assert not thread.can.follow_up
    await got(thread.close_ticket())
    assert thread.can.follow_up
    new = await create(tickets, people, "New", follow_up_of=old)
    assert new.follow_up_of == old.id
    assert (await thread_of(tickets, new)).ticket.follow_up_of == old.id


async def test_nobody_follows_up_or_rates_the_ticket_of_another(
    tickets: Client, people: People, opener: Opener, office: Office
) -> None:
    thread = await thread_of(tickets, await create(tickets, people))
    await got(thread.close_ticket())
    stranger = await opener(people.ben)
    with pytest.raises(InvalidInput):
        await create(stranger, people, follow_up_of=thread.ticket)
    with pytest.raises(NotFound):
        await thread_of(stranger, thread.ticket)
    refused = office.call(
        "rate_ticket", ticket_id=str(thread.ticket.id), rating=5, request_id=str(uuid4())
    )
    assert refused.json()["code"] == "TK008"
