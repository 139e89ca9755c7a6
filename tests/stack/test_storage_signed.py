"""Signed addresses: what they open, for how long, and nothing else."""

import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from storage_server import ALL, SECRET, Storage, refusal, token

pytest_plugins = ("fix_storage",)

FORGED = (400, "400", "InvalidJWT")
OTHER = (400, "400", "InvalidSignature")


@pytest.fixture
def bucket(storage: Storage, ana: str, ana_http: httpx.Client) -> str:
    """A bucket of ana's with `x` and `y`."""
    bucket = storage.bucket(ana, *ALL)
    for name in ("x", "y"):
        ana_http.post(f"object/{bucket}/{name}", content=name.encode()).raise_for_status()
    return bucket


@pytest.fixture
def signed(bucket: str, ana_http: httpx.Client) -> str:
    """The token that opens `x`."""
    answer = ana_http.post(f"object/sign/{bucket}/x", json={"expiresIn": 60})
    assert answer.json().keys() == {"signedURL"}
    url = urlsplit(answer.json()["signedURL"])
    assert url.path == f"/object/sign/{bucket}/x"
    (opener,) = parse_qs(str(url.query))["token"]
    return opener


@pytest.fixture
def anybody(storage: Storage) -> Iterator[httpx.Client]:
    """Somebody without a token."""
    with storage.client(None) as client:
        yield client


def minted(secret: str = SECRET, algorithm: str = "HS256", **claims: object) -> str:
    forged: str = jwt.encode({"exp": int(time.time()) + 60, **claims}, secret, algorithm)
    return forged


def test_it_opens_to_anybody(anybody: httpx.Client, bucket: str, signed: str) -> None:
    answer = anybody.get(f"object/sign/{bucket}/x", params={"token": signed})
    assert (answer.status_code, answer.content) == (200, b"x")
    assert "Expires" in answer.headers
    assert "Cache-Control" not in answer.headers
    head = anybody.head(f"object/sign/{bucket}/x", params={"token": signed})
    assert (head.status_code, head.headers["Content-Length"]) == (200, "1")
    part = anybody.get(
        f"object/sign/{bucket}/x", params={"token": signed}, headers={"Range": "bytes=0-0"}
    )
    assert part.status_code == 206


def test_it_opens_one_object(anybody: httpx.Client, bucket: str, signed: str) -> None:
    for path in (f"{bucket}/y", f"{bucket}/x/", f"{bucket}//x", f"{bucket}x/x", "other/x"):
        answer = anybody.get(f"object/sign/{path}", params={"token": signed})
        assert refusal(answer) == OTHER, path


def test_it_is_for_reading(anybody: httpx.Client, bucket: str, signed: str) -> None:
    upload = anybody.put(f"object/upload/sign/{bucket}/x?token={signed}", content=b"new")
    assert refusal(upload) == OTHER
    assert upload.json()["message"] == "Token is not scoped for upload"
    with httpx.Client(
        base_url=anybody.base_url, headers={"Authorization": f"Bearer {signed}"}
    ) as bearer:
        assert refusal(bearer.post(f"object/list/{bucket}", json={"prefix": ""}))[1] == "403"


def test_it_ends(bucket: str, anybody: httpx.Client) -> None:
    place = f"{bucket}/x"
    old = minted(url=place, scope="download", exp=int(time.time()) - 1)
    answer = anybody.get(f"object/sign/{place}", params={"token": old})
    assert refusal(answer) == FORGED
    assert answer.json()["message"] == '"exp" claim timestamp check failed'


def test_a_lifetime_is_a_whole_number_of_seconds(bucket: str, ana_http: httpx.Client) -> None:
    for wrong in (0, -1, "x", 1.5, None, True, [1]):
        answer = ana_http.post(f"object/sign/{bucket}/x", json={"expiresIn": wrong})
        assert refusal(answer) == (400, "400", "Error"), wrong
    # As storage3 sends it.
    assert ana_http.post(f"object/sign/{bucket}/x", json={"expiresIn": "60"}).status_code == 200


