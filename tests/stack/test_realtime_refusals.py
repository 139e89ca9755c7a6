"""Which refusal comes first, and what a database that does not answer does to a client."""

from dataclasses import replace
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed

from customer_tickets.devstack.realtime.faults import Spoil
from customer_tickets.devstack.realtime.limits import Rate
from customer_tickets.devstack.realtime.profile import FAST
from realtime_client import Frames, Realtime, serve, token
from tcp_proxy import TcpProxy

pytest_plugins = ("fix_realtime",)
pytestmark = pytest.mark.anyio

DATABASE = "customer_tickets.devstack.realtime.database"
UNREACHABLE = "Realtime was unable to connect to the project database"
UNAVAILABLE = "Tenant database unavailable"
SAID = {"type": "broadcast", "event": "said", "payload": {}}

# In the order in which they are looked at.
REASONS = {
    "name": "TopicNameRequired: ",
    "private only": "PrivateOnly: ",
    "users": "ConnectionRateLimitReached: ",
    "joins": "ClientJoinRateLimitReached: ",
    "channels": "ChannelRateLimitReached: ",
    "token": "MalformedJWT: ",
    "database": f"UnableToConnectToProject: {UNREACHABLE}",
    "policy": "Unauthorized: ",
    "replay": "UnableToReplayMessages: ",
}
ORDER = list(REASONS)


def error(reason: str) -> dict[str, object]:
    return {"status": "error", "response": {"reason": reason}}


async def ended(client: Frames) -> str:
    """The message of the system error with which a channel ended."""
    payload = (await client.until("system"))["payload"]
    assert (payload["extension"], payload["status"]) == ("system", "error")
    assert (await client.receive())["event"] == "phx_close"
    return str(payload["message"])


@pytest.mark.parametrize(("first", "second"), list(pairwise(ORDER)))
async def test_of_two_reasons_the_earlier_is_told(
    realtime_dsn: str, topic: str, first: str, second: str
) -> None:
    both = {first, second}
    dsn = "postgresql://nobody@127.0.0.1:1/nothing" if "database" in both else realtime_dsn
    async with serve(dsn) as server, server.client() as client:
        server.project.profile = replace(
            FAST,
            private_only="private only" in both,
            sockets=0 if "users" in both else None,
            channels_per_socket=0 if "channels" in both else None,
        )
        server.project.joins = Rate(0 if "joins" in both else None)
        reply = await client.join(
            "" if "name" in both else topic,
            access_token="nonsense" if "token" in both else token("ana"),
            private=bool(both & {"policy", "replay"}),
            broadcast={"replay": {}} if "replay" in both else {},
        )
    assert reply["status"] == "error"
    assert reply["response"]["reason"].startswith(REASONS[first])


@pytest.mark.parametrize(
    "reason",
    [
        "TenantNotFound: Tenant with the given ID does not exist",
        "ClientJoinRateLimitReached: Too many joins per second",
    ],
)
async def test_some_reasons_close_the_socket_with_1001(
    realtime: Realtime, topic: str, reason: str
) -> None:
    realtime.project.faults.joins.append(Spoil(1, reason=reason))
    async with realtime.client() as client:
        assert await client.join(topic) == error(reason)
        with pytest.raises(ConnectionClosed):
            await client.receive()
        assert client.socket.close_code == 1001


