"""Uploads over bare HTTP: forms and raw bodies, limits, types, and nothing left of what fails."""

import base64
import gzip
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest

from storage_server import ALL, Storage, refusal, token

pytest_plugins = ("fix_storage",)

TOO_LARGE = (400, "413", "Payload too large")


def test_a_raw_body_is_stored_with_its_headers(
    storage: Storage, ana: str, ana_http: httpx.Client
) -> None:
    bucket = storage.bucket(ana, *ALL)
    headers = {
        "Content-Type": "image/png",
        "Cache-Control": "max-age=9",
        "x-metadata": base64.b64encode(b'{"a": 1}').decode(),
    }
    answer = ana_http.post(f"object/{bucket}/a/b.png", content=b"hello", headers=headers)
    assert answer.status_code == 200
    assert answer.json().keys() == {"Id", "Key"}
    assert answer.json()["Key"] == f"{bucket}/a/b.png"
    info = ana_http.get(f"object/info/{bucket}/a/b.png").json()
    assert (info["content_type"], info["cache_control"]) == ("image/png", "max-age=9")
    assert (info["size"], info["metadata"]) == (5, {"a": 1})


def test_a_form_as_storage_js_sends_it(storage: Storage, ana: str, ana_http: httpx.Client) -> None:
    bucket = storage.bucket(ana, *ALL)
    answer = ana_http.post(
        f"object/{bucket}/x",
        data={"cacheControl": "7", "metadata": '{"a": 1}'},
        # A Blob without a name: the field's name is empty, the file's is "blob".
        files={"": ("blob", b"hello", "image/png")},
    )
    assert answer.status_code == 200
    info = ana_http.get(f"object/info/{bucket}/x").json()
    assert (info["content_type"], info["cache_control"]) == ("image/png", "max-age=7")
    assert info["metadata"] == {"a": 1}


def test_the_row_carries_owner_and_metadata(
    storage: Storage, ana: str, ana_http: httpx.Client
) -> None:
    bucket = storage.bucket(ana, *ALL)
    ana_http.post(f"object/{bucket}/x", content=b"hello", headers={"Content-Type": "a/b"})
    (row,) = ana_http.request("DELETE", f"object/{bucket}", json={"prefixes": ["x"]}).json()
    assert (row["owner"], row["owner_id"]) == (ana, ana)
    metadata = row["metadata"]
    assert metadata.pop("lastModified").endswith("Z")
    assert metadata == {
        "eTag": '"5d41402abc4b2a76b9719d911017c592"',
        "size": 5,
        "contentLength": 5,
        "mimetype": "a/b",
        "cacheControl": "no-cache",
        "httpStatusCode": 200,
    }


def test_names_never_reach_the_disk(storage: Storage, ana: str, ana_http: httpx.Client) -> None:
    bucket = storage.bucket(ana, *ALL)
    ana_http.post(f"object/{bucket}/folder/name.txt", content=b"x")
    ((_, version),) = storage.rows(bucket)
    assert version in storage.files()
    assert not any("name" in file or "folder" in file for file in storage.files())


def test_replacing_removes_the_old_file(storage: Storage, ana: str, ana_http: httpx.Client) -> None:
    bucket = storage.bucket(ana, *ALL)
    ana_http.post(f"object/{bucket}/x", content=b"one")
    ((_, before),) = storage.rows(bucket)
    assert ana_http.put(f"object/{bucket}/x", content=b"two").status_code == 200
    ((_, after),) = storage.rows(bucket)
    assert after in storage.files()
    assert before not in storage.files()


def test_removing_removes_the_file(storage: Storage, ana: str, ana_http: httpx.Client) -> None:
    bucket = storage.bucket(ana, *ALL)
    ana_http.post(f"object/{bucket}/x", content=b"one")
    ((_, version),) = storage.rows(bucket)
    assert ana_http.delete(f"object/{bucket}/x").json() == {"message": "Successfully deleted"}
    assert version not in storage.files()
    assert storage.rows(bucket) == []


