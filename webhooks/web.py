"""The aiohttp handler for deliveries: reads a body within bounds, once its key has been checked."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from webhooks.intake import Answer, Intake

MAX_BYTES = 1024 * 1024
"""The size of the largest delivery that is taken, compressed or not, unless the caller says otherwise."""

MAX_BYTES_AT_ONCE = 64 * MAX_BYTES
"""The size of all deliveries together that are read or wait to be stored; with more, they may come again later."""


def web_handler(
    intake: Intake, max_bytes: int = MAX_BYTES, at_once: int = MAX_BYTES_AT_ONCE
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """An aiohttp handler for POST. The application must be served without `auto_decompress`.

    What is no HTTP never gets here: aiohttp itself answers 400 where head and body are damaged in the same segment.

    Args:
        intake: what takes the deliveries.
        max_bytes: bodies of more than that are refused as soon as that shows.
        at_once: the size of all bodies together that are read or wait to be stored.
    """
    held = 0

    async def receive(request: web.Request) -> web.Response:
        nonlocal held
        if stranger := intake.refuse_stranger(request.headers):
            return _response(stranger)
        if (request.content_length or 0) > max_bytes:
            return _response(intake.refuse_too_large(max_bytes))
        body, holds = bytearray(), 0
        try:
            async for chunk in request.content.iter_any():  # not `request.read()`: its limit is the whole application's
                body += chunk
                holds += len(chunk)
                held += len(chunk)
                if len(body) > max_bytes:
                    return _response(intake.refuse_too_large(max_bytes))
                if held > at_once:
                    return _response(intake.refuse_too_much())
            plain = await intake.inflated(bytes(body), request.headers.get("Content-Encoding", ""), max_bytes)
            if isinstance(plain, Answer):
                return _response(plain)
            holds += len(plain) - len(body)
            held += len(plain) - len(body)
            return _response(await intake.take(plain))
        except (OSError, web.RequestPayloadError, HttpProcessingError):
            return _response(intake.refuse_broken_off())
        finally:
            held -= holds

    return receive


def is_address(path: str, right: str) -> bool:
    """Is that path the right one, as a person may have typed it: with slashes doubled or at the end, in capitals?"""
    return re.sub("/+", "/", path).rstrip("/").lower() == right.lower()


def wrong_address_handler(
    intake: Intake, right: str, receive: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A handler for every path that nothing else serves.

    What comes with a key of the webhook is the platform's: it is taken if the path is nearly right, and else answered
    503, because the platform never repeats what was answered 404. Strangers get a 404.

    Args:
        intake: what takes the deliveries.
        right: the webhook's path.
        receive: the handler of that path.
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
