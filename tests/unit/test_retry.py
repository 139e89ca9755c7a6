"""What may be repeated, and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customer_tickets import (
    Busy,
    CustomerTicketsError,
    NotFound,
    Offline,
    RateLimited,
    TicketClosedError,
    Unavailable,
)
from customer_tickets._retry import LONGEST_WAIT, MOST_ATTEMPTS, may_repeat, retrying, wait_before


def offline(*, sent: bool) -> Offline:
    error = Offline("no answer")
    error.sent = sent
    return error


@pytest.mark.parametrize("error", [NotFound("x"), TicketClosedError("x"), ValueError("x"), None])
def test_a_decision_of_the_server_is_not_repeated(error: Exception | None) -> None:
    assert not may_repeat(error, attempt=1, once=False)


@pytest.mark.parametrize("error", [Unavailable("x"), RateLimited("x"), offline(sent=True)])
def test_what_could_not_be_done_now_is_repeated_a_bounded_number_of_times(
    error: CustomerTicketsError,
) -> None:
    assert may_repeat(error, attempt=MOST_ATTEMPTS - 1, once=False)
    assert not may_repeat(error, attempt=MOST_ATTEMPTS, once=False)


def test_writes_that_met_are_repeated_twice() -> None:
    assert [may_repeat(Busy("x"), attempt=n, once=False) for n in (1, 2, 3)] == [True, True, False]


def test_what_carries_no_key_is_repeated_only_if_it_never_left() -> None:
    assert may_repeat(offline(sent=False), attempt=1, once=True)
    assert not may_repeat(offline(sent=True), attempt=1, once=True)
    assert not may_repeat(Unavailable("x"), attempt=1, once=True)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_waits_are_bounded_for_every_attempt(attempt: int, dice: float) -> None:
    assert 0 <= wait_before(Unavailable("x"), attempt=attempt, dice=dice) <= LONGEST_WAIT


def test_a_server_that_says_when_is_obeyed() -> None:
    error = RateLimited("x")
    error.retry_after = 7
    assert 7 <= wait_before(error, attempt=1, dice=0.5) < 8


@pytest.mark.anyio
async def test_a_wait_that_would_outlast_the_time_is_not_begun() -> None:
    limited = RateLimited("x")
    limited.retry_after = 60
    attempts = 0

    async def ask() -> None:
        nonlocal attempts
        attempts += 1
        raise limited

    with pytest.raises(RateLimited):
        await retrying(1.0)(ask)
    assert attempts == 1
