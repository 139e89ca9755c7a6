"""`python -m customer_tickets.devstack.realtime`: the realtime server as a process of its own."""

import argparse
import asyncio
import os
import signal
import sys
from dataclasses import replace

from aiohttp import web

from customer_tickets.devstack.part_log import log_without_requests
from customer_tickets.devstack.process import LONGEST_LINE
from customer_tickets.devstack.realtime.profile import profile_named
from customer_tickets.devstack.realtime.project import Project
from customer_tickets.devstack.realtime.server import make_app

# Clients have been told and given their time by then.
STOP_SECONDS = 0.05


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="realtime", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database-url", required=True, help="as a superuser of the project")
    parser.add_argument(
        "--jwt-secret-env", required=True, metavar="NAME", help="the variable that holds the secret"
    )
    parser.add_argument("--profile", choices=["fast", "faithful"], default="fast")
    parser.add_argument("--private-only", action="store_true", help="refuse public channels")
    parser.add_argument(
        "--control-key-env", metavar="NAME", help="serve /faults to whoever has this variable's key"
    )
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace, secret: str, control_key: str | None) -> None:
    profile = replace(profile_named(arguments.profile), private_only=arguments.private_only)
    project = Project.connect(arguments.database_url, secret, profile)
    runner = web.AppRunner(
        make_app(project, control_key=control_key),
        access_log=None,
        shutdown_timeout=STOP_SECONDS,
        handler_cancellation=True,
        # As there: a body that is compressed is no JSON.
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
    arguments = _arguments()
    secret = os.environ.get(arguments.jwt_secret_env)
    key_name = arguments.control_key_env
    control_key = os.environ.get(key_name) if key_name else None
    for name, value in ((arguments.jwt_secret_env, secret), (key_name, control_key)):
        if name and not value:
            print(f"the variable {name} holds no secret", file=sys.stderr)  # noqa: T201 - a command prints
            return 2
    assert secret is not None
    asyncio.run(_serve(arguments, secret, control_key))
    return 0


if __name__ == "__main__":
    sys.exit(main())
