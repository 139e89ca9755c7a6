"""The fault switches of REST and auth, met by this library and by supabase-py."""

import json
import time
import uuid
from collections.abc import Iterator

import httpx
import psycopg
import pytest
from postgrest.exceptions import APIError
from supabase import Client, create_client
from supabase.lib.client_options import SyncClientOptions
from supabase_auth.errors import AuthRetryableError

from customer_tickets import CustomerTickets, RateLimited, Unavailable
from customer_tickets.devstack import Faults, LocalStack, StackError
from fix_stack import People

pytestmark = pytest.mark.faults


@pytest.fixture
def faults(stack: LocalStack) -> Faults:
    return stack.faults


@pytest.fixture
def client(stack: LocalStack, people: People) -> Iterator[Client]:
    """supabase-py, signed in as ana."""
    with httpx.Client() as web:
        made = create_client(stack.url, stack.publishable_key, SyncClientOptions(httpx_client=web))
        made.auth.sign_in_with_password(
            {"email": people.ana.email, "password": people.ana.password}
        )
        yield made


@pytest.fixture
def tickets(stack: LocalStack, people: People) -> Iterator[CustomerTickets]:
    """This library, signed in as ana."""
    with CustomerTickets(stack.url, stack.publishable_key) as made:
        made.sign_in(people.ana.email, people.ana.password)
        yield made


@pytest.fixture
def servant(stack: LocalStack) -> Iterator[httpx.Client]:
    """Bare HTTP with the secret key: it tries nothing again."""
    headers = {"apikey": stack.secret_key}
    with httpx.Client(base_url=stack.url, headers=headers) as web:
        yield web


