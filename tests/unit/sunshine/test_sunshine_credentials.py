"""A key proves itself by Basic auth, and shows its secret to nobody."""

from __future__ import annotations

import base64

import httpx2
import pytest
from sunshine_samples import KEY, SECRET

from bot.sunshine import BasicAuth, Credentials, Scope


def authorization(auth: httpx2.Auth) -> str:
    request = httpx2.Request("GET", "https://acme.zendesk.com/sc")
    return str(next(auth.sync_auth_flow(request)).headers["authorization"])


def test_the_secret_does_not_show() -> None:
    for shown in (repr(KEY), str(KEY), repr(BasicAuth(KEY))):
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
