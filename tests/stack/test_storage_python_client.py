"""The real storage3, both faces, on the storage server."""

import inspect
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from storage3 import AsyncStorageClient, SyncStorageClient
from storage3.exceptions import StorageApiError

from storage_server import ALL, Storage, token

pytest_plugins = ("fix_storage",)
pytestmark = pytest.mark.anyio

KEY = "folder/a name (1) & more = ok, 100@home.txt"


def fetched(url: str) -> httpx.Response:
    """What anybody gets who has the address."""
    return httpx.get(url)


async def got(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


@pytest.fixture(params=["sync", "async"])
async def clients(request: pytest.FixtureRequest, storage: Storage) -> AsyncIterator[Any]:
    opened: list[Any] = []

    def client(bearer: str) -> Any:
        face = SyncStorageClient if request.param == "sync" else AsyncStorageClient
        opened.append(face(storage.url, {"Authorization": f"Bearer {bearer}"}))
        return opened[-1]

    yield client
    for face in opened:
        close = face._client.aclose if request.param == "async" else face._client.close
        await got(close())


@pytest.fixture
async def mine(storage: Storage, clients: Any, ana: str) -> Any:
    """A bucket in which ana may do everything."""
    return clients(token(ana)).from_(storage.bucket(ana, *ALL))


async def test_what_is_uploaded_is_downloaded(mine: Any) -> None:
    uploaded = await got(mine.upload(KEY, b"hello", {"content-type": "image/png"}))
    assert uploaded.path == KEY
    assert uploaded.full_path == f"{mine.id}/{KEY}"
    assert await got(mine.download(KEY)) == b"hello"


async def test_an_open_file_and_a_path_are_uploaded(mine: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 300_000)
    await got(mine.upload("by-path", path))
    with path.open("rb") as file:
        await got(mine.upload("by-file", io.BufferedReader(file.raw)))
    assert await got(mine.download("by-path")) == path.read_bytes()
    assert await got(mine.download("by-file")) == path.read_bytes()


async def test_an_empty_file_is_a_file(mine: Any) -> None:
    await got(mine.upload("empty", b""))
    assert await got(mine.download("empty")) == b""
    assert (await got(mine.info("empty")))["size"] == 0


async def test_info_tells_everything(mine: Any) -> None:
    options = {"content-type": "image/png", "cache-control": "60", "metadata": {"a": [1]}}
    await got(mine.upload(KEY, b"hello", options))
    info = await got(mine.info(KEY))
    assert info.keys() == {
        *("id", "name", "version", "bucket_id", "size", "content_type", "cache_control", "etag"),
        *("metadata", "last_modified", "created_at"),
    }
    assert (info["name"], info["bucket_id"], info["size"]) == (KEY, mine.id, 5)
    assert (info["content_type"], info["cache_control"]) == ("image/png", "max-age=60")
    assert info["etag"] == '"5d41402abc4b2a76b9719d911017c592"'
    assert info["metadata"] == {"a": [1]}


async def test_exists(mine: Any) -> None:
    await got(mine.upload("there", b"x"))
    assert await got(mine.exists("there"))
    assert not await got(mine.exists("elsewhere"))


async def test_a_second_upload_is_a_duplicate(mine: Any) -> None:
    await got(mine.upload(KEY, b"one"))
    with pytest.raises(StorageApiError) as refused:
        await got(mine.upload(KEY, b"two"))
    error = refused.value
    assert (error.status, error.code) == ("409", "Duplicate")
    assert error.message == "The resource already exists"
    assert await got(mine.download(KEY)) == b"one"


async def test_upsert_and_update_replace(mine: Any) -> None:
    await got(mine.upload(KEY, b"one"))
    await got(mine.upload(KEY, b"two", {"upsert": "true"}))
    assert await got(mine.download(KEY)) == b"two"
    await got(mine.update(KEY, b"three"))
    assert await got(mine.download(KEY)) == b"three"


async def test_signed_address(mine: Any) -> None:
    await got(mine.upload(KEY, b"hello"))
    signed = await got(mine.create_signed_url(KEY, 60, {"download": "örtlich.txt"}))
    answer = fetched(signed["signedURL"])
    assert answer.content == b"hello"
    assert "filename*=UTF-8''%C3%B6rtlich.txt" in answer.headers["Content-Disposition"]


async def test_a_question_mark_in_a_name_can_be_signed(mine: Any) -> None:
    await got(mine.upload("what?", b"hello"))
    signed = await got(mine.create_signed_url("what?", 60))
    assert fetched(signed["signedURL"]).content == b"hello"


async def test_signed_addresses_tell_of_each_path(mine: Any) -> None:
    await got(mine.upload(KEY, b"hello"))
    there, missing = await got(mine.create_signed_urls([KEY, "missing"], 60))
    assert there["error"] is None
    assert fetched(there["signedURL"]).content == b"hello"
    assert missing["signedURL"] is None
    assert missing["error"] == ("Either the object does not exist or you do not have access to it")


async def test_signed_upload(mine: Any, clients: Any, ben: str, storage: Storage) -> None:
    signed = await got(mine.create_signed_upload_url(KEY))
    stranger = clients(token(ben)).from_(mine.id)
    uploaded = await got(stranger.upload_to_signed_url(KEY, signed["token"], b"hello"))
    assert uploaded.full_path == f"{mine.id}/{KEY}"
    assert await got(mine.download(KEY)) == b"hello"


async def test_move_copy_remove(mine: Any) -> None:
    await got(mine.upload("one", b"hello", {"metadata": {"a": 1}}))
    assert (await got(mine.copy("one", "two")))["Key"] == f"{mine.id}/two"
    assert (await got(mine.move("one", "three")))["message"] == "Successfully moved"
    assert not await got(mine.exists("one"))
    for name in ("two", "three"):
        assert await got(mine.download(name)) == b"hello"
        assert (await got(mine.info(name)))["metadata"] == {"a": 1}
    removed = await got(mine.remove(["two", "three", "never"]))
    assert sorted(row["name"] for row in removed) == ["three", "two"]
    assert await got(mine.list()) == []


async def test_list_shows_folders_and_files(mine: Any) -> None:
    for name in ("b.txt", "a/one", "a/two", "c/d/e"):
        await got(mine.upload(name, b"x"))
    listed = await got(mine.list())
    assert [(row["name"], row["id"] is None) for row in listed] == [
        ("a", True),
        ("b.txt", False),
        ("c", True),
    ]
    assert [row["name"] for row in await got(mine.list("a"))] == ["one", "two"]


async def test_list_version_2(mine: Any) -> None:
    for name in ("b.txt", "a/one", "a/two"):
        await got(mine.upload(name, b"x"))
    page = await got(mine.list_v2({"limit": 1, "with_delimiter": True}))
    assert ([folder.name for folder in page.folders], page.objects) == (["a/"], [])
    page = await got(mine.list_v2({"cursor": page.nextCursor, "with_delimiter": True}))
    assert ([row.name for row in page.objects], page.hasNext) == (["b.txt"], False)


async def test_public_bucket(storage: Storage, clients: Any) -> None:
    public = clients(token(role="service_role")).from_(storage.bucket(public=True))
    await got(public.upload(KEY, b"hello"))
    assert fetched(await got(public.get_public_url(KEY))).content == b"hello"


async def test_buckets_from_making_to_deleting(clients: Any, ana: str) -> None:
    service = clients(token(role="service_role"))
    name = f"made-{ana}"
    options = {"public": True, "file_size_limit": 1000, "allowed_mime_types": ["image/*"]}
    await got(service.create_bucket(name, options=options))
    bucket = await got(service.get_bucket(name))
    assert (bucket.id, bucket.name, bucket.public) == (name, name, True)
    assert (bucket.file_size_limit, bucket.allowed_mime_types) == (1000, ["image/*"])
    assert name in [bucket.id for bucket in await got(service.list_buckets())]
    await got(service.update_bucket(name, {"public": False, "allowed_mime_types": ["a/b"]}))
    bucket = await got(service.get_bucket(name))
    assert (bucket.public, bucket.file_size_limit) == (False, 1000)
    await got(service.from_(name).upload("x", b"x", {"content-type": "a/b"}))
    with pytest.raises(StorageApiError, match="not empty"):
        await got(service.delete_bucket(name))
    await got(service.empty_bucket(name))
    assert (await got(service.delete_bucket(name)))["message"] == "Successfully deleted"
    with pytest.raises(StorageApiError, match="Bucket not found"):
        await got(service.get_bucket(name))
