import json
import socket
import uuid
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from customer_tickets.devstack import LocalStack
from fix_stack import People


@pytest.fixture
def web(stack: LocalStack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url) as client:
        yield client


def socket_url(stack: LocalStack, key: str) -> str:
    address = stack.url.replace("http", "ws")
    return f"{address}/realtime/v1/websocket?apikey={key}&vsn=1.0.0"


def beat(connection: Connection) -> dict[str, object]:
    message = {"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "1"}
    connection.send(json.dumps(message))
    answer: dict[str, object] = json.loads(connection.recv(5))
    return answer


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "No API key found in request"),
        ({"apikey": ""}, "No API key found in request"),
        ({"apikey": "sb_publishable_nobody"}, "Invalid API key"),
        ({"apikey": "eyJhbGciOiJub25lIn0.eyJyb2xlIjoic2VydmljZV9yb2xlIn0."}, "Invalid API key"),
        ({"Authorization": "Bearer abc"}, "No API key found in request"),
    ],
)
@pytest.mark.parametrize("path", ["/rest/v1/tickets", "/auth/v1/user", "/realtime/v1/api/tenants"])
def test_without_a_key_nobody_gets_in(
    web: httpx.Client, path: str, headers: dict[str, str], words: str
) -> None:
    answer = web.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["message"] == words
    assert answer.headers["sb-request-id"]


def test_the_keys_that_tokens_are_checked_with_are_open_to_all(web: httpx.Client) -> None:
    answer = web.get("/auth/v1/.well-known/jwks.json")
    # The secret is not for everybody, and there is no other key.
    assert (answer.status_code, answer.json()) == (200, {"keys": []})


def test_a_user_token_is_no_key(stack: LocalStack, web: httpx.Client, people: People) -> None:
    token = stack.mint_token(people.ana.id)
    assert web.get("/rest/v1/profiles", headers={"apikey": token}).status_code == 401


