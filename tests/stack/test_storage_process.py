"""The storage server as a process: memory, crashes, restarts, two on one folder."""

import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import httpx
import psycopg
import pytest

from customer_tickets.devstack.postgres import Postgres
from storage_server import ALL, SECRET, Storage, serving, storage_database, token

pytest_plugins = ("fix_storage",)
pytestmark = pytest.mark.faults

MEGABYTE = 1_000_000
GROWTH = 20 * MEGABYTE
ANA = str(uuid.uuid4())


@pytest.fixture
def dsn(postgres_server: Postgres) -> Iterator[str]:
    """A database of this test's own: a start of the server looks at all of its rows."""
    name = f"storage_{uuid.uuid4().hex[:12]}"
    yield storage_database(postgres_server, name)
    postgres_server.drop_database(name)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for the files."""
    folder = Path(tempfile.mkdtemp(prefix="customer-tickets-test-"))
    yield folder / "storage"
    shutil.rmtree(folder)


def resident(pid: int | None) -> int:
    """The memory of a process now, in bytes; skips where that cannot be asked."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("the memory of a process is read from /proc")
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("form", [False, True])
def test_the_memory_stays_when_100_mb_come_and_go(storage: Storage, ana: str, form: bool) -> None:
    bucket = storage.bucket(ana, *ALL)
    piece = bytes(range(250)) * 4000
    pieces = [piece] * 100
    with storage.client(token(ana)) as client:
        client.post(f"object/{bucket}/warm", content=piece).raise_for_status()
        client.get(f"object/{bucket}/warm").raise_for_status()
        before, most = resident(storage.child.pid), 0

        def sending() -> Iterator[bytes]:
            nonlocal most
            if form:
                yield b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n'
            for sent in pieces:
                most = max(most, resident(storage.child.pid))
                yield sent
            if form:
                yield b"\r\n--b--\r\n"

        kind = "multipart/form-data; boundary=b" if form else "a/b"
        headers = {"Content-Type": kind}
        client.post(f"object/{bucket}/x", content=sending(), headers=headers).raise_for_status()
        digest, size = sha256(), 0
        with client.stream("GET", f"object/{bucket}/x") as answer:
            for chunk in answer.iter_bytes(MEGABYTE):
                most = max(most, resident(storage.child.pid))
                digest.update(chunk)
                size += len(chunk)
        client.delete(f"object/{bucket}/x").raise_for_status()
    assert size == 100 * MEGABYTE
    assert digest.digest() == sha256(b"".join(pieces)).digest()
    assert most - before < GROWTH


def test_a_slow_reader_costs_no_memory(storage: Storage, ana: str) -> None:
    bucket = storage.bucket(ana, *ALL)
    with storage.client(token(ana)) as client:
        client.post(f"object/{bucket}/x", content=bytes(50 * MEGABYTE)).raise_for_status()
        before = resident(storage.child.pid)
        with client.stream("GET", f"object/{bucket}/x") as answer:
            next(answer.iter_bytes(1000))
            time.sleep(0.5)
            assert resident(storage.child.pid) - before < GROWTH


def test_a_crash_in_the_middle_of_an_upload_leaves_nothing(dsn: str, folder: Path) -> None:
    with serving(dsn, folder) as server:
        bucket = server.bucket(ANA, *ALL)
        with server.client(token(ANA)) as client:
            client.post(f"object/{bucket}/kept", content=b"kept").raise_for_status()
        kept = server.files()
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            head = f"POST /object/{bucket}/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
            connection.sendall(f"{head}Authorization: Bearer {token(ANA)}\r\n\r\n".encode())
            connection.sendall(b"x" * MEGABYTE)
            wait_until(lambda: server.files() != kept)
            server.child.kill()
        assert server.files() != kept
    with serving(dsn, folder) as server:
        assert server.files() == kept
        assert [name for name, _ in server.rows(bucket)] == ["kept"]
        with server.client(token(ANA)) as client:
            assert client.get(f"object/{bucket}/kept").content == b"kept"
        assert "removed 1 files that no object refers to" in server.child.log.read_text()


def test_files_of_rows_that_went_by_sql_are_removed_at_the_next_start(
    dsn: str, folder: Path
) -> None:
    with serving(dsn, folder) as server:
        bucket = server.bucket(ANA, *ALL)
        with server.client(token(ANA)) as client:
            client.post(f"object/{bucket}/x", content=b"x").raise_for_status()
        server.run("truncate storage.objects")
        assert len(server.files()) == 1
    with serving(dsn, folder) as server:
        assert server.files() == []


def test_it_stops_at_once_in_the_middle_of_everything(dsn: str, folder: Path) -> None:
    with serving(dsn, folder) as server:
        bucket = server.bucket(ANA, *ALL)
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            head = f"POST /object/{bucket}/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
            connection.sendall(f"{head}Authorization: Bearer {token(ANA)}\r\n\r\n".encode())
            connection.sendall(b"x" * MEGABYTE)
            wait_until(lambda: server.files() != [])
            begin = time.monotonic()
            server.child.stop()
            assert time.monotonic() - begin < 1
        assert server.child.how_it_ended() == "ended by itself with exit code 0"
        # Nothing is left that the next start would have to remove.
        assert server.files() == []
        assert server.rows(bucket) == []


