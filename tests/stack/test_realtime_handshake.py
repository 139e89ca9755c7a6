"""Connecting, framing, heartbeats and the codes with which a socket is closed."""

import asyncio
import base64
import json
import time
from contextlib import suppress
from dataclasses import replace

import aiohttp
import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from customer_tickets.devstack.realtime.limits import Rate
from customer_tickets.devstack.realtime.profile import FAST
from realtime_client import ANON_KEY, SECRET, Realtime, serve, token

pytest_plugins = ("fix_realtime",)
pytestmark = pytest.mark.anyio


async def refusal(server: Realtime, query: str, **headers: str) -> tuple[int, str]:
    """Status and body of a refused handshake."""
    upgrade = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": base64.b64encode(bytes(16)).decode(),
    }
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}/socket/websocket?{query}", headers=upgrade | headers) as answer,
    ):
        return answer.status, await answer.text()


REFUSED = {
    "API key is missing": "",
    "Token has expired": token(role="anon", lifetime=-5),
    "Fields `role` and `exp` are required in JWT": jwt.encode({"role": "anon"}, SECRET),
    "The token provided is not a valid JWT": "nonsense",
    "Failed to validate JWT signature": jwt.encode({"role": "anon", "exp": 1e10}, "x" * 40),
    "Failed to generate JWT signer, check your JWT secret or JWKS": jwt.encode(
        {"role": "service_role", "exp": 1e10}, "", algorithm="none"
    ),
}


@pytest.mark.parametrize("text", REFUSED)
async def test_a_bad_key_is_refused_with_401(realtime: Realtime, text: str) -> None:
    status, body = await refusal(realtime, f"apikey={REFUSED[text]}")
    assert (status, json.loads(body)) == (401, {"error": text})


async def test_the_key_in_the_header_wins(realtime: Realtime) -> None:
    headers = {"x-api-key": "nonsense"}
    assert (await refusal(realtime, f"apikey={ANON_KEY}", **headers))[0] == 401


async def test_an_unknown_version_is_refused_with_403_and_no_body(realtime: Realtime) -> None:
    assert await refusal(realtime, f"apikey={ANON_KEY}&vsn=3.0.0") == (403, "")


async def test_a_refusal_keeps_the_client_waiting(realtime_dsn: str) -> None:
    async with serve(realtime_dsn, replace(FAST, connect_error_delay=0.3)) as server:
        started = time.monotonic()
        await refusal(server, "apikey=nonsense")
        assert time.monotonic() - started >= 0.3


async def test_too_many_connected_users_are_refused_with_429(realtime_dsn: str, topic: str) -> None:
    async with serve(realtime_dsn, replace(FAST, sockets=1)) as server, server.client() as first:
        async with server.client() as second:
            await first.join(topic)
            reply = await second.join(topic)
        status, body = await refusal(server, f"apikey={ANON_KEY}")
    reason = "ConnectionRateLimitReached: Too many connected users"
    assert reply == {"status": "error", "response": {"reason": reason}}
    assert (status, json.loads(body)) == (429, {"error": "Too many connected users"})


async def test_too_many_joins_in_the_project_refuse_new_sockets_with_429(
    realtime: Realtime,
) -> None:
    realtime.project.joins = Rate(0)
    status, body = await refusal(realtime, f"apikey={ANON_KEY}")
    assert (status, json.loads(body)) == (429, {"error": "Too many joins per second"})


async def test_the_key_is_looked_at_when_connecting_and_joining_and_not_between(
    realtime: Realtime, topic: str
) -> None:
    async with realtime.client(key=token(role="anon", lifetime=0.5)) as client:
        await client.join(topic, access_token=token("ana"))
        await asyncio.sleep(0.6)
        reply = await client.join(f"{topic}:2")
        assert reply["response"]["reason"].startswith("InvalidJWTToken: Token has expired ")
        await client.nothing_more()  # neither the socket nor the other channel ends
        assert (await client.join(f"{topic}:3", access_token=token("ana")))["status"] == "ok"


async def test_health(realtime: Realtime) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{realtime.url}/health") as answer:
        assert answer.status == 200


