"""`customer-tickets dev`: start the local stack, say how to use it, stop on Ctrl-C."""

import argparse
import functools
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

import psycopg

from customer_tickets.devstack import LocalStack, StackError
from customer_tickets.devstack.ports import PortTaken

# The Supabase CLI's own, so that examples written for it work.
_USUAL_PORT = 54321
_SEED_PASSWORD = "secret123"  # noqa: S105 - of the people in seed.sql, on this machine only

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_BANNER = """\
A local Supabase for development. Real: Postgres, PostgREST, Supabase's auth implementation for
Node (@supabase/lite). Ours, to the behaviour of hosted projects: the gateway, storage and the
realtime server. Not here: functions, sign-in through other services, changed images.
For Supabase's own containers use `supabase start`.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `customer-tickets dev`."""
    parser.add_argument(
        "--port",
        type=_port,
        help=f"the stack's port on 127.0.0.1 (default: {_USUAL_PORT} or, when taken, a free one)",
    )
    parser.add_argument(
        "--data",
        type=_folder,
        metavar="FOLDER",
        help="keep data, users and keys in this folder (default: a temporary one)",
    )
    parser.add_argument(
        "--seed",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="fill a new database with organizations, people and tickets (default: yes)",
    )
    parser.add_argument(
        "--profile",
        choices=["fast", "faithful"],
        default="faithful",
        help="whether realtime has hosted projects' delays and limits (default: faithful)",
    )
    parser.add_argument(
        "--reset",
        action="store_true",
        help="throw away what the folder of --data holds, except its keys, and begin anew",
    )
    parser.add_argument(
        "--faults",
        action="store_true",
        help="have fault switches, for tests: things go wrong when asked to",
    )


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 1 to 65535")
    return int(text)


def _folder(text: str) -> Path:
    if not text:
        # To Path that is the current folder: an unset variable would fill it.
        raise argparse.ArgumentTypeError("a folder has a name")
    return Path(text)


def run(arguments: argparse.Namespace) -> int:
    """Run until Ctrl-C or SIGTERM; returns the exit code."""
    for number in _ENDING:
        # A program started with nohup ignores that its terminal is gone.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    if arguments.reset and arguments.data is None:
        print("--reset needs --data: a temporary folder is always new.", file=sys.stderr)  # noqa: T201 - a command prints
        return 2
    try:
        stack = _started(arguments)
    except StackError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command prints
        return 1
    except KeyboardInterrupt:
        _say("Stopped before it was ready; nothing is left running.")
        return 130
    try:
        _say(_introduction(stack))
        threading.Event().wait()
    except KeyboardInterrupt:
        _say("\nStopping ...")
    finally:
        stack.stop()
    _say("Stopped. " + _what_stays(arguments.data))
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    # From here on a second Ctrl-C would only leave something behind. A function, not SIG_IGN, which
    # a part that is being started would inherit.
    for each in _ENDING:
        signal.signal(each, _nothing)
    raise KeyboardInterrupt


def _nothing(number: int, frame: FrameType | None) -> None:
    pass


def _started(arguments: argparse.Namespace) -> LocalStack:
    start = functools.partial(
        LocalStack.start,
        data=arguments.data,
        seed=arguments.seed,
        reset=arguments.reset,
        profile=arguments.profile,
        faults=arguments.faults,
        progress=_say,
    )
    if arguments.port is not None:
        return start(port=arguments.port)
    try:
        return start(port=_USUAL_PORT)
    except PortTaken:
        # Tried, not looked up: it may be taken between the two.
        return start()


def _say(words: str) -> None:
    try:
        print(words, flush=True)  # noqa: T201 - a command prints
    except BrokenPipeError:
        # Whoever read this is gone (Ctrl-C ends `| tee` as well); the stack is not.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _what_stays(data: Path | None) -> str:
    return "Nothing is left." if data is None else f"The data is kept in {data}."


def _introduction(stack: LocalStack) -> str:
    people = _people(stack)
    first = people[0] if people else None
    lines = [
        "",
        _BANNER,
        f"  URL              {stack.url}",
        f"  publishable key  {stack.publishable_key}",
        f"  secret key       {stack.secret_key}",
        f"  database         {stack.database_url}",
        "",
    ]
    if first is not None:
        lines.append(f"People to sign in as, all with the password {_SEED_PASSWORD}:")
        lines += [f"  {email:<20} {role}" for email, role in people]
        lines.append("")
    lines += [
        "To begin with:",
        "",
        "  from customer_tickets import CustomerTickets",
        f'  tickets = CustomerTickets("{stack.url}", "{stack.publishable_key}")',
    ]
    if first is not None:
        lines += [
            f'  tickets.sign_in("{first[0]}", "{_SEED_PASSWORD}")',
            "  for ticket in tickets.all(): print(ticket.status, ticket.subject)",
        ]
    if stack.has_faults:
        lines += [
            "",
            "Its fault switches, for example:",
            "",
            "  from customer_tickets.devstack import Faults",
            f'  faults = Faults("{stack.url}", "{stack.control_key}")',
            '  faults.lose_answers("/rest/v1/rpc/send_message", times=1)',
        ]
    return "\n".join([*lines, "", "Ctrl-C stops it."])


def _people(stack: LocalStack) -> list[tuple[str, str]]:
    """The people of seed.sql, customers first: e-mail, and what they are."""
    with psycopg.connect(stack.database_url) as connection:
        return [
            (str(email), str(role))
            for email, role in connection.execute(
                "select u.email, p.role || coalesce(' of ' || o.name, '')"
                " from public.profiles p join auth.users u on u.id = p.user_id"
                " left join public.organizations o on o.id = p.org_id"
                # The ids of the seed's people are written into it; others are random.
                " where u.id::text like '%-0000-4000-8000-%'"
                " order by p.role <> 'customer', u.email limit 10"
            )
        ]
