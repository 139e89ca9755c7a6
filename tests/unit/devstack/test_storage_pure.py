"""The storage server's pure parts: names, types, ranges, bodies, signatures, rows."""

from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customer_tickets.devstack.storage import names, rows, signing
from customer_tickets.devstack.storage.asked import Body
from customer_tickets.devstack.storage.caller import SERVICE, caller_of
from customer_tickets.devstack.storage.errors import StorageError
from customer_tickets.devstack.storage.ranges import is_fresh, wanted_range

SECRET = "a secret of the tests that is long enough for any algorithm"
ETAG = '"e"'


@given(st.text())
def test_a_good_key_is_plain_ascii_and_no_way(key: str) -> None:
    with suppress(StorageError):
        names.check_key(key)
        assert key.isascii()
        assert key.isprintable()
        assert not set(key) & set('\\%#~^[]{}<>|"`')
        assert not {"", "."} & {key, key.split("/")[-1]}
        assert ".." not in key.split("/")


@pytest.mark.parametrize(
    ("said", "size"), [(5, 5), ("5B", 5), ("5kb", 5000), ("1.5MB", 1_500_000), ("2GB", 2 * 10**9)]
)
def test_sizes(said: float | str, size: int) -> None:
    assert names.parse_size(said) == size


@given(st.text(), st.integers(0, 1000))
def test_any_range_is_within_the_file_or_none_or_refused(text: str, size: int) -> None:
    with suppress(StorageError):
        part = wanted_range({"Range": f"bytes={text}"}, ETAG, size)
        assert part is None or (0 <= part.start < part.stop <= size)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 50))
def test_a_range_is_first_and_last(first: int, last: int, size: int) -> None:
    headers = {"Range": f"bytes={first}-{last}"}
    expected = list(range(size))[first : last + 1]
    if last < first:
        assert wanted_range(headers, ETAG, size) is None
    elif expected:
        assert list(wanted_range(headers, ETAG, size) or ()) == expected
    else:
        with pytest.raises(StorageError):
            wanted_range(headers, ETAG, size)


@pytest.mark.parametrize(
    ("headers", "fresh"),
    [
        ({}, False),
        ({"If-None-Match": ETAG}, True),
        ({"If-None-Match": "*"}, True),
        ({"If-None-Match": f'W/{ETAG}, "f"'}, True),
        ({"If-None-Match": '"f"'}, False),
        ({"If-Modified-Since": "Wed, 01 Jan 2020 00:00:00 GMT"}, True),
        ({"If-Modified-Since": "Tue, 31 Dec 2019 23:59:59 GMT"}, False),
        ({"If-Modified-Since": "Wed, 01 Jan 2020 00:00:00"}, False),
        ({"If-Modified-Since": "yesterday"}, False),
        ({"If-Modified-Since": "Wed, 99 Jan 2020 99:00:00 GMT"}, False),
    ],
)
def test_freshness(headers: dict[str, str], fresh: bool) -> None:
    assert is_fresh(headers, ETAG, datetime(2020, 1, 1, 0, 0, 0, 999, UTC)) is fresh


def test_numbers_of_a_body_are_coerced_as_hosted_does() -> None:
    body = Body.parsed(b'{"a": "60", "b": 60.0, "c": 60, "d": 1e300}')
    assert [body.whole(name, 1) for name in "abc"] == [60, 60, 60]
    assert body.whole("d", 1) == 2**31 - 1
    assert body.whole("missing", 1) is None


@pytest.mark.parametrize("value", ["true", '"x"', "1.5", "[]", "{}", "0", '""', '"nan"', '"inf"'])
def test_what_is_no_number(value: str) -> None:
    with pytest.raises(StorageError, match="body/a must be"):
        Body.parsed(f'{{"a": {value}}}'.encode()).whole("a", 1)


def test_a_signature_opens_what_it_was_made_for() -> None:
    token = signing.sign("upload", "b/k", SECRET, now=100.5, lifetime=10, owner="o", upsert=True)
    opened = signing.verify(token, "upload", "b/k", SECRET, now=109)
    assert (opened.expires, opened.owner, opened.upsert) == (110, "o", True)
    for purpose, place, secret, now, code in (
        ("download", "b/k", SECRET, 109, "InvalidSignature"),
        ("upload", "b/K", SECRET, 109, "InvalidSignature"),
        ("upload", "b/k", SECRET[::-1], 109, "InvalidJWT"),
        ("upload", "b/k", SECRET, 110, "InvalidJWT"),
    ):
        with pytest.raises(StorageError) as refused:
            signing.verify(token, purpose, place, secret, now=now)  # type: ignore[arg-type]
        assert refused.value.code == code


def test_nothing_that_is_added_changes_what_a_signature_opens() -> None:
    token = signing.sign(
        *("download", "b/k", SECRET), now=1, lifetime=1, url="b/other", scope="upload", exp=9**9
    )
    assert signing.verify(token, "download", "b/k", SECRET, now=1).expires == 2


def test_a_signature_is_nobodys_token() -> None:
    token = signing.sign("download", "b/k", SECRET, now=1, lifetime=10)
    with pytest.raises(StorageError, match="exp"):
        caller_of(f"Bearer {token}", SECRET, now=1)


def test_no_claims_and_headers_in_reprs() -> None:
    assert "claims" not in repr(SERVICE)


def test_rows_as_json_says_them() -> None:
    row = {"id": UUID(int=1), "owner": None, "metadata": None, "created_at": datetime.now(UTC)}
    shown = rows.shown(row, list(row))
    assert (shown["id"], shown["owner"], shown["metadata"]) == (str(UUID(int=1)), "", None)
    assert str(shown["created_at"]).endswith("Z")
    assert rows.moment(datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)) == "2026-01-02T03:04:05.678Z"
