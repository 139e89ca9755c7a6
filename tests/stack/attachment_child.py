"""A program of its own that attaches files: to be killed in the middle, or to be weighed.

`python attachment_child.py kill MOMENT` creates a ticket and kills itself at a moment: the number
of a call of the progress, or `sent`, after which the server takes its time. `weigh FILE` prints the
megabytes by which its memory has grown at most while it sent a file, and while it received it.
"""

import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from uuid import UUID

from customer_tickets import CustomerTickets, Progress, Upload

FILES = 3


def main() -> None:
    url, key, email, password, organization = os.environ["ATTACHMENT_CHILD"].split("\n")
    with CustomerTickets(url, key) as tickets:
        tickets.sign_in(email, password)
        if sys.argv[1] == "kill":
            kill(tickets, UUID(organization), sys.argv[2])
        else:
            weigh(tickets, UUID(organization), Path(sys.argv[2]))


def kill(tickets: CustomerTickets, organization: UUID, moment: str) -> None:
    calls = 0
    whole: set[int] = set()

    def tell(now: Progress) -> None:
        nonlocal calls
        calls += 1
        if moment == str(calls):
            end()
        if now.done == now.total:
            whole.add(now.position)
        if moment == "sent" and len(whole) == FILES:
            threading.Timer(0.3, end).start()

    files = [Upload(os.urandom(1_200_000), f"{number}.bin") for number in range(FILES)]
    tickets.create(organization=organization, subject="Killed", attachments=files, progress=tell)
    end()


def end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def weigh(tickets: CustomerTickets, organization: UUID, path: Path) -> None:
    # What is imported and connected at the first use is no part of what a big file costs.
    small = tickets.create(organization=organization, subject="Small", attachments=[b"x" * 99])
    (attachment,) = tickets.thread(small).attachments
    tickets.attachments.read(attachment)
    before = begin()
    ticket = tickets.create(organization=organization, subject="Big", attachments=[path])
    sent = highest() - before
    (attachment,) = tickets.thread(ticket).attachments
    with tempfile.TemporaryDirectory() as folder:
        before = begin()
        tickets.attachments.save(attachment, folder)
        received = highest() - before
    print(sent, received)


def begin() -> float:
    """Return the present size in megabytes, and forget how high it was."""
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def highest() -> float:
    return status("VmHWM")


def status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


if __name__ == "__main__":
    main()
