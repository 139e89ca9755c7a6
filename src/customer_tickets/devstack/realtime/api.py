"""Broadcasting by HTTP: a batch of messages, or a single one whose sender learns of a denial."""

import asyncio
from collections.abc import Mapping
from uuid import UUID

from aiohttp import web

from customer_tickets.devstack.realtime.authorize import Caller, Grants, ask_write
from customer_tickets.devstack.realtime.database import DatabaseTrouble
from customer_tickets.devstack.realtime.frames import (
    Broadcast,
    RawBroadcast,
    RelayedBroadcast,
    as_list,
    as_object,
    parse_json,
    to_json,
)
from customer_tickets.devstack.realtime.hub import TopicKey
from customer_tickets.devstack.realtime.joining import PREFIX
from customer_tickets.devstack.realtime.project import Project
from customer_tickets.devstack.realtime.tokens import TokenRefused

__all__ = ["Api"]

MAX_BODY = 8_000_000
BLANK, INVALID = "can't be blank", "is invalid"
BINARY = "application/octet-stream"


class Api:
    """The two endpoints, `<prefix>/broadcast` and `<prefix>/broadcast/<topic>/events/<event>`."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Serve both below this path."""
        router.add_post(f"{prefix}/broadcast", self.batch)
        router.add_post(f"{prefix}/broadcast/{{topic}}/events/{{event}}", self.single)

    async def batch(self, request: web.Request) -> web.Response:
        """Accept all messages or refuse all; private ones that are denied vanish all the same."""
        caller = self._caller(request)
        if caller is None:
            return _message(401, "Unauthorized")
        try:
            body = as_object(parse_json(await request.read())) or {}
        except ValueError:
            return _message(400, "Bad Request")
        messages = as_list(body.get("messages"))
        if messages is None:
            return web.json_response({"errors": {"messages": [BLANK]}}, status=422)
        checked = [as_object(message) or {} for message in messages]
        errors = [_errors(message) for message in checked]
        if any(errors):
            return web.json_response({"errors": {"messages": errors}}, status=422)
        if self._over_limit(len(checked)):
            return self._limited(len(checked))
        granted: dict[str, Grants] = {}
        for message in checked:
            await self._publish(message, caller, granted)
        return web.Response(status=202, headers=self._rates())

    async def single(self, request: web.Request) -> web.Response:
        """One message whose body is the payload; 403 when it may not be sent."""
        caller = self._caller(request)
        if caller is None:
            return _message(401, "Unauthorized")
        if request.content_type not in {"application/json", BINARY}:
            return _message(415, "Unsupported Media Type")
        key = TopicKey(request.query.get("private") == "true", request.match_info["topic"])
        try:
            body = _single_body(await request.read(), binary=request.content_type == BINARY)
        except ValueError:
            return _message(400, "Bad Request")
        if len(body) > self._project.profile.max_payload:
            return _message(422, "Payload size exceeded")
        if self._over_limit(1):
            return self._limited(1)
        try:
            allowed = not key.private or (await self._grants(caller, key.name)).broadcast
        except DatabaseTrouble as trouble:
            return _message(422, trouble.text)
        if not allowed:
            return _message(403, "Unauthorized")
        is_json = request.content_type != BINARY
        event = request.match_info["event"]
        self._deliver(key, RawBroadcast(PREFIX + key.name, event, body, is_json))
        return web.Response(status=202, headers=self._rates())

    def _caller(self, request: web.Request) -> Caller | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            token = request.headers.get("apikey", "")
        headers = {k.lower(): v for k, v in request.headers.items() if k.lower().startswith("x-")}
        try:
            return Caller(self._project.verify(token), headers)
        except TokenRefused:
            return None

    async def _grants(self, caller: Caller, name: str) -> Grants:
        return await ask_write(self._project.database, caller, name)

    async def _publish(
        self, message: Mapping[str, object], caller: Caller, granted: dict[str, Grants]
    ) -> None:
        name, private = str(message["topic"]), message.get("private") is True
        if private and name not in granted:
            try:
                granted[name] = await self._grants(caller, name)
            except DatabaseTrouble:
                granted[name] = Grants()
        if private and not granted[name].broadcast:
            return
        payload = {
            "type": "broadcast",
            "event": message["event"],
            "payload": message["payload"],
        }
        relayed = RelayedBroadcast(PREFIX + name, "broadcast", payload)
        self._deliver(TopicKey(private, name), relayed)

    def _deliver(self, key: TopicKey, message: Broadcast) -> None:
        self._project.events.count(_now())
        self._project.hub.publish(key, message)

    def _over_limit(self, messages: int) -> bool:
        limit, events = self._project.profile.events_per_second, self._project.events
        return limit is not None and (events.exceeded(_now()) or messages > limit)

    def _limited(self, messages: int) -> web.Response:
        if self._project.events.exceeded(_now()):
            return _message(429, "You have exceeded your rate limit", self._rates())
        text = "Too many messages to broadcast, please reduce the batch size"
        return _message(429, text if messages > 1 else "Too many requests", self._rates())

    def _rates(self) -> dict[str, str]:
        limit = self._project.profile.events_per_second
        if limit is None:
            return {}
        average = self._project.events.average(_now())
        return {
            "x-rate-rolling": f"{average:g}",
            "x-rate-limit": f"{limit:g}",
            "x-rate-limit-remaining": f"{max(0.0, limit - average):g}",
        }


def _now() -> float:
    return asyncio.get_running_loop().time()


def _message(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"message": text}, status=status, headers=headers)


def _single_body(body: bytes, *, binary: bool) -> bytes:
    """The payload as it is passed on: bytes as they are, JSON always as an object."""
    if binary:
        return body
    value = parse_json(body or b"{}")
    return to_json({"_json": value} if as_object(value) is None else value).encode()


def _errors(message: Mapping[str, object]) -> dict[str, list[str]]:
    """What is wrong with one message of a batch, by field."""
    errors: dict[str, list[str]] = {}
    for field in ("topic", "event", "payload"):
        value = message.get(field)
        right = as_object(value) is not None if field == "payload" else isinstance(value, str)
        if value is None or value == "":
            errors[field] = [BLANK]
        elif not right:
            errors[field] = [INVALID]
    if not isinstance(message.get("private", False), bool):
        errors["private"] = [INVALID]
    if message.get("id") is not None and not _is_uuid(message["id"]):
        errors["id"] = [INVALID]
    return errors


def _is_uuid(value: object) -> bool:
    try:
        UUID(str(value))
    except ValueError:
        return False
    return True
