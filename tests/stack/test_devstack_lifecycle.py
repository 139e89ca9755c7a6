"""Starting, stopping, dying: what is left behind is nothing."""

import contextlib
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import httpx
import psycopg
import pytest

from customer_tickets.devstack import Child, Faults, LocalStack, StackError
from customer_tickets.devstack.folder import StackFolder
from customer_tickets.devstack.process import accepts_connections, answers, free_port

pytestmark = pytest.mark.faults

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot tie two lives")


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for temporary folders of each test's own: others may be running stacks as well."""
    path = Path(tempfile.mkdtemp(prefix="test-customer-tickets-"))
    # Enterable by the user that Postgres runs as when the tests run as root.
    path.chmod(0o711)
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    monkeypatch.setenv("TMPDIR", str(path))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def folder(temporary: Path) -> Path:
    return temporary / "kept"


def eventually(question: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not question():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def descendants(pid: int) -> set[int]:
    """The live processes below this one, as ps knows them."""
    table = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True
    ).stdout
    children: dict[int, set[int]] = {}
    for line in table.splitlines():
        child, parent, state = line.split()
        if not state.startswith("Z"):
            children.setdefault(int(parent), set()).add(int(child))
    found: set[int] = set()
    frontier = {pid}
    while frontier:
        frontier = {child for parent in frontier for child in children.get(parent, ())}
        found |= frontier
    return found


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def temporary_folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).iterdir())


def shared_memory(pids: set[int]) -> set[int]:
    """The processes among these that have left a segment of System V shared memory."""
    known = Path("/proc/sysvipc/shm")
    lines = known.read_text().splitlines()[1:] if known.exists() else []
    return {int(line.split()[4]) for line in lines} & pids


def every_child(stack: LocalStack) -> list[Child]:
    own = [stack.rest, stack.auth, stack.storage, stack.realtime, stack.gateway]
    return [stack.postgres.child, *own]


def healthy(stack: LocalStack) -> bool:
    answer = httpx.get(f"{stack.url}/rest/v1/", headers={"apikey": stack.secret_key})
    return answer.status_code == 200


def test_a_stopped_stack_leaves_nothing() -> None:
    before = descendants(os.getpid())
    with LocalStack.start() as stack:
        assert healthy(stack)
        mine = descendants(os.getpid()) - before
        assert len(mine) >= 5
        assert len(temporary_folders()) == 1
        assert shared_memory(mine)
    assert not alive(mine)
    assert not shared_memory(mine)
    assert not temporary_folders()
    assert not accepts_connections(stack.port)
    assert not accepts_connections(stack.postgres.port)


def test_two_stacks_stand_side_by_side(stack: LocalStack) -> None:
    with LocalStack.start() as other:
        assert_without_faults(other)
        assert other.url != stack.url
        assert other.jwt_secret != stack.jwt_secret
        headers = {"apikey": stack.secret_key}
        assert httpx.get(f"{other.url}/rest/v1/", headers=headers).status_code == 401
        assert healthy(other)
    assert healthy(stack)


def assert_without_faults(stack: LocalStack) -> None:
    """No fault switch is there unless asked for, with whatever key."""
    with pytest.raises(StackError, match="has no fault switches: start it with faults=True"):
        stack.faults.reset()
    for key in (stack.secret_key, stack.control_key):
        headers = {"apikey": stack.secret_key, "Authorization": f"Bearer {key}"}
        for path in ("/faults/requests", "/faults/realtime", "/faults/auth/tokens"):
            assert httpx.delete(stack.url + path, headers=headers).status_code == 404
        auth = f"http://127.0.0.1:{stack.auth_port}/faults"
        assert httpx.delete(auth, headers=headers).status_code in (401, 404)
    with pytest.raises(StackError, match="has no fault switches"):
        Faults(stack.url, stack.control_key).requests_left()


def test_data_users_and_keys_are_kept(folder: Path) -> None:
    with LocalStack.start(data=folder) as first:
        user = first.create_user("ana@example.com", "secret123", display_name="Ana")
        with psycopg.connect(first.database_url) as connection:
            assert connection.execute("show fsync").fetchone() == ("on",)
        with pytest.raises(StackError, match="Another local stack is running on"):
            LocalStack.start(data=folder)
        assert healthy(first)
    with LocalStack.start(data=folder) as second:
        assert second.secret_key == first.secret_key
        answer = httpx.post(
            f"{second.url}/auth/v1/token?grant_type=password",
            headers={"apikey": first.publishable_key},
            json={"email": "ana@example.com", "password": "secret123"},
        )
        assert answer.json()["user"]["id"] == str(user)


