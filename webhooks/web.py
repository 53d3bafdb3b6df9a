"""The aiohttp handler for deliveries: checks the key, then reads the body within limits."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from webhooks.intake import Answer, Intake

MAX_BYTES = 1024 * 1024
"""Default maximum size of a delivery, both before and after decompression."""

MAX_TOTAL_BYTES = 64 * MAX_BYTES
"""Maximum total size of deliveries in progress. Beyond it, deliveries get a 503."""


def web_handler(
    intake: Intake,
    max_bytes: int = MAX_BYTES,
    max_total: int = MAX_TOTAL_BYTES,
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return an aiohttp handler for POST. Serve the application without `auto_decompress`.

    Invalid HTTP never gets here: aiohttp answers 400 by itself.

    Args:
        intake: processes the deliveries.
        max_bytes: maximum size of a body, before and after decompression.
        max_total: maximum total size of all bodies being read or waiting to be stored.
    """
    total = 0  # bytes held by all requests

    async def receive(request: web.Request) -> web.Response:
        nonlocal total
        # Check the key first: an unauthorized sender must not make the bot read a body.
        if unauthorized := intake.refuse_unauthorized(request.headers):
            return _response(unauthorized)
        if (request.content_length or 0) > max_bytes:
            return _response(intake.refuse_too_large(max_bytes))
        body, held = bytearray(), 0
        try:
            # Not `request.read()`: its limit applies to the whole application.
            async for chunk in request.content.iter_any():
                body += chunk
                held += len(chunk)
                total += len(chunk)
                if len(body) > max_bytes:
                    return _response(intake.refuse_too_large(max_bytes))
                if total > max_total:
                    return _response(intake.refuse_overload())
            encoding = request.headers.get("Content-Encoding", "")
            plain = await intake.inflated(bytes(body), encoding, max_bytes)
            if isinstance(plain, Answer):
                return _response(plain)
            held += len(plain) - len(body)
            total += len(plain) - len(body)
            return _response(await intake.take(plain))
        except (OSError, web.RequestPayloadError, HttpProcessingError):
            return _response(intake.refuse_truncated())
        finally:
            total -= held

    return receive


def is_address(path: str, right: str) -> bool:
    """Return whether a path is `right`, ignoring case, double and trailing slashes."""
    return re.sub("/+", "/", path).rstrip("/").lower() == right.lower()


def wrong_address_handler(
    intake: Intake,
    right: str,
    receive: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return the handler for all other paths.

    A delivery at a variant of the right path is accepted (`is_address`). Elsewhere, a request
    with a valid key gets a 503, because the platform never retries after a 404. All other
    requests get a 404.

    Args:
        intake: processes the deliveries.
        right: the webhook's path.
        receive: the handler for that path.
    """

    async def receive_elsewhere(request: web.Request) -> web.StreamResponse:
        if request.method != "POST":
            if is_address(request.path, right):
                raise web.HTTPMethodNotAllowed(request.method, ["POST"])
            raise web.HTTPNotFound
        if is_address(request.path, right):
            return await receive(request)
        if not intake.has_key(request.headers):
            raise web.HTTPNotFound
        return _response(intake.refuse_misaddressed(request.path))

    return receive_elsewhere


def _response(answer: Answer) -> web.Response:
    headers = {} if answer.retry_after is None else {"Retry-After": str(answer.retry_after)}
    return web.Response(status=answer.status, text=answer.reason, headers=headers)
