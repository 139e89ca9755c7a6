"""The one address of the stack: API keys become roles, requests go to the parts behind it.

The place that Kong has in a Supabase project. Started as
``python -m customer_tickets.devstack.gateway`` with its settings as JSON in GATEWAY_SETTINGS.
"""

import asyncio
import json
import os
import signal
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

from customer_tickets.devstack.gateway_faults import FaultSwitches, cut, spoiled
from customer_tickets.devstack.keys import Keys, authorization
from customer_tickets.devstack.process import LOOPBACK
from customer_tickets.devstack.tunnel import splice

# Of one connection, not of the request.
_HOP_BY_HOP = frozenset(
    name.lower()
    for name in (
        *("Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization"),
        *("TE", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Connection", "Expect"),
    )
)
# A link in a mail cannot carry a key.
_OPEN_PATHS = frozenset({"/auth/v1/verify", "/auth/v1/callback", "/auth/v1/authorize"})
_SMALL = 1 << 16


@dataclass(frozen=True)
class Route:
    """Where the requests below one prefix go."""

    prefix: str
    part: str
    port: int
    # What the prefix becomes there.
    path: str


def main() -> None:
    """Serve until asked to stop."""
    settings = json.loads(os.environ.pop("GATEWAY_SETTINGS"))
    asyncio.run(_serve(settings))


async def _serve(settings: dict[str, Any]) -> None:
    routes = [Route(*route) for route in settings["routes"]]
    gateway = Gateway(Keys(**settings["keys"]), routes, faults=settings["faults"])
    runner = web.ServerRunner(
        web.Server(gateway.handle, access_log=None, keepalive_timeout=75, max_line_size=16384),
        shutdown_timeout=0.05,
    )
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with gateway:
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, settings["port"]).start()
        await stopped.wait()
        await runner.cleanup()


class Gateway:
    """Answers every request of the stack's one port; an async context manager."""

    def __init__(self, keys: Keys, routes: list[Route], *, faults: bool) -> None:
        self._keys = keys
        self._switches = FaultSwitches(keys.control) if faults else None
        # Longest first: a path belongs to the most exact prefix.
        self._routes = sorted(routes, key=lambda route: -len(route.prefix))

    async def __aenter__(self) -> "Gateway":
        self._client = aiohttp.ClientSession(
            # The parts close idle connections after 30 s; this has to be sooner, or a request
            # would now and then be written to a connection that is being closed.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=15),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=(hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; every answer carries the id under which it went to the parts."""
        request_id = str(uuid.uuid4())
        if request.path == "/health":
            return _answer(200, request_id, {"ready": True})
        route = next((r for r in self._routes if request.path.startswith(r.prefix)), None)
        if self._switches is not None and request.path.startswith("/faults/"):
            return await self._control(self._switches, request, route, request_id)
        if route is None:
            return _answer(404, request_id, {"message": "no Route matched with those values"})
        key = request.headers.get("apikey") or request.query.get("apikey")
        role_token = self._keys.role_token(key.strip()) if key else None
        if role_token is None and request.path not in _OPEN_PATHS:
            return _answer(401, request_id, _refusal(key))
        fault = self._switches.take(request) if self._switches is not None else None
        if fault is not None:
            instead = await spoiled(fault, request, request_id)
            if instead is not None:
                return instead
        headers = self._forwarded(request, role_token or self._keys.anon, request_id)
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
        headers = CIMultiDict(_end_to_end(request.headers))
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
            if request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
                return await self._splice(request, route, headers)
            return await self._pass_on(request, route, headers, request_id, loses=loses)
        except (aiohttp.ClientConnectorError, ConnectionRefusedError):
            words = f"The local stack's {route.part} is down; this request did not reach it."
            return _answer(503, request_id, {"message": words})
        except aiohttp.ClientConnectionError:
            words = f"The local stack's {route.part} went away; this request may have reached it."
            return _answer(502, request_id, {"message": words})

    def _forwarded(
        self, request: web.BaseRequest, role_token: str, request_id: str
    ) -> CIMultiDict[str]:
        headers = CIMultiDict(_end_to_end(request.headers))
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
        self, request: web.BaseRequest, route: Route, headers: CIMultiDict[str]
    ) -> web.StreamResponse:
        url = _target(request, route, key=headers["apikey"])
        for name in (hdrs.UPGRADE, hdrs.CONNECTION):
            headers[name] = request.headers[name]
        return await splice(request, route.port, url.raw_path_qs, headers)

    async def _pass_on(
        self,
        request: web.BaseRequest,
        route: Route,
        headers: CIMultiDict[str],
        request_id: str,
        *,
        loses: bool,
    ) -> web.StreamResponse:
        async with self._client.request(
            request.method,
            _target(request, route),
            headers=headers,
            data=await _body(request),
            allow_redirects=False,
        ) as upstream:
            if loses:
                await upstream.read()
                return cut(request)
            answer_headers = CIMultiDict(_end_to_end(upstream.headers))
            answer_headers["sb-request-id"] = request_id
            first = await upstream.content.readany()
            if upstream.content.at_eof():
                # Most answers: whole in one packet, and sent on in one.
                return web.Response(body=first, status=upstream.status, headers=answer_headers)
            answer = web.StreamResponse(status=upstream.status, headers=answer_headers)
            await answer.prepare(request)
            await answer.write(first)
            await _stream(upstream, answer, request.transport)
            return answer


async def _stream(
    upstream: aiohttp.ClientResponse,
    answer: web.StreamResponse,
    client: asyncio.Transport | None,
) -> None:
    try:
        async for chunk in upstream.content.iter_any():
            await answer.write(chunk)
    except aiohttp.ClientError:
        # The head is sent, so a status cannot tell it any more: break off instead of ending well.
        if client is not None:
            client.abort()
        return
    await answer.write_eof()


async def _body(request: web.BaseRequest) -> bytes | aiohttp.StreamReader | None:
    """A small body at once (one write instead of two), a big one as it comes."""
    if not request.can_read_body:
        return None
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue" and request.transport:
        # The key is good: the client need not wait for the part to say so.
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if request.content_length is not None and request.content_length <= _SMALL:
        return await request.read()
    return request.content


def _target(request: web.BaseRequest, route: Route, key: str | None = None) -> URL:
    """The address of this request at its part, with `key` in the place of an `apikey` in it."""
    path = route.path + request.rel_url.raw_path.removeprefix(route.prefix)
    parameters = request.rel_url.raw_query_string.split("&")
    kept = [part for part in parameters if part and not part.startswith("apikey=")]
    if key is not None and len(kept) < len(parameters):
        kept.append(f"apikey={key}")
    # Encoded as it came: the parts' own decoding counts.
    query = f"?{'&'.join(kept)}" if kept else ""
    return URL(f"http://{LOOPBACK}:{route.port}{path}{query}", encoded=True)


def _end_to_end(headers: Any) -> Iterator[tuple[str, str]]:
    return ((k, v) for k, v in headers.items() if k.lower() not in _HOP_BY_HOP)


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
