"""`/api/v1`: lets other systems send signals to flows, such as "paid"."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web

from bot.clock import Clock
from bot.engine.orders import LARGEST_SIGNAL, signal_order
from bot.flows.limits import SIGNAL_NAME
from bot.signals import Level, Observe, Signal
from bot.store import Database, StoreError
from webhooks.wire import identifier, read_json

PREFIX = "/api/v1"
LONGEST_KEY = 200  # characters of an Idempotency-Key
_KEY = re.compile(rf"[\x21-\x7e]{{1,{LONGEST_KEY}}}")
_OFF = "the API is off here: set API_TOKEN"


def add_api(
    app: web.Application,
    store: Database,
    clock: Clock,
    token: str,
    wake: Callable[[Iterable[str]], None],
    observe: Observe,
) -> None:
    """Add the API.

    Args:
        token: what `Authorization: Bearer` has to carry; empty: the API is off, and says so.
        wake: told of conversations in which there is something to do.
    """

    async def take(request: web.Request) -> web.Response:
        if not token:
            return _answer(404, _OFF)
        if not carries(request, token):
            return _answer(401, "send API_TOKEN as `Authorization: Bearer`", {"WWW-Authenticate": "Bearer"})
        try:
            name, data, key = await _asked(request)
        except ValueError as error:
            return _answer(400, str(error))
        conversation_id = request.match_info["id"]
        try:
            known = await store.find(conversation_id) if identifier(conversation_id) else None
            if known is None or known.gone:
                return _answer(404, "no such conversation is known")
            if known.run is None:
                return _answer(409, "no flow is at work in that conversation, or not any more")
            is_new = await store.order(signal_order(conversation_id, name, data, key=key, now=clock.now()))
        except StoreError:
            return _answer(503, "it could not be stored: send it again")
        if is_new:
            wake([conversation_id])
            observe(Signal("signal_taken", Level.INFO, conversation_id, {"signal": name}))
        return web.json_response({"accepted": True, "repeated": not is_new}, status=202 if is_new else 200)

    app.router.add_post(f"{PREFIX}/conversations/{{id}}/signals/{{name}}", take)


async def _asked(request: web.Request) -> tuple[str, Any, str]:
    """The signal's name, its data, and the idempotency key. Raises `ValueError` with what is wrong."""
    name, key = request.match_info["name"], request.headers.get("Idempotency-Key", "")
    if not SIGNAL_NAME.fullmatch(name):
        raise ValueError("the signal's name is a short one in snake_case")
    if not _KEY.fullmatch(key):
        raise ValueError(f"send an Idempotency-Key of 1 to {LONGEST_KEY} characters, the same when you repeat it")
    body = b""
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > LARGEST_SIGNAL:
            raise ValueError(f"the data is too large: at most {LARGEST_SIGNAL} bytes")
    try:
        return name, read_json(body) if body.strip() else None, key
    except ValueError:
        raise ValueError("the body is the signal's data as JSON, or empty") from None


def _answer(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": text}, status=status, headers=headers)


def carries(request: web.BaseRequest, token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    is_same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
    return scheme.lower() == "bearer" and is_same
