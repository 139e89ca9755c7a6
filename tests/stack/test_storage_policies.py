"""Row level security, asked for each operation in the name of the caller."""

import httpx
import psycopg
import pytest

from storage_server import ALL, Storage, refusal, token

pytest_plugins = ("fix_storage",)

DENIED = (400, "403", "Unauthorized")
NOT_FOUND = (400, "404", "not_found")
VIOLATES = "new row violates row-level security policy"


@pytest.fixture
def bucket(storage: Storage, service_http: httpx.Client) -> str:
    """A bucket with an object `x` that is nobody's, in which nobody may do anything."""
    bucket = storage.bucket()
    service_http.post(f"object/{bucket}/x", content=b"hello").raise_for_status()
    return bucket


def test_upload_needs_insert_alone(
    storage: Storage, bucket: str, ana: str, ana_http: httpx.Client
) -> None:
    refused = ana_http.post(f"object/{bucket}/new", content=b"x")
    assert refusal(refused) == DENIED
    assert refused.json()["message"] == VIOLATES
    storage.allow(bucket, ana, "insert")
    assert ana_http.post(f"object/{bucket}/new", content=b"x").status_code == 200
    # She may not see what she has brought.
    assert refusal(ana_http.get(f"object/{bucket}/new")) == NOT_FOUND


def test_a_stranger_cannot_fill_the_disk(
    storage: Storage, bucket: str, ana_http: httpx.Client
) -> None:
    before = storage.files()
    assert refusal(ana_http.post(f"object/{bucket}/new", content=b"x" * 3_000_000)) == DENIED
    assert storage.files() == before


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_upsert_needs_insert_select_and_update(
    storage: Storage, bucket: str, ana: str, ana_http: httpx.Client, method: str
) -> None:
    needed = ("insert", "select", "update")
    headers = {"x-upsert": "true"}

    def upsert() -> httpx.Response:
        return ana_http.request(method, f"object/{bucket}/x", content=b"new", headers=headers)

    for missing in needed:
        storage.allow(bucket, ana, *[verb for verb in needed if verb != missing])
        assert refusal(upsert()) == DENIED, missing
    storage.allow(bucket, ana, *needed)
    assert upsert().status_code == 200
    assert ana_http.get(f"object/{bucket}/x").content == b"new"


def test_reading_needs_select(
    storage: Storage, bucket: str, ana: str, ana_http: httpx.Client
) -> None:
    storage.allow(bucket, ana, "insert", "update", "delete")
    for way in ("object", "object/authenticated", "object/info", "object/info/authenticated"):
        assert refusal(ana_http.get(f"{way}/{bucket}/x")) == NOT_FOUND, way
    assert ana_http.head(f"object/{bucket}/x").status_code == 400
    assert ana_http.post(f"object/list/{bucket}", json={"prefix": ""}).json() == []
    sign = ana_http.post(f"object/sign/{bucket}/x", json={"expiresIn": 60})
    assert refusal(sign) == NOT_FOUND
    (many,) = ana_http.post(f"object/sign/{bucket}", json={"expiresIn": 60, "paths": ["x"]}).json()
    assert many["signedURL"] is None
    storage.allow(bucket, ana, "select")
    for way in ("object", "object/authenticated", "object/info", "object/info/authenticated"):
        assert ana_http.get(f"{way}/{bucket}/x").status_code == 200, way
    assert len(ana_http.post(f"object/list/{bucket}", json={"prefix": ""}).json()) == 1
    assert ana_http.post(f"object/sign/{bucket}/x", json={"expiresIn": 60}).status_code == 200


def test_removing_needs_select_and_delete(
    storage: Storage, bucket: str, ana: str, ana_http: httpx.Client
) -> None:
    for verbs in ((), ("select", "insert", "update"), ("delete",)):
        storage.allow(bucket, ana, *verbs)
        removed = ana_http.request("DELETE", f"object/{bucket}", json={"prefixes": ["x"]})
        assert (removed.status_code, removed.json()) == (200, [])
        assert refusal(ana_http.delete(f"object/{bucket}/x")) == DENIED
    assert len(storage.rows(bucket)) == 1
    storage.allow(bucket, ana, "select", "delete")
    removed = ana_http.request("DELETE", f"object/{bucket}", json={"prefixes": ["x"]})
    assert [row["name"] for row in removed.json()] == ["x"]
    assert refusal(ana_http.delete(f"object/{bucket}/x")) == NOT_FOUND


