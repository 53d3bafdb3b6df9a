"""Reads requests from browsers within limits; anything invalid is answered with a 4xx."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from aiohttp import web

from bot.loopback import is_loopback

MAX_FORM_SIZE = 16 * 1024  # bytes
MAX_FIELDS = 20
FORM_TYPE = "application/x-www-form-urlencoded"
FORM = web.RequestKey("form", Mapping[str, str])

_HOST = re.compile(r"(\[(?P<address>[^\[\]]+)\]|(?P<name>[^:\[\]]+))(:\d*)?")
_PROXIED = (
    "Forwarded",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
)


async def read_form(request: web.Request) -> Mapping[str, str]:
    """Read the fields of a form, and cache them in the request.

    Raises:
        HTTPException: not a form, too large, or malformed.
    """
    if FORM not in request:
        if request.content_type != FORM_TYPE or "Content-Encoding" in request.headers:
            raise web.HTTPUnsupportedMediaType(text="The console accepts only its own forms.")
        try:
            fields = parse_qsl(
                (await _body(request)).decode("ascii"),
                keep_blank_values=True,
                max_num_fields=MAX_FIELDS,
            )
        except ValueError:
            raise web.HTTPBadRequest(text="This form is malformed.") from None
        if not all(text.isprintable() for field in fields for text in field):
            raise web.HTTPBadRequest(text="This form contains an invalid character.")
        request[FORM] = dict(fields)
    return request[FORM]


def check_printable(request: web.Request) -> None:
    """Refuse control characters in a URL: databases reject them. Raises `HTTPBadRequest`."""
    given = (request.path, *request.query.keys(), *request.query.values())
    if not all(text.isprintable() for text in given):
        raise web.HTTPBadRequest(text="This address contains an invalid character.")


def is_local(request: web.Request) -> bool:
    """Return whether the browser appears to run on this machine, without a proxy."""
    if any(name in request.headers for name in _PROXIED):
        return False
    return is_loopback(request.remote or "") and is_loopback(host_name(request).lower())


def host_name(request: web.Request) -> str:
    """Return the host in the `Host` header, without port and brackets; empty if malformed.

    `request.url.host` raises an error for some malformed headers.
    """
    host = request.host
    found = _HOST.fullmatch(host)
    return (found["address"] or found["name"]) if found else ""


async def _body(request: web.Request) -> bytes:
    body = b""
    async for chunk in request.content.iter_chunked(MAX_FORM_SIZE):
        body += chunk
        if len(body) > MAX_FORM_SIZE:
            raise web.HTTPRequestEntityTooLarge(MAX_FORM_SIZE, text="This form is too large.")
    return body
