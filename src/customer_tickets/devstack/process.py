"""One child process: start it, wait until it is healthy, ask it to stop, insist."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
# Bytes of a request's first line, and of each header: what servers of hosted projects take.
LONGEST_LINE = 1 << 14
_LAUNCH = Path(__file__).with_name("launch.py")

# Linux sends the "your parent died" signal when the THREAD that forked ends, so all children are
# forked by one thread that lives as long as this process.
_forker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="devstack-fork")


class StackError(RuntimeError):
    """A part of the local stack cannot be had; the text says which, why, and what to do."""


@dataclass(frozen=True)
class User:
    """The system user (numbers) a child runs as."""

    uid: int
    gid: int


def free_port() -> int:
    """Return a TCP port of the loopback address that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def accepts_connections(port: int) -> bool:
    """Tell whether something listens on this port of the loopback address."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def answers(port: int, path: str, name: str = "") -> bool:
    """Tell whether GET `path` on this port of the loopback address is answered with 200.

    With a name, the answer has to contain it: it tells one process from another on the same port.
    """
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status == http.HTTPStatus.OK and name.encode() in answer.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def launched(
    command: Sequence[str], user: User | None = None, *, death_signal: int = signal.SIGKILL
) -> list[str]:
    """Return the command line that runs `command` as `user` and tied to this process's life."""
    identity = ["-", "-"] if user is None else [str(user.uid), str(user.gid)]
    launcher = [sys.executable, "-I", "-S", str(_LAUNCH)]
    return [*launcher, str(os.getpid()), str(int(death_signal)), *identity, *command]


def run_to_end(
    command: Sequence[str],
    *,
    cwd: Path | str = "/",
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program and return its exit code and what it said.

    Ctrl-C, or any other exception here, ends it and its own children, which could otherwise go on
    writing into a folder that is being removed.
    """
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        try:
            said, complained = process.communicate()
        except BaseException:
            # It may have ended meanwhile: `communicate` gives it a moment after Ctrl-C.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, said, complained)


def _private(path: str, flags: int) -> int:
    """Open for this user alone: others may enter the folder, and need not read what a part says."""
    descriptor = os.open(path, flags, 0o600)
    # It may be an older one.
    os.fchmod(descriptor, 0o600)
    return descriptor


class Child:
    """A child process with a name, a log file, and a question that tells whether it is healthy.

    It may be started again after it was stopped or killed. `wanted` tells whether it should be
    running: a child that is wanted and does not run has died by itself.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        healthy: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        user: User | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGKILL,
        patience: float = 5.0,
    ) -> None:
        self.name = name
        self.log = log
        self.wanted = False
        self._command = list(command)
        self._healthy = healthy
        self._environment = dict(os.environ if environment is None else environment)
        self._user = user
        self._stop_signal = stop_signal
        self._death_signal = death_signal
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.running else "not running"
        return f"<Child {self.name}: {state}>"

    @property
    def pid(self) -> int | None:
        """The process id, None before the first start."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process exists (healthy or not)."""
        return self._process is not None and self._process.poll() is None

    def start(self, timeout: float = 30.0) -> None:
        """Start and wait until healthy; raises StackError when it ends or takes too long."""
        self.spawn()
        self.wait_healthy(timeout)

    def spawn(self) -> None:
        """Start without waiting; nothing happens when it runs already."""
        # A supervisor may want the same at the same time.
        with self._starting:
            if not self.running:
                self._process = _forker.submit(self._fork).result()
            self.wanted = True

    def wait_healthy(self, timeout: float = 30.0) -> None:
        """Wait until it is healthy; raises StackError, and stops it, when that cannot be."""
        deadline = time.monotonic() + timeout
        pause = 0.005
        while not self._healthy():
            if not self.running:
                self.wanted = False
                raise StackError(f"{self.name} {self.how_it_ended()}.{self.last_words()}")
            if time.monotonic() > deadline:
                words = self.last_words()
                self.stop()
                raise StackError(f"{self.name} was not ready within {timeout:.0f} s.{words}")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)

    def stop(self) -> None:
        """Ask it to stop, insist after a while, and return when it is gone."""
        self.ask_to_stop()
        if self._process is None:
            return
        try:
            self._process.wait(self._patience)
        except subprocess.TimeoutExpired:
            self.kill()

    def ask_to_stop(self) -> None:
        """Send the signal that asks it to stop, and return at once."""
        self.wanted = False
        if self.running and self._process is not None:
            self._process.send_signal(self._stop_signal)

    def kill(self) -> None:
        """Kill it and its own children without asking (SIGKILL); it stays down until `start`."""
        self.wanted = False
        if self.running and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def how_it_ended(self) -> str:
        """Say how the last run ended, as a part of a sentence."""
        code = None if self._process is None else self._process.poll()
        if code is None:
            return "has not ended"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended by itself with exit code {code}"

    def last_words(self) -> str:
        """Return the end of its log, each line on a line of its own; empty when there is none."""
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()[-8:]
        except OSError:
            return ""
        return "".join(f"\n  {line}" for line in lines)

    def _fork(self) -> subprocess.Popen[bytes]:
        with open(self.log, "ab", opener=_private) as log:
            return subprocess.Popen(
                launched(self._command, self._user, death_signal=self._death_signal),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                # Readable by every user: the working directory of the caller may not be.
                cwd="/",
                # Its own process group: Ctrl-C in a terminal reaches the parent alone.
                process_group=0,
            )
