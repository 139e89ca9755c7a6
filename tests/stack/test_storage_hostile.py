"""What no client sends: it is refused, in JSON where there is an answer, and nothing is crossed."""

import base64
import http.client
import json
import random
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import jwt
import pytest

from customer_tickets.devstack.process import answers
from storage_server import ALL, SECRET, Storage, refusal, token

pytest_plugins = ("fix_storage",)

INVALID_KEY = (400, "400", "InvalidKey")
DENIED = (400, "403", "Unauthorized")


@pytest.fixture(autouse=True)
def unharmed(storage: Storage) -> Iterator[None]:
    """Whatever a test does, the server goes on and says nothing of tokens in its log."""
    pid = storage.child.pid
    yield
    assert storage.child.running
    assert storage.child.pid == pid
    assert answers(storage.port, "/health")
    assert "eyJ" not in storage.child.log.read_text()


def raw(
    storage: Storage,
    method: str,
    target: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    bearer: str | None = None,
) -> tuple[int, dict[str, str]]:
    """Send a path as it is: httpx would put it in order first."""
    with closing(http.client.HTTPConnection("127.0.0.1", storage.port, timeout=10)) as connection:
        # It refuses such a path by itself otherwise.
        connection._validate_path = lambda url: None  # type: ignore[attr-defined]
        connection.putrequest(method, target)
        if bearer is not None:
            connection.putheader("Authorization", f"Bearer {bearer}")
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        text = answer.read()
    with suppress(ValueError):
        return answer.status, json.loads(text)
    return answer.status, {}


@pytest.mark.parametrize(
    "key",
    [
        *("é", "日本", "a#b", "a%b", "a~b", "a[b]", "a{b}", "a<b>", "a|b", "a\\b", 'a"b', "a`b"),
        *("a\nb", "a\rb", "a\tb", "a\x00b", "a\x7fb", "😀", "a/", "folder/", "a^b", "\u202ea"),
        *("x" * 1025, "..", "../x", "a/../b", "a/..", "./a", "a/./b", "\ufffd"),
    ],
)
def test_keys_that_no_object_has(storage: Storage, ana: str, key: str) -> None:
    bucket = storage.bucket(ana, *ALL)
    encoded = "".join(f"%{byte:02X}" for byte in key.encode())
    for method, way in (("POST", "object"), ("PUT", "object"), ("POST", "object/upload/sign")):
        target = f"/{way}/{bucket}/{encoded}"
        status, body = raw(storage, method, target, b"x", bearer=token(ana))
        assert (status, body["statusCode"], body["error"]) == INVALID_KEY
        assert body["message"] == f"Invalid key: {key}"
    with storage.client(token(ana)) as client:
        client.post(f"object/{bucket}/x", content=b"x").raise_for_status()
        for way in ("object/move", "object/copy"):
            way_body = {"bucketId": bucket, "sourceKey": "x", "destinationKey": key}
            assert refusal(client.post(way, json=way_body)) == INVALID_KEY
    assert [name for name, _ in storage.rows(bucket)] == ["x"]


@pytest.mark.parametrize(
    "key",
    [
        "ordinary.txt",
        "a b/c!d-e.f*g'h(i)j&k$l@m=n;o:p+q,r?s_t",
        "x" * 1024,
        "...",
        "a//b",
        "..a/b..",
        "%2e".replace("%2e", "a.b"),
    ],
)
def test_keys_that_are_good(storage: Storage, ana: str, key: str) -> None:
    bucket = storage.bucket(ana, *ALL)
    encoded = "".join(f"%{byte:02X}" for byte in key.encode())
    for method in ("POST", "GET", "DELETE"):
        status, _ = raw(storage, method, f"/object/{bucket}/{encoded}", bearer=token(ana))
        assert status == 200


