"""What browsers send to the console, read with bounds: whatever is odd about it is the sender's mistake, a 4xx."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from aiohttp import web

from bot.loopback import is_loopback

LARGEST_FORM = 16 * 1024  # bytes
MOST_FIELDS = 20
FORM_TYPE = "application/x-www-form-urlencoded"
FORM = web.RequestKey("form", Mapping[str, str])

_HOST = re.compile(r"(\[(?P<address>[^\[\]]+)\]|(?P<name>[^:\[\]]+))(:\d*)?")
_PROXIED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")


async def read_form(request: web.Request) -> Mapping[str, str]:
    """Read the fields of a form, once.

    Raises:
        HTTPException: it is no form, too large, or can't be read.
    """
    if FORM not in request:
        if request.content_type != FORM_TYPE or "Content-Encoding" in request.headers:
            raise web.HTTPUnsupportedMediaType(text="The console takes plain forms, as its own pages send them.")
        try:
            fields = parse_qsl(
                (await _body(request)).decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS
            )
        except ValueError:
            raise web.HTTPBadRequest(text="This form can't be read.") from None
        if not all(text.isprintable() for field in fields for text in field):
            raise web.HTTPBadRequest(text="There is a character in this form that can't be part of it.")
        request[FORM] = dict(fields)
    return request[FORM]


def check_printable(request: web.Request) -> None:
    """Refuse an address with characters that no id has, and that no database takes. Raises `HTTPBadRequest`."""
    given = (request.path, *request.query.keys(), *request.query.values())
    if not all(text.isprintable() for text in given):
        raise web.HTTPBadRequest(text="There is a character in this address that can't be part of it.")


def is_local(request: web.Request) -> bool:
    """Tell whether the browser runs on this machine, with no proxy in between, as far as can be seen."""
    if any(name in request.headers for name in _PROXIED):
        return False
    return is_loopback(request.remote or "") and is_loopback(host_name(request).lower())


def host_name(request: web.Request) -> str:
    """Return the name or address in the `Host` header, without port and brackets; empty if it is malformed.

    `request.url.host` raises an error for some of those.
    """
    host = request.host
    found = _HOST.fullmatch(host)
    return (found["address"] or found["name"]) if found else ""


async def _body(request: web.Request) -> bytes:
    body = b""
    async for chunk in request.content.iter_chunked(LARGEST_FORM):
        body += chunk
        if len(body) > LARGEST_FORM:
            raise web.HTTPRequestEntityTooLarge(LARGEST_FORM, text="That is too large for a form of the console.")
    return body
