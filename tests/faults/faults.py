"""The faults: what is set up for each, and how it strikes."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bot.sandbox.api import ApiRequest
from bot.sandbox.faults import Fault, Moment
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.switches import Switches

from .place import Place, Strike

OWN = "faulty_flows"


@dataclass(frozen=True, slots=True)
class Case:
    """One fault.

    Attributes:
        name: what is wrong, in a few words.
        database: sqlite, postgres, or own: a PostgreSQL server of its own.
        settings: of the bot, beside those that the sandbox gives it.
        prepare: changes the account before the bot starts.
        strike: what happens to a bot that is well; None: it is there from the start.
    """

    name: str
    database: str = "sqlite"
    settings: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Sandbox], None] = lambda _: None
    strike: Strike | None = None


def _answers(fault: Fault) -> Strike:
    async def strike(place: Place) -> None:
        def struck(_: ApiRequest, moment: Moment) -> Fault | None:
            return fault if moment is Moment.BEFORE else None

        place.sandbox.server.faults = struck

    return strike


async def _revoke(place: Place) -> None:
    place.sandbox.keys.put_back([])


async def _lock(place: Place) -> None:
    await place.database.lock()


async def _fill_disk(place: Place) -> None:
    """No file of the process can grow any more. (Its log is shorter than the database.)"""
    files = [Path(f"{place.database.file}{end}") for end in ("", "-wal")]
    largest = max(file.stat().st_size for file in files if file.exists())
    resource.prlimit(place.pid, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))


async def _stop_server(place: Place) -> None:
    place.database.server.stop("immediate")  # type: ignore[attr-defined]


async def _make_read_only(place: Place) -> None:
    await place.database.make_read_only()  # type: ignore[attr-defined]


async def nothing(_: Place) -> None:
    """Customers are enough."""


def _in_pass_mode(sandbox: Sandbox) -> None:
    sandbox.switchboard.switches = Switches(mode="pass")


def _without_default(sandbox: Sandbox) -> None:
    sandbox.switchboard.default_id = None


def _flow(name: str) -> Mapping[str, str]:
    return {"FLOWS": OWN, "OPENING_FLOW": name}


CASES = (
    Case("the API key is revoked", strike=_revoke),
    Case("the API key is revoked", "postgres", strike=_revoke),
    Case("the API key is revoked, pass mode", prepare=_in_pass_mode, strike=_revoke),
    Case("the API refuses everything (403)", strike=_answers(Fault(status=403))),
    Case("the API answers 503", strike=_answers(Fault(status=503))),
    Case("the API breaks connections", strike=_answers(Fault(reset=True))),
    Case("the API does not answer", strike=_answers(Fault(delay=60))),
    Case("the API limits the rate (429)", strike=_answers(Fault(status=429))),
    Case("a function behind `chat.call` fails", settings=_flow("asks_backend"), strike=nothing),
    Case("a model fails", settings=_flow("talks"), strike=nothing),
    Case("a wrong key", settings={"SUNSHINE_KEY_SECRET": "wrong"}),
    Case("a wrong app id", settings={"SUNSHINE_APP_ID": "another"}),
    Case("a wrong switchboard integration", settings={"SUNSHINE_SWITCHBOARD_INTEGRATION": "another"}),
    Case("the integration's id instead", settings={"SUNSHINE_SWITCHBOARD_INTEGRATION": "{integration_id}"}),
    Case("the API is out of reach", settings={"SUNSHINE_BASE_URL": "http://127.0.0.1:9"}),
    Case("a placeholder as base URL", settings={"SUNSHINE_BASE_URL": "https://SUBDOMAIN.zendesk.com/sc"}),
    Case("a base URL without /sc", settings={"SUNSHINE_BASE_URL": "https://acme.zendesk.com"}),
    Case("http to another machine", settings={"SUNSHINE_BASE_URL": "http://192.0.2.1/sc"}),
    Case("nobody is ever active", prepare=_without_default, strike=nothing),
    Case("another program locks the database", strike=_lock),
    Case("another program locks a table", "postgres", strike=_lock),
    Case("the disk is full", strike=_fill_disk),
    Case("the database is read-only", "postgres", strike=_make_read_only),
    Case("the database is stopped", "own", strike=_stop_server),
    Case("a flow blocks the loop", settings=_flow("blocks"), strike=nothing),
    Case("a flow blocks the loop", "postgres", settings=_flow("blocks"), strike=nothing),
)
