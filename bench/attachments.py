"""A big file up and down: this library side by side with storage3, the package that Supabase has.

Run with `python bench/attachments.py --mebibytes 200 --turns 3`. Each measurement is a process of
its own: seconds, and by how many megabytes its memory grew at most (Linux only: read from /proc).
The library also reads the file a second time for its SHA-256, and checks it on the way back.

Found on two busy cores: 200 MiB up in 2.0 s with 6 MB more memory (storage3: 2.1 s, 0 MB),
down in 2.8 s with 2 MB (storage3, which knows no streamed download: 3.5 s, 400 MB).
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import psycopg

from customer_tickets import CustomerTickets
from customer_tickets.devstack import LocalStack

BUCKET = "ticket-attachments"
# The bucket takes no type with a parameter, which storage3 has by default.
TYPE = "application/octet-stream"
LIMIT = 40.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=200)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--child", choices=["library", "storage3"], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        {"library": library, "storage3": storage3}[arguments.child](arguments.file)
        return 0
    return compare(arguments.mebibytes, arguments.turns)


def compare(mebibytes: int, turns: int) -> int:
    found: dict[str, list[list[float]]] = {"library": [], "storage3": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalStack.start(seed=True) as stack,
        psycopg.connect(stack.database_url, autocommit=True) as database,
    ):
        database.execute("update storage.buckets set file_size_limit = null")
        path = Path(folder) / "big.bin"
        with path.open("wb") as file:
            for _ in range(mebibytes):
                file.write(os.urandom(1 << 20))
        environment = {
            **os.environ,
            "SUPABASE_URL": stack.url,
            "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        }
        for _ in range(turns):
            for who, rows in found.items():
                command = [sys.executable, __file__, "--child", who, "--file", str(path)]
                done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
                rows.append([float(number) for number in done.stdout.split()])
    print(f"{mebibytes} MiB, median of {turns}; seconds and megabytes of memory")
    print(f"{'':<10}{'up':>8}{'':>8}{'down':>10}{'':>8}")
    medians = {
        who: [statistics.median(column) for column in zip(*rows, strict=True)]
        for who, rows in found.items()
    }
    for who, (up, up_memory, down, down_memory) in medians.items():
        print(f"{who:<10}{up:>8.2f}{up_memory:>8.0f}{down:>10.2f}{down_memory:>8.0f}")
    ours = medians["library"]
    return 1 if max(ours[1], ours[3]) > LIMIT else 0


def library(path: Path) -> None:
    with CustomerTickets.from_env() as tickets:
        tickets.sign_in("ana@example.com", "secret123")
        acme = tickets.organizations.named("Acme")
        small = tickets.create(organization=acme, subject="Small", attachments=[b"x"])
        tickets.attachments.read(tickets.thread(small).attachments[0])
        up = measured(lambda: tickets.create(organization=acme, subject="Big", attachments=[path]))
        ticket = next(iter(tickets.all()))
        (attachment,) = tickets.thread(ticket).attachments
        down = measured(
            lambda: tickets.attachments.save(attachment, path.parent / uuid.uuid4().hex)
        )
    print(*up, *down)


def storage3(path: Path) -> None:
    from supabase import create_client

    client = create_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_PUBLISHABLE_KEY"])
    answer = client.auth.sign_in_with_password(
        {"email": "ana@example.com", "password": "secret123"}
    )
    assert answer.user is not None
    files = client.storage.from_(BUCKET)
    folder = answer.user.id
    small, big = f"{folder}/{uuid.uuid4()}", f"{folder}/{uuid.uuid4()}"
    files.upload(small, b"x", {"content-type": TYPE})
    files.download(small)

    def receive() -> None:
        (path.parent / uuid.uuid4().hex).write_bytes(files.download(big))

    print(*measured(lambda: files.upload(big, path, {"content-type": TYPE})), *measured(receive))
    files.remove([small, big])
    client.auth.close()


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that something took, and how much higher the memory was meanwhile."""
    Path("/proc/self/clear_refs").write_text("5")
    before, started = status("VmRSS"), time.perf_counter()
    work()
    return time.perf_counter() - started, status("VmHWM") - before


def status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


if __name__ == "__main__":
    sys.exit(main())
