"""Downloads over bare HTTP: parts, conditions, headers, public buckets."""

from email.utils import parsedate_to_datetime

import httpx
import pytest

from storage_server import ALL, Storage, refusal, token

pytest_plugins = ("fix_storage",)

CONTENT = bytes(range(100))


@pytest.fixture
def place(storage: Storage, ana: str, ana_http: httpx.Client) -> str:
    """`bucket/key` of an object of ana's."""
    place = f"{storage.bucket(ana, *ALL)}/folder/x"
    ana_http.post(
        f"object/{place}",
        content=CONTENT,
        headers={"Content-Type": "image/png", "Cache-Control": "max-age=5"},
    ).raise_for_status()
    return place


def test_the_headers_of_a_download(ana_http: httpx.Client, place: str) -> None:
    answer = ana_http.get(f"object/{place}")
    assert answer.status_code == 200
    assert answer.content == CONTENT
    headers = answer.headers
    assert headers["Content-Length"] == "100"
    assert headers["Content-Type"] == "image/png"
    assert headers["Cache-Control"] == "max-age=5"
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["X-Robots-Tag"] == "none"
    assert headers["ETag"].startswith('"')
    assert parsedate_to_datetime(headers["Last-Modified"]).tzinfo is not None
    assert "Content-Disposition" not in headers


@pytest.mark.parametrize("way", ["object", "object/authenticated"])
def test_head_says_what_get_would(ana_http: httpx.Client, place: str, way: str) -> None:
    head, get = ana_http.head(f"{way}/{place}"), ana_http.get(f"{way}/{place}")
    assert (head.status_code, head.content) == (200, b"")
    for name in ("Content-Length", "Content-Type", "ETag", "Last-Modified", "Cache-Control"):
        assert head.headers[name] == get.headers[name]


def test_head_of_nothing_is_refused_without_a_body(ana_http: httpx.Client, place: str) -> None:
    answer = ana_http.head(f"object/{place}-not")
    assert (answer.status_code, answer.content) == (400, b"")


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=90-", 90, 99),
        ("bytes=90-1000", 90, 99),
        ("bytes=-10", 90, 99),
        ("bytes=-1000", 0, 99),
    ],
)
def test_a_range(ana_http: httpx.Client, place: str, wanted: str, first: int, last: int) -> None:
    answer = ana_http.get(f"object/{place}", headers={"Range": wanted})
    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/100"
    assert answer.content == CONTENT[first : last + 1]


