"""Each repair of the embedded auth implementation, over the real clients."""

import http.client
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import psycopg
import pytest
from supabase import Client, create_async_client, create_client
from supabase.lib.client_options import AsyncClientOptions, SyncClientOptions
from supabase_auth.errors import AuthApiError, AuthWeakPasswordError

from customer_tickets.devstack import LocalStack
from fix_stack import PASSWORD, People, Person


@pytest.fixture
def web() -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


@pytest.fixture
def client(stack: LocalStack, web: httpx.Client) -> Client:
    return connected(stack.url, stack.publishable_key, web)


def connected(url: str, key: str, web: httpx.Client) -> Client:
    # With a client of ours, because supabase never closes its own.
    return create_client(url, key, SyncClientOptions(httpx_client=web))


def fresh_email() -> str:
    return f"user-{uuid.uuid4().hex[:12]}@example.com"


def claims(stack: LocalStack, client: Client) -> dict[str, object]:
    session = client.auth.get_session()
    assert session is not None
    decoded: dict[str, object] = jwt.decode(
        session.access_token, stack.jwt_secret, ["HS256"], audience="authenticated"
    )
    return decoded


def sign_in(client: Client, person: Person) -> None:
    client.auth.sign_in_with_password({"email": person.email, "password": person.password})


def test_times_are_iso_8601_for_the_client(client: Client) -> None:
    answer = client.auth.sign_up({"email": fresh_email(), "password": PASSWORD})
    assert answer.user is not None
    assert answer.user.created_at.tzinfo is not None
    assert abs(answer.user.created_at.timestamp() - time.time()) < 30


def test_metadata_is_stored_as_json_that_triggers_can_read(
    stack: LocalStack, client: Client
) -> None:
    answer = client.auth.sign_up(
        {
            "email": fresh_email(),
            "password": PASSWORD,
            "options": {"data": {"display_name": "Zoë"}},
        }
    )
    assert answer.user is not None
    with psycopg.connect(stack.database_url) as connection:
        row = connection.execute(
            "select u.raw_user_meta_data ->> 'display_name',"
            " u.raw_app_meta_data ->> 'provider', p.display_name"
            " from auth.users u join public.profiles p on p.user_id = u.id where u.id = %s",
            [answer.user.id],
        ).fetchone()
    assert row == ("Zoë", "email", "Zoë")


def test_the_auth_server_leaves_grants_alone(stack: LocalStack, client: Client) -> None:
    client.auth.sign_up({"email": fresh_email(), "password": PASSWORD})
    with psycopg.connect(stack.database_url) as connection:
        row = connection.execute(
            "select has_table_privilege('anon', 'public.tickets', 'select'),"
            " has_table_privilege('authenticated', 'public.profiles', 'update'),"
            " has_table_privilege('authenticated', 'auth.users', 'select')"
        ).fetchone()
    assert row == (False, False, False)


def test_tokens_carry_the_claims_that_hosted_tokens_carry(
    stack: LocalStack, client: Client
) -> None:
    email = fresh_email()
    client.auth.sign_up(
        {"email": email, "password": PASSWORD, "options": {"data": {"display_name": "Ana"}}}
    )
    signed_up = claims(stack, client)
    client.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    signed_in = claims(stack, client)
    client.auth.refresh_session()
    refreshed = claims(stack, client)
    for token in (signed_up, signed_in, refreshed):
        assert token["email"] == email
        assert token["role"] == "authenticated"
        assert token["iss"] == f"{stack.url}/auth/v1"
        assert token["aal"] == "aal1"
        assert isinstance(token["amr"], list)
        assert token["amr"][0]["method"] == "password"
        assert token["app_metadata"] == {"provider": "email", "providers": ["email"]}
        assert isinstance(token["user_metadata"], dict)
        assert token["user_metadata"]["display_name"] == "Ana"
        assert token["is_anonymous"] is False
    assert refreshed["session_id"] == signed_in["session_id"] != signed_up["session_id"]


def test_the_database_reads_the_claims_of_a_request(
    stack: LocalStack, client: Client, people: People
) -> None:
    sign_in(client, people.ana)
    rows = client.table("profiles").select("user_id").execute().data
    assert rows == [{"user_id": str(people.ana.id)}]


def test_a_lost_database_does_not_end_the_auth_server(
    stack: LocalStack, client: Client, people: People
) -> None:
    sign_in(client, people.ana)
    pid = stack.auth.pid
    with psycopg.connect(stack.postgres.dsn(user="supabase_admin")) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where usename = 'supabase_auth_admin'"
        )
    time.sleep(0.2)
    sign_in(client, people.ben)
    assert stack.auth.pid == pid
    assert stack.auth.running


