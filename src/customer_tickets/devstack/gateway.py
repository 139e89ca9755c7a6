"""The one address of the stack: API keys become roles, requests go to the parts behind it.

The place that Kong has in a Supabase project. Started as
``python -m customer_tickets.devstack.gateway`` with its settings as JSON in GATEWAY_SETTINGS.
"""

import asyncio
import json
import os
import signal
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web
from aiohttp.streams import StreamReader
from multidict import CIMultiDict

from customer_tickets.devstack.gateway_faults import FaultSwitches, cut, spoiled
from customer_tickets.devstack.gateway_rules import OPEN_TO_PAGES, climbs, preflight, unfiltered
from customer_tickets.devstack.keys import Keys, authorization
from customer_tickets.devstack.part_log import log_without_requests
from customer_tickets.devstack.process import LONGEST_LINE, LOOPBACK
from customer_tickets.devstack.tunnel import splice
from customer_tickets.devstack.upstream import Answer, Asked, PartLost, Upstream

# Of one connection, not of the request.
_HOP_BY_HOP = frozenset(
    name.lower()
    for name in (
        *("Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization"),
        *("TE", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Connection", "Expect"),
    )
)
# A request's length is told anew, with its body.
_NOT_FORWARDED = _HOP_BY_HOP | {"content-length"}
# A link in a mail cannot carry a key, and whoever checks tokens has none.
_OPEN_PATHS = frozenset(
    f"/auth/v1/{name}" for name in ("verify", "callback", "authorize", ".well-known/jwks.json")
)
# Storage asks for the token itself: public and signed addresses are opened without any.
_STORAGE = "/storage/v1/"
_SMALL = 1 << 16


@dataclass(frozen=True)
class Route:
    """Where the requests below one prefix go."""

    prefix: str
    part: str
    port: int
    # What the prefix becomes there.
    path: str
    # The one target below the prefix that is a websocket.
    websocket: str | None = None


def main() -> None:
    """Serve until asked to stop."""
    log_without_requests()
    settings = json.loads(os.environ.pop("GATEWAY_SETTINGS"))
    asyncio.run(_serve(settings))


async def _serve(settings: dict[str, Any]) -> None:
    routes = [Route(*route) for route in settings["routes"]]
    keys, name = Keys(**settings["keys"]), settings["name"]
    gateway = Gateway(keys, routes, faults=settings["faults"], name=name)
    runner = web.ServerRunner(
        web.Server(
            gateway.handle,
            access_log=None,
            keepalive_timeout=75,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            auto_decompress=False,
        ),
        shutdown_timeout=0.05,
    )
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, settings["port"]).start()
    await stopped.wait()
    await runner.cleanup()
    gateway.close()


