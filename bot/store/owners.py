"""Names of workers in leases, which show when one is certainly dead.

A name says on which machine, in which process-id namespace and with which start time its process runs. From another
machine (or container) nothing is certain about it, and its leases just run out.
"""

from __future__ import annotations

import os
import secrets
import socket
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

_PROC = Path("/proc")


def new_owner() -> str:
    """Return a unique name for this process: `host:machine:process id:start time:random`."""
    pid = os.getpid()
    return ":".join((socket.gethostname(), _machine(), str(pid), _started(pid) or "", secrets.token_hex(4)))


def is_certainly_dead(owner: str) -> bool:
    """Return whether the process of that name has ended; False if uncertain."""
    *_, machine, pid, started, _ = ["", "", "", *owner.split(":")]
    if not machine or machine != _machine() or not pid.isdigit() or not started:
        return False
    found = _started(int(pid))
    return not _exists(int(pid)) if found is None else found != started


@lru_cache(maxsize=1)
def _machine() -> str:
    """Identify this boot of this machine, and its process id namespace; empty if unknown."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text()
        namespace = os.readlink(_PROC / "self/ns/pid")  # noqa: PTH115 - it is no path
    except OSError:
        return ""
    return sha256(f"{boot} {namespace}".encode()).hexdigest()[:16]


def _started(pid: int) -> str | None:
    """Return when a process started, in ticks since boot; empty if it is a zombie; None if not found."""
    try:
        after_name = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "" if after_name[0] in ("Z", "X") else after_name[19]


def _exists(pid: int) -> bool:
    """Return whether a process id exists. /proc may hide the processes of other users."""
    try:
        os.kill(pid, 0)  # asks, and does nothing
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
