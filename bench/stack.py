"""How long the local stack takes to start and stop, what memory it uses, what it leaves behind.

Run with `python bench/stack.py --starts 20`, as root and as an ordinary user. Half of the starts
are cold (an empty folder: initdb, schemas, migrations), half warm (a kept folder). After each stop
nothing may be left: no process, port, file or segment of shared memory; otherwise it exits with 1.
Linux only: memory (PSS, so that what processes share counts once) is read from /proc.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from customer_tickets.devstack import Child, LocalStack
from customer_tickets.devstack.process import accepts_connections

BARS = {"warm start": 3.0, "stop": 1.0, "memory": 350.0}


def parts(stack: LocalStack) -> list[Child]:
    own = [stack.rest, stack.auth, stack.storage, stack.realtime, stack.gateway]
    return [stack.postgres.child, *own]


def family(pid: int) -> set[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, frontier = {pid}, [pid]
    while frontier:
        frontier = [child for parent in frontier for child in children.get(parent, [])]
        found.update(frontier)
    return found


def megabytes(pids: set[int]) -> float:
    """The memory of these processes, shared pages divided among those that share them."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / 1024


def segments(pids: set[int]) -> set[str]:
    """The segments of System V shared memory that these processes have made."""
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {line.split()[1] for line in lines if int(line.split()[4]) in pids}


def mapped(pids: set[int]) -> set[Path]:
    """The files of POSIX shared memory that these processes use."""
    found: set[Path] = set()
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
        except OSError:
            continue
        found |= {Path(line[line.index("/") :]) for line in lines if "/dev/shm/" in line}
    return found


def left_behind(
    pids: set[int], ports: list[int], shared: set[Path], folder: Path, kept: Path
) -> list[str]:
    """What a stopped stack has left, in words."""
    left = [f"process {pid}" for pid in pids if Path(f"/proc/{pid}").exists()]
    left += [f"port {port}" for port in ports if accepts_connections(port)]
    left += [f"shared memory {segment}" for segment in segments(pids)]
    left += [f"shared memory {path}" for path in shared if path.exists()]
    return left + [f"file {path}" for path in folder.iterdir() if path != kept]


def report(name: str, values: list[float], unit: str) -> None:
    bar = BARS.get(name)
    verdict = "" if bar is None or max(values) < bar else f"   over the bar of {bar:g}"
    median = statistics.median(values)
    print(f"{name:<12} {median:>8.2f} {max(values):>8.2f} {unit}{verdict}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=6)
    arguments = parser.parse_args()
    # Not below another user's closed folder: started as root, Postgres runs as somebody else.
    folder = Path(tempfile.mkdtemp(prefix="bench-customer-tickets-"))
    folder.chmod(0o711)
    tempfile.tempdir = str(folder)
    kept = folder / "kept"
    times: dict[str, list[float]] = {"cold start": [], "warm start": [], "stop": [], "memory": []}
    memory: dict[str, float] = {}
    left: list[str] = []
    LocalStack.start(data=kept).stop()
    for turn in range(arguments.starts):
        kind, data = ("cold start", None) if turn % 2 == 0 else ("warm start", kept)
        started = time.perf_counter()
        stack = LocalStack.start(data=data)
        times[kind].append(time.perf_counter() - started)
        pids = {child.name: family(child.pid) for child in parts(stack) if child.pid is not None}
        memory = {name: megabytes(group) for name, group in pids.items()}
        times["memory"].append(sum(memory.values()))
        ports = [stack.port, stack.rest_port, stack.auth_port, stack.postgres.port]
        everyone = set[int]().union(*pids.values())
        shared = mapped(everyone)
        started = time.perf_counter()
        stack.stop()
        times["stop"].append(time.perf_counter() - started)
        left += left_behind(everyone, ports, shared, folder, kept)
    shutil.rmtree(folder)
    print(f"{'':<12} {'median':>8} {'most':>8}")
    for name, values in times.items():
        report(name, values, "MB" if name == "memory" else "s")
    print("memory of each part, MB: " + ", ".join(f"{n} {m:.0f}" for n, m in memory.items()))
    print("left behind: " + (", ".join(left) or "nothing"))
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
