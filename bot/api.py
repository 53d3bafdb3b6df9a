"""`/api/v1`: lets other systems send signals to flows, such as "paid", and start flows."""

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
MAX_KEY_LENGTH = 200  # of an Idempotency-Key
_KEY = re.compile(rf"[\x21-\x7e]{{1,{MAX_KEY_LENGTH}}}")
_OFF = "the API is off: set API_TOKEN"


def add_api(
    app: web.Application,
    store: Database,
    clock: Clock,
    token: str,
    wake: Callable[[Iterable[str]], None],
    observe: Observe,
    flows: Collection[str] = (),
) -> None:
    """Add the API's routes to an application.

    Args:
        app: the application.
        store: stores the orders.
        clock: dates the orders.
        token: the required Bearer token. If empty, the API is off, and answers 404.
        wake: wakes the workers of conversations.
        observe: receives a signal for each new order.
        flows: the names of the flows that can be started.
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
        """Send a signal to a flow."""

        def signal_for(call: ApiRequest) -> Signal:
            fields = {"signal": call.name}
            return Signal("signal_taken", Level.INFO, call.conversation_id, fields)

        return await self._answer(request, self._signal_order, _signal_obstacle, signal_for)

    async def flow(self, request: web.Request) -> web.Response:
        """Start a flow."""

        def signal_for(call: ApiRequest) -> Signal:
            fields = {"flow": call.name}
            return Signal("flow_asked_for", Level.INFO, call.conversation_id, fields)

        return await self._answer(request, self._flow_order, _flow_obstacle, signal_for)

    async def _answer(
        self,
        request: web.Request,
        order_in: Callable[[ApiRequest], NewEvent],
        obstacle_in: Callable[[Conversation], RefusalError | None],
        signal_for: Callable[[ApiRequest], Signal],
    ) -> web.Response:
        """Store an order unless there is an obstacle. A repeated order is always accepted.

        Args:
            request: the HTTP request.
            order_in: converts the request to an order. Raises `RefusalError`.
            obstacle_in: returns what prevents the order in a conversation, if anything.
            signal_for: returns the signal for a new order.
        """
        try:
            call = await self._authorized_call(request)
            is_new = await self._store(order_in(call), obstacle_in)
        except RefusalError as refusal:
            body = {"error": refusal.text, **refusal.more}
            return web.json_response(body, status=refusal.status, headers=refusal.headers)
        if is_new:
            self.wake([call.conversation_id])
            self.observe(signal_for(call))
        answer = {"accepted": True, "repeated": not is_new}
        return web.json_response(answer, status=202 if is_new else 200)

    async def _authorized_call(self, request: web.Request) -> ApiRequest:
        if not self.token:
            raise RefusalError(404, _OFF)
        if not carries(request, self.token):
            raise RefusalError(401, "send API_TOKEN as `Authorization: Bearer`", headers={"WWW-Authenticate": "Bearer"})
        return await _read(request)

    def _signal_order(self, call: ApiRequest) -> NewEvent:
        if not SIGNAL_NAME.fullmatch(call.name):
            raise RefusalError(400, "the signal's name must be a short name in snake_case")
        now = self.clock.now()
        return signal_order(call.conversation_id, call.name, call.data, key=call.key, now=now)

    def _flow_order(self, call: ApiRequest) -> NewEvent:
        if call.name not in self.flows:
            known = ", ".join(sorted(self.flows)) or "none"
            raise RefusalError(404, f"there is no such flow; known flows: {known}")
        now = self.clock.now()
        return flow_order(call.conversation_id, call.name, call.data, key=call.key, now=now)

    async def _store(
        self,
        order: NewEvent,
        obstacle_in: Callable[[Conversation], RefusalError | None],
    ) -> bool:
        """Store an order. Return whether it is new. Raises `RefusalError`."""
        conversation_id = order.conversation_id or ""
        try:
            known = await self.store.find(conversation_id) if identifier(conversation_id) else None
            if known is None or known.gone:
                raise RefusalError(404, "no such conversation is known")
            if (refusal := obstacle_in(known)) and not await self.store.is_ordered(order.id):
                raise refusal
            return await self.store.order(order)
        except StoreError:
            raise RefusalError(503, "not stored: send it again") from None


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request of another system.

    Attributes:
        conversation_id: the conversation's id.
        name: the name of the signal or flow.
        data: its data.
        key: the idempotency key.
    """

    conversation_id: str
    name: str
    data: Any
    key: str


@dataclass
class RefusalError(Exception):
    """An error answer: a status, an error message, and further fields for programs."""

    status: int
    text: str
    more: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] | None = None


def _signal_obstacle(known: Conversation) -> RefusalError | None:
    return None if known.run else RefusalError(409, "no flow is running in that conversation")


def _flow_obstacle(known: Conversation) -> RefusalError | None:
    """Return what prevents a flow from starting; None leaves it to a read of the platform."""
    if known.ended:
        return RefusalError(409, "the user has ended that conversation")
    if known.run:
        flow = known.run.flow or f"{known.run.purpose.value} flow"
        return RefusalError(409, f"a flow is running in that conversation: {flow}", {"flow": flow})
    if known.start:
        flow = known.start.opening.flow
        text = f"another flow is about to start in that conversation: {flow}"
        return RefusalError(409, text, {"flow": flow})
    if known.holder.who is Who.OTHER:
        active = str(known.holder)
        return RefusalError(409, f"{active} is active in that conversation", {"active": active})
    return None


async def _read(request: web.Request) -> ApiRequest:
    """Parse a request. Raises `RefusalError`."""
    key = request.headers.get("Idempotency-Key", "")
    if not _KEY.fullmatch(key):
        text = f"send an Idempotency-Key of 1 to {MAX_KEY_LENGTH} characters"
        raise RefusalError(400, f"{text}, the same for each retry")
    body = b""
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > LARGEST_DATA:
            raise RefusalError(400, f"the data is too large: at most {LARGEST_DATA} bytes")
    try:
        data = read_json(body) if body.strip() else None
    except ValueError:
        raise RefusalError(400, "the body must be JSON, or empty") from None
    return ApiRequest(request.match_info["id"], request.match_info["name"], data, key)


def carries(request: web.BaseRequest, token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    is_same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
    return scheme.lower() == "bearer" and is_same
