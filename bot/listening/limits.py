"""The limits of connections: time, and number."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

if sys.platform != "win32":
    import resource

MAX_DESCRIPTORS = 65_536
MAX_CONNECTIONS = 2_000  # about 20 kB each
MIN_CONNECTIONS = 16
# A listener gets a quarter of the descriptors: the sandbox has three listeners, and the
# database and the API need some too.
SHARE = 4
BACKLOG = 128  # pending connections; beyond it, clients retry only after a second
ACCEPTED_AT_ONCE = 8
"""Connections accepted per round of the event loop; asyncio takes it from `backlog`. Those cut
off to make room close some rounds later, so both use descriptors meanwhile. When out of
descriptors, asyncio accepts no connection for a second."""


class Cut(StrEnum):
    """The reasons for cutting a connection off."""

    HEAD = "head"  # no request, or an incomplete head
    BODY = "body"  # an incomplete body
    IDLE = "idle"  # kept alive, but unused
    READER = "reader"  # the client does not read the answer
    FULL = "full"  # too many connections; the longest waiting one is cut off


def raise_descriptor_limit() -> int:
    """Raise this process's limit of open files and connections, and return it."""
    if sys.platform == "win32":
        return MAX_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS has a further limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def _default_connections() -> int:
    return max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, raise_descriptor_limit() // SHARE))


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a listener; times in seconds.

    Attributes:
        head: from the connection, or the first byte of a request, to the end of its head.
        body: from the end of the head to the end of the body.
        idle: between two requests.
        reader: until a client reads part of a pending answer.
        linger: for discarding the rest of a body, so that its sender sees the answer.
        look: between two checks of deadlines.
        connections: maximum number of open connections.
        burst: requests that an untrusted connection may send at once.
        rate: further requests per second of an untrusted connection.
    """

    head: float = 10
    body: float = 20
    idle: float = 75
    reader: float = 20
    linger: float = 2
    look: float = 1
    connections: int = field(default_factory=_default_connections)
    burst: float = 20
    rate: float = 20
