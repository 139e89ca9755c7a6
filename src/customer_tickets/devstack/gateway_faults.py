"""The fault switches of the gateway: exist only when asked for, open to the control key only.

    POST   /faults/requests   one fault, as `request_faults.RequestFault` names its fields: 204, 400
    GET    /faults/requests   {"left": how many requests are still to go wrong}
    DELETE /faults/requests   back to normal

What is below /faults/realtime and /faults/auth belongs to those parts; the gateway passes it on.
"""

import asyncio
import contextlib
import hmac
import socket
import struct

from aiohttp import hdrs, web

from customer_tickets.devstack.request_faults import RequestFault, RequestFaults

_PATH = "/faults/requests"


class FaultSwitches:
    """Answers the control requests, and spoils others as they ask for it."""

    def __init__(self, control_key: str) -> None:
        self._authorization = f"Bearer {control_key}".encode()
        self._faults = RequestFaults()

    def admits(self, request: web.BaseRequest) -> bool:
        """Tell whether this request carries the control key."""
        sent = request.headers.get(hdrs.AUTHORIZATION, "").encode("utf-8", "surrogateescape")
        return hmac.compare_digest(sent, self._authorization)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer a control request that was admitted."""
        if request.path != _PATH:
            return web.json_response({"error": "no such fault"}, status=404)
        match request.method:
            case "GET":
                return web.json_response({"left": self._faults.left})
            case "DELETE":
                self._faults.waiting.clear()
            case "POST":
                try:
                    self._faults.waiting.append(RequestFault.parsed(await request.json()))
                except ValueError as error:
                    return web.json_response({"error": f"not understood: {error}"}, status=400)
            case _:
                return web.Response(status=405)
        return web.Response(status=204)

    def take(self, request: web.BaseRequest) -> RequestFault | None:
        """Return what is to go wrong with this request, counting it."""
        return self._faults.take(request.method, request.path)


async def spoiled(
    fault: RequestFault, request: web.BaseRequest, request_id: str
) -> web.Response | None:
    """Return the answer that a fault gives in the place of a part's, None when it gives none."""
    match fault.action:
        case "lose_request":
            return cut(request)
        case "answer":
            headers = {"sb-request-id": request_id}
            if fault.retry_after is not None:
                headers["Retry-After"] = str(fault.retry_after)
            words = {429: "API rate limit exceeded"}.get(fault.status, "A fault that was asked for")
            return web.json_response({"message": words}, status=fault.status, headers=headers)
        case "delay":
            await asyncio.sleep(fault.seconds)
            return None
        case "lose_answer":
            return None


def cut(request: web.BaseRequest) -> web.Response:
    """Break the client's connection: it sees a reset, not an answer."""
    if request.transport is not None:
        raw = request.transport.get_extra_info("socket")
        # It may be closed already, by the client.
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    # Nobody will read it; aiohttp wants an answer for its own books.
    return web.Response()
