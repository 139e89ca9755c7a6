"""`python -m customer_tickets.devstack.storage`: the storage server as a process of its own."""

import argparse
import asyncio
import os
import signal
import sys
import warnings
from pathlib import Path

import aiohttp
from aiohttp import web

from customer_tickets.devstack.part_log import log_without_requests
from customer_tickets.devstack.process import LONGEST_LINE
from customer_tickets.devstack.storage.database import Database
from customer_tickets.devstack.storage.errors import StorageError
from customer_tickets.devstack.storage.files import Files, FolderInUse
from customer_tickets.devstack.storage.names import parse_size
from customer_tickets.devstack.storage.project import Project
from customer_tickets.devstack.storage.server import make_app

# A stack has to stop at once; an upload that is cut off leaves nothing.
STOP_SECONDS = 0.05


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="storage", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database-url", required=True, help="as a superuser of the project")
    parser.add_argument(
        "--jwt-secret-env", required=True, metavar="NAME", help="the variable that holds the secret"
    )
    parser.add_argument("--folder", type=Path, required=True, help="where the files are kept")
    parser.add_argument(
        "--file-size-limit", default="500MB", help="of any object, such as 50MB (default: 500MB)"
    )
    parser.add_argument(
        "--durable", action="store_true", help="files survive a power cut, as the rows do"
    )
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace, secret: str) -> None:
    project = Project(
        Database(arguments.database_url),
        Files(arguments.folder, durable=arguments.durable),
        secret,
        parse_size(arguments.file_size_limit),
    )
    runner = web.AppRunner(
        make_app(project),
        access_log=None,
        shutdown_timeout=STOP_SECONDS,
        # Bytes are kept as they come, whatever they are encoded with.
        auto_decompress=False,
        max_line_size=LONGEST_LINE,
        max_field_size=LONGEST_LINE,
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await runner.setup()
    await web.TCPSite(runner, arguments.host, arguments.port).start()
    await stop.wait()
    await runner.cleanup()


def main() -> int:
    """Serve until asked to stop."""
    log_without_requests()
    # These would print the name of a customer's file.
    warnings.simplefilter("ignore", aiohttp.BadContentDispositionHeader)
    warnings.simplefilter("ignore", aiohttp.BadContentDispositionParam)
    arguments = _arguments()
    secret = os.environ.get(arguments.jwt_secret_env)
    if not secret:
        print(f"the variable {arguments.jwt_secret_env} holds no secret", file=sys.stderr)  # noqa: T201 - a command prints
        return 2
    try:
        asyncio.run(_serve(arguments, secret))
    except FolderInUse:
        print("another storage server runs on this folder", file=sys.stderr)  # noqa: T201 - a command prints
        return 2
    except OSError as error:
        print(f"cannot serve: {error.strerror}", file=sys.stderr)  # noqa: T201 - a command prints
        return 2
    except StorageError as error:
        print(error.message, file=sys.stderr)  # noqa: T201 - a command prints
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
