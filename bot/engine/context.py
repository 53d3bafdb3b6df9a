"""Everything that the engine's parts share."""

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
from bot.flows.error_report import Raised
from bot.log_sampling import Occurrences
from bot.signals import Observe, silent
from bot.store.interface import Store
from bot.troubles import Troubles

LEASE = timedelta(seconds=8)
"""Validity of a lease. A live worker renews it after a third; a dead one's conversations become free."""

AFTERMATH = timedelta(seconds=5)
"""Time by which a dead worker's last requests have taken effect, if ever."""


@dataclass(frozen=True, slots=True)
class Context:
    """Dependencies and settings of the engine.

    Attributes:
        owner: this worker's unique name in leases.
        lease: validity of a claim without renewal.
        troubles: collects failures and recoveries.
        raised: receives exceptions of flows.
        told: failure counts of calls in this process, so that the log repeats them ever
            more rarely.
        full_errors: LOG_ERRORS=full: log error messages, which may quote the user.
        restarts: FLOW_MISMATCH=restart: restart a run whose journal no longer fits its
            flow's code.
        mismatch_text: message to the user when such a run is handed over; empty: none.
        resources: what the team's lifespan opened for flows; None without one.
        fetch_every: interval at which a running conversation looks for events stored by
            other processes.
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