def organizations(stack: LocalStack, name: str) -> int:
    with psycopg.connect(stack.database_url) as connection:
        row = connection.execute(
            "select count(*) from public.organizations where name = %s", [name]
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_lost_answer_is_one_whose_request_was_carried_out(
    stack: LocalStack, faults: Faults, servant: httpx.Client
) -> None:
    name = f"Lost {uuid.uuid4()}"
    faults.lose_answers("/rest/v1/organizations", method="POST")
    assert servant.get("/rest/v1/organizations?limit=1").status_code == 200
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        servant.post("/rest/v1/organizations", json={"name": name})
    assert organizations(stack, name) == 1
    assert faults.requests_left() == 0
    # Its name is taken: by itself.
    assert servant.post("/rest/v1/organizations", json={"name": name}).status_code == 409


def test_a_lost_request_is_one_that_was_not_carried_out(
    stack: LocalStack, faults: Faults, servant: httpx.Client
) -> None:
    name = f"Never {uuid.uuid4()}"
    faults.lose_requests("/rest/v1/organizations")
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        servant.post("/rest/v1/organizations", json={"name": name})
    assert organizations(stack, name) == 0


def test_a_lost_answer_costs_the_librarys_user_nothing(
    faults: Faults, tickets: CustomerTickets, people: People
) -> None:
    faults.lose_answers("/rest/v1/rpc/create_ticket")
    made = tickets.create(organization=people.organization_id, subject="Help")
    assert faults.requests_left() == 0
    assert [ticket.id for ticket in tickets.all()] == [made.id]


def test_a_rate_limit_says_when_to_come_back(faults: Faults, tickets: CustomerTickets) -> None:
    faults.answer_with(429, "/rest/v1/rpc/ticket_counts", retry_after=1)
    started = time.monotonic()
    assert tickets.counts().open == 0
    assert time.monotonic() - started >= 1
    faults.answer_with(429, "/rest/v1/rpc/ticket_counts", times=100, retry_after=3600)
    with pytest.raises(RateLimited):
        tickets.counts()


def test_an_unavailable_service_is_tried_again_and_then_said(
    faults: Faults, tickets: CustomerTickets
) -> None:
    faults.answer_with(503, "/rest/v1/", times=1)
    assert tickets.counts().open == 0
    faults.answer_with(503, "/rest/v1/", times=1000)
    with pytest.raises(Unavailable):
        tickets.counts()


def test_supabase_sees_them_as_well(faults: Faults, client: Client) -> None:
    faults.answer_with(500, "/rest/v1/profiles", method="GET")
    with pytest.raises(APIError):
        client.table("profiles").select("user_id").execute()
    assert len(client.table("profiles").select("user_id").execute().data) == 1
    faults.answer_with(503, "/auth/v1/user")
    with pytest.raises(AuthRetryableError):
        client.auth.get_user()
    assert client.auth.get_user() is not None


def test_a_delay_is_one(faults: Faults, servant: httpx.Client) -> None:
    faults.delay("/rest/v1/organizations", 0.3)
    started = time.monotonic()
    assert servant.get("/rest/v1/organizations?limit=1").status_code == 200
    assert time.monotonic() - started >= 0.3


def test_faults_come_in_the_order_they_were_asked_for(
    faults: Faults, servant: httpx.Client
) -> None:
    faults.answer_with(503, "/rest/v1/", times=2)
    faults.answer_with(429, "/rest/v1/organizations", method="GET", retry_after=7)
    faults.answer_with(500, "/auth/v1/")
    answers = [servant.get("/rest/v1/organizations?limit=1") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 503, 429, 200]
    assert [answer.headers.get("Retry-After") for answer in answers] == [None, None, "7", None]
    assert all(answer.headers["sb-request-id"] for answer in answers)
    assert faults.requests_left() == 1
    faults.reset()
    assert faults.requests_left() == 0
    assert servant.get("/auth/v1/health").status_code == 200


def test_tokens_live_as_long_as_wanted(
    stack: LocalStack, faults: Faults, client: Client, people: People
) -> None:
    faults.token_lifetime(2)
    answer = client.auth.sign_in_with_password(
        {"email": people.ana.email, "password": people.ana.password}
    )
    assert answer.session is not None
    assert answer.session.expires_in == 2
    assert answer.session.expires_at is not None
    assert abs(answer.session.expires_at - time.time() - 2) < 2
    headers = {
        "apikey": stack.publishable_key,
        "Authorization": f"Bearer {answer.session.access_token}",
    }
    path = f"{stack.url}/auth/v1/user"
    assert httpx.get(path, headers=headers).status_code == 200
    time.sleep(2.5)
    assert httpx.get(path, headers=headers).status_code == 403
    faults.reset()
    renewed = client.auth.refresh_session().session
    assert renewed is not None
    assert renewed.expires_in == 3600


@pytest.mark.parametrize(("age", "status"), [(20, 200), (40, 401)])
def test_rest_takes_a_token_for_half_a_minute_longer(
    stack: LocalStack, people: People, age: int, status: int
) -> None:
    token = stack.mint_token(people.ana.id, lifetime=-age)
    headers = {"apikey": stack.publishable_key, "Authorization": f"Bearer {token}"}
    answer = httpx.get(f"{stack.url}/rest/v1/profiles", headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize("key", ["nobody", "é"])
@pytest.mark.parametrize("path", ["requests", "realtime", "realtime/rows", "auth/tokens"])
def test_nobody_else_may_ask(stack: LocalStack, key: str, path: str) -> None:
    headers = {b"apikey": stack.secret_key.encode(), b"Authorization": f"Bearer {key}".encode()}
    for method in ("GET", "POST", "DELETE"):
        answer = httpx.request(method, f"{stack.url}/faults/{path}", headers=headers)
        assert answer.status_code == 401


@pytest.mark.parametrize(
    "fields",
    [
        [],
        {},
        {"action": "burn"},
        {"action": "delay", "seconds": "x"},
        {"action": "delay", "seconds": -1},
        {"action": "answer", "status": 99},
        {"action": "answer", "status": True},
        {"action": "answer", "retry_after": 1.5},
        {"action": "answer", "times": None},
        {"action": "answer", "path": 1},
        {"action": "answer", "method": 1},
        {"action": "answer", "weather": 1},
        {"action": "answer", "times": 0},
        {"action": "answer", "path": "rest/v1/"},
        {"action": "answer", "method": "post"},
    ],
    ids=json.dumps,
)
def test_what_is_not_understood_is_refused(faults: Faults, fields: object) -> None:
    with pytest.raises(StackError, match=r"\(400\).*not understood"):
        faults._call("POST", "/faults/requests", fields)  # type: ignore[arg-type] # the point
    assert faults.requests_left() == 0
