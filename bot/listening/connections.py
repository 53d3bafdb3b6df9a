"""The connections of a listener: limits their number, and cuts off late ones."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from bot.listening.limits import Cut, Limits

BUFFER_SIZE = 4 * 1024  # bytes; the smallest HTTP chunks take the parser 1 to 2 ms


class Tracked(Protocol):
    """The interface of a connection for its listener."""

    def move(self, group: Group | None) -> None:
        """Move to the end of a group, or out of all groups."""

    def look(self, now: float) -> None:
        """Cut the connection off if its deadline has passed."""

    def cut(self, reason: Cut) -> None:
        """Close the connection at once."""

    def abort(self) -> None:
        """Close the connection at once, without counting it."""


class Group(OrderedDict[Tracked, None]):
    """Connections in the same phase, in order of arrival."""


class Connections:
    """The open connections.

    Args:
        serve: creates the protocol of a new connection.
        limits: the limits of the connections.
        on_cut: called with the reason for each connection that is cut off; must not raise.

    Attributes:
        buffer: the shared buffer for received bytes.
        read: a view of the buffer.
        silent: connections without a request yet. Each open connection is in one group.
        idle: connections between two requests.
        sending: connections in the middle of a body.
        working: connections whose handler is running.
    """

    def __init__(
        self,
        serve: Callable[[], asyncio.Protocol],
        limits: Limits,
        on_cut: Callable[[Cut], None],
    ) -> None:
        self.serve = serve
        self.limits = limits
        self.on_cut = on_cut
        self.now = asyncio.get_running_loop().time
        self.buffer = bytearray(BUFFER_SIZE)
        self.read = memoryview(self.buffer)
        self.silent = Group()
        self.idle = Group()
        self.sending = Group()
        self.working = Group()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self.silent) + len(self.idle) + len(self.sending) + len(self.working)

    def admit(self, connection: Tracked) -> bool:
        """Admit a new connection. If full, cut off the one that has kept us waiting longest."""
        if self._is_closed:
            return False
        if len(self) >= self.limits.connections:
            waiting = self.silent or self.idle or self.sending
            if not waiting:
                self.on_cut(Cut.FULL)
                return False
            next(iter(waiting)).cut(Cut.FULL)
        connection.move(self.silent)
        return True

    def close(self) -> None:
        """Close all connections at once, and admit no more.

        Some are accepted while the listener stops, and some clients do not read their answers.
        """
        self._is_closed = True
        for connection in self._open():
            connection.abort()

    async def watch(self) -> None:
        """Cut off connections past their deadline, until cancelled."""
        while True:
            await asyncio.sleep(self.limits.look)
            now = self.now()
            for connection in self._open():
                connection.look(now)

    def _open(self) -> list[Tracked]:
        return [*self.silent, *self.idle, *self.sending, *self.working]