@pytest.mark.slow
def test_a_reset_folder_keeps_its_keys_and_nothing_else(folder: Path) -> None:
    with LocalStack.start(data=folder) as first:
        first.create_user("ana@example.com", "secret123")
        headers = {"apikey": first.secret_key}
        bucket = {"id": "b", "name": "b"}
        httpx.post(f"{first.url}/storage/v1/bucket", headers=headers, json=bucket)
        httpx.post(f"{first.url}/storage/v1/object/b/file", headers=headers, content=b"x")
    assert any((folder / "storage").iterdir())
    with LocalStack.start(data=folder, reset=True) as second:
        assert second.secret_key == first.secret_key
        with psycopg.connect(second.database_url) as connection:
            assert connection.execute("select count(*) from auth.users").fetchone() == (0,)
        left = httpx.get(f"{second.url}/storage/v1/bucket", headers=headers).json()
        # Migrations make buckets too.
        assert "b" not in [one["id"] for one in left]


MARKER = "customer-tickets-stack"


def other_layout(folder: Path) -> None:
    (folder / MARKER).write_text("0")


def keys_of_another_version(folder: Path) -> None:
    file = folder / "keys.json"
    keys = json.loads(file.read_text())
    del keys["control"]
    file.write_text(json.dumps(keys))


def damaged_keys(folder: Path) -> None:
    (folder / "keys.json").write_text("{")


def other_postgres(folder: Path) -> None:
    (folder / "postgres" / "data" / "PG_VERSION").write_text("15\n")


@pytest.fixture(scope="module")
def used() -> Iterator[Path]:
    """A folder that a stack has run on, to be copied."""
    place = Path(tempfile.mkdtemp(prefix="test-customer-tickets-"))
    place.chmod(0o711)
    LocalStack.start(data=place / "kept").stop()
    yield place / "kept"
    shutil.rmtree(place)


@pytest.mark.parametrize(
    "spoil",
    [other_layout, keys_of_another_version, damaged_keys, other_postgres],
)
def test_a_folder_of_another_version_is_said_in_words(
    used: Path, folder: Path, spoil: Callable[[Path], None]
) -> None:
    # As root the data belongs to another user, and has to in the copy.
    subprocess.run(["cp", "-a", used, folder], check=True)
    spoil(folder)
    with pytest.raises(StackError, match=r"was made by .*: choose another folder.* --reset"):
        LocalStack.start(data=folder)
    assert (folder / "postgres" / "data" / "PG_VERSION").exists()


@pytest.mark.slow
def test_a_folder_of_another_version_can_be_reset(used: Path, folder: Path) -> None:
    subprocess.run(["cp", "-a", used, folder], check=True)
    for spoil in (other_layout, keys_of_another_version, other_postgres):
        spoil(folder)
    with LocalStack.start(data=folder, reset=True) as stack:
        assert healthy(stack)
    with LocalStack.start(data=folder) as again:
        # Keys of another version cannot be kept; the new ones are.
        assert again.secret_key == stack.secret_key


@pytest.mark.parametrize("reset", [False, True])
def test_a_folder_with_keys_of_another_user_is_left_alone(
    used: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, reset: bool
) -> None:
    def denied(path: Path) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    subprocess.run(["cp", "-a", used, folder], check=True)
    # Not by its mode: root may read everything.
    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(StackError, match=r"Permission denied \(.*/keys\.json\)"):
        LocalStack.start(data=folder, reset=reset)
    assert (folder / "keys.json").exists()
    assert (folder / "postgres" / "data" / "PG_VERSION").exists()


def everything_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    "files",
    [
        {"postgres/data/mydb": "x", "layout": "mine"},
        {"keys.json": '{"mine": 1}', "layout": "1", "storage/thesis.txt": "", "postgres/mydb": ""},
        {"thesis.txt": ""},
    ],
    ids=["data", "keys", "anything"],
)
def test_a_folder_of_somebody_else_is_left_alone(
    folder: Path, files: dict[str, str], reset: bool
) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    before = everything_in(folder)
    with pytest.raises(StackError, match="is no folder of a local stack") as refused:
        LocalStack.start(data=folder, reset=reset)
    assert "reset" not in str(refused.value)
    assert everything_in(folder) == before


