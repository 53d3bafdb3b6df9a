"""The API's users: create, find, change and forget. (Deletion is in `sessions.py`.)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.sandbox.contents import check_metadata
from bot.sandbox.errors import ApiError, bad_request, not_found
from bot.sandbox.payloads import user_in_api
from bot.sandbox.records import Json, User
from bot.sandbox.sessions import Sessions

MAX_EXTERNAL_ID = 1024
_PROFILE = {"givenName": 128, "surname": 128, "email": 128, "avatarUrl": 2048, "locale": 64}


class UserCalls(Sessions):
    """The API's user operations."""

    def find_user(self, user_id: str) -> User:
        """The user with this id or external id, or 404."""
        if user_id in self.users:
            return self.users[user_id]
        for user in self.users.values():
            if user.external_id == user_id:
                return user
        raise not_found("user")

    def register_user(self, body: Json) -> Json:
        """`POST …/users`: create a user with the caller's external id."""
        external_id = body.get("externalId")
        if not isinstance(external_id, str) or not 1 <= len(external_id) <= MAX_EXTERNAL_ID:
            raise bad_request(f"externalId is required, with at most {MAX_EXTERNAL_ID} characters.")
        if any(user.external_id == external_id for user in self.users.values()):
            raise ApiError(409, "conflict", "User already exists")
        user = _changed(User(self._ids(), "", external_id), body)
        self.users[user.id] = user
        return {"user": user_in_api(user)}

    def get_user(self, user: User) -> Json:
        """`GET …/users/{id or external id}`."""
        return {"user": user_in_api(user)}

    def list_users(self, query: Mapping[str, str]) -> Json:
        """`GET …/users`: by e-mail identity; always empty, since nobody signs in here."""
        if not query.get("filter[identities.email]"):
            raise bad_request("filter[identities.email] is required.")
        return {"users": []}

    def update_user(self, user: User, body: Json) -> Json:
        """`PATCH …/users/{id}`: profile field by field, metadata as a whole."""
        self.users[user.id] = _changed(user, body)
        return self.get_user(self.users[user.id])

    def forget_personal_information(self, user: User) -> Json:
        """`DELETE …/personalinformation`: delete profile and metadata, keep the user."""
        kept = {name: value for name, value in user.profile.items() if name == "locale"}
        self.users[user.id] = replace(user, name="", profile=kept, metadata={})
        return self.get_user(self.users[user.id])

    def sync_user(self, zendesk_id: str) -> Json:
        """`POST …/users/{zendeskId}/sync`: always 404, for no user has a core Zendesk user."""
        raise ApiError(404, "user_not_found", f"No user has the zendeskId {zendesk_id}.")


def _changed(user: User, body: Json) -> User:
    """A user with the request's changes, or 400."""
    given = body.get("profile", {})
    metadata = body.get("metadata", user.metadata)
    check_metadata(metadata)
    signed_up_at, retained = (
        body.get("signedUpAt", user.signed_up_at),
        body.get("toBeRetained", user.to_be_retained),
    )
    if not isinstance(signed_up_at, str | None) or not isinstance(retained, bool | None):
        raise bad_request("signedUpAt must be a time, and toBeRetained true or false.")
    profile: Json = {**({"givenName": user.name} if user.name else {}), **user.profile}
    for name, value in _checked_profile({} if given is None else given).items():
        if value is None:
            profile.pop(name, None)
        else:
            profile[name] = value
    return replace(
        user,
        name=profile.pop("givenName", ""),
        profile=profile,
        metadata=metadata or {},
        signed_up_at=signed_up_at,
        to_be_retained=retained,
    )


def _checked_profile(given: Any) -> Json:
    if not isinstance(given, dict):
        raise bad_request("profile must be an object.")
    for name, limit in _PROFILE.items():
        value = given.get(name)
        if value is not None and not (isinstance(value, str) and 1 <= len(value) <= limit):
            raise bad_request(f"profile.{name} must be a text of 1 to {limit} characters.")
    return {name: value for name, value in given.items() if name in _PROFILE}
