"""The API without a network, used by the HTTP server and the in-process transport."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl

from bot.sandbox.attachments import MAX_UPLOAD, is_file, is_upload
from bot.sandbox.errors import ApiError, bad_request, forbidden, not_found
from bot.sandbox.keys import Keys
from bot.sandbox.records import Json
from bot.sandbox.routes import find
from bot.sandbox.routing import Call
from bot.sandbox.switchboard import Switchboard

MAX_BODY = 100_000
"""Maximum size of a JSON request, in bytes."""


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """An API request.

    Attributes:
        method: the HTTP method.
        path: as sent, with or without `/sc`, without the query.
        query: the query string.
        headers: with names in lower case.
        body: the raw body.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def operation(self) -> str:
        """The operation's name in the API description (`ReleaseControl`), or `unknown`."""
        found = find(self.method, self.path)
        return found[0].operation if found else "unknown"

    @property
    def conversation_id(self) -> str | None:
        """The conversation that the request is about."""
        found = find(self.method, self.path)
        return found[1].get("conversation") if found else None


@dataclass(frozen=True, slots=True)
class ApiReply:
    """A reply; its body is JSON, or a file that was uploaded."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @classmethod
    def of(cls, status: int, content: Json, now: datetime) -> ApiReply:
        """A JSON reply with the platform's Date."""
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Date": format_datetime(now, usegmt=True),
        }
        return cls(status, json.dumps(content, ensure_ascii=False).encode(), headers)

    @classmethod
    def error(cls, error: ApiError, now: datetime) -> ApiReply:
        """An error in the API's format."""
        return cls.of(error.status, {"errors": [{"code": error.code, "title": error.title}]}, now)


class Api:
    """Handles API requests.

    Args:
        switchboard: the model.
        keys: the accepted keys.

    Attributes:
        on_change: called after a request that may have changed something.
    """

    def __init__(self, switchboard: Switchboard, keys: Keys) -> None:
        self.on_change: Callable[[], None] | None = None
        self._switchboard = switchboard
        self._keys = keys

    def handle(self, request: ApiRequest, now: datetime) -> ApiReply:
        """Handle a request. Never raises."""
        try:
            return self._carry_out(request, now)
        except ApiError as error:
            return ApiReply.error(error, now)
        finally:
            if self.on_change is not None and request.method != "GET":
                self.on_change()

    def _carry_out(self, request: ApiRequest, now: datetime) -> ApiReply:
        if request.method == "GET" and is_file(request.path):
            file = self._switchboard.attachment_at(request.path)
            headers = {
                "Content-Type": file.media_type,
                "Content-Disposition": "attachment",
                "X-Content-Type-Options": "nosniff",
            }
            return ApiReply(200, file.content, headers)
        caller = self._keys.authenticate(request.headers, now)
        found = find(request.method, request.path)
        if found is None:
            raise ApiError(404, "not_found", f"There is no {request.method} {request.path}.")
        route, ids = found
        if ids.get("app", self._switchboard.app_id) != self._switchboard.app_id:
            raise not_found("app")
        if route.scope == "account" or (route.scope == "app" and caller.scope != "app"):
            raise forbidden(f"This needs a key of the {route.scope}.")
        content_type = request.headers.get("content-type", "")
        call = Call(
            board=self._switchboard,
            keys=self._keys,
            caller=caller,
            ids=ids,
            query=_parameters(request.query),
            body={} if is_upload(content_type) else _parse(request.body),
            now=now,
            content_type=content_type,
            raw=_limited(request.body, MAX_UPLOAD),
            base_url=f"http://{request.headers.get('host', 'localhost')}/sc",
        )
        return ApiReply.of(route.status, route.run(call) or {}, now)


def _parameters(query: str) -> dict[str, str]:
    """The query's parameters.

    `page` and `filter` come as `page[size]=10`, or as JSON from the published client.
    """
    found = dict(parse_qsl(query))
    for name in ("page", "filter"):
        try:
            inner = json.loads(found.get(name, ""))
        except ValueError:
            continue
        if isinstance(inner, dict):
            found |= {f"{name}[{key}]": str(value) for key, value in inner.items()}
    return found


def _parse(raw: bytes) -> Json:
    raw = _limited(raw, MAX_BODY)
    if not raw:
        return {}
    try:
        body: Any = json.loads(raw)
    except ValueError as error:
        raise bad_request("The body is not JSON.") from error
    if not isinstance(body, dict):
        raise bad_request("The body must be an object.")
    return body


def _limited(raw: bytes, limit: int) -> bytes:
    if len(raw) > limit:
        raise ApiError(413, "request_too_large", f"A request is limited to {limit} bytes.")
    return raw
