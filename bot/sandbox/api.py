"""The API without a network: a request becomes a reply. The HTTP server and the in-process transport both use it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl

from bot.sandbox.errors import ApiError, bad_request, forbidden, not_found
from bot.sandbox.keys import Keys
from bot.sandbox.payloads import user_in_api
from bot.sandbox.records import Caller, Json
from bot.sandbox.switchboard import Switchboard

MAX_BODY = 100_000
_CONVERSATION = "/conversations/{conversation}"
_KEYS = "/integrations/{integration}/keys"
_WEBHOOKS = "/integrations/{integration}/webhooks"
_LINKS = "/switchboards/{switchboard}/switchboardIntegrations"


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request: `path` without the query and as sent (with or without `/sc`), `headers` with lower-case names."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def operation(self) -> str:
        """What the request is, by its name in the API's description (`ReleaseControl`), or `unknown`."""
        found = _find(self)
        return found[0].operation if found else "unknown"

    @property
    def conversation_id(self) -> str | None:
        """The conversation that the request is about."""
        found = _find(self)
        return found[1].get("conversation") if found else None


@dataclass(frozen=True, slots=True)
class ApiReply:
    """A reply, with its body as JSON bytes."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @classmethod
    def of(cls, status: int, content: Json, now: datetime) -> ApiReply:
        """A JSON reply with the platform's Date."""
        headers = {"Content-Type": "application/json; charset=utf-8", "Date": format_datetime(now, usegmt=True)}
        return cls(status, json.dumps(content, ensure_ascii=False).encode(), headers)

    @classmethod
    def error(cls, error: ApiError, now: datetime) -> ApiReply:
        """A refusal, as the API words it."""
        return cls.of(error.status, {"errors": [{"code": error.code, "title": error.title}]}, now)


@dataclass(frozen=True, slots=True)
class _Call:
    """A request that has been understood: who wants what of which thing."""

    switchboard: Switchboard
    keys: Keys
    caller: Caller
    ids: Mapping[str, str]
    query: Mapping[str, str]
    body: Json
    now: datetime

    @property
    def conversation(self) -> str:
        return self.ids["conversation"]

    @property
    def control(self) -> tuple[str, Caller, datetime, Json | None]:
        """The arguments that release and accept have in common."""
        return self.conversation, self.caller, self.now, self.body.get("metadata")

    @property
    def move(self) -> tuple[str, Caller, str, datetime, Json | None]:
        """The arguments that pass and offer have in common."""
        target = self.body.get("switchboardIntegration")
        if not isinstance(target, str) or not target:
            raise bad_request("switchboardIntegration is required.")
        return self.conversation, self.caller, target, self.now, self.body.get("metadata")

    @property
    def integration(self) -> Json:
        """The integration that is named, or 404."""
        found: Json = self.switchboard.get_integration(self.ids["integration"])["integration"]
        return found

    @property
    def webhook(self) -> tuple[str, str]:
        return self.ids["integration"], self.ids["webhook"]

    @property
    def link(self) -> tuple[str, str]:
        return self.ids["switchboard"], self.ids["member"]


@dataclass(frozen=True, slots=True)
class _Route:
    """A path below the app, and what it does. `app_only`: an integration's key has no access (403)."""

    operation: str
    method: str
    template: str
    run: Callable[[_Call], Json | None]
    status: int = 200
    app_only: bool = False
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        below = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.template)
        object.__setattr__(self, "pattern", re.compile(rf"(?:/sc)?/v2/apps/(?P<app>[^/]+){below}"))


class Api:
    """Answers requests.

    Args:
        switchboard: the model.
        keys: who may ask.
    """

    def __init__(self, switchboard: Switchboard, keys: Keys) -> None:
        self._switchboard = switchboard
        self._keys = keys

    def handle(self, request: ApiRequest, now: datetime) -> ApiReply:
        """Carry a request out. Never raises."""
        try:
            return self._carry_out(request, now)
        except ApiError as error:
            return ApiReply.error(error, now)

    def _carry_out(self, request: ApiRequest, now: datetime) -> ApiReply:
        caller = self._keys.authenticate(request.headers, now)
        found = _find(request)
        if found is None:
            raise ApiError(404, "not_found", f"There is no {request.method} {request.path}.")
        route, ids = found
        if ids["app"] != self._switchboard.app_id:
            raise not_found("app")
        if route.app_only and caller.scope != "app":
            raise forbidden("This needs a key of the app.")
        call = _Call(self._switchboard, self._keys, caller, ids, dict(parse_qsl(request.query)), _parse(request), now)
        return ApiReply.of(route.status, route.run(call) or {}, now)


def _find(request: ApiRequest) -> tuple[_Route, dict[str, str]] | None:
    for route in _ROUTES:
        if route.method == request.method and (match := route.pattern.fullmatch(request.path)):
            return route, match.groupdict()
    return None


def _parse(request: ApiRequest) -> Json:
    if len(request.body) > MAX_BODY:
        raise ApiError(413, "request_too_large", f"A request is limited to {MAX_BODY} bytes.")
    if not request.body:
        return {}
    try:
        body: Any = json.loads(request.body)
    except ValueError as error:
        raise bad_request("The body is not JSON.") from error
    if not isinstance(body, dict):
        raise bad_request("The body has to be an object.")
    return body


def _messages(call: _Call) -> Json:
    return call.switchboard.list_messages(
        call.conversation, call.query.get("page[before]"), call.query.get("page[after]")
    )


def _integrations(call: _Call) -> Json:
    types = [name for name in call.query.get("filter[types]", "").split(",") if name]
    return call.switchboard.list_integrations(types)


