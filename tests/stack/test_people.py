"""Who is at a ticket and who types, on the real server, among staff, strangers and liars."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from websockets.asyncio.client import connect

from customer_tickets import (
    AsyncPeople,
    CustomerTickets,
    FeedState,
    NotAllowed,
    People,
    Person,
    SignInRequired,
)
from customer_tickets._live.room import Room
from customer_tickets.devstack import LocalStack
from faces import Client, Office, Thread, got, next_event, opened, thread_of, until
from fix_stack import People as Everybody
from fix_stack import Person as User
from realtime_client import Frames
from remote_project import Stack, access_token
from stack.conftest import Opener
from tcp_proxy import TcpProxy

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("error")]
PRESENCE = {"enabled": True}


@pytest.fixture
async def thread(tickets: Client, people: Everybody) -> Thread:
    ticket = await got(tickets.create(organization=people.organization_id, subject="Help"))
    return await thread_of(tickets, ticket)


@asynccontextmanager
async def present(thread: Thread) -> AsyncGenerator[People | AsyncPeople]:
    """Open the people of a thread of either face, and wait until they are known."""
    people = thread.people()
    async with AsyncExitStack() as closing:
        if isinstance(people, AsyncPeople):
            await closing.enter_async_context(people)
        else:
            closing.enter_context(people)
        await eventually(people, lambda: people.state == "live")
        yield people


async def eventually(
    people: People | AsyncPeople, condition: Callable[[], bool], timeout: float = 15
) -> None:
    """Read until something is so."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, people
        await got(people.next(timeout=0.05))


def _alone_with(people: People | AsyncPeople, user: UUID) -> bool:
    return [person.id for person in people.here] == [user]


class Colleague:
    """Somebody with tools of their own: a bare websocket on a ticket's presence topic."""

    def __init__(self, frames: Frames, ticket_id: UUID, token: str) -> None:
        self.frames = frames
        self.topic = f"ticket:{ticket_id}:presence"
        self._token = token

    async def join(self, key: str) -> dict[str, object]:
        presence = {**PRESENCE, "key": key}
        reply: dict[str, object] = await self.frames.join(
            self.topic, access_token=self._token, private=True, presence=presence
        )
        return reply

    async def meet(self, user: User) -> tuple[dict[str, object], set[str]]:
        """Wait until somebody is there; return what they track, and who was there before."""
        people: dict[str, Any] = (await self.frames.until("presence_state"))["payload"]
        before = set(people)
        while str(user.id) not in people:
            people = (await self.frames.until("presence_diff"))["payload"]["joins"]
        [meta] = people[str(user.id)]["metas"]
        return meta, before

    async def send(self, event: str, payload: object) -> None:
        await self.frames.send(f"realtime:{self.topic}", event, payload)

    async def track(self, **fields: object) -> None:
        await self.send("presence", {"type": "presence", "event": "track", "payload": fields})

    async def say(self, payload: object, event: str = "typing") -> None:
        await self.send("broadcast", {"type": "broadcast", "event": event, "payload": payload})


@asynccontextmanager
async def colleague(stack: Stack, person: User, ticket_id: UUID) -> AsyncGenerator[Colleague]:
    url = f"{stack.url.replace('http', 'ws', 1)}/realtime/v1/websocket"
    query = f"?apikey={stack.publishable_key}&vsn=1.0.0"
    async with connect(url + query, max_size=None) as socket:
        yield Colleague(Frames(socket), ticket_id, access_token(stack, person))


async def test_staff_and_customer_see_one_another_come_type_and_go(
    thread: Thread, stack: Stack, people: Everybody, office: Office
) -> None:
    async with present(thread) as seen:
        assert (seen.here, seen.typists, thread.typists) == ((), (), ())
        async with colleague(stack, people.eva, thread.ticket.id) as eva:
            await eva.join(str(people.eva.id))
            assert (await eva.meet(people.ana))[0]["name"] == "Ana"
            await eva.track(name="Eva (2nd floor)")
            picture = await got(seen.next(timeout=10))
            claimed = Person(id=people.eva.id, name="Eva (2nd floor)", role=None)
            assert picture is not None
            assert (picture.here, picture.typists) == ((claimed,), ())
            await eva.say({"user_id": str(people.eva.id)})
            picture = await got(seen.next(timeout=10))
            assert picture is not None
            assert [person.id for person in picture.typists] == [people.eva.id]
            # What she sends ends her typing at once; from now on her name is known, not claimed.
            office.answer(thread.ticket.id, "Hello")
            await got(thread.refresh())
            assert seen.typists == ()
            assert seen.here == (Person(id=people.eva.id, name="Eva", role="employee"),)
            await got(thread.typing())
            word = (await eva.frames.until("broadcast"))["payload"]
            expected = {"user_id": str(people.ana.id), "name": "Ana"}
            assert (word["event"], word["payload"]) == ("typing", expected)
        await eventually(seen, lambda: seen.here == ())
        assert "Eva" not in repr(picture)
    assert (str(seen.state), seen.error, len(seen.here)) == ("stopped", None, 0)
    assert await got(seen.next(timeout=1)) is None


