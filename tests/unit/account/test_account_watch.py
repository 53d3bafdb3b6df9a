"""What a check of the account says about each kind of trouble, and when it is made again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from account_samples import HOOK, WELL, facts, settings

from bot.account import account_watch
from bot.account.account_watch import CHECK_TIMEOUT, IDLE_INTERVAL, TROUBLE_INTERVAL, AccountWatch, verdicts
from bot.account.facts import Platform
from bot.clock import SystemClock
from bot.replay.virtual_time import VirtualTimeLoop
from bot.signals import Level, Signal
from bot.sunshine import Gone, NotOurs, NotSent, RateLimited, Unauthorized
from bot.troubles import Troubles, What

WITHOUT_APP_KEY = settings(sunshine_app_key_id="", sunshine_app_key_secret="")
REFUSED = Unauthorized("get_app", status=401, code="unauthorized")


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, []),
        ({"platform": Platform("no answer (refused)")}, [(What.API, "")]),
        ({"account": REFUSED}, [(What.KEY, "SUNSHINE_APP_KEY")]),
        ({"own": REFUSED}, [(What.KEY, "SUNSHINE_KEY")]),
        ({"account": REFUSED, "own": REFUSED}, [(What.KEY, "SUNSHINE_APP_KEY"), (What.KEY, "SUNSHINE_KEY")]),
        ({"account": NotOurs("get_app", status=403)}, [(What.KEY, "SUNSHINE_APP_KEY")]),
        ({"account": Gone("get_app", status=404, code="app_not_found")}, [(What.APP, "")]),
        ({"account": RateLimited("get_app", status=429)}, [(What.RATE_LIMIT, "")]),
        ({"account": NotSent("get_app")}, [(What.API, "")]),
        ({"account": replace(WELL, board=None)}, [(What.SWITCHBOARD, "switchboard")]),
        (
            {"settings": settings(sunshine_switchboard_integration="another")},
            [(What.SWITCHBOARD, "switchboard_integration")],
        ),
        (
            {"settings": settings(sunshine_switchboard_integration="mine")},  # the integration's own id
            [(What.SWITCHBOARD, "switchboard_integration")],
        ),
        (
            {"account": None, "own": (HOOK,), "settings": WITHOUT_APP_KEY},
            [],
        ),
    ],
)
def test_each_single_thing(changes: dict[str, Any], wrong: list[tuple[What, str]]) -> None:
    """It is one kind of trouble, with advice; nothing else is wrong by it."""
    found = [verdict for verdict in verdicts(facts(**changes)) if verdict.wrong]
    assert [(verdict.what, verdict.where) for verdict in found] == wrong
    assert all(verdict.wrong and verdict.wrong.todo for verdict in found)


def test_a_key_for_everything() -> None:
    """An app-scoped SUNSHINE_KEY is told under its own name."""
    known = settings(
        sunshine_key_id="app_2", sunshine_key_secret="x", sunshine_app_key_id="", sunshine_app_key_secret=""
    )
    (found,) = [verdict for verdict in verdicts(facts(settings=known, account=REFUSED, own=None)) if verdict.wrong]
    assert (found.what, found.where, found.status) == (What.KEY, "SUNSHINE_KEY", 401)


class Account:
    """An account that is asked in virtual time."""

    def __init__(self) -> None:
        self.answer: Any = (Platform(clock_ahead=timedelta()), WELL, (HOOK,))
        self.takes = 0.1
        self.asked: list[float] = []

    async def examine(self, *_: object, **__: object) -> Any:
        """Answer as `examine_account` does."""
        self.asked.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.takes)
        return self.answer


def watched(account: Account, monkeypatch: pytest.MonkeyPatch, seconds: float, *, alone: bool) -> list[Signal]:
    """Watch an account for some virtual seconds, and return what was told."""
    monkeypatch.setattr(account_watch, "examine_account", account.examine)
    told: list[Signal] = []
    loop = VirtualTimeLoop()

    async def run() -> None:
        troubles = Troubles(told.append, loop.time)
        watch = AccountWatch(settings(), troubles, SystemClock(), alone=alone)
        task = asyncio.create_task(watch.run())
        for _ in range(round(seconds)):
            await asyncio.sleep(1)
            troubles.look()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(run())
    return told


def test_where_all_is_well_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look at the start; a process without a worker looks now and then."""
    account = Account()
    assert watched(account, monkeypatch, 1000, alone=False) == []
    assert account.asked == [0.0]
    account.asked.clear()
    assert watched(account, monkeypatch, 1000, alone=True) == []
    assert len(account.asked) == 1 + int(1000 // IDLE_INTERVAL)


def test_an_account_that_does_not_answer_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within five seconds, as an error, and looked at again as long as it lasts."""
    account = Account()
    account.takes = 100
    told = watched(account, monkeypatch, TROUBLE_INTERVAL * 2, alone=False)
    assert (told[0].event, told[0].level, told[0].fields["what"]) == ("trouble_began", Level.ERROR, "api")
    assert CHECK_TIMEOUT < 5
    assert account.asked == [0.0, CHECK_TIMEOUT + TROUBLE_INTERVAL]


def test_what_was_mended_is_over_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although nobody writes, and so nothing else calls the API."""
    account = Account()
    account.answer = (Platform(clock_ahead=timedelta()), REFUSED, REFUSED)
    original = account.examine

    async def mended(*args: object, **kwargs: object) -> Any:
        answer = await original(*args, **kwargs)
        account.answer = (Platform(clock_ahead=timedelta()), WELL, (HOOK,))
        return answer

    account.examine = mended  # type: ignore[method-assign]
    told = watched(account, monkeypatch, 3 * TROUBLE_INTERVAL, alone=False)
    assert [(signal.event, signal.fields["where"]) for signal in told] == [
        ("trouble_began", "SUNSHINE_APP_KEY"),
        ("trouble_began", "SUNSHINE_KEY"),
        ("trouble_over", "SUNSHINE_APP_KEY"),
        ("trouble_over", "SUNSHINE_KEY"),
    ]
    assert told[0].level is Level.ERROR