def _user(call: _Call) -> Json:
    for user in call.switchboard.users.values():
        if call.ids["user"] in (user.id, user.external_id):
            return {"user": user_in_api(user)}
    raise not_found("user")


_ROUTES: tuple[_Route, ...] = (
    _Route("GetConversation", "GET", _CONVERSATION, lambda c: c.switchboard.get_conversation(c.conversation)),
    _Route(
        "DeleteConversation",
        "DELETE",
        _CONVERSATION,
        lambda c: c.switchboard.remove_conversation(c.conversation, now=c.now),
    ),
    _Route("ListMessages", "GET", f"{_CONVERSATION}/messages", _messages),
    _Route(
        "PostMessage",
        "POST",
        f"{_CONVERSATION}/messages",
        lambda c: c.switchboard.post_message(c.conversation, c.caller, c.body, c.now),
        201,
    ),
    _Route(
        "PostActivity",
        "POST",
        f"{_CONVERSATION}/activity",
        lambda c: c.switchboard.post_activity(c.conversation, c.body),
    ),
    _Route(
        "ReleaseControl",
        "POST",
        f"{_CONVERSATION}/releaseControl",
        lambda c: c.switchboard.release_control(*c.control),
    ),
    _Route(
        "AcceptControl", "POST", f"{_CONVERSATION}/acceptControl", lambda c: c.switchboard.accept_control(*c.control)
    ),
    _Route("PassControl", "POST", f"{_CONVERSATION}/passControl", lambda c: c.switchboard.pass_control(*c.move)),
    _Route("OfferControl", "POST", f"{_CONVERSATION}/offerControl", lambda c: c.switchboard.offer_control(*c.move)),
    _Route("GetUser", "GET", "/users/{user}", _user),
    _Route("DeleteUser", "DELETE", "/users/{user}", lambda c: c.switchboard.remove_user(c.ids["user"], now=c.now)),
    _Route("GetApp", "GET", "", lambda c: c.switchboard.get_app(), app_only=True),
    _Route("UpdateApp", "PATCH", "", lambda c: c.switchboard.update_app(c.body), app_only=True),
    _Route("ListIntegrations", "GET", "/integrations", _integrations, app_only=True),
    _Route(
        "CreateIntegration",
        "POST",
        "/integrations",
        lambda c: c.switchboard.create_integration(c.body),
        201,
        app_only=True,
    ),
    _Route(
        "GetIntegration",
        "GET",
        "/integrations/{integration}",
        lambda c: c.switchboard.get_integration(c.ids["integration"]),
        app_only=True,
    ),
    _Route(
        "UpdateIntegration",
        "PATCH",
        "/integrations/{integration}",
        lambda c: c.switchboard.update_integration(c.ids["integration"], c.body),
        app_only=True,
    ),
    _Route(
        "DeleteIntegration",
        "DELETE",
        "/integrations/{integration}",
        lambda c: c.switchboard.delete_integration(c.ids["integration"]),
        app_only=True,
    ),
    _Route("ListCustomIntegrationKeys", "GET", _KEYS, lambda c: c.keys.list_keys(c.integration), app_only=True),
    _Route(
        "CreateCustomIntegrationKey",
        "POST",
        _KEYS,
        lambda c: c.keys.create_key(c.integration, c.body),
        201,
        app_only=True,
    ),
    _Route("ListWebhooks", "GET", _WEBHOOKS, lambda c: c.switchboard.list_webhooks(c.ids["integration"], c.caller)),
    _Route(
        "CreateWebhook",
        "POST",
        _WEBHOOKS,
        lambda c: c.switchboard.create_webhook(c.ids["integration"], c.body, c.caller),
        201,
    ),
    _Route(
        "GetWebhook",
        "GET",
        f"{_WEBHOOKS}/{{webhook}}",
        lambda c: c.switchboard.get_webhook(*c.webhook, c.caller),
    ),
    _Route(
        "UpdateWebhook",
        "PATCH",
        f"{_WEBHOOKS}/{{webhook}}",
        lambda c: c.switchboard.update_webhook(*c.webhook, c.body, c.caller),
    ),
    _Route(
        "DeleteWebhook",
        "DELETE",
        f"{_WEBHOOKS}/{{webhook}}",
        lambda c: c.switchboard.delete_webhook(*c.webhook, c.caller),
    ),
    _Route("ListSwitchboards", "GET", "/switchboards", lambda c: c.switchboard.list_switchboards(), app_only=True),
    _Route(
        "CreateSwitchboard",
        "POST",
        "/switchboards",
        lambda c: c.switchboard.create_switchboard(),
        201,
        app_only=True,
    ),
    _Route(
        "UpdateSwitchboard",
        "PATCH",
        "/switchboards/{switchboard}",
        lambda c: c.switchboard.update_switchboard(c.ids["switchboard"], c.body),
        app_only=True,
    ),
    _Route(
        "ListSwitchboardIntegrations",
        "GET",
        _LINKS,
        lambda c: c.switchboard.list_switchboard_integrations(c.ids["switchboard"]),
        app_only=True,
    ),
    _Route(
        "CreateSwitchboardIntegration",
        "POST",
        _LINKS,
        lambda c: c.switchboard.create_switchboard_integration(c.ids["switchboard"], c.body),
        201,
        app_only=True,
    ),
    _Route(
        "UpdateSwitchboardIntegration",
        "PATCH",
        f"{_LINKS}/{{member}}",
        lambda c: c.switchboard.update_switchboard_integration(*c.link, c.body),
        app_only=True,
    ),
    _Route(
        "DeleteSwitchboardIntegration",
        "DELETE",
        f"{_LINKS}/{{member}}",
        lambda c: c.switchboard.delete_switchboard_integration(*c.link, c.now),
        app_only=True,
    ),
)
