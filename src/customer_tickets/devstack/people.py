"""Users of a local stack, made without a sign-up, and the mails that they were sent."""

import http.client
import json
import uuid
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from customer_tickets.devstack.process import LOOPBACK, StackError


class Mail(NamedTuple):
    """One mail that was not sent anywhere but kept."""

    to: str
    subject: str
    text: str
    html: str


class AuthControl:
    """The auth part's own endpoints, which the gateway does not serve."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._key = key

    def hashed(self, password: str) -> str:
        """Return what the auth server stores of a password."""
        answer: dict[str, str] = self._call("POST", "/hash", password)
        return answer["hash"]

    def mails(self, to: str) -> list[Mail]:
        """Return the mails to this address, oldest first."""
        answer: list[dict[str, str]] = self._call("GET", f"/mails?to={quote(to)}")
        return [Mail(mail["to"], mail["subject"], mail["text"], mail["html"]) for mail in answer]

    def _call(self, method: str, path: str, body: str | None = None) -> Any:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=10)
        try:
            connection.request(
                method,
                path,
                body=None if body is None else body.encode(),
                headers={"Authorization": f"Bearer {self._key}"},
            )
            return json.loads(connection.getresponse().read())
        except OSError as error:
            raise StackError(f"The local stack's auth is down ({error}).") from None
        finally:
            connection.close()


def insert_user(
    connection: psycopg.Connection[Any],
    email: str,
    password_hash: str,
    *,
    display_name: str | None = None,
) -> UUID:
    """Insert a confirmed user with the identity that a password sign-in wants."""
    user = uuid.uuid4()
    address = email.lower()
    metadata = {} if display_name is None else {"display_name": display_name}
    claims = {"sub": str(user), "email": address, "email_verified": True, **metadata}
    # Complete, as a hosted project's auth server wants it: its columns have no defaults there, and
    # tokens have to be empty, not null.
    connection.execute(
        "insert into auth.users (instance_id, id, aud, role, email, encrypted_password,"
        " email_confirmed_at, raw_app_meta_data, raw_user_meta_data, confirmation_token,"
        " recovery_token, email_change_token_new, email_change, created_at, updated_at)"
        " values ('00000000-0000-0000-0000-000000000000', %s, 'authenticated', 'authenticated',"
        " %s, %s, now(), %s, %s, '', '', '', '', now(), now())",
        [
            user,
            address,
            password_hash,
            Jsonb({"provider": "email", "providers": ["email"]}),
            Jsonb(metadata),
        ],
    )
    connection.execute(
        "insert into auth.identities (provider, provider_id, user_id, identity_data,"
        " last_sign_in_at, created_at, updated_at)"
        " values ('email', %s, %s, %s, now(), now(), now())",
        [str(user), user, Jsonb(claims)],
    )
    return user
