"""The one door to the REST server: token, retries, the call itself, translation, parsing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

import httpx
from postgrest import AsyncPostgrestClient
from postgrest.base_request_builder import RequestConfig
from pydantic import TypeAdapter, ValidationError

from ._cache import Cache
from ._errors import ClientClosed, CustomerTicketsError, Offline, SignInRequired, UnexpectedAnswer
from ._retry import retrying
from ._session import Session
from ._translate import from_network, from_response, request_id

_log = logging.getLogger("customer_tickets")
_T = TypeVar("_T")


class Query(Protocol):
    """A built postgrest query: all that this module needs of it is the request inside."""

    request: RequestConfig[httpx.AsyncClient]


@dataclass(frozen=True)
class Rows(Generic[_T]):
    """The parsed rows of a query and, where it was asked for, how many there are in all."""

    items: _T
    total: int | None


class Connection:
    """A client's connection to PostgREST, as the signed-in user and never as anybody else."""

    def __init__(
        self,
        url: str,
        key: str,
        session: Session,
        http: httpx.AsyncClient,
        *,
        timeout: float,
        cache: float,
    ) -> None:
        self.session = session
        self.cache = Cache(cache, time.monotonic)
        self.rest = AsyncPostgrestClient(
            f"{url}/rest/v1", headers={"apikey": key}, http_client=http, retry_enabled=False
        )
        self._http = http
        self._timeout = timeout

    async def call(
        self,
        function: str,
        arguments: Mapping[str, object],
        answer: TypeAdapter[_T],
        *,
        write_id: UUID | None = None,
        patience: float | None = None,
    ) -> _T:
        """Call one of the API's functions; `write_id` is the key that makes repeating it safe.

        `patience` is the time in seconds for all attempts together, where it is not the client's.
        """
        # The package annotates the arguments as texts and sends any JSON.
        present: dict[str, Any] = {
            name: str(value) if isinstance(value, UUID) else value
            for name, value in arguments.items()
            if value is not None
        }
        try:
            response = await self._send(self.rest.rpc(function, present), function, patience)
        except CustomerTicketsError as error:
            error.write_id = write_id
            raise
        return _parsed(response, answer)

    async def select(self, query: Query, answer: TypeAdapter[_T]) -> Rows[_T]:
        """Read rows of a table."""
        response = await self._send(query, query.request.path.name, None)
        _, _, total = response.headers.get("content-range", "").partition("/")
        return Rows(_parsed(response, answer), int(total) if total.isdigit() else None)

    async def _send(self, query: Query, what: str, patience: float | None) -> httpx.Response:
        if self._http.is_closed:
            raise ClientClosed("This client is closed.", hint="Make a new one.")
        seconds = self._timeout if patience is None else patience
        try:
            async with asyncio.timeout(seconds):
                return await self._as_user(query.request, what, seconds)
        except TimeoutError:
            raise Offline(
                f"The server did not answer within {seconds:g} seconds.", hint="Is the network up?"
            ) from None

    async def _as_user(
        self, request: RequestConfig[httpx.AsyncClient], what: str, seconds: float
    ) -> httpx.Response:
        # The session repeats by itself what it asks of auth: not once more for each repetition.
        token = await self.session.token()
        try:
            return await self._repeat(request, token, what, seconds)
        except SignInRequired as error:
            # The server's clock or its key decides, not ours: one refresh, then its word counts.
            if error.status != 401:
                raise
        await self.session.replace(token)
        return await self._repeat(request, await self.session.token(), what, seconds)

    async def _repeat(
        self, request: RequestConfig[httpx.AsyncClient], token: str, what: str, seconds: float
    ) -> httpx.Response:
        async for attempt in retrying(seconds):
            with attempt:
                return await self._once(request, token, what)
        raise AssertionError("tenacity returns or raises")

    async def _once(
        self, request: RequestConfig[httpx.AsyncClient], token: str, what: str
    ) -> httpx.Response:
        started = time.perf_counter()
        try:
            response = await request.send(httpx.Headers({"Authorization": f"Bearer {token}"}))
        except httpx.RequestError as error:
            _log.debug("%s: no answer (%s)", what, type(error).__name__)
            failure: CustomerTicketsError = from_network(error)
        else:
            spent = (time.perf_counter() - started) * 1000
            _log.debug("%s: HTTP %d in %.1f ms", what, response.status_code, spent)
            if response.is_success:
                return response
            failure = from_response(response)
        # Outside the handler: httpx's errors carry the request, and with it the token.
        raise failure


def _parsed(response: httpx.Response, answer: TypeAdapter[_T]) -> _T:
    try:
        return answer.validate_json(response.content)
    except ValidationError as error:
        problems: list[Any] = [problem["loc"] for problem in error.errors(include_input=False)]
    raise UnexpectedAnswer(
        f"The server's answer does not fit this version of the library (at {problems[:3]}).",
        hint="Is another program answering at this URL, or is a migration missing?",
        status=response.status_code,
        request_id=request_id(response),
    )
