"""Broadcasts from clients: over the socket, and by HTTP."""

import json
import time
from dataclasses import replace
from io import BytesIO

import aiohttp
import pytest

from customer_tickets.devstack.realtime.profile import FAST
from realtime_client import ANON_KEY, Realtime, serve, token

pytest_plugins = ("fix_realtime",)
pytestmark = pytest.mark.anyio

BLANK = "can't be blank"
RATES = ("rolling", "limit", "limit-remaining")
SAID = {"type": "broadcast", "event": "said", "payload": {"n": 1}, "more": [None]}


async def test_a_broadcast_reaches_the_others_as_it_was_sent(
    realtime: Realtime, topic: str
) -> None:
    async with realtime.client() as client, realtime.client() as other:
        await client.join(topic)
        await other.join(topic)
        await client.send(f"realtime:{topic}", "broadcast", SAID)
        assert await other.receive() == {
            "topic": f"realtime:{topic}", "event": "broadcast", "payload": SAID, "ref": None
        }  # fmt: skip
        await client.nothing_more()  # neither an answer nor an echo


async def test_self_and_ack(realtime: Realtime, topic: str) -> None:
    async with realtime.client() as client:
        await client.join(topic, broadcast={"self": True, "ack": "true"})
        ref = await client.send(f"realtime:{topic}", "broadcast", SAID)
        assert (await client.receive())["payload"] == SAID
        answer = await client.receive()
        assert (answer["ref"], answer["payload"]) == (ref, {"status": "ok", "response": {}})


@pytest.mark.parametrize("ack", [True, False])
async def test_too_large_a_payload_is_refused_with_a_bare_string(
    realtime: Realtime, topic: str, ack: bool
) -> None:
    large = SAID | {"payload": {"x": "x" * 3_000_500}}
    async with realtime.client() as client, realtime.client() as other:
        await client.join(topic, broadcast={"ack": ack})
        await other.join(topic)
        await client.send(f"realtime:{topic}", "broadcast", large)
        if ack:
            answer = await client.receive()
            assert answer["payload"] == {"status": "error", "response": "payload_size_exceeded"}
        await client.nothing_more()
        await other.nothing_more()


async def test_a_receiver_over_the_event_rate_is_ended(realtime_dsn: str, topic: str) -> None:
    async with (
        serve(realtime_dsn, replace(FAST, events_per_second=1)) as server,
        server.client() as client,
        server.client() as other,
    ):
        await client.join(topic)
        await other.join(topic)
        for _ in range(4):
            await client.send(f"realtime:{topic}", "broadcast", SAID)
        system = (await other.until("system"))["payload"]
        assert system["message"] == "Too many messages per second"
        assert (await other.receive())["event"] == "phx_close"


# HTTP


