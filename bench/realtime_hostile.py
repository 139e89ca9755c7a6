"""A million joins: hot topics, other people's topics, forged tokens, malformed frames.

Run with `python bench/realtime_hostile.py` (`--joins 20000` is a quick look, and a test). The whole
stack runs, without the limits of a hosted project, which would only make it easier. Some sockets
send nothing but `phx_join`, as fast as they are taken, through the gateway; one well-behaved client
listens on a private channel of its own, and the database writes to it all the while.

Measured: joins a second; whether a hostile socket got into that channel or heard anything of it;
whether the client got every message once and in order, and how late; memory (PSS) of the realtime
server, the gateway and Postgres at the beginning, at most and at the end. It exits with 1 when a
policy was crossed, a message lost, a part died, or the realtime server or the gateway has grown by
more than 10 MB. Linux only, for /proc.

Found on 2 cores with a load of ten from others (November 2026), with `--joins 200000`: 993 joins a
second; no policy crossed; the client got all of 1881 messages once and in order, after 4 ms
(median), 522 at most; the realtime server 42.4 MB at the beginning, 47.8 at most, 43.4 at the end.
"""

import argparse
import asyncio
import base64
import json
import random
import statistics
import sys
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import jwt
import psycopg
from realtime_load import FLAT, Ear, Part, watch

from customer_tickets.devstack import LocalStack
from stack import family

