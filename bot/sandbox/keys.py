"""API keys and their verification: Basic, or a JWT with HS256 (docs/platform.md, 6)."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import jwt
from jwt.types import Options

from bot.sandbox.errors import ApiError, bad_request
from bot.sandbox.records import CUSTOM, Caller, IdSource, Json

MAX_KEYS = 10
"""Maximum number of keys per integration."""

_BY_OUR_CLOCK: Options = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key with its owner and its secret."""

    caller: Caller
    secret: str
    display_name: str = ""

    @property
    def id(self) -> str:
        """`int_…` or `app_…`."""
        return self.caller.key_id


class Keys:
    """The keys of an app.

    Attributes:
        secrets_listed: whether a list of keys shows their secrets. The documents leave
            this open: the published example shows them, but elsewhere a secret is said
            to be shown only once.
    """

    def __init__(self, ids: IdSource) -> None:
        self.secrets_listed = False
        self._ids = ids
        self._by_id: dict[str, Key] = {}

    def for_integration(self, integration_id: str, display_name: str = "") -> Key:
        """Create a key for an integration (scope `integration`)."""
        return self._add(Caller(f"int_{self._ids()}", "integration", integration_id), display_name)

    def for_app(self) -> Key:
        """Create a key for the app (scope `app`)."""
        return self._add(Caller(f"app_{self._ids()}", "app"))

    def all(self) -> list[Key]:
        """All keys, oldest first."""
        return list(self._by_id.values())

    def put_back(self, keys: Iterable[Key]) -> None:
        """Replace all keys by these."""
        self._by_id = {key.id: key for key in keys}

    def of_integration(self, integration_id: str) -> list[Key]:
        """The keys of an integration, oldest first."""
        return [key for key in self._by_id.values() if key.caller.integration_id == integration_id]

    def create_key(self, integration: Json, body: Json) -> Json:
        """`POST …/integrations/{id}/keys`: the only answer certain to show the secret."""
        _custom_only(integration)
        name = body.get("displayName")
        if not isinstance(name, str) or not name:
            raise bad_request("displayName is required.")
        if len(self.of_integration(integration["id"])) >= MAX_KEYS:
            raise bad_request(f"An integration can have at most {MAX_KEYS} keys.")
        return {"key": _key_json(self.for_integration(integration["id"], name), secret=True)}

    def list_keys(self, integration: Json) -> Json:
        """`GET …/integrations/{id}/keys`."""
        _custom_only(integration)
        keys = self.of_integration(integration["id"])
        return {"keys": [_key_json(key, secret=self.secrets_listed) for key in keys]}

    def get_key(self, integration: Json, key_id: str) -> Json:
        """`GET …/integrations/{id}/keys/{key}`."""
        return {"key": _key_json(self._own(integration, key_id), secret=self.secrets_listed)}

    def delete_key(self, integration: Json, key_id: str) -> None:
        """`DELETE …/integrations/{id}/keys/{key}`: revoke the key."""
        self.revoke(self._own(integration, key_id).id)

    def revoke_all(self, integration_id: str) -> None:
        """Revoke all keys of a deleted integration."""
        for key in self.of_integration(integration_id):
            self.revoke(key.id)

    def revoke(self, key_id: str) -> None:
        """Revoke a key."""
        del self._by_id[key_id]

    def authenticate(self, headers: Mapping[str, str], now: datetime) -> Caller:
        """Return the caller, or raise `ApiError` 401.

        Args:
            headers: with names in lower case.
            now: for a token's `exp`.
        """
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        match scheme.lower():
            case "basic":
                return self._basic(credentials.strip())
            case "bearer":
                return self._bearer(credentials.strip(), now)
            case _:
                raise _unauthorized("Sign the request: Basic authentication or a JWT.")

    def _basic(self, credentials: str) -> Caller:
        try:
            key_id, _, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise _unauthorized("The Basic credentials can't be decoded.") from error
        key = self._by_id.get(key_id)
        if key is None or not hmac.compare_digest(key.secret.encode(), secret.encode()):
            raise _unauthorized("The key or its secret is wrong.")
        return key.caller

    def _bearer(self, token: str, now: datetime) -> Caller:
        try:
            key = self._by_id.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise _unauthorized("The token's kid is not a known key.")
            claims = jwt.decode(token, key.secret, algorithms=["HS256"], options=_BY_OUR_CLOCK)
        except jwt.InvalidTokenError as error:
            raise _unauthorized("The token is not valid.") from error
        if claims.get("scope") != key.caller.scope:
            raise _unauthorized("The token's scope differs from the key's.")
        if "exp" in claims and now.timestamp() >= claims["exp"]:
            raise _unauthorized("The token has expired.")
        return key.caller

    def _own(self, integration: Json, key_id: str) -> Key:
        _custom_only(integration)
        key = self._by_id.get(key_id)
        if key is None or key.caller.integration_id != integration["id"]:
            raise ApiError(404, "not_found", "There is no such key.")
        return key

    def _add(self, caller: Caller, display_name: str = "") -> Key:
        key = Key(caller, f"secret-of-{caller.key_id}-{self._ids()}", display_name)
        self._by_id[key.id] = key
        return key


def _custom_only(integration: Json) -> None:
    if integration["type"] != CUSTOM:
        raise bad_request("API keys are for custom integrations.")


def _key_json(key: Key, *, secret: bool) -> Json:
    shown: Json = {"id": key.id, "displayName": key.display_name}
    return {**shown, "secret": key.secret} if secret else shown


def _unauthorized(title: str) -> ApiError:
    return ApiError(401, "unauthorized", title)
