"""A key proves itself by Basic auth or by a token, and shows its secret to nobody."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import httpx2
import jwt
import pytest
from sunshine_samples import KEY, NOON, SECRET, SetClock

from bot.sunshine import BasicAuth, Credentials, JwtAuth, Scope


def authorization(auth: httpx2.Auth) -> str:
    request = httpx2.Request("GET", "https://acme.zendesk.com/sc")
    return str(next(auth.sync_auth_flow(request)).headers["authorization"])


def token(auth: httpx2.Auth) -> str:
    return authorization(auth).removeprefix("Bearer ")


def test_the_secret_does_not_show() -> None:
    for shown in (repr(KEY), str(KEY), repr(BasicAuth(KEY)), repr(JwtAuth(KEY))):
        assert SECRET not in shown


@pytest.mark.parametrize(("key_id", "secret"), [("", "s"), ("int_1", ""), ("int_1:s", "s")])
def test_half_a_key_is_refused(key_id: str, secret: str) -> None:
    with pytest.raises(ValueError, match="API key"):
        Credentials(key_id, secret)


@pytest.mark.parametrize(
    ("key_id", "scope"),
    [
        ("int_1", Scope.INTEGRATION),
        ("app_1", Scope.APP),
        ("act_1", Scope.ACCOUNT),
        ("svc_1", Scope.ACCOUNT),
        ("nokey", None),
    ],
)
def test_the_id_of_a_key_tells_its_scope(key_id: str, scope: Scope | None) -> None:
    assert Credentials(key_id, "s").scope is scope


def test_basic_auth_is_key_id_and_secret() -> None:
    assert authorization(BasicAuth(KEY)) == "Basic " + base64.b64encode(f"{KEY.key_id}:{SECRET}".encode()).decode()


@pytest.mark.parametrize(("key_id", "scope"), [("int_1", "integration"), ("app_1", "app"), ("act_1", "account")])
def test_a_token_names_its_key_and_scope_and_runs_out(key_id: str, scope: str) -> None:
    made = token(JwtAuth(Credentials(key_id, SECRET), clock=SetClock(), lifetime=timedelta(minutes=10)))
    assert jwt.get_unverified_header(made) == {"alg": "HS256", "typ": "JWT", "kid": key_id}
    claims = jwt.decode(made, SECRET, algorithms=["HS256"], options={"verify_exp": False})
    expires = int((NOON + timedelta(minutes=10)).timestamp())
    assert claims == {"scope": scope, "exp": expires}


def test_a_token_is_renewed_long_before_it_runs_out() -> None:
    clock = SetClock(datetime(2026, 11, 22, tzinfo=UTC))
    auth = JwtAuth(KEY, clock=clock, lifetime=timedelta(minutes=10))
    first = token(auth)
    clock.time += timedelta(minutes=4, seconds=59)
    assert token(auth) == first
    clock.time += timedelta(seconds=1)
    assert token(auth) != first


def test_a_key_of_unknown_scope_can_not_sign() -> None:
    with pytest.raises(ValueError, match="scope is unknown") as refusal:
        JwtAuth(Credentials("key_1", SECRET))
    assert SECRET not in str(refusal.value)