def test_a_reset_wants_a_folder() -> None:
    with command("--reset") as process:
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "--reset needs --data" in output


def test_a_folder_from_before_the_marker_is_still_known(used: Path, folder: Path) -> None:
    subprocess.run(["cp", "-a", used, folder], check=True)
    (folder / MARKER).rename(folder / "layout")
    taken = StackFolder.kept(folder)
    taken.keys()
    taken.release()
    assert (folder / MARKER).exists()


def test_a_kept_folder_among_the_temporary_ones_is_kept(temporary: Path) -> None:
    kept = StackFolder.kept(temporary / "customer-tickets-mine")
    kept.keys()
    kept.release()
    StackFolder.fresh().release()
    assert (kept.path / "keys.json").exists()


@pytest.fixture
def small_disk(temporary: Path) -> Iterator[Path]:
    """A file system of 20 MB, too small for a Postgres."""
    place = temporary / "small"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=20m,mode=755", "tmpfs"]
    if subprocess.run(["mount", *options, str(place)], capture_output=True, check=False).returncode:
        pytest.skip("only root, and not in every container, may mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_is_said_in_words(small_disk: Path) -> None:
    before = descendants(os.getpid())
    for folder in ("a", "b"):
        with pytest.raises(StackError, match=r"No space left on device|free disk space"):
            LocalStack.start(data=small_disk / folder)
    assert not alive(descendants(os.getpid()) - before)


@pytest.mark.slow
def test_a_seeded_stack_has_people_to_sign_in_as() -> None:
    with LocalStack.start(seed=True) as stack:
        answer = httpx.post(
            f"{stack.url}/auth/v1/token?grant_type=password",
            headers={"apikey": stack.publishable_key},
            json={"email": "ana@example.com", "password": "secret123"},
        )
        assert answer.status_code == 200


def test_a_taken_port_is_said_in_words() -> None:
    processes = descendants(os.getpid())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=f"Port {port} is taken by another program"):
            LocalStack.start(port=port)
    assert not temporary_folders()
    assert not alive(descendants(os.getpid()) - processes)


def test_of_two_starts_on_one_port_one_has_it() -> None:
    port = free_port()

    def start(_: int) -> LocalStack | str:
        try:
            return LocalStack.start(port=port)
        except StackError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(start, range(2)))
    [stack] = [outcome for outcome in outcomes if isinstance(outcome, LocalStack)]
    with stack:
        assert healthy(stack)
    [words] = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert f"Port {port} is taken" in words


def test_another_gateway_on_the_port_is_not_taken_for_ones_own(stack: LocalStack) -> None:
    name = httpx.get(f"{stack.url}/health").json()["name"]
    assert answers(stack.port, "/health", name)
    assert not answers(stack.port, "/health", "another")


def test_a_folder_that_cannot_be_used_is_said_in_words(temporary: Path) -> None:
    file = temporary / "file"
    file.touch()
    with pytest.raises(StackError, match="cannot be used: "):
        LocalStack.start(data=file / "stack")


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's Postgres runs as that user")
def test_a_folder_that_postgres_may_not_enter_is_said_in_words(temporary: Path) -> None:
    temporary.chmod(0o700)
    with pytest.raises(StackError, match="may not enter"):
        LocalStack.start(data=temporary / "stack")


def test_a_death_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    words: list[str] = []
    with LocalStack.start(progress=words.append) as stack:
        assert stack.rest.pid is not None
        os.kill(stack.rest.pid, signal.SIGKILL)
        assert eventually(lambda: bool(stack.reports))
    assert sum("was killed" in one for one in words) == 1
    # Without a handler of the program's, Python would print it a second time.
    assert "was killed" not in caplog.text


@pytest.mark.slow
def test_each_part_that_is_killed_is_reported_and_comes_back() -> None:
    words: list[str] = []
    with LocalStack.start(progress=words.append) as stack:
        for child in every_child(stack):
            before = child.pid
            assert before is not None
            os.kill(before, signal.SIGKILL)
            assert eventually(partial(runs_anew, child, before)), child
            expected = f"{child.name} was killed by SIGKILL; starting it again."
            assert expected in stack.reports
            assert expected in words
        user = stack.create_user("ana@example.com", "secret123")

        def works() -> bool:
            token = stack.mint_token(user)
            headers = {"apikey": stack.anon_key, "Authorization": f"Bearer {token}"}
            with contextlib.suppress(httpx.HTTPError):
                answer = httpx.get(f"{stack.url}/rest/v1/profiles", headers=headers)
                return answer.status_code == 200
            return False

        assert eventually(works, 40)


