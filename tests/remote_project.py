"""A Supabase project that the tests did not start: that of `supabase start`, or a hosted one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from uuid import UUID

import httpx
import psycopg

from customer_tickets import migrate
from customer_tickets.devstack import LocalStack
from customer_tickets.devstack.fixtures import PASSWORD, StackUser

# What is read from the environment; the second name is the one of older projects.
VARIABLES = {
    "url": ("SUPABASE_URL",),
    "publishable_key": ("SUPABASE_PUBLISHABLE_KEY", "SUPABASE_ANON_KEY"),
    "secret_key": ("SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY"),
    "database_url": ("SUPABASE_DB_URL",),
}
# bcrypt's of PASSWORD: no project says how it would hash one.
_HASH = "$2b$04$ZvJ2Hbs.h9tSbemFFiRuK.yCVAjqXOQb3s7KDO.9Fxr2tTtak1pNO"


@dataclass(frozen=True)
class RemoteProject:
    """What tests that run on any project may use of the fixture `stack`."""

    url: str
    publishable_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    database_url: str = field(repr=False)
    """As role `postgres`, directly or through a session pooler."""
    has_faults = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the project that the variables name; LookupError says which are missing."""
        values = {
            name: next((environment[key] for key in keys if environment.get(key)), "")
            for name, keys in VARIABLES.items()
        }
        missing = [" or ".join(VARIABLES[name]) for name, value in values.items() if not value]
        if missing:
            raise LookupError(f"set {', '.join(missing)}")
        return cls(**values | {"url": values["url"].rstrip("/")})

    def hashed(self, password: str) -> str:
        """Return what auth.users.encrypted_password holds for the tests' one password."""
        assert password == PASSWORD
        return _HASH

    def missing_migrations(self) -> list[str]:
        """Return the versions of this package's migrations that the project lacks."""
        with psycopg.connect(self.database_url) as connection:
            applied = set(migrate.applied(connection))
        return [m.version for m in migrate.migrations() if m.version not in applied]

    def migrate(self) -> None:
        """Apply what is missing; it stays there."""
        with psycopg.connect(self.database_url) as connection:
            migrate.apply(connection)

    def is_seeded(self) -> bool:
        """Tell whether seed.sql has been run there."""
        with psycopg.connect(self.database_url) as connection:
            found = connection.execute(
                "select from auth.users where id = 'a0a00000-0000-4000-8000-000000000001'"
            )
            return found.fetchone() is not None

    def remove(self, users: list[UUID], organizations: list[UUID]) -> None:
        """Remove these users with all that is theirs, then these organizations."""
        self._remove_files(users)
        with psycopg.connect(self.database_url) as connection:
            connection.execute("delete from auth.users where id = any(%s)", [users])
            connection.execute(
                "delete from public.organizations where id = any(%s)", [organizations]
            )

    def _remove_files(self, users: list[UUID]) -> None:
        with psycopg.connect(self.database_url) as connection:
            found = connection.execute(
                "select bucket_id, array_agg(name) from storage.objects"
                " where owner_id = any(%s) group by bucket_id",
                [[str(user) for user in users]],
            ).fetchall()
        for bucket, names in found:
            # By the API, which alone knows where the bytes lie.
            httpx.request(
                "DELETE",
                f"{self.url}/storage/v1/object/{bucket}",
                headers=as_server(self),
                json={"prefixes": names},
            ).raise_for_status()


Stack = LocalStack | RemoteProject


def as_server(stack: Stack) -> dict[str, str]:
    """Return the headers of requests that pass every policy."""
    return {"apikey": stack.secret_key, "Authorization": f"Bearer {stack.secret_key}"}


def access_token(stack: Stack, person: StackUser) -> str:
    """Return an access token of this person: minted where that is possible, which is faster."""
    if isinstance(stack, LocalStack):
        return stack.mint_token(person.id)
    answer = httpx.post(
        f"{stack.url}/auth/v1/token?grant_type=password",
        headers={"apikey": stack.publishable_key},
        json={"email": person.email, "password": person.password},
    )
    token: str = answer.raise_for_status().json()["access_token"]
    return token