async def test_nobody_is_shown_there_who_has_signed_out_before_it_is_opened(
    tickets: Client, thread: Thread, people: Everybody
) -> None:
    seen = thread.people()
    await got(tickets.sign_in(people.eva.email, people.eva.password))
    opening: Any = seen.__aenter__ if isinstance(seen, AsyncPeople) else seen.__enter__
    with pytest.raises(SignInRequired, match="Somebody else"):
        await got(opening())


@pytest.mark.parametrize("reads", ["a feed", "a refresh"])
async def test_whoever_waits_is_told_at_once_when_a_typist_has_acted(
    thread: Thread, stack: Stack, people: Everybody, office: Office, reads: str
) -> None:
    async with (
        present(thread) as seen,
        colleague(stack, people.eva, thread.ticket.id) as eva,
        opened(thread.live()) as feed,
    ):
        await eva.join(str(people.eva.id))
        await eva.say({"user_id": str(people.eva.id)})
        await eventually(seen, lambda: len(seen.typists) == 1)
        await got(seen.next(timeout=0.2))  # has shown that
        loop = asyncio.get_running_loop()
        waiting = (
            loop.create_task(seen.next())
            if isinstance(seen, AsyncPeople)
            else loop.run_in_executor(None, seen.next)
        )
        await asyncio.sleep(0.1)
        office.answer(thread.ticket.id, "Hello")
        await (next_event(feed) if reads == "a feed" else got(thread.refresh()))
        picture = await asyncio.wait_for(waiting, 2)  # and not when her word lapses, after six
        assert picture is not None
        assert picture.typists == ()


async def test_typing_lapses_and_is_said_once_in_three_seconds(
    thread: Thread, stack: Stack, people: Everybody
) -> None:
    async with (
        present(thread) as seen,
        colleague(stack, people.eva, thread.ticket.id) as eva,
    ):
        await eva.join(str(people.eva.id))
        await eva.say({"user_id": str(people.eva.id), "name": "Eva"})
        await eventually(seen, lambda: len(seen.typists) == 1)
        began = time.monotonic()
        while seen.typists:
            await got(seen.typing())
            await got(seen.next(timeout=0.1))
        took = time.monotonic() - began
        assert 5 < took < 8
        await eva.frames.send("phoenix", "heartbeat")
        while (await eva.frames.receive())["topic"] != "phoenix":
            pass
        words = [frame for frame in eva.frames.seen if frame["event"] == "broadcast"]
        assert 2 <= len(words) <= 3


async def test_two_windows_are_one_person_and_one_closed_window_is_not_gone(
    opener: Opener, thread: Thread, stack: Stack, people: Everybody
) -> None:
    other = await thread_of(await opener(people.ana), thread.ticket.id)
    async with colleague(stack, people.eva, thread.ticket.id) as eva:
        await eva.join(str(people.eva.id))
        await eva.track()
        async with present(thread) as seen:
            async with AsyncExitStack() as closing:
                also = await closing.enter_async_context(present(other))
                await asyncio.sleep(0.5)
                # All has been said when the next one comes to the same channel.
                third = await closing.enter_async_context(present(other))
                for window in (seen, also, third):
                    await eventually(window, partial(_alone_with, window, people.eva.id))
                    await got(window.typing())
            await asyncio.sleep(0.3)
            assert (seen.state, len(seen.here), seen.typists) == ("live", 1, ())
            await eva.meet(people.ana)
            await eva.frames.send("phoenix", "heartbeat")
            gone: list[str] = []
            while (frame := await eva.frames.receive())["topic"] != "phoenix":
                gone += frame["payload"].get("leaves", {})
            assert gone.count(str(people.ana.id)) == 1  # one window of two
    assert await got(seen.next(timeout=0.2)) is None


