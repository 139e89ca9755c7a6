"""Things that go wrong on purpose, for tests of programs that have to survive them.

    with LocalStack.start(faults=True) as stack:
        stack.faults.lose_answers("/rest/v1/rpc/", times=1)

What is asked for goes wrong from that moment on, the given number of times, or until `reset`.
"""

import http.client
import json
from typing import Any, Literal
from urllib.parse import urlsplit

from customer_tickets.devstack.fault_rules import checked
from customer_tickets.devstack.process import StackError

__all__ = ["Faults"]

_PARTS = ("requests", "realtime", "auth")


class Faults:
    """The fault switches of one running stack, over its control endpoint.

    Paths are prefixes as a client sends them ("/rest/v1/tickets", "/storage/v1/", "/auth/v1/"),
    methods upper-case words, None for any. Topics are names without "realtime:", None for any.
    Every method raises ValueError for what cannot go wrong that way (a path without its slash, no
    times at all), and StackError when the stack has no fault switches.
    """

    def __init__(self, url: str, control_key: str) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "", address.port
        self._key = control_key

    def lose_answers(self, path: str, *, method: str | None = None, times: int = 1) -> None:
        """Carry the next requests out and cut their connections instead of answering.

        Of a websocket the answer to its handshake is lost.
        """
        self._request("lose_answer", path, method, times)

    def lose_requests(self, path: str, *, method: str | None = None, times: int = 1) -> None:
        """Cut the connections of the next requests; the parts never hear of them."""
        self._request("lose_request", path, method, times)

    def answer_with(
        self,
        status: int,
        path: str,
        *,
        method: str | None = None,
        times: int = 1,
        retry_after: int | None = None,
    ) -> None:
        """Answer the next requests with a status (429, 503, ...) and do not carry them out.

        Args:
            status: the HTTP status.
            path: the prefix of the requests' paths.
            method: their method; None: any.
            times: how many requests.
            retry_after: seconds for the header Retry-After; None: without it.
        """
        self._request("answer", path, method, times, status=status, retry_after=retry_after)

    def delay(
        self, path: str, seconds: float, *, method: str | None = None, times: int = 1
    ) -> None:
        """Carry the next requests out so many seconds after they came."""
        self._request("delay", path, method, times, seconds=seconds)

    def requests_left(self) -> int:
        """Return how many requests are still to go wrong."""
        left: int = self._call("GET", "/faults/requests")["left"]
        return left

    def spoil_rows(
        self,
        action: Literal["drop", "repeat", "delay", "swap"],
        *,
        times: int = 1,
        topic: str | None = None,
        seconds: float = 0.0,
    ) -> None:
        """Let the next broadcasts from the database go wrong.

        Args:
            action: never delivered, delivered twice, delivered `seconds` late, or delivered after
                the one that comes next.
            times: how many broadcasts.
            topic: of this topic alone.
            seconds: how late.
        """
        fields = {"action": action, "times": times, "topic": topic, "seconds": seconds}
        self._realtime("rows", fields)

    def refuse_joins(self, reason: str, *, times: int = 1, topic: str | None = None) -> None:
        """Refuse the next joins of a channel with this reason."""
        fields = {"reason": reason, "times": times, "topic": topic}
        self._realtime("joins", fields)

    def replication(self, *, running: bool) -> None:
        """Stop or start broadcasts from the database, telling no client."""
        self._realtime("replication", {"running": running})

    def close_sockets(self, code: int | None = None) -> None:
        """Close every websocket now, with this code; None: without a word (clients see 1006)."""
        self._realtime("sockets", {"code": code})

    def spoil_channels(
        self,
        event: Literal["stale_close", "error", "end"],
        *,
        topic: str | None = None,
        message: str = "",
    ) -> None:
        """Do something to joined channels now.

        Args:
            event: a phx_close of an earlier join (nothing ends), a phx_error (the channel is gone),
                or a system error with this message and then a phx_close.
            topic: of this topic alone.
            message: what the system error says.
        """
        fields = {"event": event, "topic": topic, "message": message}
        self._realtime("channels", fields)

    def token_lifetime(self, seconds: int) -> None:
        """Let access tokens that are issued from now on (sign-in, refresh) expire so soon.

        PostgREST goes on taking a token for 30 seconds after that, as on hosted projects.
        """
        fields = checked("tokens", {"seconds": seconds})
        self._call("POST", "/faults/auth/tokens", fields)

    def reset(self) -> None:
        """Let nothing go wrong any longer; tokens that were issued stay as they are."""
        for part in _PARTS:
            self._call("DELETE", f"/faults/{part}")

    def _request(
        self, action: str, path: str, method: str | None, times: int, **more: object
    ) -> None:
        fields = {"action": action, "path": path, "method": method, "times": times, **more}
        self._call("POST", "/faults/requests", checked("requests", fields))

    def _realtime(self, kind: str, fields: dict[str, Any]) -> None:
        self._call("POST", f"/faults/realtime/{kind}", checked(kind, fields))

    def _call(self, method: str, path: str, fields: dict[str, Any] | None = None) -> Any:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=10)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        body = None if fields is None else json.dumps(fields)
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            text = answer.read()
        except OSError as error:
            raise StackError(f"The local stack's gateway is down ({error}).") from None
        finally:
            connection.close()
        if method == "DELETE" and answer.status == http.HTTPStatus.SERVICE_UNAVAILABLE:
            # A part that is down has forgotten its faults.
            return None
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise StackError(_refusal(answer.status, text))
        return json.loads(text) if text else None


def _refusal(status: int, text: bytes) -> str:
    if status == http.HTTPStatus.NOT_FOUND:
        return "This stack has no fault switches: start it with faults=True (--faults)."
    return f"The fault switch was refused ({status}): {text.decode(errors='replace')[:300]}"