def runs_anew(child: Child, old_pid: int) -> bool:
    return child.running and child.pid != old_pid


RUN = """
import sys
from pathlib import Path
from customer_tickets.devstack import LocalStack
data = Path(sys.argv[1]) if len(sys.argv) > 1 else None
stack = LocalStack.start(data=data)
print(stack.port, flush=True)
sys.stdin.read()
"""


def started_elsewhere(*arguments: str) -> tuple[subprocess.Popen[bytes], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def killed(process: subprocess.Popen[bytes]) -> set[int]:
    """Kill the process that owns a stack, and return the processes that it had."""
    children = descendants(process.pid)
    with process:
        process.kill()
    return children


@LINUX
@pytest.mark.slow
def test_a_killed_owner_takes_its_stack_along() -> None:
    process, port = started_elsewhere()
    children = killed(process)
    assert len(children) >= 5
    assert eventually(lambda: not alive(children))
    assert not accepts_connections(port)
    [left] = temporary_folders()
    # What the dead cannot remove, the next start does.
    StackFolder.fresh().release()
    assert not left.exists()
    assert not temporary_folders()


@LINUX
@pytest.mark.slow
def test_a_kept_folder_starts_again_after_its_owner_was_killed(folder: Path) -> None:
    process, _ = started_elsewhere(str(folder))
    children = killed(process)
    with LocalStack.start(data=folder) as stack:
        assert healthy(stack)
    assert eventually(lambda: not alive(children))


def command(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "customer_tickets", "dev", "--no-seed", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_how_to_use_it_and_stops_cleanly(number: signal.Signals) -> None:
    with command("--faults") as process:
        assert process.stdout is not None
        seen = SimpleNamespace(text="")
        for line in process.stdout:
            seen.text += line
            if "Ctrl-C stops it" in line:
                break
        children = descendants(process.pid)
        process.send_signal(number)
        seen.text += process.stdout.read()
        assert process.wait(10) == 0
    assert "http://127.0.0.1:" in seen.text
    assert "sb_publishable_" in seen.text
    assert "faults = Faults(" in seen.text
    assert "Nothing is left." in seen.text
    assert "Traceback" not in seen.text
    assert not alive(children)
    assert not temporary_folders()


@LINUX
def test_the_command_goes_on_and_stops_without_anybody_who_reads_it() -> None:
    with command() as process:
        assert process.stdout is not None
        while "Ctrl-C stops it" not in process.stdout.readline():
            assert process.poll() is None
        process.stdout.close()
        [realtime] = realtime_servers(process)
        os.kill(realtime, signal.SIGKILL)
        assert eventually(lambda: bool(realtime_servers(process) - {realtime}))
        children = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert not alive(children)
    assert not temporary_folders()


def realtime_servers(process: subprocess.Popen[str]) -> set[int]:
    found: set[int] = set()
    for child in descendants(process.pid):
        # It may have ended meanwhile.
        with contextlib.suppress(OSError):
            if b"devstack.realtime" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.add(child)
    return found


@pytest.mark.parametrize("delay", [0.7, 1.5])
def test_the_command_interrupted_while_starting_leaves_nothing(delay: float) -> None:
    with command() as process:
        time.sleep(delay)
        children = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=10)
    assert "Traceback" not in output
    assert eventually(lambda: not alive(children))
    assert not temporary_folders()


def test_a_second_interrupt_does_not_stop_the_tidying_up() -> None:
    with command() as process:
        time.sleep(1.5)
        children = descendants(process.pid)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            process.send_signal(number)
            time.sleep(0.02)
        output, _ = process.communicate(timeout=10)
    assert "Traceback" not in output
    assert eventually(lambda: not alive(children))
    assert not temporary_folders()


def test_the_command_says_what_is_wrong(stack: LocalStack) -> None:
    with command("--port", str(stack.port)) as process:
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert f"Port {stack.port} is taken" in output
    assert "Traceback" not in output