@pytest.mark.parametrize("form", [False, True])
def test_the_limit_of_the_bucket_holds_to_the_byte(
    storage: Storage, ana: str, ana_http: httpx.Client, form: bool
) -> None:
    bucket = storage.bucket(ana, *ALL, limit=1000)
    before = storage.files()

    def upload(size: int) -> httpx.Response:
        body = b"x" * size
        if form:
            return ana_http.post(f"object/{bucket}/x", files={"file": ("x", body)})
        return ana_http.post(f"object/{bucket}/x", content=body)

    refused = upload(1001)
    assert refusal(refused) == TOO_LARGE
    assert refused.json()["message"] == "The object exceeded the maximum allowed size"
    assert storage.rows(bucket) == []
    assert storage.files() == before
    assert upload(1000).status_code == 200


def test_the_limit_counts_what_comes_not_what_is_said(
    storage: Storage, ana: str, ana_http: httpx.Client
) -> None:
    bucket = storage.bucket(ana, *ALL, limit=100_000)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 10_000
            yield b"x" * 10_000

    # Without a Content-Length: chunked.
    assert refusal(ana_http.post(f"object/{bucket}/x", content=endless())) == TOO_LARGE
    assert storage.rows(bucket) == []


def test_the_limit_of_the_project_holds_where_the_bucket_has_none(
    storage: Storage, ana: str
) -> None:
    bucket = storage.bucket(ana, *ALL)
    with closing(http.client.HTTPConnection("127.0.0.1", storage.port, timeout=10)) as connection:
        connection.putrequest("POST", f"/object/{bucket}/x")
        connection.putheader("Authorization", f"Bearer {token(ana)}")
        connection.putheader("Content-Length", "200000001")
        connection.endheaders()
        answer = connection.getresponse()
        assert (answer.status, json.load(answer)["statusCode"]) == (400, "413")


@pytest.mark.parametrize(
    ("mimetype", "taken"),
    [
        ("image/png", True),
        ("image/svg+xml", True),
        ("text/plain", True),
        ("text/html", False),
        ("application/pdf", False),
        ("image", False),
        ("imagex/png", False),
    ],
)
def test_types_with_wildcards(
    storage: Storage, ana: str, ana_http: httpx.Client, mimetype: str, taken: bool
) -> None:
    bucket = storage.bucket(ana, *ALL, types=["image/*", "text/plain"])
    headers = {"Content-Type": mimetype}
    answer = ana_http.post(f"object/{bucket}/x", content=b"x", headers=headers)
    if taken:
        assert answer.status_code == 200
    else:
        assert refusal(answer) == (400, "415", "invalid_mime_type")
        assert answer.json()["message"] == f"mime type {mimetype} is not supported"


def test_the_placeholder_of_a_folder_is_empty_and_of_any_type(
    storage: Storage, ana: str, ana_http: httpx.Client
) -> None:
    bucket = storage.bucket(ana, *ALL, types=["image/*"])
    path = f"object/{bucket}/folder/.emptyFolderPlaceholder"
    assert refusal(ana_http.post(path, content=b"x")) == TOO_LARGE
    assert ana_http.post(path, content=b"").status_code == 200


def test_no_bucket(ana_http: httpx.Client) -> None:
    answer = ana_http.post("object/nowhere/x", content=b"x")
    assert refusal(answer) == (400, "404", "Bucket not found")


def test_a_form_without_a_file(storage: Storage, ana: str, ana_http: httpx.Client) -> None:
    bucket = storage.bucket(ana, *ALL)
    boundary = {"Content-Type": "multipart/form-data; boundary=b"}
    field = b'--b\r\nContent-Disposition: form-data; name="cacheControl"\r\n\r\n1\r\n--b--\r\n'
    for body in (field, b"", b"--b--\r\n", b"no form at all"):
        answer = ana_http.post(f"object/{bucket}/x", content=body, headers=boundary)
        assert refusal(answer) == (400, "400", "InvalidRequest"), body
    assert storage.rows(bucket) == []


