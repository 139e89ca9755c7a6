"""A realtime server in the test's own loop, and clients that see frames."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import jwt
import psycopg
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect

from customer_tickets.devstack.realtime.profile import FAST, Profile
from customer_tickets.devstack.realtime.project import Project
from customer_tickets.devstack.realtime.server import make_app

SECRET = "a secret of the tests that is long enough for any algorithm"
WAIT = 10.0


def token(
    sub: str | None = None, *, role: str = "authenticated", lifetime: float = 600, **more: object
) -> str:
    """Mint a token as the auth server would."""
    claims = {"role": role, "sub": sub, "exp": time.time() + lifetime, **more}
    return jwt.encode(claims, SECRET, "HS256")


ANON_KEY = token(role="anon", lifetime=10**7)


@dataclass
class Frames:
    """One websocket, seen as frames of version 1."""

    socket: ClientConnection
    refs: int = 0
    seen: list[dict[str, Any]] = field(default_factory=list)

    async def send(
        self, topic: str, event: str, payload: object = None, *, ref: object = None, **more: object
    ) -> str:
        """Send one frame; returns its ref."""
        self.refs += 1
        ref = str(self.refs) if ref is None else ref
        message = {"topic": topic, "event": event, "payload": payload or {}, "ref": ref, **more}
        await self.socket.send(json.dumps(message))
        return str(ref)

    async def receive(self) -> dict[str, Any]:
        """The next frame."""
        async with asyncio.timeout(WAIT):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
        self.seen.append(frame)
        return frame

    async def until(self, event: str) -> dict[str, Any]:
        """The next frame of that event; those before it are in `seen`."""
        while (frame := await self.receive())["event"] != event:
            pass
        return frame

    async def nothing_more(self) -> None:
        """Fail if anything but the answers to heartbeats comes."""
        # The socket answers the first at once; by the second the channels had their turn as well.
        for _ in range(2):
            ref = await self.send("phoenix", "heartbeat")
            frame = await self.receive()
            assert frame["topic"] == "phoenix", frame
            assert frame["ref"] == ref

    async def join(self, name: str, *, access_token: str | None = None, **config: Any) -> Any:
        """Join and return the payload of the reply; what came before it is in `seen`."""
        payload: dict[str, Any] = {"config": config}
        if access_token is not None:
            payload["access_token"] = access_token
        ref = str(self.refs + 1)
        await self.send(f"realtime:{name}", "phx_join", payload, join_ref=ref)
        while (frame := await self.receive())["event"] != "phx_reply" or frame["ref"] != ref:
            pass
        return frame["payload"]

    async def join_ready(self, name: str, *, access_token: str | None = None, **config: Any) -> Any:
        """Join, and wait until broadcasts from the database flow."""
        broadcast = {**config.pop("broadcast", {}), "replication_ready": True}
        config["broadcast"] = broadcast
        reply = await self.join(name, access_token=access_token, **config)
        assert reply["status"] == "ok", reply
        frame = await self.until("system")
        assert frame["payload"]["message"] == "Replication connection established"
        return reply


@dataclass
class Realtime:
    """A running server and its database."""

    url: str
    dsn: str = field(repr=False)
    project: Project = field(repr=False)

    @asynccontextmanager
    async def client(
        self, key: str = ANON_KEY, vsn: str = "1.0.0", headers: dict[str, str] | None = None
    ) -> AsyncGenerator[Frames]:
        """A connected client."""
        url = f"{self.url.replace('http', 'ws', 1)}/socket/websocket?apikey={key}&vsn={vsn}"
        async with connect(url, additional_headers=headers, max_size=None) as socket:
            yield Frames(socket)

    async def execute(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a query as the superuser and commit."""
        connection = await psycopg.AsyncConnection.connect(self.dsn, autocommit=True)
        try:
            cursor = await connection.execute(query, values)
            return await cursor.fetchall() if cursor.description else []
        finally:
            await connection.close()

    async def announce(self, topic: str, payload: str = "{}", *, private: bool = True) -> None:
        """Send from the database."""
        await self.execute("select realtime.send(%s, 'event', %s, %s)", payload, topic, private)

    async def allow(
        self,
        topic: str,
        sub: str,
        *,
        reads: list[str] | None = None,
        writes: list[str] | None = None,
    ) -> None:
        """Give somebody exactly these rights on a topic."""
        await self.execute("delete from public.rights where topic = %s and sub = %s", topic, sub)
        await self.execute(
            "insert into public.rights values (%s, %s, %s, %s)",
            topic,
            sub,
            reads or [],
            writes or [],
        )

    async def post(self, path: str, body: object, bearer: str = ANON_KEY) -> tuple[int, Any]:
        """POST some JSON; returns status and decoded body."""
        headers = {"authorization": f"Bearer {bearer}"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}{path}", headers=headers, json=body) as answer,
        ):
            return answer.status, await answer.json() if await answer.read() else None


@asynccontextmanager
async def serve(
    dsn: str, profile: Profile = FAST, *, control_key: str | None = None
) -> AsyncGenerator[Realtime]:
    """Run a server in this loop."""
    project = Project.connect(dsn, SECRET, profile)
    runner = web.AppRunner(
        make_app(project, control_key=control_key), shutdown_timeout=0.3, handler_cancellation=True
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield Realtime(f"http://{host}:{port}", dsn, project)
    finally:
        await runner.cleanup()
