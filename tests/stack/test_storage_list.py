"""Lists: folders and files, search, order, pages."""

import httpx
import pytest

from storage_server import ALL, Storage, refusal

pytest_plugins = ("fix_storage",)

NAMES = ["b.txt", "A.txt", "c/1", "c/2", "c/d/3", "c-d", "e/f/g", "under_score", "underXscore"]


@pytest.fixture
def bucket(storage: Storage, ana: str, ana_http: httpx.Client) -> str:
    """A bucket of ana's with NAMES in it."""
    bucket = storage.bucket(ana, *ALL)
    for name in NAMES:
        ana_http.post(f"object/{bucket}/{name}", content=b"x").raise_for_status()
    return bucket


def names(client: httpx.Client, bucket: str, prefix: str = "", **more: object) -> list[str]:
    answer = client.post(f"object/list/{bucket}", json={"prefix": prefix, **more})
    answer.raise_for_status()
    return [row["name"] for row in answer.json()]


def test_folders_and_files_by_name(ana_http: httpx.Client, bucket: str) -> None:
    expected = ["A.txt", "b.txt", "c-d", "c", "e", "under_score", "underXscore"]
    assert names(ana_http, bucket) == expected
    descending = {"column": "name", "order": "desc"}
    assert names(ana_http, bucket, sortBy=descending) == expected[::-1]


def test_a_folder_has_no_id(ana_http: httpx.Client, bucket: str) -> None:
    rows = ana_http.post(f"object/list/{bucket}", json={"prefix": ""}).json()
    columns = {"name", "id", "updated_at", "created_at", "last_accessed_at", "metadata"}
    assert all(row.keys() == columns for row in rows)
    folders = [row["name"] for row in rows if row["id"] is None]
    assert folders == ["c", "e"]
    assert all(row["metadata"] is None for row in rows if row["name"] in folders)
    assert all(row["metadata"]["size"] == 1 for row in rows if row["name"] not in folders)


def test_below_a_folder(ana_http: httpx.Client, bucket: str) -> None:
    for prefix in ("c", "c/"):
        assert names(ana_http, bucket, prefix) == ["1", "2", "d"]
    assert names(ana_http, bucket, "c/d") == ["3"]
    assert names(ana_http, bucket, "e") == ["f"]
    assert names(ana_http, bucket, "nowhere") == []


def test_pages(ana_http: httpx.Client, bucket: str) -> None:
    everything = names(ana_http, bucket)
    paged = [
        name
        for offset in range(0, 9, 3)
        for name in names(ana_http, bucket, limit=3, offset=offset)
    ]
    assert paged == everything


def test_search_is_how_names_begin(ana_http: httpx.Client, bucket: str) -> None:
    assert names(ana_http, bucket, search="a") == ["A.txt"]
    assert names(ana_http, bucket, search="c") == ["c-d", "c"]
    assert names(ana_http, bucket, search="under_") == ["under_score"]
    assert names(ana_http, bucket, search="%") == []
    assert names(ana_http, bucket, "c", search="d") == ["d"]
    assert names(ana_http, bucket, search="c/d/") == ["c/d/3"]


def test_by_time(ana_http: httpx.Client, bucket: str) -> None:
    for column in ("created_at", "updated_at", "last_accessed_at"):
        by_time = names(ana_http, bucket, sortBy={"column": column, "order": "asc"})
        assert by_time == ["c", "e", "b.txt", "A.txt", "c-d", "under_score", "underXscore"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prefix": 1},
        {"prefix": "", "limit": 0},
        {"prefix": "", "limit": "many"},
        {"prefix": "", "offset": -1},
        {"prefix": "", "sortBy": {"column": "metadata; drop table x"}},
        {"prefix": "", "sortBy": {"column": "name", "order": "up"}},
        {"prefix": "", "sortBy": "name"},
        {"prefix": "", "search": ["x"]},
        [],
        "text",
    ],
)
def test_what_cannot_be_asked(ana_http: httpx.Client, bucket: str, body: object) -> None:
    answer = ana_http.post(f"object/list/{bucket}", json=body)
    assert refusal(answer) == (400, "400", "Error")


def test_a_page_is_never_unbounded(ana_http: httpx.Client, bucket: str) -> None:
    assert len(names(ana_http, bucket, limit=10**30)) == 7
    assert names(ana_http, bucket, offset=10**30) == []


def test_no_bucket_is_an_empty_list(ana_http: httpx.Client) -> None:
    assert names(ana_http, "nowhere") == []


def pages(client: httpx.Client, bucket: str, **asked: object) -> list[str]:
    """The names of all pages of version 2, folders and objects as they come."""
    found: list[str] = []
    while True:
        answer = client.post(f"object/list-v2/{bucket}", json=asked)
        answer.raise_for_status()
        page = answer.json()
        found += [row["name"] for row in (*page["folders"], *page["objects"])]
        if not page["hasNext"]:
            assert "nextCursor" not in page
            return found
        asked["cursor"] = page["nextCursor"]


def test_version_2_shows_whole_names(ana_http: httpx.Client, bucket: str) -> None:
    assert pages(ana_http, bucket) == sorted(NAMES)
    assert pages(ana_http, bucket, prefix="c") == ["c-d", "c/1", "c/2", "c/d/3"]
    assert pages(ana_http, bucket, prefix="c/", with_delimiter=True) == ["c/d/", "c/1", "c/2"]
    assert pages(ana_http, bucket, prefix="C") == []


def test_version_2_goes_on_where_it_ended(ana_http: httpx.Client, bucket: str) -> None:
    expected = ["A.txt", "b.txt", "c-d", "c/", "e/", "under_score"]
    expected.insert(5, "underXscore")
    one_by_one = pages(ana_http, bucket, with_delimiter=True, limit=1)
    assert one_by_one == expected
    for column in ("name", "created_at", "updated_at"):
        for order in ("asc", "desc"):
            sort = {"column": column, "order": order}
            paged = pages(ana_http, bucket, limit=2, sortBy=sort)
            expected = sorted(NAMES) if column == "name" else NAMES
            assert paged == (expected if order == "asc" else expected[::-1])


def test_cursors_that_are_none(ana_http: httpx.Client, bucket: str) -> None:
    for cursor in ("x", "W10=", "WzEsMl0=", "WyJ4IiwgInkiXQ==", "WyIiLCAiXHUwMDAwIl0="):
        answer = ana_http.post(f"object/list-v2/{bucket}", json={"cursor": cursor})
        assert refusal(answer) == (400, "400", "InvalidParameter"), cursor
