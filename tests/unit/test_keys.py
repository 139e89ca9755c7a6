"""Secret keys and broken URLs are refused before anything is sent with them."""

import jwt
import pytest

from customer_tickets import AsyncCustomerTickets, CustomerTickets, InvalidInput


def legacy_key(role: str) -> str:
    return jwt.encode({"role": role, "iss": "supabase"}, "s" * 32, algorithm="HS256")


@pytest.mark.parametrize("key", ["sb_publishable_abc", legacy_key("anon")])
def test_both_kinds_of_public_keys_are_taken(key: str) -> None:
    AsyncCustomerTickets("https://abc.supabase.co", key)


def test_a_key_and_url_from_a_file_may_end_with_a_new_line() -> None:
    AsyncCustomerTickets("https://abc.supabase.co/\n", "sb_publishable_abc\n")


@pytest.mark.parametrize("key", ["sb_secret_abc", legacy_key("service_role")])
def test_a_secret_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidInput, match="secret key") as caught:
        AsyncCustomerTickets("https://abc.supabase.co", key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["", None, "abc", "a.b.c", "a.bm90IGpzb24.c", "sb_publishable_é", "sb_publishable_ x"]
)
def test_what_is_no_key_is_refused(key: str | None) -> None:
    with pytest.raises(InvalidInput, match="key: must be a publishable key"):
        AsyncCustomerTickets("https://abc.supabase.co", key)  # type: ignore[arg-type] # the point


@pytest.mark.parametrize(
    "url",
    [
        "",
        None,
        "abc.supabase.co",
        "ftp://x",
        "https://",
        "http://x/?a=1",
        "http://[",
        "http://h:port",
        "http://h:99999",
    ],
)
def test_what_is_no_url_is_refused(url: str | None) -> None:
    with pytest.raises(InvalidInput, match="url: "):
        CustomerTickets(url, "sb_publishable_abc")  # type: ignore[arg-type] # the point


def test_the_environment_names_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_ANON_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InvalidInput) as caught:
        CustomerTickets.from_env()
    named = [wrong.field for wrong in caught.value.fields]
    assert named == ["SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEY"]


@pytest.mark.parametrize("timeout", ["x", None, 0, -1, float("nan"), float("inf"), True, b"1"])
def test_what_is_no_time_is_refused(timeout: object) -> None:
    for face in (AsyncCustomerTickets, CustomerTickets):
        with pytest.raises(InvalidInput, match="timeout: must be a number of seconds above 0"):
            face("https://abc.supabase.co", "sb_publishable_abc", timeout=timeout)  # type: ignore[arg-type] # the point


@pytest.mark.parametrize("cache", ["x", None, -1, float("nan"), float("inf"), True, b"1"])
def test_what_is_no_time_to_keep_answers_is_refused(
    cache: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_URL", "https://abc.supabase.co")
    monkeypatch.setenv("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_abc")
    for face in (AsyncCustomerTickets, CustomerTickets):
        with pytest.raises(InvalidInput, match="cache: must be a number of seconds from 0 on"):
            face.from_env(cache=cache)  # type: ignore[arg-type] # the point


@pytest.mark.parametrize("wrong", [5, b"x", object()])
def test_what_is_no_text_is_refused(wrong: object) -> None:
    with pytest.raises(InvalidInput, match="url"):
        AsyncCustomerTickets(wrong, "sb_publishable_abc")  # type: ignore[arg-type] # the point
    with pytest.raises(InvalidInput, match="key"):
        AsyncCustomerTickets("https://abc.supabase.co", wrong)  # type: ignore[arg-type] # the point