PATIENCE = 60.0
WARM_UP = 0.1
"""The part of all joins after which memory is first looked at: caches have filled."""
WRITE_EVERY = 0.1
WINDOW = 500
"""Joins that one socket sends before it waits until they have been dealt with."""
HEARTBEAT = {"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "caught up"}


def join(topic: object, payload: object, **more: object) -> str:
    frame = {"topic": topic, "event": "phx_join", "payload": payload, "ref": "1", "join_ref": "1"}
    return json.dumps(frame | more)


def intruding(topic: str, token: object) -> str:
    """A join of somebody else's private channel, which only an error may answer."""
    return join(f"realtime:{topic}", private(token), ref="intruder")


def private(token: object, **more: object) -> dict[str, object]:
    return {"config": {"private": True, **more}, "access_token": token}


def forgeries(stack: LocalStack, victim: uuid.UUID) -> list[object]:
    """Tokens that are not what they say."""
    claims = {"sub": str(victim), "role": "authenticated", "exp": int(time.time()) + 3600}
    good = stack.mint_token(victim)
    head, body, signature = good.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    return [
        jwt.encode(claims, "another secret of the very same length as it", "HS256"),
        f"{none}.{body}.",
        f"{none}.{body}.{signature}",
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{body}",
        stack.mint_token(victim, lifetime=-5),
        "..",
        "x" * 5000,
        {"sub": str(victim)},
    ]


def malformed(topic: str, token: str) -> list[str]:
    """Joins that are no joins."""
    deep = "[" * 2000 + "]" * 2000
    return [
        '{"topic":"realtime:x","event":"phx_join","payload":{},"ref":"1"',
        '["1","1","realtime:x","phx_join",{}]',
        f'{{"topic":"realtime:x","event":"phx_join","payload":{deep},"ref":"1"}}',
        '{"topic":"realtime:x","event":"phx_join","payload":NaN,"ref":"1"}',
        '{"topic":"realtime:x","event":"phx_join","payload":{},"ref":1e999}',
        join(f"realtime:{topic}\x00", private(token)),
        join("realtime:", private(token)),
        join(topic, private(token)),
        join(f"phoenix:{topic}", private(token)),
        join(["realtime:x"], {}),
        join(None, None),
        join("realtime:\ud800", {"config": 5}),
        join(f"realtime:{topic}", private(token, broadcast={"replay": {"since": "x"}}), ref={}),
        # Not private: a public channel of the same name, which is open and hears nothing.
        join(f"realtime:{topic}", {"config": {"private": ["true"]}, "access_token": 7}),
        "",
        "null",
    ]


@dataclass
class Hostile:
    """What the hostile sockets send, and what they got for it."""

    topic: str
    """Of somebody else."""
    frames: dict[str, list[str]]
    sent: int = 0
    replies: Counter[str] = field(default_factory=Counter[str])
    crossed: list[str] = field(default_factory=list[str])
    answered: dict[aiohttp.ClientWebSocketResponse, asyncio.Event] = field(
        default_factory=dict[aiohttp.ClientWebSocketResponse, asyncio.Event]
    )

    def next_frame(self, dice: random.Random, *, crowds: bool) -> str:
        """Any of them; `crowds`: one more channel of a socket that has as many as it may have."""
        kind = dice.choices(list(self.frames), weights=list(WEIGHTS.values()))[0]
        if crowds and kind != "malformed":
            return join(f"realtime:{dice.getrandbits(40):x}", {})
        return dice.choice(self.frames[kind])

    async def attack(self, web: aiohttp.ClientSession, url: str, seed: int, joins: int) -> None:
        """Send so many joins on one socket, and on another one when it is cut.

        Every fourth asks for channel after channel: it has soon as many as it may have.
        """
        dice = random.Random(seed)
        while joins > 0:
            async with web.ws_connect(url, max_msg_size=0) as socket:
                listening = asyncio.create_task(self._listen(socket))
                with suppress(ConnectionError):
                    while joins > 0 and not listening.done():
                        for _ in range(min(joins, WINDOW)):
                            joins -= 1
                            self.sent += 1
                            await socket.send_str(self.next_frame(dice, crowds=seed % 4 == 0))
                        await self._caught_up(socket, listening)
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    async def _caught_up(
        self, socket: aiohttp.ClientWebSocketResponse, listening: "asyncio.Task[None]"
    ) -> None:
        """Wait until all that was sent on this socket has been dealt with, or it is closed."""
        self.answered[socket] = answered = asyncio.Event()
        await socket.send_json(HEARTBEAT)
        waiting = asyncio.create_task(answered.wait())
        done, _ = await asyncio.wait(
            {waiting, listening}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED
        )
        waiting.cancel()
        if not done:
            raise TimeoutError("a socket has gone deaf")

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            frame = json.loads(message.data)
            payload = frame["payload"]
            if frame["ref"] == "caught up":
                self.answered[socket].set()
                continue
            let_in = frame["ref"] == "intruder" and payload.get("status") != "error"
            if let_in or frame["event"] == "broadcast":
                self.crossed.append(message.data[:200])
            if frame["event"] == "phx_reply":
                reason = payload["response"].get("reason", "joined")
                self.replies[reason.split(":")[0]] += 1
            else:
                self.replies[frame["event"]] += 1
        self.replies["socket closed"] += 1


# Those that the database has to be asked about are the fewest: each takes a millisecond of it.
WEIGHTS = {"malformed": 55, "forged": 36, "hot": 4, "other": 3, "powerful": 2}


def hostile(stack: LocalStack, victim: uuid.UUID) -> Hostile:
    topic = f"customer:{victim}"
    own = stack.mint_token(uuid.uuid4())
    claims = {"sub": str(victim), "exp": int(time.time()) + 36000}
    powerful = [
        jwt.encode(claims | {"role": role}, stack.jwt_secret, "HS256")
        for role in ("postgres", "supabase_admin", "nobody", "authenticator", "anon")
    ]
    return Hostile(
        topic,
        {
            "malformed": malformed(topic, own),
            "forged": [intruding(topic, token) for token in forgeries(stack, victim)],
            "hot": [
                join(f"realtime:hot:{n}", {"config": {"presence": {"key": "k", "enabled": True}}})
                for n in range(5)
            ],
            "other": [intruding(topic, token) for token in (own, None, "sb_x")],
            "powerful": [intruding(topic, token) for token in powerful],
        },
    )


async def rise_and_fall(
    stack: LocalStack, parts: dict[str, Part], arguments: argparse.Namespace
) -> tuple[Hostile, Ear, int, float]:
    """Run it; returns the hostile side, the client, how much was written to it, and the time."""
    victim = uuid.uuid4()
    enemy = hostile(stack, victim)
    each = -(-arguments.joins // arguments.sockets)
    url = f"{stack.url}/realtime/v1/websocket?apikey={stack.publishable_key}&vsn=1.0.0"
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as web,
        web.ws_connect(url) as socket,
        asyncio.TaskGroup() as group,
    ):
        ear = Ear(socket, enemy.topic)
        background = [group.create_task(ear.listen()), group.create_task(ear.beat())]
        await ear.join(stack.mint_token(victim, lifetime=36000))
        await asyncio.wait_for(ear.ready.wait(), PATIENCE)
        over = asyncio.Event()
        writer = group.create_task(writing(stack, enemy.topic, over))
        started = time.monotonic()
        async with asyncio.TaskGroup() as attackers:
            for number in range(arguments.sockets):
                attackers.create_task(enemy.attack(web, url, number, each))
            background.append(group.create_task(look(enemy, arguments.joins, parts)))
        took = time.monotonic() - started
        over.set()
        written = await writer
        deadline = time.monotonic() + PATIENCE
        while len(ear.numbers) < written and time.monotonic() < deadline:  # noqa: ASYNC110 - an event for each message would say no more
            await asyncio.sleep(0.05)
        for task in background:
            task.cancel()
    await asyncio.sleep(1)
    for part in parts.values():
        part.look()
    return enemy, ear, written, took


async def writing(stack: LocalStack, topic: str, over: asyncio.Event) -> int:
    """Write number after number to the well-behaved client; returns how many."""
    statement = "select realtime.send(%s::jsonb, 'said', %s)"
    number = 0
    async with await psycopg.AsyncConnection.connect(stack.database_url, autocommit=True) as server:
        while not over.is_set():
            payload = json.dumps({"id": "x", "n": number, "sent": time.monotonic()})
            await server.execute(statement, [payload, topic])
            number += 1
            await asyncio.sleep(WRITE_EVERY)
    return number


async def look(enemy: Hostile, joins: int, parts: dict[str, Part]) -> None:
    """Look at the memory from the end of the warm-up on, until cancelled."""
    while enemy.sent < joins * WARM_UP:  # noqa: ASYNC110 - nothing here is in a hurry
        await asyncio.sleep(0.05)
    for part in parts.values():
        part.look()
    await watch(parts)


def report(enemy: Hostile, ear: Ear, written: int, took: float, parts: dict[str, Part]) -> bool:
    """Print the tables; whether all is as it should be."""
    print(f"{enemy.sent} joins in {took:.0f} s: {enemy.sent / took:.0f} a second; the answers were")
    for reason, count in enemy.replies.most_common():
        print(f"  {count:>8}  {reason}")
    print(f"policies crossed: {len(enemy.crossed)}", *enemy.crossed[:3])
    whole = ear.numbers == list(range(written))
    late = [seconds * 1000 for seconds in ear.latencies]
    print(
        f"the client got {len(ear.numbers)} of {written} messages,"
        f" {'all once and in order' if whole else 'NOT all, once and in order'}, after"
        f" {statistics.median(late):.0f} ms (median), {max(late):.0f} ms (most)"
    )
    flat = True
    print(f"\n{'part':<12}{'begin':>8}{'most':>8}{'end':>8} MB")
    for name, part in parts.items():
        grown = part.memory[-1] - part.memory[0]
        flat = flat and (name == "Postgres" or grown <= FLAT)
        print(f"{name:<12}{part.memory[0]:>8.1f}{max(part.memory):>8.1f}{part.memory[-1]:>8.1f}")
    return flat and whole and not enemy.crossed


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--joins", type=int, default=1_000_000)
    parser.add_argument("--sockets", type=int, default=8)
    arguments = parser.parse_args()
    with LocalStack.start() as stack:
        children = [stack.realtime, stack.gateway, stack.postgres.child]
        parts = {c.name: Part(family(c.pid)) for c in children if c.pid is not None}
        enemy, ear, written, took = asyncio.run(rise_and_fall(stack, parts, arguments))
        good = report(enemy, ear, written, took, parts)
        said = Path(stack.realtime.log).read_text()
        print(f"\nthe realtime server wrote {len(said)} characters to its log", said[:500])
        for words in stack.reports:
            print(words)
    return 0 if good and not stack.reports else 1


if __name__ == "__main__":
    sys.exit(main())