async def test_a_batch_reaches_subscribers(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"], writes=["broadcast"])
    messages = [
        {"topic": topic, "event": "one", "payload": {"n": 1}, "private": None},
        {"topic": topic, "event": "two", "payload": {"n": 2}, "private": True},
    ]
    async with realtime.client() as open_, realtime.client() as closed:
        await open_.join(topic)
        await closed.join(topic, private=True, access_token=token("ana"))
        status, body = await realtime.post("/api/broadcast", {"messages": messages}, token("ana"))
        assert (status, body) == (202, None)
        for client, event, n in ((open_, "one", 1), (closed, "two", 2)):
            expected = {"type": "broadcast", "event": event, "payload": {"n": n}}
            assert (await client.receive())["payload"] == expected
            await client.nothing_more()


async def test_an_id_of_a_batch_s_message_is_its_meta(realtime: Realtime, topic: str) -> None:
    row_id = "5d41402a-bc4b-2a76-b971-9d911017c592"
    message = {"topic": topic, "event": "one", "payload": {}, "id": row_id}
    async with realtime.client() as client:
        await client.join(topic)
        assert await realtime.post("/api/broadcast", {"messages": [message]}) == (202, None)
        assert (await client.receive())["payload"]["meta"] == {"id": row_id}


async def test_writing_by_http_needs_no_right_to_read(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    await realtime.allow(topic, "ben", writes=["broadcast"])
    async with realtime.client() as client:
        await client.join(topic, private=True, access_token=token("ana"))
        path = f"/api/broadcast/{topic}/events/said?private=true"
        assert await realtime.post(path, {}, token("ben")) == (202, None)
        assert (await client.receive())["payload"]["event"] == "said"


async def test_what_a_policy_to_write_sees(realtime: Realtime, topic: str) -> None:
    condition = f"""
        realtime.topic() = '{topic}' and topic = '{topic}' and extension = 'broadcast'
        and private is false and event is null and payload is null and binary_payload is null
        and current_setting('request.jwt.claims')::jsonb ->> 'plan' = 'gold'
        and current_setting('request.jwt.claim.sub') = 'ana'
        and current_setting('request.jwt.claim.role') = 'authenticated'
        and current_setting('request.headers')::jsonb ->> 'x-region' = 'north'
        and not current_setting('request.headers')::jsonb ? 'authorization'
        and current_user = 'authenticated'"""
    await realtime.execute(
        'create policy "sees too" on realtime.messages for insert to authenticated'
        f" with check ({condition})"
    )
    url = f"{realtime.url}/api/broadcast/{topic}/events/said?private=true"
    try:
        async with aiohttp.ClientSession(headers={"X-Region": "north"}) as session:
            for plan, status in (("gold", 202), ("tin", 403)):
                bearer = {"authorization": f"Bearer {token('ana', plan=plan)}"}
                async with session.post(url, json={}, headers=bearer) as answer:
                    assert answer.status == status, plan
    finally:
        await realtime.execute('drop policy "sees too" on realtime.messages')


async def test_a_batch_is_accepted_though_its_messages_are_denied(
    realtime: Realtime, topic: str
) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    message = {"topic": topic, "event": "one", "payload": {}, "private": True}
    async with realtime.client() as client:
        await client.join(topic, private=True, access_token=token("ana"))
        status, _ = await realtime.post("/api/broadcast", {"messages": [message]}, token("ana"))
        assert status == 202
        await client.nothing_more()


@pytest.mark.parametrize(
    ("message", "errors"),
    [
        ({}, {"topic": [BLANK], "event": [BLANK], "payload": [BLANK]}),
        (
            {"topic": 1, "event": "e", "payload": []},
            {"topic": ["is invalid"], "payload": ["is invalid"]},
        ),
        (
            {"topic": "t", "event": "e", "payload": {}, "private": "x", "id": "y"},
            {"private": ["is invalid"], "id": ["is invalid"]},
        ),
        (
            {"topic": "\ud800", "event": "\ud800", "payload": {}, "private": True},
            {"topic": ["is invalid"], "event": ["is invalid"]},
        ),
    ],
)  # fmt: skip
async def test_a_batch_with_a_bad_message_is_refused_whole(
    realtime: Realtime, topic: str, message: object, errors: object
) -> None:
    good = {"topic": topic, "event": "e", "payload": {}}
    async with realtime.client() as client:
        await client.join(topic)
        answer = await realtime.post("/api/broadcast", {"messages": [good, message]})
        assert answer == (422, {"errors": {"messages": [{}, errors]}})
        await client.nothing_more()


@pytest.mark.parametrize("body", [{}, {"messages": []}, []])
async def test_a_batch_without_messages_is_refused(realtime: Realtime, body: object) -> None:
    answer = await realtime.post("/api/broadcast", body)
    assert answer == (422, {"errors": {"messages": [BLANK]}})


async def test_a_batch_with_a_payload_that_is_too_large_is_refused(
    realtime: Realtime, topic: str
) -> None:
    headers = {"authorization": f"Bearer {ANON_KEY}"}
    errors = {"payload": ["Payload size exceeds tenant limit"]}
    async with aiohttp.ClientSession(realtime.url, headers=headers) as session:
        for size, status in ((3_000_500, 202), (3_000_501, 422)):
            payload = {"x": "x" * (size - len('{"x":""}'))}
            body = {"messages": [{"topic": topic, "event": "e", "payload": payload}]}
            data = BytesIO(json.dumps(body).encode())
            async with session.post("/api/broadcast", data=data) as answer:
                assert answer.status == status
                if status == 422:
                    assert await answer.json() == {"errors": {"messages": [errors]}}


@pytest.mark.parametrize("path", ["/api/broadcast", "/realtime/v1/api/broadcast/t/events/e"])
async def test_broadcasting_by_http_needs_a_good_token(realtime: Realtime, path: str) -> None:
    assert await realtime.post(path, {}, "nonsense") == (401, {"message": "Unauthorized"})


async def test_the_key_is_the_token_when_there_is_no_other(realtime: Realtime) -> None:
    body = {"messages": [{"topic": "t", "event": "e", "payload": {}}]}
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{realtime.url}/api/broadcast", json=body, headers={"apikey": ANON_KEY}
        ) as answer,
    ):
        assert answer.status == 202