async def test_nobody_else_can_join(thread: Thread, stack: Stack, people: Everybody) -> None:
    async with colleague(stack, people.ben, thread.ticket.id) as ben:
        reply = await ben.join(str(people.ben.id))
    assert reply["status"] == "error"
    assert str(reply["response"]).count("Unauthorized") == 1


@pytest.mark.faults
async def test_who_may_not_know_is_told_once_and_the_feed_goes_on(
    thread: Thread, stack: LocalStack, office: Office
) -> None:
    topic = f"ticket:{thread.ticket.id}:presence"
    stack.faults.refuse_joins("Unauthorized: You do not have permissions", topic=topic, times=99)
    people = thread.people()
    async with opened(thread.live(check_every=600)) as events:
        await until(events, FeedState.LIVE)
        async with AsyncExitStack() as closing:
            if isinstance(people, AsyncPeople):
                await closing.enter_async_context(people)
            else:
                closing.enter_context(people)
            assert await got(people.next(timeout=10)) is None
            assert people.state == "stopped"
            assert isinstance(people.error, NotAllowed)
        assert events.state == "live"
        office.answer(thread.ticket.id, "Still here")
        assert (await next_event(events)).seq == 2


HOSTILE: list[object] = [
    {"user_id": "x" * 1_500_000},
    {"user_id": ["a"], "name": {"b": 1}},
    {"name": "nobody"},
    {"user_id": "00000000-0000-4000-8000-00000000000"},
    "text",
    None,
    {"user_id": {"a": [[[[[[]]]]]]}, "payload": None},
]


async def test_whatever_is_put_into_the_topic_the_feed_does_not_notice(
    thread: Thread, stack: Stack, people: Everybody, office: Office
) -> None:
    async with (
        opened(thread.live(check_every=600, poll_every=600)) as events,
        present(thread) as seen,
        colleague(stack, people.eva, thread.ticket.id) as eva,
        colleague(stack, people.eva, thread.ticket.id) as liar,
    ):
        await until(events, FeedState.LIVE)
        await eva.join("not a user" + "x" * 100)
        await eva.track(name="x" * 1_500_000, presence_ref=["unhashable"], metas=7)
        for payload in HOSTILE:
            await eva.say(payload)
        await eva.say({"seq": 9}, event="event")
        # The package would take this reference for its own, and die of it.
        await liar.join(str(people.eva.id))
        await liar.track(name="y" * 1_500_000, presence_ref=["unhashable"], phx_ref=7)
        await eventually(seen, lambda: len(seen.here) == 1)
        assert seen.here == (Person(id=people.eva.id, name="y" * 100, role=None),)
        # Nobody can speak for the reader; that they can for others is why it is called a claim.
        await liar.say({"user_id": str(people.ana.id), "name": "Ana"})
        await liar.say({"user_id": str(people.admin.id), "name": "Ana\u202e\n"})
        await eventually(seen, lambda: len(seen.typists) == 1)
        assert seen.typists == (Person(id=people.admin.id, name="Ana", role=None),)
        assert events.state == "live"
        office.answer(thread.ticket.id, "Hello")
        assert (await next_event(events)).seq == 2
        assert (events.state, seen.state) == ("live", "live")


@pytest.mark.faults
@pytest.mark.parametrize(
    "message", ["Client presence rate limit exceeded", "Too many presence messages per second"]
)
async def test_a_limit_ends_presence_for_a_while_and_not_the_feed(
    thread: Thread, stack: LocalStack, people: Everybody, office: Office, message: str
) -> None:
    topic = f"ticket:{thread.ticket.id}:presence"
    async with (
        opened(thread.live(check_every=600, poll_every=600)) as events,
        present(thread) as seen,
        colleague(stack, people.eva, thread.ticket.id) as eva,
    ):
        await until(events, FeedState.LIVE)
        stack.faults.spoil_channels("error", topic=topic, message=message)
        began = time.monotonic()
        await eventually(seen, lambda: seen.state == "offline")
        await got(seen.typing())  # goes nowhere, and is no error
        office.answer(thread.ticket.id, "Hello")
        assert (await next_event(events)).seq == 2
        assert events.state == "live"
        await eventually(seen, lambda: seen.state == "live")
        assert time.monotonic() - began > 4
        await eva.join(str(people.eva.id))
        await eva.meet(people.ana)
        assert events.state == "live"