@pytest.mark.parametrize("kind", ["publishable_key", "anon_key"])
@pytest.mark.parametrize("repeated", [True, False])
def test_a_public_key_alone_is_the_role_anon(
    stack: LocalStack, web: httpx.Client, kind: str, repeated: bool
) -> None:
    key = getattr(stack, kind)
    headers = {"apikey": key} | ({"Authorization": f"Bearer {key}"} if repeated else {})
    answer = web.get("/rest/v1/tickets", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["code"] == "42501"


@pytest.mark.parametrize("kind", ["secret_key", "service_role_key"])
def test_a_servers_key_passes_every_policy(
    stack: LocalStack, web: httpx.Client, people: People, kind: str
) -> None:
    rows = web.get(
        f"/rest/v1/profiles?select=user_id&org_id=eq.{people.organization_id}",
        headers={"apikey": getattr(stack, kind)},
    ).json()
    assert len(rows) == 2


def test_a_key_may_come_in_the_address(
    stack: LocalStack, web: httpx.Client, people: People
) -> None:
    answer = web.get(
        f"/rest/v1/profiles?select=user_id&user_id=eq.{people.ana.id}&apikey={stack.secret_key}"
    )
    assert answer.json() == [{"user_id": str(people.ana.id)}]


def test_a_users_rows_are_the_users(stack: LocalStack, web: httpx.Client, people: People) -> None:
    headers = {
        "apikey": stack.publishable_key,
        "Authorization": f"Bearer {stack.mint_token(people.ana.id)}",
    }
    rows = web.get("/rest/v1/profiles?select=user_id", headers=headers).json()
    assert rows == [{"user_id": str(people.ana.id)}]


def test_answers_without_a_body_stay_so(
    stack: LocalStack, web: httpx.Client, people: People
) -> None:
    headers = {"apikey": stack.secret_key, "Prefer": "count=exact"}
    path = f"/rest/v1/profiles?org_id=eq.{people.organization_id}"
    head = web.head(path, headers=headers)
    assert head.status_code == 200
    assert head.headers["content-range"] == "0-1/2"
    changed = web.patch(path, headers=headers, json={"display_name": "X"})
    assert changed.status_code == 204
    assert changed.content == b""
    # The connection is still in step.
    assert len(web.get(path, headers=headers).json()) == 2


@pytest.mark.parametrize(("method", "statement"), [("PATCH", "UPDATE"), ("DELETE", "DELETE")])
@pytest.mark.parametrize("query", ["", "?select=name&order=name&limit=1&offset=0", "?columns=name"])
def test_a_change_of_all_rows_is_refused_as_on_hosted_projects(
    stack: LocalStack, web: httpx.Client, people: People, method: str, statement: str, query: str
) -> None:
    headers = {"apikey": stack.secret_key}
    path = f"/rest/v1/organizations{query}"
    answer = web.request(method, path, headers=headers, json={"name": "All"})
    assert answer.status_code == 400
    assert answer.json() == {
        "code": "21000",
        "details": None,
        "hint": None,
        "message": f"{statement} requires a WHERE clause",
    }
    one = f"/rest/v1/organizations?id=eq.{people.organization_id}"
    assert web.get(one, headers=headers).json()[0]["name"] == people.organization_name


@pytest.mark.parametrize("rule", ["id=eq.{}", "or=(id.eq.{},id.eq.{})", "not.and=(id.neq.{})"])
def test_a_change_of_some_rows_is_made(
    stack: LocalStack, web: httpx.Client, people: People, rule: str
) -> None:
    headers = {"apikey": stack.secret_key, "Prefer": "return=representation"}
    path = f"/rest/v1/organizations?select=name&{rule.replace('{}', str(people.organization_id))}"
    name = f"New {uuid.uuid4()}"
    assert web.patch(path, headers=headers, json={"name": name}).json() == [{"name": name}]


PAGE = {"Origin": "http://localhost:3000"}


@pytest.mark.parametrize(
    "path",
    ["/rest/v1/tickets", "/auth/v1/token", "/storage/v1/object/x/y", "/realtime/v1/api/broadcast"],
)
def test_a_page_may_ask_what_it_may_send(web: httpx.Client, path: str) -> None:
    asked = {
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "apikey,authorization,x-client-info",
    }
    answer = web.options(path, headers=PAGE | asked)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == "PATCH"
    assert answer.headers["Access-Control-Allow-Headers"] == "apikey,authorization,x-client-info"
    assert int(answer.headers["Access-Control-Max-Age"]) > 0


def test_a_page_sees_every_answer_and_its_headers(
    stack: LocalStack, web: httpx.Client, people: People
) -> None:
    key = {"apikey": stack.secret_key}
    paths = [
        "/rest/v1/profiles?select=user_id",
        "/auth/v1/health",
        "/storage/v1/bucket",
        "/realtime/v1/api/nothing",
        "/nowhere",
        "/health",
    ]
    answers = [web.get(path, headers=PAGE | key) for path in paths]
    # Refusals too, the gateway's own and a part's, and what is more than one packet.
    answers += [web.get("/rest/v1/profiles", headers=PAGE)]
    answers += [web.get("/rest/v1/nothing", headers=PAGE | key)]
    rows = [{"name": f"{people.organization_name} {n} {'x' * 150}"} for n in range(900)]
    prefer = {"Prefer": "return=representation"}
    answers += [web.post("/rest/v1/organizations", headers=PAGE | key | prefer, json=rows)]
    for answer in answers:
        for name in ("Access-Control-Allow-Origin", "Access-Control-Expose-Headers"):
            assert answer.headers.get_list(name) == ["*"], answer.request.url


@pytest.mark.faults
def test_a_page_sees_a_fault_that_answers(stack: LocalStack, web: httpx.Client) -> None:
    stack.faults.answer_with(429, "/rest/v1/", retry_after=1)
    answer = web.get("/rest/v1/tickets", headers=PAGE | {"apikey": stack.publishable_key})
    assert answer.status_code == 429
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_a_question_that_no_browser_asks_hurts_nobody(stack: LocalStack, web: httpx.Client) -> None:
    key = {"apikey": stack.publishable_key}
    assert web.options("/auth/v1/token", headers=key).status_code < 500
    asked = {
        b"Access-Control-Request-Method": b"G\xffT",
        b"Access-Control-Request-Headers": b"\xff",
    }
    assert web.options("/rest/v1/tickets", headers=asked).status_code < 500
    assert web.get("/health").status_code == 200


def test_every_request_has_an_id_of_its_own(stack: LocalStack, web: httpx.Client) -> None:
    headers = {"apikey": stack.publishable_key}
    paths = ["/rest/v1/tickets", "/auth/v1/health", "/nowhere", "/health"]
    ids = {web.get(path, headers=headers).headers["sb-request-id"] for path in paths}
    assert len(ids) == len(paths)


def test_unknown_paths_are_not_found(stack: LocalStack, web: httpx.Client) -> None:
    assert web.get("/storage/v2/x", headers={"apikey": stack.secret_key}).status_code == 404


def test_long_answers_and_bodies_come_through_whole(
    stack: LocalStack, web: httpx.Client, people: People
) -> None:
    headers = {"apikey": stack.secret_key, "Prefer": "return=representation"}
    rows = [{"name": f"{people.organization_name} {n} {'x' * 150}"} for n in range(900)]
    made = web.post("/rest/v1/organizations?select=id,name", headers=headers, json=rows)
    assert made.status_code == 201
    assert [row["name"] for row in made.json()] == [row["name"] for row in rows]


def test_a_client_that_asks_before_sending_is_told_to_go_on(stack: LocalStack) -> None:
    body = b'{"name": "x"}'
    head = (
        f"POST /rest/v1/nothing HTTP/1.1\r\nHost: x\r\napikey: {stack.secret_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Expect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", stack.port), timeout=5) as raw:
        raw.sendall(head.encode())
        assert raw.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.sendall(body)
        assert raw.recv(4096).startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize(
    "path",
    ["/rest/v1/organizations?limit=1", "/storage/v1/bucket", "/realtime/v1/api/x", "/health"],
)
def test_a_header_may_be_as_long_as_on_hosted_projects(
    stack: LocalStack, web: httpx.Client, path: str
) -> None:
    headers = {"apikey": stack.secret_key, "X-Long": "x" * 15_000}
    assert web.get(path, headers=headers).status_code in (200, 404)
    assert web.get(path, headers=headers | {"X-Long": "x" * 17_000}).status_code == 400


