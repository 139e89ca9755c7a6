"""A program of its own that exports: to be killed in the middle, to have no room, to be weighed.

`python export_child.py TO kill N` kills itself before the n-th time that a file gets its place.
`limit BYTES` may write no file that is longer. `weigh` prints the megabytes by which its memory has
grown at most.
"""

import os
import resource
import signal
import sys
import tempfile
from pathlib import Path

from customer_tickets import CustomerTickets, CustomerTicketsError


def main() -> None:
    url, key, email, password = os.environ["EXPORT_CHILD"].split("\n")
    to, what, *more = sys.argv[1:]
    with CustomerTickets(url, key) as tickets:
        tickets.sign_in(email, password)
        if what == "kill":
            kill_at(int(more[0]))
            tickets.export(to)
        elif what == "limit":
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(more[0]), resource.RLIM_INFINITY))
            try:
                tickets.export(to)
            except CustomerTicketsError as error:
                print(type(error).__name__, error)
        else:
            weigh(tickets, to)


def kill_at(moment: int) -> None:
    calls = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal calls
        if event in {"os.rename", "os.link", "os.mkdir"} or (
            event == "open" and str(arguments[0]).endswith(".part")
        ):
            calls += 1
            if calls == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def weigh(tickets: CustomerTickets, to: str) -> None:
    # What is imported and connected at the first use is no part of what big files cost.
    with tempfile.TemporaryDirectory() as folder:
        tickets.export(Path(folder) / "small.zip", attachments=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tickets.export(to)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


main()