@pytest.mark.faults
async def test_after_a_reconnection_one_is_there_again(
    opener: Opener, stack: Stack, people: Everybody, proxy: TcpProxy
) -> None:
    client = await opener(people.ana, url=proxy.url)
    ticket = await got(client.create(organization=people.organization_id, subject="Help"))
    thread = await thread_of(client, ticket)
    async with present(thread) as seen, colleague(stack, people.eva, ticket.id) as eva:
        await eva.join(str(people.eva.id))
        await eva.track(name="Eva")
        await eventually(seen, lambda: len(seen.here) == 1)
        proxy.refuse()
        await eventually(seen, lambda: seen.state == "offline")
        assert [person.id for person in seen.here] == [people.eva.id]  # as last known
        proxy.heal()
        await eventually(seen, lambda: seen.state == "live")
        async with colleague(stack, people.admin, ticket.id) as admin:
            await admin.join(str(people.admin.id))
            before = (await admin.meet(people.ana))[1]
        assert str(people.eva.id) in before
        assert [person.id for person in seen.here] == [people.eva.id]


async def test_signing_out_ends_it_and_one_is_gone(
    tickets: Client, thread: Thread, stack: Stack, people: Everybody
) -> None:
    async with (
        colleague(stack, people.eva, thread.ticket.id) as eva,
        present(thread) as seen,
    ):
        await eva.join(str(people.eva.id))
        await eva.track()
        await eventually(seen, lambda: len(seen.here) == 1)
        await got(tickets.sign_out())
        assert (seen.state, seen.here, seen.typists) == ("stopped", (), ())
        assert isinstance(seen.error, SignInRequired)
        assert await got(seen.next(timeout=5)) is None
        await got(seen.typing())
        while True:
            leaves = (await eva.frames.until("presence_diff"))["payload"]["leaves"]
            if str(people.ana.id) in leaves:
                break


async def test_iterating_ends_when_it_is_closed(thread: Thread) -> None:
    async with present(thread) as seen:
        pictures: Awaitable[object]
        if isinstance(seen, AsyncPeople):
            pictures = asyncio.create_task(_all(seen))
        else:
            pictures = asyncio.create_task(asyncio.to_thread(list, seen))
        await asyncio.sleep(0.2)
    async with asyncio.timeout(5):
        assert await pictures == []


def test_whoever_looks_at_a_picture_when_the_client_is_closed_sees_the_end(
    stack: Stack, people: Everybody
) -> None:
    tickets = CustomerTickets(stack.url, stack.publishable_key)
    tickets.sign_in(people.ana.email, people.ana.password)
    ticket = tickets.create(organization=people.organization_id, subject="Help")
    with tickets.thread(ticket).people() as seen:
        tickets.close()
        assert seen.next() is None
        assert list(seen) == []


async def _all(people: AsyncPeople) -> list[object]:
    return [picture async for picture in people]


async def test_nothing_is_said_before_it_is_opened(thread: Thread) -> None:
    with pytest.raises(RuntimeError, match="open it first"):
        await got(thread.typing())
    with pytest.raises(RuntimeError, match="open it first"):
        _ = thread.typists
    people = thread.people()
    for call in (people.next, people.typing, thread.typing):
        with pytest.raises(RuntimeError, match="open it first"):
            await got(call())
    assert people.state == "connecting"


def test_who_was_there_is_forgotten_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    from customer_tickets._live.attendance import Attendance

    room, attendance, user = Room("x", uuid4(), "", lambda: 0), Attendance(), uuid4()
    attendance.show({str(user): {"metas": [{"phx_ref": "a"}]}})
    room.join()
    room.meet(attendance)
    room.fail()
    now = time.monotonic()
    assert set(room.here()) == {user}
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    assert room.here() == {}


@pytest.mark.faults
async def test_the_close_of_an_earlier_join_ends_nothing(
    thread: Thread, stack: LocalStack, people: Everybody
) -> None:
    async with (
        present(thread) as seen,
        colleague(stack, people.eva, thread.ticket.id) as eva,
    ):
        topic = f"ticket:{thread.ticket.id}:presence"
        stack.faults.spoil_channels("stale_close", topic=topic)
        await eva.join(str(people.eva.id))
        await eva.track()
        # What comes after the close is heard: the close was, too.
        await eventually(seen, lambda: len(seen.here) == 1, timeout=4)
        assert seen.state == "live"