def test_a_second_server_on_the_folder_is_refused(dsn: str, folder: Path) -> None:
    with serving(dsn, folder) as server:
        command = [sys.executable, "-m", "customer_tickets.devstack.storage", "--port", "0"]
        command += ["--database-url", dsn, "--folder", str(folder)]
        result = subprocess.run(
            [*command, "--jwt-secret-env", "SECRET"],
            env={"SECRET": SECRET},
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert result.returncode == 2
        assert result.stderr == "another storage server runs on this folder\n"
        assert server.child.running


def test_without_a_secret_it_does_not_start(dsn: str, folder: Path) -> None:
    command = [sys.executable, "-m", "customer_tickets.devstack.storage", "--port", "0"]
    command += ["--database-url", dsn, "--folder", str(folder), "--jwt-secret-env", "SECRET"]
    result = subprocess.run(command, env={}, capture_output=True, text=True, timeout=20)
    assert result.returncode == 2
    assert result.stderr == "the variable SECRET holds no secret\n"


def test_lost_connections_to_the_database_are_made_again(dsn: str, folder: Path) -> None:
    with serving(dsn, folder) as server:
        bucket = server.bucket(ANA, *ALL)
        with server.client(token(ANA)) as client:
            client.post(f"object/{bucket}/x", content=b"x").raise_for_status()
            for _ in range(3):
                server.run(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name = 'storage' and datname = current_database()"
                )
                assert client.get(f"object/{bucket}/x").content == b"x"


def test_without_a_database_it_says_so_and_comes_back(
    postgres_server: Postgres, dsn: str, folder: Path
) -> None:
    database = dsn.rpartition("/")[2]
    administrator = postgres_server.dsn("template1", "supabase_admin")
    with serving(dsn, folder) as server:
        bucket = server.bucket(ANA, *ALL)
        with server.client(token(ANA)) as client:
            with psycopg.connect(administrator, autocommit=True) as connection:
                connection.execute(f"alter database {database} allow_connections false".encode())
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
                    [database],
                )
                refused = client.post(f"object/{bucket}/x", content=b"x")
                assert refused.status_code >= 500
                assert refused.json()["statusCode"] == str(refused.status_code)
                assert client.get("health").status_code == 503
                connection.execute(f"alter database {database} allow_connections true".encode())
            assert client.get("health").status_code == 200
            assert client.post(f"object/{bucket}/x", content=b"x").status_code == 200
            assert len(server.files()) == 1


def test_it_starts_before_the_database_has_the_schema(
    postgres_server: Postgres, folder: Path
) -> None:
    """The sweep waits: without rows to look at, every file would be an orphan."""
    name = f"storage_{uuid.uuid4().hex[:12]}"
    objects = folder / "objects"
    objects.mkdir(parents=True)
    (objects / str(uuid.uuid4())).write_bytes(b"x")
    postgres_server.create_database(name, "template1")
    try:
        dsn = postgres_server.dsn(name, "supabase_admin")
        with pytest.raises(Exception, match="not ready within"), serving(dsn, folder, wait=1):
            pass
        assert len(list(objects.iterdir())) == 1
    finally:
        postgres_server.drop_database(name)


def test_a_disk_that_is_full(dsn: str, folder: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("a limit on the size of files stands for the disk here")
    with serving(dsn, folder) as server:
        pid = server.child.pid
        assert pid is not None
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (500_000, 500_000))
        bucket = server.bucket(ANA, *ALL)
        with server.client(token(ANA)) as client:
            answer = client.post(f"object/{bucket}/x", content=b"x" * MEGABYTE)
            assert answer.status_code == 500
            assert answer.json()["error"] == "Internal"
            assert server.files() == []
            assert server.rows(bucket) == []
            assert client.post(f"object/{bucket}/x", content=b"x").status_code == 200


def test_who_waits_to_be_told_to_send_is_told(storage: Storage, ana: str) -> None:
    bucket = storage.bucket(ana, *ALL)
    with closing(http.client.HTTPConnection("127.0.0.1", storage.port, timeout=10)) as connection:
        connection.putrequest("POST", f"/object/{bucket}/x")
        connection.putheader("Authorization", f"Bearer {token(ana)}")
        connection.putheader("Expect", "100-continue")
        connection.putheader("Content-Length", "5")
        connection.endheaders()
        connection.send(b"hello")
        answer = connection.getresponse()
        assert (answer.status, json.load(answer)["Key"]) == (200, f"{bucket}/x")


def test_the_log_says_nothing_of_customers(dsn: str, folder: Path) -> None:
    with serving(dsn, folder) as server:
        bucket = server.bucket(ANA, *ALL)
        with server.client(token(ANA)) as client:
            client.post(f"object/{bucket}/confidential", content=b"x" * 20 * MEGABYTE)
            with client.stream("GET", f"object/{bucket}/confidential") as answer:
                next(answer.iter_bytes(1000))
            client.get(f"object/{bucket}/confidential/é")
            client.post("object/move", content=b"confidential")
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"GET /confidential \x00 HTTP/9\r\n\r\n")
            connection.recv(1000)
        server.child.ask_to_stop()
        wait_until(lambda: not server.child.running)
        log = server.child.log.read_text()
    assert "confidential" not in log
    assert "eyJ" not in log
    assert "Traceback" not in log


def test_signal_of_the_terminal_stops_it_as_well(dsn: str, folder: Path) -> None:
    with serving(dsn, folder) as server:
        assert httpx.get(f"{server.url}health").status_code == 200
        pid = server.child.pid
        assert pid is not None
        os.kill(pid, signal.SIGINT)
        wait_until(lambda: not server.child.running)
        assert server.child.how_it_ended() == "ended by itself with exit code 0"