@pytest.mark.parametrize("wanted", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_behind_the_end(ana_http: httpx.Client, place: str, wanted: str) -> None:
    answer = ana_http.get(f"object/{place}", headers={"Range": wanted})
    assert refusal(answer) == (416, "416", "InvalidRange")
    assert answer.headers["Content-Range"] == "bytes */100"


@pytest.mark.parametrize("wanted", ["bytes=5-1", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6", "-"])
def test_a_range_that_is_none_is_ignored(ana_http: httpx.Client, place: str, wanted: str) -> None:
    answer = ana_http.get(f"object/{place}", headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_a_range_of_another_version_is_the_whole(ana_http: httpx.Client, place: str) -> None:
    etag = ana_http.head(f"object/{place}").headers["ETag"]
    ask = {"Range": "bytes=0-9"}
    current = ana_http.get(f"object/{place}", headers={**ask, "If-Range": etag})
    assert current.status_code == 206
    other = ana_http.get(f"object/{place}", headers={**ask, "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, CONTENT)


def test_what_the_client_has_is_not_sent_again(ana_http: httpx.Client, place: str) -> None:
    headers = ana_http.head(f"object/{place}").headers
    for condition in (
        {"If-None-Match": headers["ETag"]},
        {"If-None-Match": f'"a", W/{headers["ETag"]}'},
        {"If-Modified-Since": headers["Last-Modified"]},
    ):
        answer = ana_http.get(f"object/{place}", headers=condition)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == headers["ETag"]
    for condition in (
        {"If-None-Match": '"other"'},
        {"If-None-Match": '"other"', "If-Modified-Since": headers["Last-Modified"]},
        {"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"},
        {"If-Modified-Since": "never"},
        {"If-Modified-Since": "Sat, 01 Jan 99999999999999999999 00:00:00 GMT"},
        {"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 +9999"},
    ):
        assert ana_http.get(f"object/{place}", headers=condition).status_code == 200


@pytest.mark.parametrize(
    ("download", "disposition"),
    [
        ("", "attachment;"),
        ("a b.txt", "attachment; filename=a%20b.txt; filename*=UTF-8''a%20b.txt"),
        ("é", "attachment; filename=%C3%A9; filename*=UTF-8''%C3%A9"),
        (
            'x"\r\nSet-Cookie',
            "attachment; filename=x%22%0D%0ASet-Cookie; filename*=UTF-8''x%22%0D%0ASet-Cookie",
        ),
    ],
)
def test_a_name_to_save_it_under(
    ana_http: httpx.Client, place: str, download: str, disposition: str
) -> None:
    answer = ana_http.get(f"object/{place}", params={"download": download})
    assert answer.headers["Content-Disposition"] == disposition


def test_a_page_is_shown_as_text(storage: Storage, ana: str, ana_http: httpx.Client) -> None:
    place = f"{storage.bucket(ana, *ALL)}/x.html"
    ana_http.post(f"object/{place}", content=b"<b>", headers={"Content-Type": "text/html"})
    assert ana_http.get(f"object/{place}").headers["Content-Type"] == "text/plain"


def test_a_public_bucket_needs_no_token(storage: Storage, service_http: httpx.Client) -> None:
    bucket = storage.bucket(public=True)
    service_http.post(f"object/{bucket}/x", content=CONTENT)
    with storage.client(None) as anybody:
        for way in ("object/public", "object"):
            assert anybody.get(f"{way}/{bucket}/x").content == CONTENT
            assert anybody.head(f"{way}/{bucket}/x").headers["Content-Length"] == "100"
        assert anybody.get(f"object/info/public/{bucket}/x").json()["size"] == 100
        assert refusal(anybody.get(f"object/public/{bucket}/y")) == (400, "404", "not_found")
        # Public is for reading.
        assert anybody.post(f"object/{bucket}/y", content=b"x").status_code == 400
        assert anybody.post(f"object/list/{bucket}", json={"prefix": ""}).status_code == 400


def test_a_private_bucket_is_none_to_the_public(storage: Storage, place: str) -> None:
    with storage.client(None) as anybody:
        for way in ("object/public", "object", "object/info", "object/info/public"):
            answer = anybody.get(f"{way}/{place}")
            assert refusal(answer) == (400, "404", "Bucket not found"), way


def test_a_file_that_is_missing(storage: Storage, ana: str, ana_http: httpx.Client) -> None:
    bucket = storage.bucket(ana, *ALL)
    for version in (None, "", "../../../etc/passwd", "00000000-0000-4000-8000-000000000000"):
        storage.run(
            "insert into storage.objects (bucket_id, name, version) values (%s, 'x', %s)"
            " on conflict (bucket_id, name) do update set version = excluded.version",
            [bucket, version],
        )
        answer = ana_http.get(f"object/{bucket}/x")
        assert refusal(answer) == (400, "404", "Not found")
        assert answer.json()["message"] == "The resource was not found"
    # It can be replaced and removed all the same.
    assert ana_http.put(f"object/{bucket}/x", content=b"x").status_code == 200
    assert ana_http.delete(f"object/{bucket}/x").status_code == 200


def test_metadata_written_by_sql_cannot_split_the_headers(
    storage: Storage, ana: str, ana_http: httpx.Client, place: str
) -> None:
    bucket = place.partition("/")[0]
    storage.run(
        "update storage.objects set metadata = metadata || %s::jsonb where bucket_id = %s",
        ['{"cacheControl": "x\\r\\nSet-Cookie: a=b"}', bucket],
    )
    answer = ana_http.get(f"object/{place}")
    assert refusal(answer) == (400, "400", "invalid_header_char")


@pytest.mark.parametrize(
    "metadata",
    [
        "null",
        "{}",
        '"text"',
        "[1]",
        '{"lastModified": "never", "eTag": 5, "mimetype": [], "size": "x"}',
    ],
)
def test_rows_that_sql_has_written(
    storage: Storage, ana: str, ana_http: httpx.Client, place: str, metadata: str
) -> None:
    bucket = place.partition("/")[0]
    storage.run(
        "update storage.objects set metadata = %s::jsonb, created_at = null, user_metadata = null,"
        " owner = null, owner_id = null where bucket_id = %s",
        [metadata, bucket],
    )
    storage.run(
        "alter table storage.objects disable trigger update_objects_updated_at;"
        f" update storage.objects set updated_at = null where bucket_id = '{bucket}';"
        " alter table storage.objects enable trigger update_objects_updated_at"
    )
    assert ana_http.get(f"object/{place}").content == CONTENT
    assert ana_http.head(f"object/{place}").status_code == 200
    assert ana_http.get(f"object/info/{place}").json()["created_at"] is None
    listed = ana_http.post(f"object/list/{bucket}", json={"prefix": "folder"}).json()
    assert [row["name"] for row in listed] == ["x"]
    body = {"bucketId": bucket, "sourceKey": "folder/x", "destinationKey": "y"}
    assert ana_http.post("object/copy", json=body).status_code == 200
    assert ana_http.get(f"object/{bucket}/y").content == CONTENT


def test_a_download_may_be_broken_off(storage: Storage, ana: str, ana_http: httpx.Client) -> None:
    place = f"{storage.bucket(ana, *ALL)}/large"
    ana_http.post(f"object/{place}", content=b"x" * 20_000_000).raise_for_status()
    with (
        storage.client(token(ana)) as client,
        client.stream("GET", f"object/{place}") as answer,
    ):
        next(answer.iter_bytes(1000))
    assert ana_http.get("health").status_code == 200
