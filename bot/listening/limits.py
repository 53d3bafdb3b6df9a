"""How long and how much a connection may take, and how many there may be."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

if sys.platform != "win32":
    import resource

MOST_DESCRIPTORS = 65_536
MOST_CONNECTIONS = 2_000  # about 20 kB each
FEWEST_CONNECTIONS = 16
SHARE = 4  # a listener gets a quarter of the descriptors: the sandbox has three; database and API need some, too
BACKLOG = 128  # connections that wait to be accepted: beyond that, a client tries again only after a second
ACCEPTED_AT_ONCE = 8
"""Connections accepted in one round of the event loop, which asyncio takes from the backlog. Those that have to go are
closed some rounds later; until then both count. Out of descriptors, asyncio accepts nobody for a second."""


class Cut(StrEnum):
    """Why a connection was cut off."""

    HEAD = "head"  # no request, or half of its head
    BODY = "body"  # half of a body
    IDLE = "idle"  # kept alive, and not used again
    READER = "reader"  # does not read the answer
    FULL = "full"  # there is no room: the one that has waited longest for a request goes


def raise_descriptor_limit() -> int:
    """Raise the limit of open files and connections as far as this process may, and return it."""
    if sys.platform == "win32":
        return MOST_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS has another limit beside this one
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def _room() -> int:
    return max(FEWEST_CONNECTIONS, min(MOST_CONNECTIONS, raise_descriptor_limit() // SHARE))


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a listener; times in seconds.

    Attributes:
        head: from the first byte of a request (or from the connection) to the end of its head.
        body: from there to the end of its body.
        idle: between two requests.
        reader: until a client takes some of an answer that waits for it.
        linger: how long the rest of a body is thrown away, so that its sender gets to see the answer.
        look: between two looks at whose time is over.
        connections: how many may be open at the same time.
        burst, rate: requests of a stranger on one connection: so many at once, and then so many a second.
    """

    head: float = 10
    body: float = 20
    idle: float = 75
    reader: float = 20
    linger: float = 2
    look: float = 1
    connections: int = field(default_factory=_room)
    burst: float = 20
    rate: float = 20