@pytest.mark.parametrize(
    "path",
    [
        "../../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%5c..%5cwindows",
        "%252e%252e%252fetc",
        "%00",
        "x%00.png",
        "%ff%fe",
        "%c0%ae%c0%ae/x",
        "%ed%a0%80",
        "....//....//etc/passwd",
        "/etc/passwd",
        "~root",
        "file:///etc/passwd",
    ],
)
def test_no_path_leads_to_a_file_of_the_machine(storage: Storage, ana: str, path: str) -> None:
    bucket = storage.bucket(ana, *ALL)
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        for target in (f"/object/{bucket}/{path}", f"/object/{path}", f"/{path}"):
            before = set(storage.folder.parent.rglob("*"))
            status, body = raw(storage, method, target, b"x", bearer=token(ana))
            assert status in (200, 400, 404), (method, target)
            assert "root:" not in json.dumps(body)
            added = set(storage.folder.parent.rglob("*")) - before
            assert all(file.parent == storage.folder / "objects" for file in added)
    # Where it was a name after all, it is one in the database only.
    versions = {version for _, version in storage.rows(bucket)}
    assert versions <= set(storage.files())
    assert not Path("/etc/passwd.x").exists()


PLACES_THAT_ARE_NONE = [
    *("/", "//", "/object", "/object/", "/object//", "/object//x", "/nothing", "/bucket//"),
    *("/object/sign", "/render/image/public/a/b", "/upload/resumable", "/s3/a", "/%"),
    *("/object/list", "/object/info", "*", "http://elsewhere/object", "/" + "a/" * 3000),
]


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "OPTIONS", "TRACE"])
def test_places_that_are_none(storage: Storage, method: str) -> None:
    for target in PLACES_THAT_ARE_NONE:
        status, _ = raw(storage, method, target, b"{}", bearer=token(role="service_role"))
        assert 400 <= status < 500, target


NOW = 2_000_000_000
CLAIMS = {"role": "service_role", "exp": NOW * 2}


def unsigned(header: dict[str, str], claims: dict[str, object], signature: str = "") -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part(header)}.{part(claims)}.{signature}"


@pytest.mark.parametrize(
    "bearer",
    [
        unsigned({"alg": "none"}, CLAIMS),
        unsigned({"alg": "None", "typ": "JWT"}, CLAIMS, "x"),
        unsigned({"alg": "HS256"}, CLAIMS),
        unsigned({"alg": "RS256"}, CLAIMS, "AAAA"),
        unsigned({"alg": "HS256", "jku": "http://elsewhere"}, CLAIMS, "AAAA"),
        jwt.encode(CLAIMS, "another secret that is long enough for this", "HS256"),
        jwt.encode({"role": "service_role"}, SECRET, "HS256"),
        jwt.encode({**CLAIMS, "exp": 1}, SECRET, "HS256"),
        jwt.encode({**CLAIMS, "exp": "later"}, SECRET, "HS256"),
        jwt.encode({"exp": NOW * 2}, SECRET, "HS256"),
        jwt.encode({**CLAIMS, "role": 1}, SECRET, "HS256"),
        jwt.encode({**CLAIMS, "role": "postgres"}, SECRET, "HS256"),
        jwt.encode({**CLAIMS, "role": "supabase_admin"}, SECRET, "HS256"),
        jwt.encode({**CLAIMS, "role": "supabase_storage_admin"}, SECRET, "HS256"),
        jwt.encode({**CLAIMS, "role": "authenticator"}, SECRET, "HS256"),
        jwt.encode({**CLAIMS, "role": "no such role"}, SECRET, "HS256"),
        jwt.encode({**CLAIMS, "role": 'x"; drop table storage.objects; --'}, SECRET, "HS256"),
        jwt.encode({**CLAIMS, "role": ""}, SECRET, "HS256"),
        *("-", "x", "a.b.c", ".." * 100, "x" * 7000, "%00", "a b"),
    ],
    ids=range(25),
)
def test_tokens_that_are_not_good(storage: Storage, bearer: str) -> None:
    bucket = storage.bucket()
    with storage.client(bearer) as client:
        for answer in (
            client.get("bucket"),
            client.post("bucket", json={"name": "mine"}),
            client.post(f"object/list/{bucket}", json={"prefix": ""}),
            client.post(f"object/{bucket}/x", content=b"x"),
            client.get(f"object/authenticated/{bucket}/x"),
            client.request("DELETE", f"object/{bucket}", json={"prefixes": ["x"]}),
            client.delete(f"bucket/{bucket}"),
        ):
            assert refusal(answer) == DENIED
        assert client.get(f"object/{bucket}/x").json()["statusCode"] in ("403", "404")


def test_no_token_at_all(storage: Storage) -> None:
    with storage.client(None) as client:
        answer = client.get("bucket")
    assert refusal(answer) == (400, "400", "Error")
    assert answer.json()["message"] == "headers must have required property 'authorization'"


