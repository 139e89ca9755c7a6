import jwt
import pytest

from customer_tickets.devstack.keys import Keys, authorization


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys.made_now()


def test_keys_look_like_a_hosted_projects(keys: Keys) -> None:
    assert keys.publishable.startswith("sb_publishable_")
    assert keys.secret.startswith("sb_secret_")
    for key, role in ((keys.anon, "anon"), (keys.service_role, "service_role")):
        assert jwt.decode(key, keys.jwt_secret, ["HS256"])["role"] == role


def test_no_two_stacks_share_a_key(keys: Keys) -> None:
    assert not set(keys.to_dict().values()) & set(Keys.made_now().to_dict().values())


def test_each_key_stands_for_a_role(keys: Keys) -> None:
    assert keys.role_token(keys.publishable) == keys.role_token(keys.anon) == keys.anon
    assert keys.role_token(keys.secret) == keys.role_token(keys.service_role) == keys.service_role


@pytest.mark.parametrize("key", ["", "sb_publishable_", "anon", "é"])
def test_anything_else_is_no_key(keys: Keys, key: str) -> None:
    assert keys.role_token(key) is None


def test_a_token_that_the_secret_signs_is_no_key(keys: Keys) -> None:
    assert keys.role_token(keys.sign({"role": "service_role"})) is None


def test_no_key_is_in_a_repr(keys: Keys) -> None:
    assert not any(value in repr(keys) for value in keys.to_dict().values())


@pytest.mark.parametrize(
    ("sent", "forwarded"),
    [
        (None, "Bearer role-token"),
        ("Bearer sb_publishable_abc", "Bearer role-token"),
        ("bearer sb_secret_abc", "Bearer role-token"),
        ("Bearer eyJ.user.token", "Bearer eyJ.user.token"),
        ("Basic abc", "Basic abc"),
    ],
)
def test_only_a_users_token_passes(sent: str | None, forwarded: str) -> None:
    assert authorization(sent, "role-token") == forwarded
