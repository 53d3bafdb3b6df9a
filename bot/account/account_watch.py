"""Checks the account when the bot starts, and again while something of it is in trouble."""

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

WITHIN: Final = 4.5
"""Seconds until a check that has not ended counts as a failure."""

AGAIN: Final = 60.0
"""Seconds until the next check while something is in trouble."""

NOW_AND_THEN: Final = 300.0
"""Seconds between checks in a process that calls the API for nothing else."""

OF_THE_ACCOUNT: Final = (What.KEY, What.APP, What.API, What.RATE_LIMIT, What.SWITCHBOARD)
_BASE_URL_TODO: Final = "Set SUNSHINE_BASE_URL to https://<subdomain>.zendesk.com/sc, and let this machine reach it."


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says about one kind of trouble. `wrong` is None where all is well."""

    what: What
    where: str = ""
    wrong: Finding | None = None
    status: int | None = None


class AccountWatch:
    """Runs the checks beside everything else: no webhook waits for them.

    Args:
        settings: the bot's.
        troubles: gets what is wrong, each with the advice of `doctor`.
        clock: this machine's.
        alone: no worker of this process calls the API.
    """

    def __init__(self, settings: Settings, troubles: Troubles, clock: Clock, *, alone: bool) -> None:
        self._settings = settings
        self._troubles = troubles
        self._clock = clock
        self._alone = alone

    async def run(self) -> None:
        """Check now, and again as long as it is needed; until cancelled."""
        unasked = 0.0
        while True:
            await self.check()
            while True:
                await asyncio.sleep(AGAIN)
                unasked += AGAIN
                if any(map(self._troubles.lasts, OF_THE_ACCOUNT)) or (self._alone and unasked >= NOW_AND_THEN):
                    unasked = 0.0
                    break

    async def check(self) -> None:
        """Check once. Raises nothing."""
        try:
            async with asyncio.timeout(WITHIN):
                platform, account, own = await examine_account(self._settings, {}, self._clock, attempts=1)
        except TimeoutError:
            problem = f"the account could not be read within {WITHIN:g} s"
            self._troubles.failed(What.API, problem, _BASE_URL_TODO, urgent=True)
            return
        for verdict in verdicts(Facts(self._settings, "", {}, platform, account, own)):
            what, where, found = verdict.what, verdict.where, verdict.wrong
            if found is None:
                self._troubles.works(what, where)
            else:
                self._troubles.failed(
                    what, found.what, found.todo, where=where, status=verdict.status, urgent=what is not What.RATE_LIMIT
                )


def verdicts(facts: Facts) -> Iterator[Verdict]:
    """What is wrong with platform, app, keys and switchboard, and what is not. Pure."""
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
    where: str, wrong: Finding | None, answer: Account | tuple[object, ...] | SunshineError
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