async def test_a_join_that_crashes_says_so_and_no_more(
    realtime: Realtime,
    topic: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def crash(*_: object) -> None:
        raise RuntimeError("ana@example.com")

    async with realtime.client() as client:
        with monkeypatch.context() as patch:
            patch.setattr("customer_tickets.devstack.realtime.socket.admit", crash)
            assert await client.join(topic) == error("join crashed")
        assert (await client.join(topic))["status"] == "ok"
    assert "join crashed: RuntimeError" in caplog.text
    assert "example" not in caplog.text


async def test_a_replay_that_fails_refuses_the_join(
    realtime: Realtime, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"])
    # The columns of the table, as a migration of the server's might leave them.
    query = "select nothing from realtime.messages where topic = %s and %s < %s limit %s"
    monkeypatch.setattr("customer_tickets.devstack.realtime.history.NEWEST", query)
    replay = {"replay": {"since": 0}}
    async with realtime.client() as client:
        reply = await client.join(topic, private=True, access_token=token("ana"), broadcast=replay)
        assert reply == error("UnableToReplayMessages: Realtime was unable to replay messages")
        await client.nothing_more()


async def test_a_policy_that_takes_too_long_is_cancelled(
    realtime_dsn: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{DATABASE}.STATEMENT_TIMEOUT_MS", 300)
    text = "Query was cancelled, please try again"
    async with serve(realtime_dsn) as server, server.client() as client:
        await server.allow(topic, "ana", reads=["broadcast"])
        await client.join(topic, private=True, access_token=token("ana"))
        await server.execute(
            'create policy "slow" on realtime.messages for select to authenticated'
            f" using (case when realtime.topic() = '{topic}' then pg_sleep(9) is null end)"
        )
        try:
            ben = token("ben")
            await client.send(f"realtime:{topic}", "access_token", {"access_token": ben})
            assert await ended(client) == text
            reply = await client.join(topic, private=True, access_token=ben)
        finally:
            await server.execute('drop policy "slow" on realtime.messages')
    assert reply == error(f"QueryCanceled: {text}")


async def test_while_the_database_is_gone_writing_is_silent_and_a_token_ends_the_channel(
    realtime_dsn: str, topic: str
) -> None:
    address = urlsplit(realtime_dsn)
    assert address.port is not None
    with TcpProxy(address.port) as proxy:
        dsn = realtime_dsn.replace(f":{address.port}/", f":{proxy.port}/")
        async with serve(dsn) as server, server.client() as client:
            server.dsn = realtime_dsn
            await server.allow(topic, "ana", reads=["broadcast"], writes=["broadcast"])
            ana = token("ana")
            config = {"private": True, "broadcast": {"ack": True}}
            await client.join_ready(topic, access_token=ana, **config)
            proxy.refuse()
            await client.send(f"realtime:{topic}", "broadcast", SAID)
            ref = await client.send(f"realtime:{topic}", "presence", {"event": "untrack"})
            assert (await client.receive())["ref"] == ref
            path = f"/api/broadcast/{topic}/events/said?private=true"
            assert await server.post(path, {}, ana) == (422, {"message": UNAVAILABLE})
            batch = {"messages": [{"topic": topic, "event": "e", "payload": {}, "private": True}]}
            assert await server.post("/api/broadcast", batch, ana) == (202, None)
            newer = {"access_token": token("ana", lifetime=900)}
            await client.send(f"realtime:{topic}", "access_token", newer)
            assert await ended(client) == UNREACHABLE
            refused = await client.join(topic, access_token=ana, **config)
            assert refused == error(f"UnableToConnectToProject: {UNREACHABLE}")
            proxy.heal()
            await client.join_ready(topic, access_token=ana, **config)
            await client.send(f"realtime:{topic}", "broadcast", SAID)
            assert (await client.until("phx_reply"))["payload"]["status"] == "ok"


async def test_a_policy_to_write_that_raises_silences_everything(
    realtime: Realtime, topic: str
) -> None:
    both = ["broadcast", "presence"]
    await realtime.allow(topic, "ana", reads=both, writes=["broadcast"])
    ana = token("ana")
    # Both kinds are asked about at once, so that trouble with one is trouble with the other.
    await realtime.execute(
        'create policy "raises to write" on realtime.messages for insert to authenticated'
        f" with check (case when topic = '{topic}' and extension = 'presence'"
        " then 1 / length(left(topic, 0)) = 1 end)"
    )
    try:
        async with realtime.client() as client:
            own = {"self": True, "ack": True}
            await client.join(topic, private=True, access_token=ana, broadcast=own)
            await client.send(f"realtime:{topic}", "broadcast", SAID)
            ref = await client.send(f"realtime:{topic}", "presence", {"event": "track"})
            denied = await client.receive()
            assert (denied["ref"], denied["payload"]["status"]) == (ref, "error")
            path = f"/api/broadcast/{topic}/events/said?private=true"
            answer = await realtime.post(path, {}, ana)
            assert answer == (422, {"message": "RLS policy error"})
            await client.nothing_more()
    finally:
        await realtime.execute('drop policy "raises to write" on realtime.messages')


async def test_a_missing_partition_is_told_to_those_who_ask(realtime: Realtime, topic: str) -> None:
    await realtime.allow(topic, "ana", reads=["broadcast"], writes=["broadcast"])
    path = f"/api/broadcast/{topic}/events/said?private=true"
    own = {"ack": True, "self": True}
    async with realtime.client() as client:
        await client.join(topic, private=True, access_token=token("ana"), broadcast=own)
        [(name,)] = await realtime.execute("select to_char(now(), '\"messages_\"YYYY_MM_DD')")
        await realtime.execute(f"alter table realtime.messages detach partition realtime.{name}")
        try:
            answer = await realtime.post(path, {}, token("ana"))
            await client.send(f"realtime:{topic}", "broadcast", SAID)
            ref = await client.send(f"realtime:{topic}", "presence", {"event": "untrack"})
            assert (await client.receive())["ref"] == ref
            newer = {"access_token": token("ana", lifetime=900)}
            await client.send(f"realtime:{topic}", "access_token", newer)
            assert await ended(client) == UNREACHABLE
        finally:
            await realtime.execute(
                f"alter table realtime.messages attach partition realtime.{name} for values"
                " from (current_date) to (current_date + 1)"
            )
    assert answer == (422, {"message": "Missing messages partition"})
