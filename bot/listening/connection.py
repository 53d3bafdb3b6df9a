"""A connection: forwards bytes to aiohttp in bounded pieces, and enforces deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Protocol, cast

from bot.listening.connections import Connections, Group
from bot.listening.limits import Cut

_MAX_DISCARDED = 256 * 1024  # bytes


class Body(Protocol):
    """The part of aiohttp's `StreamReader` that is used here."""

    def is_eof(self) -> bool:
        """Return whether the end has arrived."""

    def on_eof(self, callback: Callable[[], None]) -> None:
        """Call `callback` at the end; at once if it has arrived."""


class Connection(asyncio.BufferedProtocol):
    """A protocol between a socket and aiohttp's own, which has only an idle timeout.

    Attributes:
        phase: what we are waiting for; None for our own handler.
        deadline: the end of the phase, by the loop's clock.
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
        self._discards = 0  # bytes left to discard before reading stops
        self._group: Group | None = None
        self._asks = False  # part of the next request has arrived
        self._pipelines = False  # this request arrived before the previous answer
        self._credit = connections.limits.burst  # requests allowed now
        self._credited_at = connections.now()
        self._pause: asyncio.TimerHandle | None = None
        self.phase: Cut | None = Cut.HEAD
        self.deadline = inf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection if there is room."""
        self._transport = cast("asyncio.Transport", transport)
        if not self._all.admit(self):
            self._transport.abort()
            return
        self.deadline = self._all.now() + self._all.limits.head
        self._inner = self._all.serve()
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.move(None)
        if self._pause is not None:
            self._pause.cancel()
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - all connections share one buffer
        """Return the buffer for the next bytes."""
        return self._all.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Forward received bytes, or discard them."""
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
        """Handle the end of the client's data; the transport closes."""
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        """Start the timeout for a slow reader."""
        self._answers_wait_until = self._all.now() + self._all.limits.reader
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Stop the timeout for a slow reader."""
        self._answers_wait_until = inf
        if self._inner is not None:
            self._inner.resume_writing()

    def begin(self, body: Body) -> None:
        """Start handling a request whose head is complete."""
        self._pipelines, self._asks = not self._asks, False
        if body.is_eof():
            self._works()
        else:
            self.phase, self.deadline = Cut.BODY, self._all.now() + self._all.limits.body
            self._move_if_open(self._all.sending)
            body.on_eof(self._works)

    def is_pipelined(self) -> bool:
        """Whether the client sends requests before it has the previous answers."""
        return self._pipelines or self._asks

    def end(self, body: Body, is_trusted: Callable[[], bool]) -> None:
        """Finish a request. Discards the rest of the body; rate-limits untrusted clients."""
        now, limits = self._all.now(), self._all.limits
        if not body.is_eof():
            self._discards = _MAX_DISCARDED
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
        """Cut the connection off if its deadline has passed."""
        if self._transport is not None and self._transport.is_closing():
            until = now + self._all.limits.reader
            self._answers_wait_until = min(self._answers_wait_until, until)
        if now >= self._answers_wait_until:
            self.cut(Cut.READER)
        elif now >= self.deadline:
            self.cut(self.phase or Cut.IDLE)

    def cut(self, reason: Cut) -> None:
        """Close the connection at once."""
        self._all.on_cut(reason)
        self.abort()

    def abort(self) -> None:
        """Close the connection at once, without counting it."""
        self.move(None)
        if self._transport is not None:
            self._transport.abort()

    def move(self, group: Group | None) -> None:
        """Move to the end of a group, or out of all groups."""
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