async def test_the_version_is_1_unless_said_otherwise(realtime: Realtime) -> None:
    url = realtime.url.replace("http", "ws") + f"/realtime/v1/websocket?apikey={ANON_KEY}"
    async with connect(url) as socket:
        await socket.send('{"topic":"phoenix","event":"heartbeat","payload":{},"ref":null}')
        assert json.loads(await socket.recv()) == {
            "topic": "phoenix",
            "event": "phx_reply",
            "payload": {"status": "ok", "response": {}},
            "ref": None,
        }


@pytest.mark.parametrize(
    "frame",
    [
        "no json",
        "[1]",
        "[" * 100_000,
        '{"topic":"phoenix","event":"heartbeat","payload":{}}',
        '{"event":"heartbeat","payload":{},"ref":"1"}',
        '{"topic":"phoenix","payload":{},"ref":"1"}',
        '{"topic":"phoenix","event":"heartbeat","ref":"1"}',
        '{"topic":7,"event":"heartbeat","payload":{},"ref":"1"}',
        '{"topic":"\\ud800","event":"phx_join","payload":{},"ref":"1"}',
        '{"topic":"phoenix","event":"heartbeat","payload":NaN,"ref":"1"}',
        b"\x00\x01",
        b"",
    ],
    ids=range(12),
)
async def test_a_malformed_frame_is_dropped_and_the_connection_kept(
    realtime: Realtime, frame: str | bytes
) -> None:
    async with realtime.client() as client:
        await client.socket.send(frame)
        await client.nothing_more()


async def test_nothing_tells_the_join_ref_on_version_1(realtime: Realtime, topic: str) -> None:
    async with realtime.client() as client:
        await client.join(topic, presence={"enabled": True})
        await client.until("presence_state")
        await client.send(f"realtime:{topic}", "phx_leave")
        await client.until("phx_close")
    assert {tuple(sorted(frame)) for frame in client.seen} == {("event", "payload", "ref", "topic")}


async def test_an_idle_socket_is_closed_with_1000(realtime_dsn: str) -> None:
    async with (
        serve(realtime_dsn, replace(FAST, idle_timeout=0.2)) as server,
        server.client() as client,
    ):
        with pytest.raises(ConnectionClosed):
            await client.receive()
        assert client.socket.close_code == 1000


async def test_a_ping_counts_as_a_sign_of_life(realtime_dsn: str) -> None:
    async with (
        serve(realtime_dsn, replace(FAST, idle_timeout=0.5)) as server,
        server.client() as client,
    ):
        for _ in range(4):
            await asyncio.sleep(0.2)
            await client.socket.ping()
        await client.nothing_more()


async def test_a_frame_that_is_too_long_closes_with_1009(realtime: Realtime) -> None:
    async with realtime.client() as client:
        with suppress(ConnectionClosed):  # it may be noticed while sending, or afterwards
            await client.send("realtime:x", "broadcast", {"pad": "x" * 5_000_000})
            await client.receive()
        assert client.socket.close_code == 1009


async def test_a_socket_that_left_all_its_channels_is_cut_at_the_sweep(
    realtime_dsn: str, topic: str
) -> None:
    profile = replace(FAST, empty_sweep=0.2)
    async with (
        serve(realtime_dsn, profile) as server,
        server.client() as never_joined,
        server.client() as client,
    ):
        await client.join(topic)
        await client.send(f"realtime:{topic}", "phx_leave")
        with pytest.raises(ConnectionClosed):
            await client.until("never")
        assert client.socket.close_code == 1006
        await never_joined.nothing_more()


async def test_a_stopping_server_says_so_and_closes_with_1012(
    realtime_dsn: str, topic: str
) -> None:
    async with serve(realtime_dsn) as server:
        connection = server.client()
        client = await connection.__aenter__()
        await client.join(topic)
    try:
        frame = await client.receive()
        with pytest.raises(ConnectionClosed):
            await client.receive()
    finally:
        await connection.__aexit__(None, None, None)
    assert client.socket.close_code == 1012
    assert frame["event"] == "system"
    assert frame["payload"] == {
        "extension": "system",
        "status": "ok",
        "message": "Server requested disconnect",
    }
