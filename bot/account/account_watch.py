"""Checks the account at the start of the bot, and repeatedly while there is trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bot.account.checks_access import access
from bot.account.checks_account import switchboard
from bot.account.examination import examine_account
from bot.account.facts import Facts
from bot.account.findings import Finding, Severity
from bot.account.reading import Account
from bot.clock import Clock
from bot.settings import Settings
from bot.sunshine import RateLimited, Refused, SunshineError
from bot.troubles import Troubles, What

CHECK_TIMEOUT: Final = 4.5
"""Timeout of a check, in seconds."""

TROUBLE_INTERVAL: Final = 60.0
"""Seconds between checks while there is trouble."""

IDLE_INTERVAL: Final = 300.0
"""Seconds between checks in a process that makes no other API calls."""

ACCOUNT_TROUBLES: Final = (What.KEY, What.APP, What.API, What.RATE_LIMIT, What.SWITCHBOARD)
_BASE_URL_TODO: Final = (
    "Set SUNSHINE_BASE_URL to https://<subdomain>.zendesk.com/sc, and allow this machine to reach it."
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check for one kind of trouble. `wrong` is None if there is none."""

    what: What
    where: str = ""
    wrong: Finding | None = None
    status: int | None = None


class AccountWatch:
    """Runs the checks in the background.

    Args:
        settings: the bot's settings.
        troubles: receives the errors, with the advice of `doctor`.
        clock: this machine's clock.
        alone: whether this process has no worker, and so makes no other API calls.
    """

    def __init__(self, settings: Settings, troubles: Troubles, clock: Clock, *, alone: bool) -> None:
        self._settings = settings
        self._troubles = troubles
        self._clock = clock
        self._alone = alone

    async def run(self) -> None:
        """Check now, and again as needed, until cancelled."""
        elapsed = 0.0
        while True:
            await self.check()
            while True:
                await asyncio.sleep(TROUBLE_INTERVAL)
                elapsed += TROUBLE_INTERVAL
                is_due = self._alone and elapsed >= IDLE_INTERVAL
                if is_due or any(map(self._troubles.lasts, ACCOUNT_TROUBLES)):
                    elapsed = 0.0
                    break

    async def check(self) -> None:
        """Check once. Raises nothing."""
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                platform, account, own = await examine_account(
                    self._settings,
                    {},
                    self._clock,
                    attempts=1,
                )
        except TimeoutError:
            problem = f"the account could not be read within {CHECK_TIMEOUT:g} s"
            self._troubles.failed(What.API, problem, _BASE_URL_TODO, urgent=True)
            return
        for verdict in verdicts(Facts(self._settings, "", {}, platform, account, own)):
            what, where, found = verdict.what, verdict.where, verdict.wrong
            if found is None:
                self._troubles.works(what, where)
            else:
                self._troubles.failed(
                    what,
                    found.what,
                    found.todo,
                    where=where,
                    status=verdict.status,
                    urgent=what is not What.RATE_LIMIT,
                )


def verdicts(facts: Facts) -> Iterator[Verdict]:
    """Yield the results for platform, app, keys and switchboard. Pure."""
    for found in (*access(facts), *switchboard(facts)):
        wrong = found if found.level is Severity.WRONG else None
        match found.name:
            case "base_url":
                yield Verdict(What.API, "", wrong)
            case "app":
                yield Verdict(What.APP, "", wrong, 404 if wrong else None)
            case "app_key" if facts.account is not None:
                where = "SUNSHINE_APP_KEY" if facts.settings.sunshine_app_key_id else "SUNSHINE_KEY"
                yield from _of_key(where, wrong, facts.account)
            case "integration_key" if facts.own is not None:
                yield from _of_key("SUNSHINE_KEY", wrong, facts.own)
            case "switchboard" | "switchboard_integration":
                yield Verdict(What.SWITCHBOARD, found.name, wrong)
            case _:
                pass


def _of_key(
    where: str,
    wrong: Finding | None,
    answer: Account | tuple[object, ...] | SunshineError,
) -> Iterator[Verdict]:
    status = answer.status if isinstance(answer, SunshineError) else None
    match answer:
        case RateLimited():
            yield Verdict(What.RATE_LIMIT, "", wrong, status)
        case SunshineError() if not isinstance(answer, Refused):
            yield Verdict(What.API, "", wrong, status)
        case _:
            yield Verdict(What.KEY, where, wrong, status)
            yield Verdict(What.RATE_LIMIT)
