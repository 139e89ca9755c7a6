"""Presence: who is on a topic, as clients are told."""

from dataclasses import replace
from typing import Any

import pytest

from customer_tickets.devstack.realtime.profile import FAST
from realtime_client import Frames, Realtime, serve, token

pytest_plugins = ("fix_realtime",)
pytestmark = pytest.mark.anyio

OK = {"status": "ok", "response": {}}


def keyed(key: str) -> dict[str, object]:
    return {"enabled": True, "key": key}


async def track(client: Frames, topic: str, payload: object, event: str = "track") -> Any:
    """Track and return the payload of the answer."""
    message = {"type": "presence", "event": event, "payload": payload}
    ref = await client.send(f"realtime:{topic}", "presence", message)
    while (frame := await client.receive())["ref"] != ref:
        pass
    return frame["payload"]


async def diff(client: Frames) -> tuple[Any, Any]:
    """Joins and leaves of the next diff."""
    payload = (await client.until("presence_diff"))["payload"]
    assert set(payload) == {"joins", "leaves"}
    return payload["joins"], payload["leaves"]


async def test_who_joins_is_told_who_is_there(realtime: Realtime, topic: str) -> None:
    async with realtime.client() as ana, realtime.client() as ben:
        await ana.join(topic, presence=keyed("ana"))
        assert (await ana.until("presence_state"))["payload"] == {}
        assert await track(ana, topic, {"mood": "good"}) == OK
        await ben.join(topic, presence=keyed("ben"))
        state = (await ben.until("presence_state"))["payload"]
    [meta] = state["ana"]["metas"]
    assert set(state) == {"ana"}
    assert meta == {"mood": "good", "phx_ref": meta["phx_ref"]}
    assert isinstance(meta["phx_ref"], str)


async def test_coming_changing_and_going_are_told_to_all(realtime: Realtime, topic: str) -> None:
    async with realtime.client() as ana, realtime.client() as ben:
        await ana.join(topic, presence=keyed("ana"))
        await ben.join(topic)  # presence is public on a public channel, wanted or not
        await track(ana, topic, {"n": 1})
        joins, leaves = await diff(ben)
        [first] = joins["ana"]["metas"]
        assert (first["n"], leaves) == (1, {})
        await track(ana, topic, {"n": 2}, event="TRACK")
        joins, leaves = await diff(ben)
        [second] = joins["ana"]["metas"]
        assert second["phx_ref_prev"] == first["phx_ref"]
        assert leaves == {"ana": {"metas": [first]}}
        assert await track(ana, topic, None, event="untrack") == OK
        assert await diff(ben) == ({}, {"ana": {"metas": [second]}})
    events = [frame["event"] for frame in ana.seen]
    assert events.count("presence_diff") == 3  # one's own as well


async def test_the_same_again_is_fine_and_tells_nobody(realtime: Realtime, topic: str) -> None:
    async with realtime.client() as ana, realtime.client() as ben:
        await ana.join(topic, presence=keyed("ana"))
        await ben.join(topic)
        await track(ana, topic, {"n": 1})
        await diff(ben)
        assert await track(ana, topic, {"n": 1}) == OK
        await ben.nothing_more()


@pytest.mark.parametrize("how", ["leave", "disconnect", "rejoin"])
async def test_whoever_is_gone_is_not_present(realtime: Realtime, topic: str, how: str) -> None:
    async with realtime.client() as ben:
        await ben.join(topic)
        async with realtime.client() as ana:
            await ana.join(topic, presence=keyed("ana"))
            await track(ana, topic, {})
            await diff(ben)
            if how == "leave":
                await ana.send(f"realtime:{topic}", "phx_leave")
                await ana.until("phx_close")
            if how == "rejoin":
                await ana.join(topic, presence=keyed("ana"))
        joins, leaves = await diff(ben)
    assert joins == {}
    assert set(leaves) == {"ana"}


async def test_one_key_from_two_channels_has_two_metas(realtime: Realtime, topic: str) -> None:
    async with realtime.client() as one, realtime.client() as two, realtime.client() as ben:
        for n, client in enumerate((one, two)):
            await client.join(topic, presence=keyed("ana"))
            await track(client, topic, {"n": n})
        await ben.join(topic, presence={"enabled": True})
        state = (await ben.until("presence_state"))["payload"]
    assert [meta["n"] for meta in state["ana"]["metas"]] == [0, 1]


async def test_without_a_key_the_server_makes_one(realtime: Realtime, topic: str) -> None:
    async with realtime.client() as one, realtime.client() as two, realtime.client() as ben:
        await one.join(topic, presence=keyed(""))
        await two.join(topic, presence={"enabled": True})
        for client in (one, two):
            await track(client, topic, {})
        await ben.join(topic, presence={"enabled": True})
        state = (await ben.until("presence_state"))["payload"]
    assert len(state) == 2
    assert all(len(key) == 36 for key in state)


async def test_what_is_tracked_must_be_an_object(realtime: Realtime, topic: str) -> None:
    async with realtime.client() as client:
        await client.join(topic, presence=keyed("ana"))
        answer = await track(client, topic, "text")
    assert answer["status"] == "error"
    assert answer["response"] == {"reason": "Presence track payload must be a map"}