@pytest.mark.parametrize(
    "forge",
    [
        lambda place: "",
        lambda place: "a.b.c",
        lambda place: minted("another secret of the same length or so", url=place),
        lambda place: minted("", "none", url=place, scope="download"),
        lambda place: minted(url=place, scope="download", exp="never"),
        lambda place: jwt.encode({"url": place, "scope": "download"}, SECRET, "HS256"),
        lambda place: minted(url=place, scope="download")[:-2],
        lambda place: "é" * 100,
    ],
)
def test_a_forged_token_opens_nothing(anybody: httpx.Client, bucket: str, forge: object) -> None:
    assert callable(forge)
    place = f"{bucket}/x"
    answer = anybody.get(f"object/sign/{place}", params={"token": forge(place)})
    assert refusal(answer) == FORGED
    answer = anybody.put(f"object/upload/sign/{place}", params={"token": forge(place)}, content=b"")
    assert refusal(answer) == FORGED


def test_no_token_at_all(anybody: httpx.Client, bucket: str) -> None:
    assert refusal(anybody.get(f"object/sign/{bucket}/x")) == FORGED


def test_a_token_of_a_user_is_no_signature(anybody: httpx.Client, bucket: str, ana: str) -> None:
    answer = anybody.get(f"object/sign/{bucket}/x", params={"token": token(ana)})
    assert refusal(answer) == OTHER


def test_a_signed_upload_is_its_signers(
    storage: Storage, bucket: str, ana: str, ana_http: httpx.Client, anybody: httpx.Client
) -> None:
    answer = ana_http.post(f"object/upload/sign/{bucket}/new").json()
    assert answer["url"] == f"/object/upload/sign/{bucket}/new?token={answer['token']}"
    assert anybody.put(answer["url"], content=b"hello").json()["Key"] == f"{bucket}/new"
    (row,) = ana_http.request("DELETE", f"object/{bucket}", json={"prefixes": ["new"]}).json()
    assert row["owner_id"] == ana


def test_a_signed_upload_replaces_only_when_signed_so(
    bucket: str, ana_http: httpx.Client, anybody: httpx.Client
) -> None:
    once = ana_http.post(f"object/upload/sign/{bucket}/new").json()["url"]
    assert anybody.put(once, content=b"one").status_code == 200
    for headers in ({}, {"x-upsert": "true"}):
        again = anybody.put(once, content=b"two", headers=headers)
        assert refusal(again) == (400, "409", "Duplicate")
    taken = ana_http.post(f"object/upload/sign/{bucket}/new")
    assert refusal(taken) == (400, "409", "Duplicate")
    over = ana_http.post(f"object/upload/sign/{bucket}/new", headers={"x-upsert": "true"})
    assert anybody.put(over.json()["url"], content=b"two").status_code == 200
    assert ana_http.get(f"object/{bucket}/new").content == b"two"


def test_a_signed_upload_is_for_one_place_and_for_writing(
    bucket: str, ana_http: httpx.Client, anybody: httpx.Client
) -> None:
    signed = ana_http.post(f"object/upload/sign/{bucket}/new").json()["token"]
    elsewhere = anybody.put(f"object/upload/sign/{bucket}/z?token={signed}", content=b"x")
    assert refusal(elsewhere) == OTHER
    reading = anybody.get(f"object/sign/{bucket}/new?token={signed}")
    assert refusal(reading) == OTHER


def test_the_buckets_limits_hold_for_signed_uploads(
    storage: Storage, ana: str, ana_http: httpx.Client, anybody: httpx.Client
) -> None:
    bucket = storage.bucket(ana, *ALL, limit=10, types=["image/png"])
    url = ana_http.post(f"object/upload/sign/{bucket}/new").json()["url"]
    image = {"Content-Type": "image/png"}
    assert refusal(anybody.put(url, content=b"x" * 11, headers=image))[1] == "413"
    assert refusal(anybody.put(url, content=b"x", headers={"Content-Type": "a/b"}))[1] == "415"
    assert anybody.put(url, content=b"x" * 10, headers=image).status_code == 200
