"""The HTTP side: which request is whose, who asks, and what a refusal looks like."""

import asyncio
import contextlib
import errno
import logging
from collections.abc import AsyncIterator
from urllib.parse import unquote_to_bytes

import aiohttp
import psycopg
from aiohttp import web

from customer_tickets.devstack.storage import catalog, errors
from customer_tickets.devstack.storage.buckets import Buckets
from customer_tickets.devstack.storage.caller import ANON, SERVICE, Caller, Scope, caller_of
from customer_tickets.devstack.storage.downloads import Downloads
from customer_tickets.devstack.storage.errors import StorageError
from customer_tickets.devstack.storage.listing import Listing
from customer_tickets.devstack.storage.objects import Objects
from customer_tickets.devstack.storage.project import Call, Project, Route
from customer_tickets.devstack.storage.uploads import Uploads

__all__ = ["make_app"]

_log = logging.getLogger(__name__)

# Of bodies that are read whole: JSON. Files are not.
_MAX_BODY = 1 << 21
_SWEEP_AGAIN = 0.2


class Server:
    """Finds the route of a request and answers it, refusals included."""

    def __init__(self, project: Project) -> None:
        self._project = project
        # The exact prefixes first: a bucket may be called like one of them.
        routes = [
            route
            for part in (Listing, Objects, Uploads, Downloads, Buckets)
            for route in part(project).routes()
        ]
        self._routes = sorted(routes, key=lambda route: -route.prefix.count("/"))
        self.swept = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer any request."""
        try:
            return await self._answer(request)
        except StorageError as refusal:
            return _refused(refusal)
        except psycopg.Error as error:
            if errors.from_postgres(error).status >= 500:
                # Its message may hold values of rows.
                _log.warning("the database refused: %s", error.sqlstate or type(error).__name__)
            return _refused(errors.from_postgres(error))
        except UnicodeEncodeError:
            # A lone surrogate, which the database cannot store.
            return _refused(errors.invalid_request("body must be valid Unicode"))
        except web.HTTPRequestEntityTooLarge:
            return _refused(errors.too_large("body"))
        except (ConnectionError, aiohttp.ClientPayloadError):
            # The client is gone, and the answer goes nowhere.
            return _refused(errors.no_content("The request was aborted"))
        except OSError as error:
            _log.error("a file cannot be used: %s", errno.errorcode.get(error.errno or 0))
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            return _refused(errors.no_room() if full else errors.internal())
        except Exception as error:  # noqa: BLE001 - any bug is answered in JSON as well
            _log.error("a request failed: %s", type(error).__name__)
            return _refused(errors.internal())

    async def health(self, request: web.Request) -> web.Response:
        """200 when requests can be served."""
        del request
        if self.swept and await self._project.database.reachable():
            return web.json_response({"status": "ok"})
        return web.json_response({"status": "not ready"}, status=503)

    async def sweep(self, versions: set[str]) -> None:
        """Remove, of these files, those without a row; retried until the database answers."""
        files, scope = self._project.files, Scope(SERVICE, "sweep")
        while not self.swept:
            try:
                async with self._project.database.acting(scope) as connection:
                    kept = await catalog.all_versions(connection)
            except psycopg.Error:
                await asyncio.sleep(_SWEEP_AGAIN)
                continue
            removed = files.remove_all_but(kept, versions)
            if removed:
                _log.warning("removed %d files that no object refers to", removed)
            self.swept = True

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        parts = request.rel_url.raw_path.lstrip("/").split("/")
        for route in self._routes:
            place = _place(route, request.method, parts)
            if place is not None:
                break
        else:
            raise errors.no_route(request.method, request.rel_url.raw_path[:200])
        scope = Scope(
            self._caller(request, route),
            route.operation,
            request.method,
            request.rel_url.raw_path,
            {name.lower(): value for name, value in request.headers.items() if _told(name)},
        )
        return await route.handler(Call(request, scope, *place))

    def _caller(self, request: web.Request, route: Route) -> Caller:
        try:
            authorization = request.headers.get("Authorization")
            return caller_of(authorization, self._project.jwt_secret, self._project.now())
        except StorageError:
            if route.access == "token":
                raise
            return ANON


def _place(route: Route, method: str, parts: list[str]) -> tuple[str, str] | None:
    """The bucket and key, decoded, when this request is the route's."""
    fixed = route.prefix.split("/")
    tail = parts[len(fixed) :]
    if route.method != method or parts[: len(fixed)] != fixed:
        return None
    match route.tail:
        case "":
            return ("", "") if tail in ([], [""]) else None
        case "bucket":
            return (_decoded(tail[0]), "") if len(tail) == 1 and tail[0] else None
        case "bucket/empty":
            return (_decoded(tail[0]), "") if len(tail) == 2 and tail[1] == "empty" else None
        case _:
            if len(tail) < 2 or not tail[0]:
                return None
            return _decoded(tail[0]), _decoded("/".join(tail[1:]))


def _decoded(part: str) -> str:
    # What is no UTF-8 becomes a character that no name may have.
    return unquote_to_bytes(part).decode(errors="replace")


def _told(header: str) -> bool:
    # The tokens are not a policy's business.
    return header.lower() not in ("authorization", "apikey", "cookie")


def _refused(refusal: StorageError) -> web.Response:
    return web.json_response(refusal.body(), status=refusal.http, headers=refusal.headers)


def make_app(project: Project) -> web.Application:
    """The whole server; the folder is opened with the application and closed with it."""
    server = Server(project)

    async def background(app: web.Application) -> AsyncIterator[None]:
        del app
        project.files.open()
        # Files of uploads that begin from now on are not looked at.
        sweeping = asyncio.create_task(server.sweep(project.files.versions()), name="sweep")
        yield
        sweeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeping
        await project.database.close()
        project.files.close()

    app = web.Application(client_max_size=_MAX_BODY)
    app.router.add_get("/health", server.health)
    app.router.add_route("*", "/{path:(?s:.*)}", server.handle)
    app.cleanup_ctx.append(background)
    return app