def test_a_mail_links_back_to_where_the_client_asked(
    stack: LocalStack, client: Client, people: People
) -> None:
    client.auth.reset_password_for_email(
        people.ana.email, {"redirect_to": "http://localhost:3000/back?a=1"}
    )
    [mail] = stack.mails(people.ana.email)
    link = next(word for word in mail.text.split() if word.startswith(stack.url))
    assert parse_qs(urlsplit(link).query)["redirect_to"] == ["http://localhost:3000/back?a=1"]
    # The link of a mail is opened by a browser, which has no key.
    answer = httpx.get(link)
    assert answer.status_code == 303
    location = urlsplit(answer.headers["location"])
    assert location.netloc == "localhost:3000"
    token = parse_qs(location.fragment)["access_token"][0]
    decoded = jwt.decode(token, stack.jwt_secret, ["HS256"], audience="authenticated")
    assert decoded["sub"] == str(people.ana.id)
    assert decoded["amr"][0]["method"] == "otp"


def test_mails_are_not_for_everybody(stack: LocalStack, people: People) -> None:
    for path in ("/mails", "/hash", "/auth/v1/mails"):
        answer = httpx.get(stack.url + path, headers={"apikey": stack.secret_key})
        assert answer.status_code in (403, 404)
    # httpx would tidy this path up before it is sent.
    tricky = http.client.HTTPConnection("127.0.0.1", stack.port)
    with closing(tricky):
        tricky.request("GET", "/auth/v1/../../mails?to=x", headers={"apikey": stack.secret_key})
        assert tricky.getresponse().status in (400, 401, 403, 404)
    direct = httpx.get(f"http://127.0.0.1:{stack.auth_port}/mails")
    assert direct.status_code == 401


def test_the_answers_length_is_that_of_its_body(stack: LocalStack, people: People) -> None:
    answer = httpx.post(
        f"{stack.url}/auth/v1/token?grant_type=password",
        headers={"apikey": stack.anon_key},
        json={"email": people.ana.email, "password": PASSWORD},
    )
    assert answer.json()["user"]["email"] == people.ana.email
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize("kind", ["publishable_key", "anon_key"])
def test_a_session_lives_through_its_whole_life(
    stack: LocalStack, people: People, web: httpx.Client, kind: str
) -> None:
    client = connected(stack.url, getattr(stack, kind), web)
    sign_in(client, people.ana)
    first = client.auth.get_session()
    assert first is not None
    client.auth.refresh_session()
    second = client.auth.get_session()
    assert second is not None
    assert second.refresh_token != first.refresh_token
    taken_over = connected(stack.url, getattr(stack, kind), web)
    taken_over.auth.set_session(second.access_token, second.refresh_token)
    user = taken_over.auth.get_user()
    assert user is not None
    assert user.user.id == str(people.ana.id)
    rows = taken_over.table("profiles").select("user_id").execute().data
    assert rows == [{"user_id": str(people.ana.id)}]
    taken_over.auth.update_user({"data": {"display_name": "Ana Maria"}})
    taken_over.auth.sign_out()
    with pytest.raises(AuthApiError):
        client.auth.refresh_session()


@pytest.mark.anyio
async def test_the_asynchronous_client_works_as_well(stack: LocalStack, people: People) -> None:
    async with httpx.AsyncClient() as web:
        options = AsyncClientOptions(httpx_client=web)
        client = await create_async_client(stack.url, stack.publishable_key, options)
        await client.auth.sign_in_with_password(
            {"email": people.ana.email, "password": people.ana.password}
        )
        await client.auth.refresh_session()
        answer = await client.table("profiles").select("user_id").execute()
        assert answer.data == [{"user_id": str(people.ana.id)}]
        await client.auth.sign_out()


def test_errors_are_those_of_hosted_projects(client: Client, people: People) -> None:
    with pytest.raises(AuthApiError) as wrong:
        client.auth.sign_in_with_password({"email": people.ana.email, "password": "wrong-one"})
    assert (wrong.value.status, wrong.value.code) == (400, "invalid_credentials")
    with pytest.raises(AuthApiError) as taken:
        client.auth.sign_up({"email": people.ana.email, "password": PASSWORD})
    assert (taken.value.status, taken.value.code) == (422, "user_already_exists")
    with pytest.raises(AuthWeakPasswordError) as weak:
        client.auth.sign_up({"email": fresh_email(), "password": "x"})
    assert (weak.value.status, weak.value.code) == (422, "weak_password")


def test_minted_tokens_are_accepted_by_every_part(stack: LocalStack, people: People) -> None:
    token = stack.mint_token(people.ana.id, email=people.ana.email)
    headers = {"apikey": stack.publishable_key, "Authorization": f"Bearer {token}"}
    user = httpx.get(f"{stack.url}/auth/v1/user", headers=headers)
    assert user.json()["id"] == str(people.ana.id)
    rows = httpx.get(f"{stack.url}/rest/v1/profiles?select=user_id", headers=headers)
    assert rows.json() == [{"user_id": str(people.ana.id)}]
    expired = stack.mint_token(people.ana.id, lifetime=-60)
    headers["Authorization"] = f"Bearer {expired}"
    assert httpx.get(f"{stack.url}/auth/v1/user", headers=headers).status_code == 403
    assert httpx.get(f"{stack.url}/rest/v1/profiles", headers=headers).status_code == 401