def test_a_form_that_ends_in_the_middle(storage: Storage, ana: str, ana_http: httpx.Client) -> None:
    bucket = storage.bucket(ana, *ALL)
    before = storage.files()
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    for body in (head, head + b"hello", head + b"x" * 200_000, head + b"hello\r\n--"):
        answer = ana_http.post(
            f"object/{bucket}/x",
            content=body,
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
        assert refusal(answer) == (400, "400", "InvalidRequest")
    assert storage.rows(bucket) == []
    assert storage.files() == before


def test_too_much_metadata(storage: Storage, ana: str, ana_http: httpx.Client) -> None:
    bucket = storage.bucket(ana, *ALL)
    answer = ana_http.post(
        f"object/{bucket}/x", data={"metadata": "x" * 1_100_000}, files={"file": ("x", b"x")}
    )
    assert refusal(answer) == TOO_LARGE
    assert answer.json()["message"] == "The user_metadata exceeded the maximum allowed size"


def test_metadata_that_is_no_json_is_ignored(
    storage: Storage, ana: str, ana_http: httpx.Client
) -> None:
    bucket = storage.bucket(ana, *ALL)
    for index, metadata in enumerate(("{", "[1]", '"text"', "[" * 100_000)):
        path = f"{bucket}/x{index}"
        uploaded = ana_http.post(
            f"object/{path}", data={"metadata": metadata}, files={"file": ("x", b"x")}
        )
        assert uploaded.status_code == 200
        assert ana_http.get(f"object/info/{path}").json()["metadata"] == {}


def test_metadata_that_the_database_cannot_store_is_refused(
    storage: Storage, ana: str, ana_http: httpx.Client
) -> None:
    bucket = storage.bucket(ana, *ALL)
    before = storage.files()
    for metadata in ('{"a": "\\u0000"}', '{"a": "\\ud800"}', '{"a": NaN}', '{"a": 1e999}'):
        encoded = {"x-metadata": base64.b64encode(metadata.encode()).decode()}
        for refused in (
            ana_http.post(f"object/{bucket}/x", content=b"x", headers=encoded),
            ana_http.post(
                f"object/{bucket}/x", data={"metadata": metadata}, files={"file": ("x", b"x")}
            ),
        ):
            assert refusal(refused) == (400, "400", "InvalidParameter"), metadata
    assert storage.rows(bucket) == []
    assert storage.files() == before


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
def test_bytes_are_kept_as_they_come_whatever_they_are_encoded_with(
    storage: Storage, ana: str, ana_http: httpx.Client, encoding: str
) -> None:
    bucket = storage.bucket(ana, *ALL, limit=100)
    headers = {"Content-Encoding": encoding}
    for name, body in (("good", gzip.compress(b"x" * 10_000)), ("none", b"not compressed")):
        answer = ana_http.post(f"object/{bucket}/{name}", content=body, headers=headers)
        assert answer.status_code == 200
        assert ana_http.get(f"object/{bucket}/{name}").content == body


def test_an_interrupted_upload_leaves_nothing(storage: Storage, ana: str) -> None:
    bucket = storage.bucket(ana, *ALL)
    before = storage.files()
    with socket.create_connection(("127.0.0.1", storage.port)) as connection:
        head = f"POST /object/{bucket}/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
        connection.sendall(f"{head}Authorization: Bearer {token(ana)}\r\n\r\n".encode())
        connection.sendall(b"x" * 1_000_000)
        wait_until(lambda: storage.files() != before)
    wait_until(lambda: storage.files() == before)
    assert storage.rows(bucket) == []


def test_of_uploads_at_once_one_wins_and_all_files_but_its_are_gone(
    storage: Storage, ana: str
) -> None:
    bucket = storage.bucket(ana, *ALL)
    before = storage.files()

    def upload(number: int) -> int:
        with storage.client(token(ana)) as client:
            answer = client.post(f"object/{bucket}/x", content=bytes([number]) * 500_000)
            return answer.status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(upload, range(8)))
    assert sorted(statuses) == [200] + [400] * 7
    ((_, version),) = storage.rows(bucket)
    assert set(storage.files()) - set(before) == {version}


def test_upserts_at_once_leave_one_file(storage: Storage, ana: str) -> None:
    bucket = storage.bucket(ana, *ALL)
    before = storage.files()

    def upload(number: int) -> int:
        with storage.client(token(ana)) as client:
            body = bytes([number]) * 500_000
            answer = client.post(f"object/{bucket}/x", content=body, headers={"x-upsert": "true"})
            return answer.status_code

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(upload, range(8))) == [200] * 8
    ((_, version),) = storage.rows(bucket)
    assert set(storage.files()) - set(before) == {version}
    with storage.client(token(ana)) as client:
        content = client.get(f"object/{bucket}/x").content
    assert content == content[:1] * 500_000


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