def test_moving_needs_select_and_update(
    storage: Storage, bucket: str, ana: str, ana_http: httpx.Client
) -> None:
    body = {"bucketId": bucket, "sourceKey": "x", "destinationKey": "y"}
    for verbs in ((), ("select", "insert", "delete"), ("update",)):
        storage.allow(bucket, ana, *verbs)
        assert refusal(ana_http.post("object/move", json=body)) == NOT_FOUND
    storage.allow(bucket, ana, "select", "update")
    assert ana_http.post("object/move", json=body).json()["message"] == "Successfully moved"
    assert [name for name, _ in storage.rows(bucket)] == ["y"]
    assert ana_http.get(f"object/{bucket}/y").content == b"hello"


def test_moving_asks_about_the_target_too(
    storage: Storage, ana: str, ana_http: httpx.Client, ben: str
) -> None:
    bucket, other = storage.bucket(ana, *ALL, own_folder=True), storage.bucket()
    ana_http.post(f"object/{bucket}/{ana}/x", content=b"x").raise_for_status()
    body = {"bucketId": bucket, "sourceKey": f"{ana}/x", "destinationKey": f"{ben}/x"}
    assert refusal(ana_http.post("object/move", json=body)) == DENIED
    body = {**body, "destinationKey": f"{ana}/x", "destinationBucket": other}
    assert refusal(ana_http.post("object/move", json=body)) == DENIED
    assert [name for name, _ in storage.rows(bucket)] == [f"{ana}/x"]


def test_moving_onto_another_object_is_a_duplicate(
    storage: Storage, bucket: str, ana: str, ana_http: httpx.Client
) -> None:
    storage.allow(bucket, ana, *ALL)
    ana_http.post(f"object/{bucket}/y", content=b"other").raise_for_status()
    body = {"bucketId": bucket, "sourceKey": "x", "destinationKey": "y"}
    assert refusal(ana_http.post("object/move", json=body)) == (400, "409", "Duplicate")
    assert ana_http.get(f"object/{bucket}/y").content == b"other"


def test_copying_needs_select_there_and_insert_here(
    storage: Storage, bucket: str, ana: str, ana_http: httpx.Client
) -> None:
    mine = storage.bucket(ana, "select")
    body = {"bucketId": bucket, "sourceKey": "x"}
    body |= {"destinationBucket": mine, "destinationKey": "y"}
    before = storage.files()
    assert refusal(ana_http.post("object/copy", json=body)) == NOT_FOUND
    storage.allow(bucket, ana, "select")
    assert refusal(ana_http.post("object/copy", json=body)) == DENIED
    assert storage.files() == before
    storage.allow(mine, ana, "insert", "select")
    copied = ana_http.post("object/copy", json=body)
    assert copied.json()["Key"] == f"{mine}/y"
    assert copied.json()["owner_id"] == ana
    assert ana_http.get(f"object/{mine}/y").content == b"hello"
    assert refusal(ana_http.post("object/copy", json=body)) == (400, "409", "Duplicate")


def test_a_copy_outlives_the_original(
    storage: Storage, bucket: str, ana: str, ana_http: httpx.Client
) -> None:
    storage.allow(bucket, ana, *ALL)
    body = {"bucketId": bucket, "sourceKey": "x", "destinationKey": "y"}
    ana_http.post("object/copy", json=body).raise_for_status()
    ana_http.put(f"object/{bucket}/x", content=b"changed").raise_for_status()
    ana_http.delete(f"object/{bucket}/x").raise_for_status()
    assert ana_http.get(f"object/{bucket}/y").content == b"hello"


