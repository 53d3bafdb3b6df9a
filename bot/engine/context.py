"""What the parts of the engine share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bot.clock import Clock
from bot.control.policy import Policy
from bot.engine.delivery import Clients
from bot.flows.catalogue import Catalogue
from bot.flows.raised import Raised
from bot.log_sampling import Occurrences
from bot.signals import Observe, silent
from bot.store.interface import Store
from bot.troubles import Troubles

LEASE = timedelta(seconds=8)
"""A dead worker's conversations are free after this time. A live one renews a lease three times as often."""

AFTERMATH = timedelta(seconds=5)
"""What a worker that died had sent to the platform has taken effect by then, or it never will."""


@dataclass(frozen=True, slots=True)
class Context:
    """The engine's surroundings.

    Attributes:
        owner: this worker's name in leases, unlike any other's.
        lease: how long a claim holds without being renewed.
        troubles: hears what fails and what works again.
        raised: hears what flows raise.
        told: how often calls have failed in this process, so that the log tells it ever more rarely.
        full_errors: LOG_ERRORS=full: what errors say is logged, which may quote the user.
        restarts: FLOW_MISMATCH=restart: a run whose journal doesn't fit its flow's code any more begins anew.
        mismatch_text: what the user is told where such a run is handed over; empty: nothing.
        resources: what the team's lifespan has opened for flows; None without one.
        fetch_every: how often a conversation at work looks for events that another process has stored.
    """

    store: Store
    clients: Clients
    policy: Policy
    catalogue: Catalogue
    clock: Clock
    owner: str
    observe: Observe = field(default=silent)
    lease: timedelta = LEASE
    fetch_every: timedelta = timedelta(seconds=1)
    troubles: Troubles = field(default_factory=Troubles)
    raised: Callable[[Raised], None] = lambda _: None
    told: Occurrences = field(default_factory=Counter)
    full_errors: bool = False
    restarts: bool = False
    mismatch_text: str = ""
    resources: Any = None