@pytest.mark.parametrize("compressed", [True, False])
def test_encodings_are_left_alone(stack: LocalStack, web: httpx.Client, compressed: bool) -> None:
    encoding = "gzip" if compressed else "identity"
    answer = web.get(
        "/auth/v1/health", headers={"apikey": stack.anon_key, "Accept-Encoding": encoding}
    )
    assert answer.status_code == 200
    assert answer.json()


@pytest.mark.faults
@pytest.mark.parametrize(
    ("part", "path"),
    [("rest", "/rest/v1/tickets"), ("auth", "/auth/v1/user"), ("realtime", "/realtime/v1/api/x")],
)
def test_a_part_that_is_down_is_said_in_words(
    stack: LocalStack, web: httpx.Client, part: str, path: str
) -> None:
    child = getattr(stack, part)
    child.kill()
    try:
        answer = web.get(path, headers={"apikey": stack.publishable_key})
        assert answer.status_code == 503
        assert "is down; this request did not reach it" in answer.json()["message"]
        assert answer.headers["sb-request-id"]
    finally:
        child.start()
    assert web.get(path, headers={"apikey": stack.publishable_key}).status_code != 503


@pytest.mark.parametrize("kind", ["publishable_key", "anon_key"])
def test_a_websocket_is_spliced_through(stack: LocalStack, kind: str) -> None:
    with connect(socket_url(stack, getattr(stack, kind))) as connection:
        assert beat(connection)["event"] == "phx_reply"
        # Pings reach the server itself.
        assert connection.ping().wait(5)


