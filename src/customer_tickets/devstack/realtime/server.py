"""The HTTP side: the handshake with its refusals, health, and what goes on in the background."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import psycopg
from aiohttp import web

from customer_tickets.devstack.realtime.api import MAX_BODY, Api
from customer_tickets.devstack.realtime.control import Control
from customer_tickets.devstack.realtime.database import DatabaseTrouble
from customer_tickets.devstack.realtime.frames import codec_for
from customer_tickets.devstack.realtime.partitions import keep_partitions
from customer_tickets.devstack.realtime.project import Project
from customer_tickets.devstack.realtime.socket import CLOSE_SECONDS, BytesSocket, Connection
from customer_tickets.devstack.realtime.tokens import TokenRefused

__all__ = ["make_app"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    """The project, and the connections that are open now."""

    project: Project
    connections: set[Connection] = field(default_factory=set[Connection])


SERVER = web.AppKey("server", Server)

# Directly, and as a gateway that keeps its own paths passes them on.
SOCKET_PATHS = ("/socket/websocket", "/realtime/v1/websocket")
API_PATHS = ("/api", "/realtime/v1/api")
PARTITION_CHECK = 5.0


def make_app(project: Project, *, control_key: str | None = None) -> web.Application:
    """The whole server; it starts its background work with the application and ends it with it.

    With a control key it has fault switches, for whoever has the key.
    """
    app = web.Application(client_max_size=MAX_BODY)
    app[SERVER] = Server(project)
    for path in SOCKET_PATHS:
        app.router.add_get(path, _socket)
    for prefix in API_PATHS:
        Api(project).add_routes(app.router, prefix)
    app.router.add_get("/health", _health)
    if control_key is not None:
        Control(project, app[SERVER].connections, control_key).add_routes(app.router)
    app.cleanup_ctx.append(_background)
    app.on_shutdown.append(_disconnect_all)
    return app


async def _health(request: web.Request) -> web.Response:
    if await request.app[SERVER].project.database.reachable():
        return web.json_response({"status": "ok"})
    return web.json_response({"status": "no database"}, status=503)


async def _socket(request: web.Request) -> web.StreamResponse:
    project = request.app[SERVER].project
    codec = codec_for(request.query.get("vsn", "1.0.0"))
    if codec is None:
        return web.Response(status=403)
    api_key = request.headers.get("x-api-key", request.query.get("apikey", ""))
    refusal = _refusal(project, api_key)
    if refusal is not None:
        await asyncio.sleep(project.profile.connect_error_delay)
        status, text = refusal
        return web.json_response({"error": text}, status=status)
    socket = BytesSocket(
        timeout=CLOSE_SECONDS,
        compress=False,
        max_msg_size=project.profile.max_frame,
        decode_text=False,
    )
    await socket.prepare(request)
    assert request.transport is not None
    headers = {key.lower(): value for key, value in request.headers.items() if _captured(key)}
    connection = Connection(project, socket, request.transport, codec, api_key, headers)
    connections = request.app[SERVER].connections
    connections.add(connection)
    try:
        await connection.run()
    finally:
        connections.discard(connection)
    return socket


def _captured(header: str) -> bool:
    return header.lower().startswith("x-")


def _refusal(project: Project, api_key: str) -> tuple[int, str] | None:
    if not api_key:
        return 401, "API key is missing"
    try:
        project.verify(api_key)
    except TokenRefused as refused:
        return 401, refused.text
    if project.too_many_sockets():
        return 429, "Too many connected users"
    if project.joins.exceeded(asyncio.get_running_loop().time()):
        return 429, "Too many joins per second"
    return None


async def _disconnect_all(app: web.Application) -> None:
    leaving = [connection.disconnect(1012) for connection in list(app[SERVER].connections)]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await asyncio.gather(*leaving, return_exceptions=True)


async def _background(app: web.Application) -> AsyncIterator[None]:
    project = app[SERVER].project
    tasks = [
        asyncio.create_task(_keep_partitions(project), name="partitions"),
        asyncio.create_task(_sweep(app), name="sweep"),
    ]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await project.close()


async def _keep_partitions(project: Project) -> None:
    made_for: date | None = None
    while True:
        # Asked again and again, not slept until midnight: a laptop that sleeps stops our clock.
        today = datetime.now(UTC).date()
        try:
            if made_for != today:
                await keep_partitions(project.database)
                made_for = today
        except (DatabaseTrouble, psycopg.Error) as error:
            logger.warning("no partitions made: %s", type(error).__name__)
        await asyncio.sleep(PARTITION_CHECK)


async def _sweep(app: web.Application) -> None:
    while True:
        await asyncio.sleep(app[SERVER].project.profile.empty_sweep)
        for connection in list(app[SERVER].connections):
            connection.abort_if_abandoned()
