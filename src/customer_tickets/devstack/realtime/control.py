"""The control endpoint for faults: exists only when asked for, and only on the loopback address.

It is open to the control key alone (Authorization: Bearer ...), else it answers 401.

Each answers 204, or 400 when the body is not understood (`fault_rules`). `topic` is a name without
prefix, or absent for all of them.

    POST /faults/rows         {"action", "times", "seconds", "topic"}; the action is one of
                              drop, repeat, delay, swap (with the row that comes next)
    POST /faults/joins        {"reason", "times", "topic"}: refuse the next joins
    POST /faults/replication  {"running"}: stop or start it, telling nobody
    POST /faults/sockets      {"code"}: close them all; null: without a word
    POST /faults/channels     {"event", "message", "topic"}; the event is one of
                              stale_close, error, end (with the message as the reason)
    DELETE /faults            back to normal
"""

import hmac
from collections.abc import Callable, Collection
from typing import Any

from aiohttp import web

from customer_tickets.devstack.fault_rules import checked
from customer_tickets.devstack.realtime.faults import Spoil
from customer_tickets.devstack.realtime.project import Project
from customer_tickets.devstack.realtime.socket import Connection
from customer_tickets.devstack.realtime.values import parse_json

__all__ = ["Control"]

Fields = dict[str, Any]


class Control:
    """Sets the faults of a project, and does to its connections what cannot wait."""

    def __init__(
        self, project: Project, connections: Collection[Connection], control_key: str
    ) -> None:
        self._project = project
        self._authorization = f"Bearer {control_key}".encode()
        self._connections = connections

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Serve `/faults` and below."""
        router.add_post("/faults/{kind}", self.post)
        router.add_delete("/faults", self.delete)

    async def delete(self, request: web.Request) -> web.Response:
        """Nothing goes wrong any longer."""
        self._demand_key(request)
        self._project.faults.reset()
        self._project.capture.allow(running=True)
        return web.Response(status=204)

    async def post(self, request: web.Request) -> web.Response:
        """Make one kind of thing go wrong."""
        self._demand_key(request)
        try:
            kind = request.match_info["kind"]
            await self._apply(kind, checked(kind, parse_json(await request.read())))
        except ValueError as error:
            return web.json_response({"error": f"not understood: {error}"}, status=400)
        return web.Response(status=204)

    def _demand_key(self, request: web.Request) -> None:
        sent = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(sent, self._authorization):
            raise web.HTTPUnauthorized

    async def _apply(self, kind: str, fields: Fields) -> None:
        match kind:
            case "rows":
                self._project.faults.rows.append(Spoil(**fields))
            case "joins":
                self._project.faults.joins.append(Spoil(**fields))
            case "replication":
                self._project.capture.allow(running=fields["running"])
            case "sockets":
                await self._close(fields["code"])
            case "channels":
                self._channels(fields)
            case _:
                raise ValueError(f"no such kind: {kind}")

    async def _close(self, code: int | None) -> None:
        for connection in list(self._connections):
            if code is None:
                connection.abort()
            else:
                await connection.disconnect(code)

    def _channels(self, fields: Fields) -> None:
        message, topic = fields.get("message", ""), fields.get("topic")
        actions: dict[str, Callable[[Connection], None]] = {
            "stale_close": lambda connection: connection.close_stale(topic),
            "error": lambda connection: connection.crash_channels(topic),
            "end": lambda connection: connection.end_channels(topic, message),
        }
        action = actions[fields["event"]]
        for connection in list(self._connections):
            action(connection)
