"""Buckets over bare HTTP: who may, what is refused."""

import uuid

import httpx
import pytest

from storage_server import ALL, Storage, refusal

pytest_plugins = ("fix_storage",)

DENIED = (400, "403", "Unauthorized")
NO_BUCKET = (400, "404", "Bucket not found")


def new() -> str:
    return f"new-{uuid.uuid4().hex[:12]}"


def test_a_user_has_no_say_in_buckets(storage: Storage, ana: str, ana_http: httpx.Client) -> None:
    bucket = storage.bucket(ana, *ALL)
    assert refusal(ana_http.post("bucket", json={"name": new()})) == DENIED
    assert ana_http.get("bucket").json() == []
    assert refusal(ana_http.get(f"bucket/{bucket}")) == NO_BUCKET
    assert refusal(ana_http.put(f"bucket/{bucket}", json={"public": True})) == NO_BUCKET
    assert refusal(ana_http.post(f"bucket/{bucket}/empty")) == NO_BUCKET
    assert refusal(ana_http.delete(f"bucket/{bucket}")) == NO_BUCKET


def test_a_policy_may_give_it(storage: Storage, ana: str, ana_http: httpx.Client) -> None:
    storage.allow("any", ana, "bucket")
    name = new()
    assert ana_http.post("bucket", json={"name": name}).json() == {"name": name}
    bucket = ana_http.get(f"bucket/{name}").json()
    assert bucket["owner"] == ana
    # Seeing is not changing.
    assert refusal(ana_http.delete(f"bucket/{name}")) == NO_BUCKET


def test_emptying_removes_what_the_caller_may_delete(
    storage: Storage, ana: str, ana_http: httpx.Client, service_http: httpx.Client
) -> None:
    storage.allow("any", ana, "bucket")
    bucket = storage.bucket(ana, "select")
    service_http.post(f"object/{bucket}/x", content=b"x")
    assert ana_http.post(f"bucket/{bucket}/empty").status_code == 200
    assert len(storage.rows(bucket)) == 1
    ((_, version),) = storage.rows(bucket)
    emptied = service_http.post(f"bucket/{bucket}/empty", json={})
    assert emptied.json()["message"].startswith("Empty bucket has been queued")
    assert storage.rows(bucket) == []
    assert version not in storage.files()


def test_a_second_bucket_of_that_name(service_http: httpx.Client) -> None:
    name = new()
    assert service_http.post("bucket", json={"name": name}).status_code == 200
    assert refusal(service_http.post("bucket", json={"name": name})) == (400, "409", "Duplicate")


@pytest.mark.parametrize(
    "name", ["", "a/b", "é", "a\x00b", " a", "a ", "x" * 101, "a%b", "a#b", "a\nb", "日本"]
)
def test_names_that_no_bucket_has(service_http: httpx.Client, name: str) -> None:
    answer = service_http.post("bucket", json={"name": name})
    assert refusal(answer) == (400, "400", "Invalid Input")


def test_sizes_in_words(service_http: httpx.Client) -> None:
    for said, size in (("20MB", 20_000_000), ("1.5kb", 1500), (7, 7), (None, None), ("3B", 3)):
        name = new()
        service_http.post("bucket", json={"name": name, "file_size_limit": said})
        assert service_http.get(f"bucket/{name}").json()["file_size_limit"] == size
    for wrong in ("much", "1TB", -1, True, [1], "", "1e3kb"):
        answer = service_http.post("bucket", json={"name": new(), "file_size_limit": wrong})
        assert answer.json()["statusCode"] == "400", wrong
    answer = service_http.post("bucket", json={"name": new(), "file_size_limit": "1GB"})
    assert refusal(answer) == (400, "413", "Payload too large")


def test_types_that_a_bucket_may_list(service_http: httpx.Client) -> None:
    for types in (["image/*"], ["*"], ["a/b; charset=utf-8"], [], None):
        name = new()
        body = {"name": name, "allowed_mime_types": types}
        assert service_http.post("bucket", json=body).status_code == 200
        assert service_http.get(f"bucket/{name}").json()["allowed_mime_types"] == types
    for wrong in (["image"], ["a b/c"], ["x" * 2000 + "/y"]):
        body = {"name": new(), "allowed_mime_types": wrong}
        assert refusal(service_http.post("bucket", json=body))[1] == "415"
    assert (
        service_http.post("bucket", json={"name": new(), "allowed_mime_types": "image/png"}).json()[
            "statusCode"
        ]
        == "400"
    )


def test_an_update_changes_what_it_names(storage: Storage, service_http: httpx.Client) -> None:
    bucket = storage.bucket(limit=5, types=["a/b"])
    service_http.put(f"bucket/{bucket}", json={"public": True}).raise_for_status()
    row = service_http.get(f"bucket/{bucket}").json()
    assert (row["public"], row["file_size_limit"], row["allowed_mime_types"]) == (True, 5, ["a/b"])
    both = {"file_size_limit": None, "allowed_mime_types": None}
    service_http.put(f"bucket/{bucket}", json=both).raise_for_status()
    row = service_http.get(f"bucket/{bucket}").json()
    assert (row["public"], row["file_size_limit"], row["allowed_mime_types"]) == (True, None, None)
    assert refusal(service_http.put(f"bucket/{bucket}", json={})) == (400, "400", "Error")


def test_a_bucket_with_objects_stays(storage: Storage, service_http: httpx.Client) -> None:
    bucket = storage.bucket()
    service_http.post(f"object/{bucket}/x", content=b"x")
    answer = service_http.delete(f"bucket/{bucket}")
    assert refusal(answer) == (400, "409", "ResourceNotEmpty")
    assert answer.json()["message"] == "The bucket you tried to delete is not empty"


def test_lists_of_buckets(storage: Storage, service_http: httpx.Client) -> None:
    mark = uuid.uuid4().hex[:12]
    for letter in "cab":
        service_http.post("bucket", json={"name": f"{letter}-{mark}"})
    query: dict[str, str | int] = {"search": mark.upper(), "sortColumn": "name"}
    listed = service_http.get("bucket", params={**query, "sortOrder": "desc"}).json()
    assert [row["name"][0] for row in listed] == ["c", "b", "a"]
    page = service_http.get("bucket", params={**query, "limit": 1, "offset": 1}).json()
    assert [row["name"][0] for row in page] == ["b"]
    for wrong in ({"limit": "x"}, {"sortColumn": "owner"}, {"sortOrder": "up"}):
        assert refusal(service_http.get("bucket", params=wrong)) == (400, "400", "Error")
