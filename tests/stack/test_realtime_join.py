"""Joining, rejoining and leaving: the order on the wire, and every reason for a refusal."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import jwt
import pytest
from websockets.exceptions import ConnectionClosed

from customer_tickets.devstack.realtime.profile import FAST
from realtime_client import SECRET, Frames, Realtime, serve, token

pytest_plugins = ("fix_realtime",)
pytestmark = pytest.mark.anyio


def error(reason: str) -> dict[str, object]:
    return {"status": "error", "response": {"reason": reason}}


async def test_a_join_is_answered_with_the_changes_that_were_asked_for(
    realtime: Realtime, topic: str
) -> None:
    wanted = {"event": "*", "schema": "public", "table": "tickets"}
    async with realtime.client() as client:
        reply = await client.join(topic, postgres_changes=[wanted, None, wanted])
        [first, second] = reply["response"]["postgres_changes"]
        assert first == second == wanted | {"id": first["id"]}
        assert isinstance(first["id"], int)
        system = (await client.until("system"))["payload"]
        assert (system["extension"], system["status"]) == ("postgres_changes", "error")
        await client.nothing_more()  # and the channel stays joined
        plain = await client.join(f"{topic}:plain")
    assert plain == {"status": "ok", "response": {"postgres_changes": []}}


@pytest.mark.parametrize("payload", [None, [], "text", {"config": 5}, {"config": {"private": 7}}])
async def test_a_payload_of_the_wrong_form_does_not_fail_the_join(
    realtime: Realtime, topic: str, payload: object
) -> None:
    async with realtime.client() as client:
        await client.send(f"realtime:{topic}", "phx_join", payload)
        assert (await client.receive())["payload"]["status"] == "ok"


BAD_TOKENS = {
    "MalformedJWT: The token provided is not a valid JWT": "nonsense",
    "JwtSignatureError: Failed to validate JWT signature": jwt.encode(
        {"role": "anon", "exp": 1e10}, "another secret, just as long as it has to be"
    ),
    "InvalidJWTToken: Fields `role` and `exp` are required in JWT": jwt.encode(
        {"exp": 1e10}, SECRET
    ),
    "InvalidJWTToken: Token expiration time is invalid": jwt.api_jws.encode(
        b'{"role": "anon", "exp": "soon"}', SECRET
    ),
    "JwtSignerError: Failed to generate JWT signer, check your JWT secret or JWKS": jwt.encode(
        {"role": "service_role", "exp": 1e10}, "", algorithm="none"
    ),
}


@pytest.mark.parametrize("reason", BAD_TOKENS)
async def test_a_bad_token_refuses_the_join(realtime: Realtime, topic: str, reason: str) -> None:
    async with realtime.client() as client:
        reply = await client.join(topic, access_token=BAD_TOKENS[reason])
    assert reply == error(reason)


async def test_an_old_token_refuses_the_join_and_says_how_old(
    realtime: Realtime, topic: str
) -> None:
    async with realtime.client() as client:
        reply = await client.join(topic, access_token=token("a", lifetime=-7.5))
    assert reply == error("InvalidJWTToken: Token has expired 7 seconds ago")


@pytest.mark.parametrize("name", ["access_token", "user_token"])
@pytest.mark.parametrize("value", ["sb_publishable_key", None, 5, ["x"], {}])
async def test_what_is_no_token_means_the_socket_s_own_key(
    realtime: Realtime, topic: str, name: str, value: object
) -> None:
    async with realtime.client() as client:
        await client.send(f"realtime:{topic}", "phx_join", {name: value})
        assert (await client.receive())["payload"]["status"] == "ok"


async def test_the_older_name_of_the_token_wins(realtime: Realtime, topic: str) -> None:
    async with realtime.client() as client:
        payload = {"user_token": "nonsense", "access_token": token("a")}
        await client.send(f"realtime:{topic}", "phx_join", payload)
        assert (await client.receive())["payload"]["status"] == "error"


async def test_a_topic_needs_a_name(realtime: Realtime) -> None:
    async with realtime.client() as client:
        reply = await client.join("")
    assert reply == error("TopicNameRequired: You must provide a topic name")


@pytest.mark.parametrize("event", ["phx_join", "broadcast", "access_token"])
async def test_other_topics_are_unmatched_at_once(realtime_dsn: str, event: str) -> None:
    async with (
        serve(realtime_dsn, replace(FAST, join_error_delay=60)) as server,
        server.client() as client,
    ):
        await client.send("something:else", event)
        assert (await client.receive())["payload"] == error("unmatched topic")


async def test_private_only_refuses_public_channels(realtime_dsn: str, topic: str) -> None:
    async with (
        serve(realtime_dsn, replace(FAST, private_only=True)) as server,
        server.client() as client,
    ):
        assert await client.join(topic) == error(
            "PrivateOnly: This project only allows private channels"
        )


async def test_a_socket_has_so_many_channels_and_no_more(realtime_dsn: str, topic: str) -> None:
    async with (
        serve(realtime_dsn, replace(FAST, channels_per_socket=1)) as server,
        server.client() as client,
    ):
        await client.join(topic)
        reply = await client.join(f"{topic}:second")
        assert reply == error("ChannelRateLimitReached: Too many channels")
        assert (await client.join(topic))["status"] == "ok"


async def test_too_many_joins_close_the_socket_with_1001(realtime_dsn: str, topic: str) -> None:
    async with (
        serve(realtime_dsn, replace(FAST, joins_per_second=0.5)) as server,
        server.client() as client,
    ):
        replies = [await client.join(topic) for _ in range(3)]
        assert replies[-1] == error("ClientJoinRateLimitReached: Too many joins per second")
        with pytest.raises(ConnectionClosed):
            await client.until("never")
        assert client.socket.close_code == 1001


async def test_without_a_database_nobody_joins(topic: str) -> None:
    async with (
        serve("postgresql://nobody@127.0.0.1:1/nothing") as server,
        server.client() as client,
    ):
        reply = await client.join(topic)
        assert reply == error(
            "UnableToConnectToProject: Realtime was unable to connect to the project database"
        )
        await client.nothing_more()


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"private": True, "broadcast": {"replay": {}}}, "Replay params are not valid"),
        (
            {"private": True, "broadcast": {"replay": {"since": 1, "limit": "5"}}},
            "Replay params are not valid",
        ),
        (
            {"private": True, "broadcast": {"replay": {"since": 10**40}}},
            "Replay params are not valid",
        ),
        ({"broadcast": {"replay": None}}, "Replay is not allowed for public channels"),
    ],
)
async def test_a_replay_that_cannot_be_refuses_the_join(
    realtime: Realtime, topic: str, config: dict[str, Any], reason: str
) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    async with realtime.client() as client:
        reply = await client.join(topic, access_token=token("ana"), **config)
    assert reply == error(f"UnableToReplayMessages: {reason}")


async def test_a_failed_join_stops_the_whole_socket_for_a_while(
    realtime_dsn: str, topic: str
) -> None:
    async with (
        serve(realtime_dsn, replace(FAST, join_error_delay=0.5)) as server,
        server.client() as client,
    ):
        await client.join_ready(topic)
        started = time.monotonic()
        await client.send("realtime:", "phx_join")
        await client.send("phoenix", "heartbeat")
        await server.announce(topic, private=False)
        assert time.monotonic() - started < 0.4
        frames = [await client.receive() for _ in range(3)]
        assert time.monotonic() - started >= 0.5
    assert frames[0]["payload"]["status"] == "error"
    assert {frames[1]["event"], frames[2]["event"]} == {"broadcast", "phx_reply"}


async def test_joining_again_answers_first_and_then_closes_the_old_channel(
    realtime: Realtime, topic: str
) -> None:
    name = f"realtime:{topic}"
    async with realtime.client() as client:
        await client.send(name, "phx_join", {}, ref="1", join_ref="old")
        await client.send(name, "phx_join", {}, ref="2", join_ref="new")
        first, second, third = [await client.receive() for _ in range(3)]
        assert [first["ref"], second["ref"]] == ["1", "2"]
        assert second["payload"]["status"] == "ok"
        assert third == {"topic": name, "event": "phx_close", "payload": {}, "ref": "old"}
        await client.send(name, "phx_leave")
        assert (await client.until("phx_close"))["ref"] == "new"


async def test_joining_again_without_success_leaves_nothing(realtime: Realtime, topic: str) -> None:
    name = f"realtime:{topic}"
    async with realtime.client() as client:
        await client.send(name, "phx_join", {}, ref="1", join_ref="old")
        await client.send(name, "phx_join", {"access_token": "bad"}, ref="2", join_ref="new")
        _, refused, closed = [await client.receive() for _ in range(3)]
        assert refused["payload"]["status"] == "error"
        assert (closed["event"], closed["ref"]) == ("phx_close", "old")
        await client.send(name, "broadcast")
        assert (await client.receive())["payload"] == error("unmatched topic")


async def test_leaving_answers_and_then_closes(realtime: Realtime, topic: str) -> None:
    name = f"realtime:{topic}"
    async with realtime.client() as client:
        await client.join(topic)
        ref = await client.send(name, "phx_leave")
        ok = {"status": "ok", "response": {}}
        assert await client.receive() == {
            "topic": name, "event": "phx_reply", "payload": ok, "ref": ref
        }  # fmt: skip
        closed = await client.receive()
        assert closed == {"topic": name, "event": "phx_close", "payload": {}, "ref": "1"}
        again = await client.send(name, "phx_leave")
        assert (await client.receive())["payload"] == ok
        assert again != ref


async def test_a_push_with_a_stale_join_ref_is_accepted(realtime: Realtime, topic: str) -> None:
    async with realtime.client() as client:
        await client.join(topic, broadcast={"ack": True})
        await client.send(f"realtime:{topic}", "broadcast", {"event": "x"}, join_ref="stale")
        assert (await client.receive())["payload"]["status"] == "ok"


async def test_private_and_public_channels_of_one_name_are_apart(
    realtime: Realtime, topic: str
) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    async with realtime.client() as open_, realtime.client() as closed:
        await open_.join_ready(topic)
        await closed.join_ready(topic, private=True, access_token=token("ana"))
        await realtime.announce(topic, '{"for": "private"}', private=True)
        await realtime.announce(topic, '{"for": "public"}', private=False)
        for client, kind in ((open_, "public"), (closed, "private")):
            assert (await client.receive())["payload"]["payload"]["for"] == kind
            await client.nothing_more()


async def test_replication_that_does_not_come_in_time_ends_the_channel(
    realtime_dsn: str, topic: str
) -> None:
    async with (
        serve(realtime_dsn, replace(FAST, ready_timeout=0.2)) as server,
        server.client() as client,
    ):
        server.project.capture.want = lambda: None  # type: ignore[method-assign]  # a database that is too slow
        await client.join(topic, broadcast={"replication_ready": True})
        payload = (await client.receive())["payload"]
        assert payload == {
            "extension": "system",
            "status": "error",
            "message": "Replication connection was not established in time",
            "channel": topic,
        }
        assert (await client.receive())["event"] == "phx_close"


async def test_a_channel_that_crashes_says_so_and_the_socket_lives(
    realtime: Realtime, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with realtime.client() as client:
        await client.join(topic)
        realtime.project.hub.publish = None  # type: ignore[assignment,method-assign]  # a bug, say
        await client.send(f"realtime:{topic}", "broadcast", {"event": "x"})
        frame = await client.receive()
        assert frame == {
            "topic": f"realtime:{topic}",
            "event": "phx_error",
            "payload": {"reason": "channel_crash"},
            "ref": "1",
        }
        await client.nothing_more()
    assert "channel crashed" in caplog.text


async def test_a_crowd_of_sockets_joins_at_once(realtime: Realtime, topic: str) -> None:
    async def visit(client: Frames) -> str:
        reply = await client.join(topic)
        return str(reply["status"])

    async with asyncio.timeout(30):
        connections = [realtime.client() for _ in range(50)]
        clients = [await connection.__aenter__() for connection in connections]
        assert set(await asyncio.gather(*map(visit, clients))) == {"ok"}
        for connection in connections:
            await connection.__aexit__(None, None, None)