class Gateway:
    """Answers every request of the stack's one port."""

    def __init__(
        self, keys: Keys, routes: list[Route], *, faults: bool, name: str = "gateway"
    ) -> None:
        # What /health calls this process.
        self._name = name
        self._keys = keys
        self._upstream = Upstream()
        self._switches = FaultSwitches(keys.control) if faults else None
        # Longest first: a path belongs to the most exact prefix.
        self._routes = sorted(routes, key=lambda route: -len(route.prefix))

    def close(self) -> None:
        """Close the connections to the parts."""
        self._upstream.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; every answer carries the id under which it went to the parts."""
        request_id = str(uuid.uuid4())
        # Before the keys: a browser asks without one.
        allowed = preflight(request.method, request.headers)
        if allowed is not None:
            response: web.StreamResponse = web.Response(status=204, headers=allowed)
            response.headers["sb-request-id"] = request_id
        else:
            response = await self._answered(request, request_id)
        if not response.prepared:
            # In the place of what the parts say about it.
            response.headers.update(OPEN_TO_PAGES)
        return response

    async def _answered(self, request: web.BaseRequest, request_id: str) -> web.StreamResponse:
        if request.path == "/health":
            return _answer(200, request_id, {"ready": True, "name": self._name})
        if climbs(request.path):
            return _answer(400, request_id, {"message": "The path must not have . or .. in it"})
        route = next((r for r in self._routes if request.path.startswith(r.prefix)), None)
        if self._switches is not None and request.path.startswith("/faults/"):
            return await self._control(self._switches, request, route, request_id)
        if route is None:
            return _answer(404, request_id, {"message": "no Route matched with those values"})
        key = request.headers.get("apikey") or request.query.get("apikey")
        if request.path == route.websocket:
            key = request.headers.get("x-api-key") or key
        role_token = self._keys.role_token(key.strip()) if key else None
        if role_token is None and (key or not _is_open(request.path)):
            return _answer(401, request_id, _refusal(key))
        unsafe = unfiltered(request.method, request.rel_url)
        if unsafe is not None:
            return _answer(400, request_id, unsafe)
        fault = self._switches.take(request) if self._switches is not None else None
        if fault is not None:
            instead = await spoiled(fault, request, request_id)
            if instead is not None:
                return instead
        headers = self._forwarded(request, role_token, request_id)
        loses = fault is not None and fault.action == "lose_answer"
        return await self._exchange(request, route, headers, request_id, loses=loses)

    async def _control(
        self,
        switches: FaultSwitches,
        request: web.BaseRequest,
        route: Route | None,
        request_id: str,
    ) -> web.StreamResponse:
        if not switches.admits(request):
            return _answer(401, request_id, {"message": "The control key is wrong or missing"})
        if route is None:
            return await switches.answer(request)
        headers = CIMultiDict(_kept(request.headers, _NOT_FORWARDED))
        return await self._exchange(request, route, headers, request_id)

    async def _exchange(
        self,
        request: web.BaseRequest,
        route: Route,
        headers: CIMultiDict[str],
        request_id: str,
        *,
        loses: bool = False,
    ) -> web.StreamResponse:
        try:
            if _wants_websocket(request):
                if request.path != route.websocket:
                    return _no_websocket(request_id)
                return await self._splice(request, route, headers, loses=loses)
            return await self._pass_on(request, route, headers, request_id, loses=loses)
        except (ConnectionRefusedError, TimeoutError):
            words = f"The local stack's {route.part} is down; this request did not reach it."
            return _answer(503, request_id, {"message": words})
        except PartLost:
            words = f"The local stack's {route.part} went away; this request may have reached it."
            return _answer(502, request_id, {"message": words})
        except ConnectionError:
            # The client has left in the middle: there is nobody to answer.
            return cut(request)

    def _forwarded(
        self, request: web.BaseRequest, role_token: str | None, request_id: str
    ) -> CIMultiDict[str]:
        headers = CIMultiDict(_kept(request.headers, _NOT_FORWARDED))
        if role_token is not None:
            headers[hdrs.AUTHORIZATION] = authorization(
                request.headers.get(hdrs.AUTHORIZATION), role_token
            )
            # The parts know JWT keys only.
            headers["apikey"] = role_token
        headers["X-Request-Id"] = request_id
        headers["X-Forwarded-Host"] = request.host
        headers["X-Forwarded-Proto"] = "http"
        headers["X-Forwarded-For"] = request.remote or LOOPBACK
        return headers

    async def _splice(
        self, request: web.BaseRequest, route: Route, headers: CIMultiDict[str], *, loses: bool
    ) -> web.StreamResponse:
        # The header that realtime looks at first, wherever the client had its key.
        headers["x-api-key"] = headers["apikey"]
        for name in (hdrs.UPGRADE, hdrs.CONNECTION):
            headers[name] = request.headers[name]
        return await splice(request, route.port, _target(request, route), headers, loses=loses)

    async def _pass_on(
        self,
        request: web.BaseRequest,
        route: Route,
        headers: CIMultiDict[str],
        request_id: str,
        *,
        loses: bool,
    ) -> web.StreamResponse:
        body, length = await _body(request)
        asked = Asked(request.method, _target(request, route), headers, body, length)
        async with self._upstream.exchange(route.port, asked) as answer:
            if loses:
                while not answer.ended:
                    await answer.piece()
                return cut(request)
            answer_headers = CIMultiDict(_kept(answer.headers, _HOP_BY_HOP))
            answer_headers["sb-request-id"] = request_id
            first = await answer.small()
            if answer.ended:
                # Most answers: whole, and sent on in one packet.
                return web.Response(body=first, status=answer.status, headers=answer_headers)
            answer_headers.update(OPEN_TO_PAGES)
            response = web.StreamResponse(status=answer.status, headers=answer_headers)
            await response.prepare(request)
            await response.write(first)
            await _stream(answer, response, request.transport)
            return response


async def _stream(
    answer: Answer, response: web.StreamResponse, client: asyncio.Transport | None
) -> None:
    try:
        while not answer.ended:
            await response.write(await answer.piece())
    except PartLost:
        # The head is sent, so a status cannot tell it any more: break off instead of ending well.
        if client is not None:
            client.abort()
        return
    await response.write_eof()


async def _body(request: web.BaseRequest) -> tuple[bytes | StreamReader | None, int | None]:
    """A small body at once (one write instead of two), a big one as it comes, and its length."""
    length = request.content_length
    if not request.can_read_body:
        return None, length
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue" and request.transport:
        # The key is good: the client need not wait for the part to say so.
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if length is not None and length <= _SMALL:
        return await request.read(), None
    return request.content, length


def _target(request: web.BaseRequest, route: Route) -> str:
    """The target of this request at its part, without the API key."""
    path = route.path + request.rel_url.raw_path.removeprefix(route.prefix)
    parameters = request.rel_url.raw_query_string.split("&")
    kept = [part for part in parameters if part and not part.startswith("apikey=")]
    # Encoded as it came: the parts' own decoding counts.
    query = f"?{'&'.join(kept)}" if kept else ""
    return path + query


def _kept(headers: Mapping[str, str], without: frozenset[str]) -> Iterator[tuple[str, str]]:
    return ((k, v) for k, v in headers.items() if k.lower() not in without)


def _wants_websocket(request: web.BaseRequest) -> bool:
    if request.headers.get(hdrs.UPGRADE, "").lower() != "websocket":
        return False
    return "upgrade" in request.headers.get(hdrs.CONNECTION, "").lower()


def _no_websocket(request_id: str) -> web.Response:
    response = _answer(400, request_id, {"message": "There is no websocket at this address"})
    # aiohttp takes what follows on this connection for frames.
    response.force_close()
    return response


def _is_open(path: str) -> bool:
    """Tell whether a request to this path may come without a key."""
    return path in _OPEN_PATHS or path.startswith(_STORAGE)


def _refusal(key: str | None) -> dict[str, str]:
    if not key:
        return {
            "message": "No API key found in request",
            "hint": "No `apikey` request header or url param was found.",
        }
    return {
        "message": "Invalid API key",
        "hint": "Double check the API key: the stack's publishable or secret key is wanted.",
    }


def _answer(status: int, request_id: str, body: dict[str, Any]) -> web.Response:
    return web.json_response(body, status=status, headers={"sb-request-id": request_id})


if __name__ == "__main__":
    main()