@pytest.mark.parametrize(
    ("payload", "status"), [({}, "ok"), ("text", "ok"), ({"event": "dance"}, "error")]
)
async def test_what_asks_for_nothing_is_fine_and_what_is_unknown_is_not(
    realtime_dsn: str, topic: str, payload: object, status: str
) -> None:
    profile = replace(FAST, presence_per_channel=1)
    async with serve(realtime_dsn, profile) as server, server.client() as client:
        await client.join(topic)
        for _ in range(2 if status == "ok" else 1):
            await client.send(f"realtime:{topic}", "presence", payload)
            answer = (await client.receive())["payload"]
            assert answer == {"status": status, "response": {}}


async def test_too_large_a_presence_ends_the_channel(realtime: Realtime, topic: str) -> None:
    async with realtime.client() as client:
        await client.join(topic)
        message = {"event": "track", "payload": {"x": "x" * 3_000_501}}
        await client.send(f"realtime:{topic}", "presence", message)
        assert (await client.receive())["payload"]["message"] == "Track message size exceeded"
        assert (await client.receive())["event"] == "phx_close"


async def test_the_sixth_call_ends_the_channel(realtime_dsn: str, topic: str) -> None:
    profile = replace(FAST, presence_per_channel=5)
    async with serve(realtime_dsn, profile) as server, server.client() as client:
        await client.join(topic)
        for _ in range(5):
            assert await track(client, topic, {}) == OK
        await client.send(f"realtime:{topic}", "presence", {"event": "untrack"})
        message = (await client.until("system"))["payload"]["message"]
        assert message == "Client presence rate limit exceeded"
        assert (await client.receive())["event"] == "phx_close"


async def test_too_much_presence_in_the_project_ends_the_channel(
    realtime_dsn: str, topic: str
) -> None:
    profile = replace(FAST, presence_per_second=0.5)
    async with serve(realtime_dsn, profile) as server, server.client() as client:
        await client.join(topic)
        for n in range(3):
            await client.send(f"realtime:{topic}", "presence", {"event": "track", "n": n})
        message = (await client.until("system"))["payload"]["message"]
        assert message == "Too many presence messages per second"


async def test_private_presence_needs_the_right_to_write_and_to_read(
    realtime: Realtime, topic: str
) -> None:
    both = ["broadcast", "presence"]
    await realtime.allow(topic, "ana", reads=both, writes=["presence"])
    await realtime.allow(topic, "ben", reads=both)
    await realtime.allow(topic, "cem", reads=["broadcast"])
    async with realtime.client() as ana, realtime.client() as ben, realtime.client() as cem:
        for client, sub in ((ana, "ana"), (ben, "ben"), (cem, "cem")):
            await client.join(topic, private=True, access_token=token(sub), presence=keyed(sub))
        await track(ana, topic, {})
        assert set((await diff(ben))[0]) == {"ana"}
        assert await track(ben, topic, {}) == {"status": "error", "response": {}}
        await cem.nothing_more()  # neither state nor diff


async def test_tracking_without_asking_for_presence_tells_no_state(
    realtime: Realtime, topic: str
) -> None:
    async with realtime.client() as ana, realtime.client() as ben:
        await ben.join(topic, presence=keyed("ben"))
        await track(ben, topic, {})
        await ana.join(topic)
        assert await track(ana, topic, {}) == OK
        assert len((await diff(ben))[0]) == 1
        await ana.nothing_more()
    assert "presence_state" not in [frame["event"] for frame in ana.seen]


@pytest.mark.parametrize("may_read", [True, False])
async def test_tracking_on_a_private_channel_asks_for_the_right_to_hear_presence(
    realtime: Realtime, topic: str, may_read: bool
) -> None:
    both = ["broadcast", "presence"]
    await realtime.allow(topic, "ana", reads=both if may_read else ["broadcast"], writes=both)
    await realtime.allow(topic, "ben", reads=both, writes=both)
    async with realtime.client() as ana, realtime.client() as ben:
        await ana.join(topic, private=True, access_token=token("ana"))
        await ben.join(topic, private=True, access_token=token("ben"), presence=keyed("ben"))
        await track(ben, topic, {"n": 1})
        await ana.nothing_more()
        assert await track(ana, topic, {}) == OK
        await track(ben, topic, {"n": 2})
        await ana.send("phoenix", "heartbeat")
        await ana.until("phx_reply")
    told = [
        set(frame["payload"]["joins"]) for frame in ana.seen if frame["event"] == "presence_diff"
    ]
    assert ({"ben"} in told) is may_read


async def test_private_and_public_presence_of_one_name_are_apart(
    realtime: Realtime, topic: str
) -> None:
    both = ["broadcast", "presence"]
    await realtime.allow(topic, "ana", reads=both, writes=both)
    async with realtime.client() as ana, realtime.client() as ben:
        await ben.join(topic, presence=keyed("ben"))
        await ben.until("presence_state")
        await ana.join(topic, private=True, access_token=token("ana"), presence=keyed("ana"))
        assert await track(ana, topic, {}) == OK
        await ben.nothing_more()
