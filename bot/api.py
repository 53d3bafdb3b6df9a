"""`/api/v1`: lets other systems send signals to flows, such as "paid", and begin flows."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from bot.clock import Clock
from bot.control.state import Conversation, Who
from bot.engine.orders import flow_order, signal_order
from bot.flows.limits import LARGEST_DATA, SIGNAL_NAME
from bot.signals import Level, Observe, Signal
from bot.store import Database, StoreError
from webhooks.inbox import NewEvent
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
    flows: Collection[str] = (),
) -> None:
    """Add the API.

    Args:
        token: what `Authorization: Bearer` has to carry; empty: the API is off, and says so.
        wake: told of conversations in which there is something to do.
        flows: names of the flows that can be begun.
    """

    api = _Api(store, clock, token, wake, observe, flows)
    app.router.add_post(f"{PREFIX}/conversations/{{id}}/signals/{{name}}", api.signal)
    app.router.add_post(f"{PREFIX}/conversations/{{id}}/flows/{{name}}", api.flow)


@dataclass(frozen=True, slots=True)
class _Api:
    store: Database
    clock: Clock
    token: str
    wake: Callable[[Iterable[str]], None]
    observe: Observe
    flows: Collection[str]

    async def signal(self, request: web.Request) -> web.Response:
        """Send a flow a signal."""

        def told(asked: Asked) -> Signal:
            return Signal("signal_taken", Level.INFO, asked.conversation_id, {"signal": asked.name})

        return await self._answer(request, self._signal_order, _nobody_hears, told)

    async def flow(self, request: web.Request) -> web.Response:
        """Begin a flow."""

        def told(asked: Asked) -> Signal:
            return Signal("flow_asked_for", Level.INFO, asked.conversation_id, {"flow": asked.name})

        return await self._answer(request, self._flow_order, _in_the_way, told)

    async def _answer(
        self,
        request: web.Request,
        order_in: Callable[[Asked], NewEvent],
        obstacle_in: Callable[[Conversation], Refusal | None],
        told: Callable[[Asked], Signal],
    ) -> web.Response:
        """Store what is asked, unless something is in the way. What is known already is taken all the same.

        Args:
            order_in: makes an order of it. Raises `Refusal`.
            obstacle_in: what is in the way.
            told: what is told once it is stored.
        """
        try:
            asked = await self._asked(request)
            is_new = await self._store(order_in(asked), obstacle_in)
        except Refusal as refusal:
            body = {"error": refusal.text, **refusal.more}
            return web.json_response(body, status=refusal.status, headers=refusal.headers)
        if is_new:
            self.wake([asked.conversation_id])
            self.observe(told(asked))
        return web.json_response({"accepted": True, "repeated": not is_new}, status=202 if is_new else 200)

    async def _asked(self, request: web.Request) -> Asked:
        if not self.token:
            raise Refusal(404, _OFF)
        if not carries(request, self.token):
            raise Refusal(401, "send API_TOKEN as `Authorization: Bearer`", headers={"WWW-Authenticate": "Bearer"})
        return await _read(request)

    def _signal_order(self, asked: Asked) -> NewEvent:
        if not SIGNAL_NAME.fullmatch(asked.name):
            raise Refusal(400, "the signal's name is a short one in snake_case")
        return signal_order(asked.conversation_id, asked.name, asked.data, key=asked.key, now=self.clock.now())

    def _flow_order(self, asked: Asked) -> NewEvent:
        if asked.name not in self.flows:
            raise Refusal(404, f"there is no such flow; known flows: {', '.join(sorted(self.flows)) or 'none'}")
        return flow_order(asked.conversation_id, asked.name, asked.data, key=asked.key, now=self.clock.now())

    async def _store(self, order: NewEvent, obstacle_in: Callable[[Conversation], Refusal | None]) -> bool:
        """Store an order. False: it is known already. Raises `Refusal`."""
        conversation_id = order.conversation_id or ""
        try:
            known = await self.store.find(conversation_id) if identifier(conversation_id) else None
            if known is None or known.gone:
                raise Refusal(404, "no such conversation is known")
            if (refusal := obstacle_in(known)) and not await self.store.is_ordered(order.id):
                raise refusal
            return await self.store.order(order)
        except StoreError:
            raise Refusal(503, "it could not be stored: send it again") from None


@dataclass(frozen=True, slots=True)
class Asked:
    """What another system asks: of which conversation, the signal's or flow's name, its data, the idempotency key."""

    conversation_id: str
    name: str
    data: Any
    key: str


@dataclass
class Refusal(Exception):
    """An answer that is no 2xx: what is wrong in words, and more for programs."""

    status: int
    text: str
    more: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] | None = None


def _nobody_hears(known: Conversation) -> Refusal | None:
    return None if known.run else Refusal(409, "no flow is at work in that conversation, or not any more")


def _in_the_way(known: Conversation) -> Refusal | None:
    """What is known to keep a flow from beginning. If nothing is, a read of the platform still decides."""
    if known.ended:
        return Refusal(409, "the user has ended that conversation")
    if known.run:
        flow = known.run.flow or f"{known.run.purpose.value} flow"
        return Refusal(409, f"a flow is at work in that conversation: {flow}", {"flow": flow})
    if known.start:
        flow = known.start.opening.flow
        return Refusal(409, f"another flow is about to begin in that conversation: {flow}", {"flow": flow})
    if known.holder.who is Who.OTHER:
        active = str(known.holder)
        return Refusal(409, f"{active} is active in that conversation", {"active": active})
    return None


async def _read(request: web.Request) -> Asked:
    """Read a request. Raises `Refusal`."""
    key = request.headers.get("Idempotency-Key", "")
    if not _KEY.fullmatch(key):
        raise Refusal(400, f"send an Idempotency-Key of 1 to {LONGEST_KEY} characters, the same when you repeat it")
    body = b""
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > LARGEST_DATA:
            raise Refusal(400, f"the data is too large: at most {LARGEST_DATA} bytes")
    try:
        data = read_json(body) if body.strip() else None
    except ValueError:
        raise Refusal(400, "the body is data as JSON, or empty") from None
    return Asked(request.match_info["id"], request.match_info["name"], data, key)


def carries(request: web.BaseRequest, token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    is_same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
    return scheme.lower() == "bearer" and is_same