def test_the_own_folder_alone(
    storage: Storage, ana: str, ben: str, ana_http: httpx.Client, ben_http: httpx.Client
) -> None:
    bucket = storage.bucket(ana, *ALL, own_folder=True)
    storage.allow(bucket, ben, *ALL, own_folder=True)
    place = f"{bucket}/{ana}/x"
    assert ana_http.post(f"object/{place}", content=b"x").status_code == 200
    assert refusal(ben_http.post(f"object/{bucket}/{ana}/y", content=b"x")) == DENIED
    assert refusal(ben_http.get(f"object/{place}")) == NOT_FOUND
    assert refusal(ben_http.put(f"object/{place}", content=b"x")) == DENIED
    assert ben_http.post(f"object/list/{bucket}", json={"prefix": ana}).json() == []
    body = {"prefixes": [f"{ana}/x"]}
    assert ben_http.request("DELETE", f"object/{bucket}", json=body).json() == []
    assert ana_http.get(f"object/{place}").content == b"x"


def test_that_a_name_is_taken_is_told_to_those_who_may_add(
    storage: Storage, bucket: str, ana: str, ana_http: httpx.Client
) -> None:
    assert refusal(ana_http.post(f"object/{bucket}/x", content=b"x")) == DENIED
    storage.allow(bucket, ana, "insert")
    taken = ana_http.post(f"object/{bucket}/x", content=b"x")
    assert refusal(taken) == (400, "409", "Duplicate")


def test_signing_an_upload_needs_insert(
    storage: Storage, bucket: str, ana: str, ana_http: httpx.Client
) -> None:
    assert refusal(ana_http.post(f"object/upload/sign/{bucket}/new")) == DENIED
    storage.allow(bucket, ana, "insert")
    assert ana_http.post(f"object/upload/sign/{bucket}/new").status_code == 200


def test_a_policy_can_ask_for_type_operation_and_headers(
    storage: Storage, ana: str, ana_http: httpx.Client
) -> None:
    bucket = storage.bucket()
    with psycopg.connect(storage.dsn) as connection:
        connection.execute("set role postgres")
        connection.execute(
            f"""
            create policy "{bucket}" on storage.objects for insert to authenticated with check (
              bucket_id = '{bucket}' and metadata ->> 'mimetype' = 'a/b'
              and storage.allow_only_operation('object.upload')
              and current_setting('request.headers')::json ->> 'x-color' = 'red'
              and current_setting('request.headers') not ilike '%bearer%'
              and (select auth.role()) = 'authenticated' and owner_id = (select auth.uid())::text
            )
            """.encode()
        )
    good = {"Content-Type": "a/b", "x-color": "red"}
    for wrong in ({"Content-Type": "a/c"}, {"x-color": "blue"}):
        answer = ana_http.post(f"object/{bucket}/x", content=b"x", headers=good | wrong)
        assert refusal(answer) == DENIED
    assert refusal(ana_http.put(f"object/{bucket}/x", content=b"x", headers=good)) == DENIED
    assert ana_http.post(f"object/{bucket}/x", content=b"x", headers=good).status_code == 200


def test_a_policy_that_fails_shuts(storage: Storage, ana: str, ana_http: httpx.Client) -> None:
    bucket = storage.bucket(ana, *ALL)
    with psycopg.connect(storage.dsn) as connection:
        connection.execute("set role postgres")
        connection.execute(
            f"""
            create policy "{bucket}" on storage.objects as restrictive for insert to authenticated
            with check (
              case when bucket_id = '{bucket}' then 1 / length(left(bucket_id, 0)) = 1 else true end
            )
            """.encode()
        )
    answer = ana_http.post(f"object/{bucket}/x", content=b"x")
    assert refusal(answer) == (500, "500", "DatabaseError")
    assert storage.rows(bucket) == []


def test_anonymous_has_no_rights_of_its_own(storage: Storage, bucket: str) -> None:
    with storage.client(token(role="anon")) as anonymous:
        assert refusal(anonymous.get(f"object/{bucket}/x")) == NOT_FOUND
        assert refusal(anonymous.post(f"object/{bucket}/y", content=b"x")) == DENIED
        assert anonymous.get("bucket").json() == []


def test_a_role_is_taken_on_for_one_request(
    storage: Storage, bucket: str, ana_http: httpx.Client, service_http: httpx.Client
) -> None:
    for _ in range(30):
        assert service_http.get(f"object/{bucket}/x").status_code == 200
        assert refusal(ana_http.get(f"object/{bucket}/x")) == NOT_FOUND