@pytest.mark.parametrize("kind", ["publishable_key", "service_role_key"])
@pytest.mark.parametrize("header", ["apikey", "x-api-key"])
@pytest.mark.parametrize("query", ["vsn=1.0.0", "vsn=1.0.0&apikey=nobody"])
def test_a_websockets_key_may_come_in_a_header(
    stack: LocalStack, kind: str, header: str, query: str
) -> None:
    address = f"{stack.url.replace('http', 'ws')}/realtime/v1/websocket?{query}"
    with connect(address, additional_headers={header: getattr(stack, kind)}) as connection:
        assert beat(connection)["event"] == "phx_reply"


def test_the_header_of_realtime_opens_nothing_else(stack: LocalStack, web: httpx.Client) -> None:
    headers = {"x-api-key": stack.secret_key}
    assert web.get("/rest/v1/tickets", headers=headers).status_code == 401


def test_a_websocket_without_a_key_is_refused(stack: LocalStack) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(socket_url(stack, "nobody")):
        pass
    assert refused.value.response.status_code == 401


def status_of(stack: LocalStack, path: str, *headers: str) -> bytes:
    """The status of a bare request with these headers and the secret key."""
    lines = [f"GET {path} HTTP/1.1", "Host: x", f"apikey: {stack.secret_key}", *headers, "", ""]
    with socket.create_connection(("127.0.0.1", stack.port), timeout=5) as raw:
        raw.sendall("\r\n".join(lines).encode())
        return raw.recv(4096).split(b" ")[1]


@pytest.mark.parametrize(
    "path", ["/rest/v1/tickets", "/auth/v1/health", "/storage/v1/bucket", "/realtime/v1/api/x"]
)
def test_nothing_else_is_a_websocket(stack: LocalStack, path: str) -> None:
    assert status_of(stack, path, "Upgrade: websocket", "Connection: Upgrade") == b"400"


def test_half_a_request_to_upgrade_is_an_ordinary_one(stack: LocalStack) -> None:
    assert status_of(stack, "/rest/v1/organizations?limit=1", "Upgrade: websocket") == b"200"
    assert status_of(stack, "/realtime/v1/websocket", "Upgrade: websocket").startswith(b"4")


@pytest.mark.faults
def test_a_killed_realtime_server_breaks_its_sockets_and_comes_back(stack: LocalStack) -> None:
    url = socket_url(stack, stack.publishable_key)
    with connect(url) as connection:
        beat(connection)
        stack.realtime.kill()
        try:
            with pytest.raises(ConnectionClosedError):
                connection.recv(5)
            with pytest.raises(InvalidStatus) as refused, connect(url):
                pass
            assert refused.value.response.status_code == 503
        finally:
            stack.realtime.start()
    with connect(url) as connection:
        assert beat(connection)["event"] == "phx_reply"


@pytest.mark.parametrize(
    "path",
    [
        "/auth/v1/../../mails?to=x",
        "/auth/v1/%2e%2E/%2e%2e/mails?to=x",
        "/auth/v1/.%2e%2f..%2fmails?to=x",
        "/auth/v1/..\\..\\mails?to=x",
        "/auth/v1/./health",
        "/rest/v1/..",
        "/storage/v1/object/x/../y",
    ],
)
def test_no_path_climbs_out_of_its_part(stack: LocalStack, path: str) -> None:
    control = f"Authorization: Bearer {stack.control_key}"
    assert status_of(stack, path, control) == b"400"
    assert status_of(stack, "/auth/v1/health?redirect_to=../x", control) == b"200"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /rest/v1/tickets HTTP/9.9\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"GET " + b"/" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /rest/v1/%zz HTTP/1.1\r\nHost: x\r\napikey: x\r\n\r\n",
        b"POST /rest/v1/tickets HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_malformed_requests_are_refused_and_hurt_nobody(
    stack: LocalStack, web: httpx.Client, request_bytes: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", stack.port), timeout=5) as raw:
        raw.sendall(request_bytes)
        status = raw.recv(4096).split(b" ")[1]
    assert status.startswith(b"4")
    assert web.get("/health").status_code == 200
