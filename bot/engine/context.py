"""What the parts of the engine share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bot.clock import Clock
from bot.control.policy import Policy
from bot.engine.delivery import Clients
from bot.flows.catalogue import Catalogue
from bot.flows.raised import Raised
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
    resources: Any = None
