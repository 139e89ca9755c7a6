"""Storage through the one address of the stack, by the official client; the server has tests of
its own (test_storage_*)."""

import hashlib
import sys
import uuid
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from storage3.exceptions import StorageApiError
from supabase import Client, create_client
from supabase.lib.client_options import SyncClientOptions

from customer_tickets.devstack import LocalStack
from customer_tickets.devstack.fixtures import UserFactory

MEGABYTE = 1 << 20
BIG = 100


@pytest.fixture
def bucket(stack: LocalStack, supabase_database: psycopg.Connection[Any]) -> str:
    """A private bucket in which everybody owns the folder named after them."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    answer = httpx.post(
        f"{stack.url}/storage/v1/bucket",
        headers={"apikey": stack.secret_key},
        json={"id": name, "name": name, "public": False, "file_size_limit": "200MB"},
    )
    assert answer.status_code == 200, answer.text
    supabase_database.execute(
        f'create policy "{name}" on storage.objects to authenticated'
        f" using (bucket_id = '{name}' and (storage.foldername(name))[1] = auth.uid()::text)"
    )
    return name


@pytest.fixture
def client(stack: LocalStack) -> Iterator[Client]:
    with httpx.Client(timeout=60) as web:
        yield create_client(stack.url, stack.publishable_key, SyncClientOptions(httpx_client=web))


def test_files_are_their_owners(
    stack: LocalStack, client: Client, bucket: str, supabase_user: UserFactory
) -> None:
    ana, ben = supabase_user("Ana"), supabase_user("Ben")
    path = f"{ana.id}/notes/hello.txt"
    client.auth.sign_in_with_password({"email": ana.email, "password": ana.password})
    files = client.storage.from_(bucket)
    files.upload(path, b"hello", {"content-type": "text/plain"})
    assert files.download(path) == b"hello"
    assert [entry["name"] for entry in files.list(f"{ana.id}/notes")] == ["hello.txt"]
    signed = files.create_signed_url(path, 60)["signedURL"]
    assert signed is not None
    # Whoever has the address needs no key.
    answer = httpx.get(signed)
    assert (answer.status_code, answer.content) == (200, b"hello")
    assert answer.headers["sb-request-id"]
    assert httpx.get(f"{stack.url}/storage/v1/object/{bucket}/{path}").status_code == 400
    client.auth.sign_out()
    client.auth.sign_in_with_password({"email": ben.email, "password": ben.password})
    files = client.storage.from_(bucket)
    with pytest.raises(StorageApiError, match="not found"):
        files.download(path)
    with pytest.raises(StorageApiError, match="row-level security"):
        files.upload(f"{ana.id}/intruder.txt", b"x")


def test_a_wrong_key_is_refused_before_the_storage_server(stack: LocalStack) -> None:
    answer = httpx.get(f"{stack.url}/storage/v1/bucket", headers={"apikey": "sb_secret_x"})
    assert (answer.status_code, answer.json()["message"]) == (401, "Invalid API key")


@pytest.mark.faults
def test_a_lost_answer_to_an_upload_is_one_that_arrived(
    stack: LocalStack, bucket: str, client: Client
) -> None:
    headers = {"apikey": stack.secret_key}
    url = f"{stack.url}/storage/v1/object/{bucket}/lost.txt"
    stack.faults.lose_answers("/storage/v1/object/", method="POST")
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        httpx.post(url, headers=headers, content=b"kept")
    assert httpx.get(url, headers=headers).content == b"kept"


async def megabytes(count: int) -> AsyncGenerator[bytes]:
    for n in range(count):
        yield bytes([n]) * MEGABYTE


def memory(pid: int | None, name: str) -> int:
    """A figure of /proc, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


def memory_from_now_on(pid: int | None) -> int:
    """What it uses now; the peak, too, counts from here."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return memory(pid, "VmRSS")


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("chunked", [True, False])
async def test_a_big_file_passes_without_staying_in_memory(
    stack: LocalStack, bucket: str, chunked: bool
) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    if not chunked:
        headers["Content-Length"] = str(BIG * MEGABYTE)
    url = f"{stack.url}/storage/v1/object/{bucket}/big.bin"
    before = memory_from_now_on(stack.gateway.pid)
    expected, got = hashlib.sha256(), hashlib.sha256()
    async for piece in megabytes(BIG):
        expected.update(piece)
    async with httpx.AsyncClient(timeout=60, headers={"apikey": stack.secret_key}) as web:
        sent = await web.post(url, content=megabytes(BIG), headers=headers)
        assert sent.status_code == 200, sent.text
        async with web.stream("GET", url) as answer:
            assert answer.status_code == 200
            assert int(answer.headers["content-length"]) == BIG * MEGABYTE
            async for piece in answer.aiter_raw():
                got.update(piece)
        await web.delete(url)
    assert got.digest() == expected.digest()
    assert memory(stack.gateway.pid, "VmHWM") - before < 20 * MEGABYTE


@pytest.mark.faults
def test_files_outlive_the_storage_server(stack: LocalStack, bucket: str) -> None:
    headers = {"apikey": stack.secret_key}
    url = f"{stack.url}/storage/v1/object/{bucket}/kept.txt"
    assert httpx.post(url, headers=headers, content=b"kept").status_code == 200
    stack.storage.kill()
    try:
        answer = httpx.get(url, headers=headers)
        assert answer.status_code == 503
        assert "storage is down" in answer.json()["message"]
    finally:
        stack.storage.start()
    assert httpx.get(url, headers=headers).content == b"kept"
