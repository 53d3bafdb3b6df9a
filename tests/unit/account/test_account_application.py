"""Carrying a plan out while somebody else changes the account."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from bot.account.application import NotAppliedError, apply
from bot.account.plan import Change, DesiredSetup, plan
from bot.account.reading import read_account
from bot.clock import SystemClock
from bot.sandbox import (
    ANSWERS,
    BOT,
    WORKSPACE,
    Api,
    Ids,
    Keys,
    SandboxTransport,
    Switchboard,
    Switches,
    standard_switchboard,
)
from bot.settings import ControlMode
from bot.sunshine import Credentials, SunshineClient

WISHES = DesiredSetup(ControlMode.PASS, "https://bot.example.com/webhooks/sunshine", me=BOT)


@pytest.fixture
def board() -> Switchboard:
    """An account in which the bot has no webhook yet, and does not hear standby events."""
    return standard_switchboard(Switches(mode="pass", deliver_standby_events=False), Ids())


@pytest.fixture
async def client(board: Switchboard) -> AsyncIterator[SunshineClient]:
    """With an app key."""
    keys = Keys(Ids(1))
    key = keys.for_app()
    transport = SandboxTransport(Api(board, keys), SystemClock())
    credentials = Credentials(key.id, key.secret)
    async with SunshineClient("http://127.0.0.1/sc", board.app_id, credentials, transport=transport) as made:
        yield made


def link(board: Switchboard, name: str, changes: dict[str, object]) -> None:
    """Change a switchboard integration."""
    assert board.switchboard_id
    board.update_switchboard_integration(board.switchboard_id, board.member(name).id, changes)


async def applied(client: SunshineClient, done: Callable[[Change], None]) -> None:
    """Make what is missing, agreed to as it is planned first."""
    account = await read_account(client)
    agreed = {change.sentence for change in plan(account, WISHES)}
    assert await apply(client, account, WISHES, agreed=agreed, done=done, pause=_at_once) == await read_account(client)


async def _at_once(_: float) -> None:
    """No pause."""


async def test_what_is_missing_is_made_once(board: Switchboard, client: SunshineClient) -> None:
    """And nothing is left to do."""
    made: list[str] = []
    await applied(client, lambda change: made.append(change.sentence))
    assert len(made) == len(set(made)) == 2
    assert plan(await read_account(client), WISHES) == ()


async def test_what_others_choose_meanwhile_is_not_changed_unasked(board: Switchboard, client: SunshineClient) -> None:
    """It was not agreed to."""

    def choose(_: Change) -> None:
        link(board, WORKSPACE, {"nextSwitchboardIntegrationId": board.member(ANSWERS).id})

    with pytest.raises(NotAppliedError, match="the account was changed meanwhile"):
        await applied(client, choose)
    assert board.member(WORKSPACE).next_id == board.member(ANSWERS).id


async def test_it_does_not_go_on_for_ever(board: Switchboard, client: SunshineClient) -> None:
    """Where somebody else takes everything back."""

    def take_back(_: Change) -> None:
        link(board, BOT, {"deliverStandbyEvents": False})
        board.webhooks.clear()

    with pytest.raises(NotAppliedError, match="someone else is changing the account at the same time"):
        await applied(client, take_back)
