"""One connection: passes bytes on to aiohttp, a bounded piece at a time, and knows until when it may go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Protocol, cast

from bot.listening.connections import Connections, Group
from bot.listening.limits import Cut

_THROWN_AWAY = 256 * 1024


class Body(Protocol):
    """What is asked of the body of a request (aiohttp's `StreamReader`)."""

    def is_eof(self) -> bool:
        """Has its end come?"""

    def on_eof(self, callback: Callable[[], None]) -> None:
        """Call back when it comes; at once, if it has come."""


class Connection(asyncio.BufferedProtocol):
    """Stands between a socket and aiohttp's protocol, which has a timeout for idle connections only.

    Attributes:
        phase: what we are waiting for; None: for our own handler.
        deadline: until when, by the loop's clock.
    """

    __slots__ = (
        "_all",
        "_answers_wait_until",
        "_asks",
        "_credit",
        "_credited_at",
        "_discards",
        "_group",
        "_inner",
        "_pause",
        "_pipelines",
        "_transport",
        "deadline",
        "phase",
    )

    def __init__(self, connections: Connections) -> None:
        self._all = connections
        self._transport: asyncio.Transport | None = None
        self._inner: asyncio.Protocol | None = None
        self._answers_wait_until = inf
        self._discards = 0  # bytes that are thrown away, before even that stops
        self._group: Group | None = None
        self._asks = False  # has a part of the next request come?
        self._pipelines = False  # did this request come before the answer to the one before it?
        self._credit, self._credited_at = connections.limits.burst, connections.now()  # requests that may come now
        self._pause: asyncio.TimerHandle | None = None
        self.phase: Cut | None = Cut.HEAD
        self.deadline = inf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, if there is room."""
        self._transport = cast("asyncio.Transport", transport)
        if not self._all.admit(self):
            self._transport.abort()
            return
        self.deadline = self._all.now() + self._all.limits.head
        self._inner = self._all.serve()
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.move(None)
        if self._pause is not None:
            self._pause.cancel()
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - all connections share one buffer
        """Where the next bytes go."""
        return self._all.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        if self._inner is None:
            return
        if self._discards:
            self._discards -= nbytes
            if self._discards <= 0 and self._transport is not None:
                self._transport.pause_reading()
                self._discards = 1
            return
        if self.phase is not Cut.BODY:
            self._asks = True
            if self.phase is Cut.IDLE:
                self.phase, self.deadline = Cut.HEAD, self._all.now() + self._all.limits.head
        self._inner.data_received(bytes(self._all.read[:nbytes]))

    def eof_received(self) -> bool | None:
        """The client sends no more; the transport closes."""
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._answers_wait_until = self._all.now() + self._all.limits.reader
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The client has read on."""
        self._answers_wait_until = inf
        if self._inner is not None:
            self._inner.resume_writing()

    def begin(self, body: Body) -> None:
        """A head is complete, and a handler begins."""
        self._pipelines, self._asks = not self._asks, False
        if body.is_eof():
            self._works()
        else:
            self.phase, self.deadline = Cut.BODY, self._all.now() + self._all.limits.body
            self._move_if_open(self._all.sending)
            body.on_eof(self._works)

    def is_pipelined(self) -> bool:
        """Tell whether the client sends requests before it has the answers to those before them."""
        return self._pipelines or self._asks

    def end(self, body: Body, is_trusted: Callable[[], bool]) -> None:
        """The handler has its answer. The rest of the body is thrown away unread; a hasty stranger is slowed down."""
        now, limits = self._all.now(), self._all.limits
        if not body.is_eof():
            self._discards = _THROWN_AWAY
            self.phase, self.deadline = Cut.BODY, now + 2 * limits.linger
            self._move_if_open(self._all.sending)
            return
        if self._asks:
            self.phase, self.deadline = Cut.HEAD, now + limits.head
        else:
            self.phase, self.deadline = Cut.IDLE, now + limits.idle
        self._move_if_open(self._all.idle)
        self._credit = min(limits.burst, self._credit + (now - self._credited_at) * limits.rate) - 1
        self._credited_at = now
        if self._credit < 0:
            if is_trusted():
                self._credit = limits.burst
            elif self._transport is not None:
                self._transport.pause_reading()
                loop = asyncio.get_running_loop()
                self._pause = loop.call_later(-self._credit / limits.rate, self._transport.resume_reading)

    def look(self, now: float) -> None:
        """Cut it off if its time is over."""
        if self._transport is not None and self._transport.is_closing():
            self._answers_wait_until = min(self._answers_wait_until, now + self._all.limits.reader)
        if now >= self._answers_wait_until:
            self.cut(Cut.READER)
        elif now >= self.deadline:
            self.cut(self.phase or Cut.IDLE)

    def cut(self, reason: Cut) -> None:
        """Close it at once."""
        self.move(None)
        self._all.told(reason)
        if self._transport is not None:
            self._transport.abort()

    def move(self, group: Group | None) -> None:
        """Go to the end of a group, or out of all."""
        if self._group is not None:
            del self._group[self]
        self._group = group
        if group is not None:
            group[self] = None

    def _works(self) -> None:
        if not self._discards:
            self.phase, self.deadline = None, inf
            self._move_if_open(self._all.working)

    def _move_if_open(self, group: Group) -> None:
        if self._group is not None:
            self.move(group)