def test_claims_cannot_break_out_of_the_settings(storage: Storage) -> None:
    bucket = storage.bucket()
    for sub in ("'; drop table storage.objects; --", "\ud800", "a\nb", "", "x" * 5000):
        odd = jwt.encode({"role": "authenticated", "sub": sub, "exp": NOW * 2}, SECRET, "HS256")
        with storage.client(odd) as client:
            answer = client.post(f"object/list/{bucket}", json={"prefix": ""})
            assert answer.status_code in (200, 400)
    nul = jwt.encode({"role": "authenticated", "sub": "\x00", "exp": NOW * 2}, SECRET, "HS256")
    with storage.client(nul) as client:
        answer = client.post(f"object/list/{bucket}", json={"prefix": ""})
    assert refusal(answer) == (400, "400", "InvalidParameter")


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"null", b"[]", b'"x"', b"1", b"NaN", b"\xff\xfe", b"[" * 100_000),
        b'{"prefix": "\\u0000"}',
        b'{"prefix": "\\ud800"}',
        b'{"prefix": "", "search": "\\u0000"}',
        b'{"prefixes": ["\\u0000"], "paths": ["\\u0000"], "expiresIn": 9}',
        b'{"prefixes": ["\\ud800"], "paths": ["\\ud800"], "expiresIn": 9}',
        b'{"prefixes": [], "paths": [], "expiresIn": 9}',
        b'{"prefixes": [1], "paths": [{}], "expiresIn": 9}',
        b'{"prefixes": "x", "paths": "x", "expiresIn": 9}',
        b'{"bucketId": {}, "sourceKey": 1, "destinationKey": []}',
        b'{"bucketId": "\\u0000", "sourceKey": "\\u0000", "destinationKey": "x"}',
        json.dumps({"prefixes": ["x"] * 1001, "paths": ["x"] * 1001, "expiresIn": 9}).encode(),
    ],
)
def test_bodies_that_are_odd(storage: Storage, ana: str, body: bytes) -> None:
    bucket = storage.bucket(ana, *ALL)
    with storage.client(token(ana)) as client:
        for method, path in (
            ("POST", f"object/list/{bucket}"),
            ("POST", f"object/sign/{bucket}"),
            ("DELETE", f"object/{bucket}"),
            ("POST", "object/move"),
            ("POST", "object/copy"),
            ("POST", "bucket"),
        ):
            answer = client.request(method, path, content=body)
            status, code, _ = refusal(answer)
            assert (status, code) == (400, "400"), (method, path)


def test_a_huge_body_of_json(storage: Storage, ana: str, ana_http: httpx.Client) -> None:
    bucket = storage.bucket(ana, *ALL)
    answer = ana_http.post(f"object/list/{bucket}", content=b" " * 5_000_000)
    assert refusal(answer) == (400, "413", "Payload too large")


def test_huge_headers_and_lines(storage: Storage) -> None:
    for head in (
        b"GET /bucket HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 300_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /bucket HTTP/1.1\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
        b"GET /bucket HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \x00\x01\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /bucket HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\r\n" * 1000,
        random.Random(7).randbytes(5000),
    ):
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", storage.port), timeout=10) as connection,
        ):
            connection.sendall(head)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1000)[8:10] in (b"", b" 4")


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 2\r\nContent-Length: 3\r\n\r\nhel",
        "Content-Length: +2\r\n\r\nhe",
        "Content-Length: 99999999999999999999\r\n\r\nhe",
        "Transfer-Encoding: chunked, identity\r\n\r\n2\r\nhe\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n-2\r\nhe\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhe\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\nX\r\n",
        "X: a\r\n b: c\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=range(8),
)
def test_lengths_that_lie(storage: Storage, ana: str, head: str) -> None:
    bucket = storage.bucket(ana, *ALL)
    before = storage.files()
    line = f"POST /object/{bucket}/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(ana)}\r\n"
    with socket.create_connection(("127.0.0.1", storage.port), timeout=10) as connection:
        connection.sendall(f"{line}{head}".encode())
        assert connection.recv(1000)[8:12] == b" 400"
    assert storage.rows(bucket) == []
    assert storage.files() == before


