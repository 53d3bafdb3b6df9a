"""Faults between client and API: late answers, wrong answers, or none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from bot.clock import Clock
from bot.sandbox.api import Api, ApiReply, ApiRequest
from bot.sandbox.errors import ApiError


class Moment(Enum):
    """Before the request takes effect (it never will), or after (unknown to the caller)."""

    BEFORE = "before the effect"
    AFTER = "after the effect"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault. With only a delay, the request continues after it.

    Attributes:
        status: the status to answer instead (429, 5xx, …).
        retry_after: the value of the Retry-After header.
        reset: break the connection.
        refuse: refuse the connection (BEFORE only; real HTTP shows a reset).
        delay: seconds to wait first.
    """

    status: int | None = None
    retry_after: str | None = None
    reset: bool = False
    refuse: bool = False
    delay: float = 0.0


Faults = Callable[[ApiRequest, Moment], Fault | None]
"""Called at both moments of every request; returns None for no fault."""


class BrokenConnectionError(Exception):
    """The caller gets no answer. `refused`: no connection, so certainly no effect."""

    def __init__(self, *, refused: bool) -> None:
        super().__init__("connection refused" if refused else "connection reset")
        self.refused = refused


async def exchange(api: Api, request: ApiRequest, clock: Clock, faults: Faults | None) -> ApiReply:
    """Handle a request with its faults. Raises `BrokenConnectionError`."""
    struck = await _strike(faults, request, Moment.BEFORE, clock)
    if struck is not None:
        return struck
    reply = api.handle(request, clock.now())
    return await _strike(faults, request, Moment.AFTER, clock) or reply


async def _strike(
    faults: Faults | None,
    request: ApiRequest,
    moment: Moment,
    clock: Clock,
) -> ApiReply | None:
    fault = None if faults is None else faults(request, moment)
    if fault is None:
        return None
    if fault.delay:
        await asyncio.sleep(fault.delay)
    if fault.reset or fault.refuse:
        raise BrokenConnectionError(refused=fault.refuse and moment is Moment.BEFORE)
    if fault.status is None:
        return None
    code = "too_many_requests" if fault.status == 429 else "sandbox_fault"
    reply = ApiReply.error(ApiError(fault.status, code, f"A fault {moment.value}."), clock.now())
    extra: Mapping[str, str] = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    return replace(reply, headers={**reply.headers, **extra})
