"""All connections of a listener: how many there may be, who makes room, and whose time is over."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from bot.listening.limits import Cut, Limits

READ_AT_ONCE = 4 * 1024  # bytes; even in the smallest chunks that HTTP has, they take the parser a millisecond or two


class Tracked(Protocol):
    """What is asked of a connection."""

    def move(self, group: Group | None) -> None:
        """Go to the end of a group, or out of all."""

    def look(self, now: float) -> None:
        """Cut it off if its time is over."""

    def cut(self, reason: Cut) -> None:
        """Close it at once."""


class Group(OrderedDict[Tracked, None]):
    """Connections in the same phase, in the order in which they came to it."""


class Connections:
    """The open connections.

    Args:
        serve: makes the protocol of a new connection.
        limits: what they may take.
        told: called with the reason when one is cut off; must not raise.

    Attributes:
        buffer, read: what is read from any of them, before it is passed on; `read` gives slices of it.
        silent, idle, sending, working: the open connections, each in one of them, those first that came there first.
    """

    def __init__(self, serve: Callable[[], asyncio.Protocol], limits: Limits, told: Callable[[Cut], None]) -> None:
        self.serve = serve
        self.limits = limits
        self.told = told
        self.now = asyncio.get_running_loop().time
        self.buffer = bytearray(READ_AT_ONCE)
        self.read = memoryview(self.buffer)
        self.silent = Group()  # no request yet
        self.idle = Group()  # between two requests
        self.sending = Group()  # in the middle of a body
        self.working = Group()  # a handler is at it

    def __len__(self) -> int:
        return len(self.silent) + len(self.idle) + len(self.sending) + len(self.working)

    def admit(self, connection: Tracked) -> bool:
        """Let a new connection in. If there is no room, cut off the one that has kept us waiting longest, if any."""
        if len(self) >= self.limits.connections:
            waiting = self.silent or self.idle or self.sending
            if not waiting:
                self.told(Cut.FULL)
                return False
            next(iter(waiting)).cut(Cut.FULL)
        connection.move(self.silent)
        return True

    async def watch(self) -> None:
        """Cut off the connections whose time is over, until cancelled."""
        while True:
            await asyncio.sleep(self.limits.look)
            now = self.now()
            for connection in [*self.silent, *self.idle, *self.sending, *self.working]:
                connection.look(now)