def test_a_chunk_that_goes_bad_in_the_middle(storage: Storage, ana: str) -> None:
    bucket = storage.bucket(ana, *ALL)
    before = storage.files()
    with socket.create_connection(("127.0.0.1", storage.port), timeout=10) as connection:
        head = f"POST /object/{bucket}/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        connection.sendall(f"{head}Authorization: Bearer {token(ana)}\r\n\r\n".encode())
        connection.sendall(b"80000\r\n" + b"x" * 0x80000 + b"\r\n")
        deadline = time.monotonic() + 10
        while storage.files() == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        connection.sendall(b"no length\r\n")
    while storage.files() != before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert storage.rows(bucket) == []
    assert "a request failed" not in storage.child.log.read_text()


def test_a_name_that_is_none_is_not_logged(
    storage: Storage, ana: str, ana_http: httpx.Client
) -> None:
    bucket = storage.bucket(ana, *ALL)
    for name in ("filename*=utf-8''%ffhidden%fe", "filename=hidden;;x", 'filename="hidden'):
        part = f"--b\r\nContent-Disposition: form-data; name=f; {name}\r\n\r\nx\r\n--b--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        ana_http.post(f"object/{bucket}/x", content=part.encode(), headers=headers)
    assert "hidden" not in storage.child.log.read_text()


def test_forms_that_are_odd(storage: Storage, ana: str, ana_http: httpx.Client) -> None:
    bucket = storage.bucket(ana, *ALL)
    before = storage.files()
    boundary = "multipart/form-data; boundary=b"
    part = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n'
    for content_type, body in (
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=" + "b" * 300, b"x"),
        (boundary, b"--b\r\n" * 5000),
        (boundary, b"--b\r\n\r\n--b--\r\n"),
        (boundary, b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n' * 50),
        (boundary, part + b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--\r\n"),
        (boundary, part + b"X: " + b"y" * 100_000 + b"\r\n\r\nx\r\n--b--\r\n"),
        (boundary, part + b"Content-Type: a/b\x00\r\n\r\nx\r\n--b--\r\n"),
        (boundary, b"\x00" * 10_000),
    ):
        headers = {"Content-Type": content_type}
        answer = ana_http.post(f"object/{bucket}/x", content=body, headers=headers)
        assert answer.status_code == 400, (content_type, body[:60])
        assert refusal(answer)[1] in ("400", "415")
    assert storage.rows(bucket) == []
    assert storage.files() == before


def test_a_part_that_lies_about_its_length_and_coding(
    storage: Storage, ana: str, ana_http: httpx.Client
) -> None:
    bucket = storage.bucket(ana, *ALL)
    head = (
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="../../x"\r\n'
        b"Content-Length: 99999\r\nContent-Encoding: gzip\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n"
    )
    answer = ana_http.post(
        f"object/{bucket}/x",
        content=head + b"just bytes\r\n--b--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    assert answer.status_code == 200
    assert ana_http.get(f"object/{bucket}/x").content == b"just bytes"


def test_a_type_that_would_split_the_headers(
    storage: Storage, ana: str, ana_http: httpx.Client
) -> None:
    bucket = storage.bucket(ana, *ALL)
    for field in ("contentType", "cacheControl"):
        answer = ana_http.post(
            f"object/{bucket}/x",
            data={field: "a/b\r\nSet-Cookie: c=d"},
            files={"file": ("x", b"x")},
        )
        assert answer.status_code == 400
    assert storage.rows(bucket) == []


def test_many_at_once_that_never_finish(storage: Storage, ana: str) -> None:
    bucket = storage.bucket(ana, *ALL)
    before = storage.files()
    head = f"POST /object/{bucket}/%d HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
    head += f"Authorization: Bearer {token(ana)}\r\n\r\n"
    connections = [socket.create_connection(("127.0.0.1", storage.port)) for _ in range(100)]
    for number, connection in enumerate(connections):
        connection.sendall((head % number).encode() + b"x" * 1000)
    # Others are served meanwhile: nobody holds a connection to the database while he waits.
    with storage.client(token(ana)) as client:
        begin = time.monotonic()
        assert client.post(f"object/{bucket}/y", content=b"x").status_code == 200
        assert time.monotonic() - begin < 5
    for connection in connections:
        connection.close()
    deadline = time.monotonic() + 10
    while len(storage.files()) > len(before) + 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert [name for name, _ in storage.rows(bucket)] == ["y"]