@pytest.mark.parametrize(
    ("body", "heard"), [({"n": 1}, {"n": 1}), ([1, 2], {"_json": [1, 2]}), ("x", {"_json": "x"})]
)
async def test_a_single_message_s_body_is_its_payload(
    realtime: Realtime, topic: str, body: object, heard: object
) -> None:
    async with realtime.client() as client:
        await client.join(topic)
        path = f"/api/broadcast/{topic}/events/said%20so"
        assert await realtime.post(path, body) == (202, None)
        payload = (await client.receive())["payload"]
        assert payload == {"type": "broadcast", "event": "said so", "payload": heard}


async def test_a_single_message_that_is_denied_says_so(realtime: Realtime, topic: str) -> None:
    path = f"/api/broadcast/{topic}/events/said?private=true"
    assert await realtime.post(path, {}, token("ana")) == (403, {"message": "Unauthorized"})
    await realtime.allow(topic, "ana", reads=["broadcast"], writes=["broadcast"])
    async with realtime.client() as client:
        await client.join(topic, private=True, access_token=token("ana"))
        assert await realtime.post(path, {"n": 1}, token("ana")) == (202, None)
        assert (await client.receive())["payload"]["payload"] == {"n": 1}


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"text", "text/plain", 415),
        (b"{", "application/json", 400),
        (b"x" * 3_000_501, "application/octet-stream", 422),
        (b"x" * 8_000_001, "application/octet-stream", 413),
        (b"\x00", "application/octet-stream", 202),
    ],
)
async def test_what_a_single_message_may_be(
    realtime: Realtime, topic: str, data: bytes, kind: str, status: int
) -> None:
    path = f"/api/broadcast/{topic}/events/e"
    headers = {"content-type": kind, "authorization": f"Bearer {ANON_KEY}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{realtime.url}{path}", data=BytesIO(data), headers=headers) as answer,
    ):
        assert answer.status == status
        if status == 422:
            errors = {"payload": ["Payload size exceeds tenant limit"]}
            assert await answer.json() == {"errors": errors}


async def test_http_over_the_event_rate_is_told_to_slow_down(realtime_dsn: str, topic: str) -> None:
    messages = [{"topic": topic, "event": "e", "payload": {}}] * 3
    async with serve(realtime_dsn, replace(FAST, events_per_second=2)) as server:
        answer = await server.post("/api/broadcast", {"messages": messages})
        text = "Too many messages to broadcast, please reduce the batch size"
        assert answer == (429, {"message": text})
        for _ in range(10):
            await server.post(f"/api/broadcast/{topic}/events/e", {})
        for path in ("/api/broadcast", f"/api/broadcast/{topic}/events/e"):
            # Before the token and the message are looked at.
            answer = await server.post(path, {}, "nonsense")
            assert answer == (429, {"message": "Too many requests"})


@pytest.mark.parametrize("refused", [False, True])
async def test_http_says_how_far_the_rate_is_used_up(
    realtime_dsn: str, topic: str, refused: bool
) -> None:
    headers = {"authorization": f"Bearer {ANON_KEY}"}
    async with serve(realtime_dsn, replace(FAST, events_per_second=4)) as server:
        # Averaged over a bucket of five seconds: with the message 4 a second, or 3.
        server.project.events.count(time.monotonic(), 19 if refused else 14)
        messages = [{"topic": topic, "event": "e", "payload": {}}]
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{server.url}/api/broadcast", json={"messages": messages}) as answer,
        ):
            assert answer.status == (429 if refused else 202)
            rates = {name: answer.headers[f"x-rate-{name}"] for name in RATES}
        assert rates == {"rolling": "3", "limit": "4", "limit-remaining": "1"}


async def test_an_event_is_counted_when_sent_and_with_each_delivery(
    realtime_dsn: str, topic: str
) -> None:
    async with (
        serve(realtime_dsn, replace(FAST, events_per_second=1000)) as server,
        server.client() as client,
        server.client() as other,
    ):
        await client.join(topic, broadcast={"self": True})
        await other.join(topic)
        await client.send(f"realtime:{topic}", "broadcast", SAID)
        await other.receive()
        assert server.project.events.average(time.monotonic()) * 5 == 3
