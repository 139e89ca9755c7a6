"""The command line: for now, the local Supabase."""

from __future__ import annotations

import argparse
import sys

from . import __version__


def main(arguments: list[str] | None = None) -> int:
    """Run `customer-tickets` and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="customer-tickets", description="Support tickets on Supabase, the customer's side."
    )
    parser.add_argument("--version", action="version", version=f"customer-tickets {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    dev = commands.add_parser("dev", help="start a whole local Supabase, without Docker")
    try:
        # Only here: the library itself never needs the local stack's packages.
        from .devstack import command
    except ImportError as error:
        dev.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
        if parser.parse_args(arguments).command == "dev":
            print(
                f"The local stack needs the package {error.name!r}: "
                'pip install "customer-tickets[dev]"',
                file=sys.stderr,
            )
        return 1
    command.add_arguments(dev)
    return command.run(parser.parse_args(arguments))
