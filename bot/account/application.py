"""Applies a plan: one change at a time, each verified by reading the account again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from functools import partial
from typing import Final, assert_never

from bot.account.plan import (
    Change,
    ChangeMember,
    ChangeSwitchboard,
    ChangeWebhook,
    DeleteIntegration,
    DeleteMember,
    DeleteWebhook,
    DesiredSetup,
    MakeIntegration,
    MakeMember,
    MakeSwitchboard,
    MakeWebhook,
    Step,
    plan,
)
from bot.account.reading import Account, read_account
from bot.sunshine import SunshineClient, SunshineError, Unclear

VERIFY_PAUSES: Final = (
    timedelta(0),
    timedelta(seconds=1),
    timedelta(seconds=2),
    timedelta(seconds=4),
)
"""The pauses before each read that verifies a change: reads may lag behind writes."""

MAX_CHANGES: Final = 30


class NotAppliedError(Exception):
    """A change failed or could not be verified. Earlier changes stay in effect."""


async def apply(
    client: SunshineClient,
    account: Account,
    desired: DesiredSetup,
    *,
    agreed: Collection[str],
    done: Callable[[Change], None],
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Account:
    """Make all missing changes.

    Args:
        client: a client with an app-scoped key.
        account: the account as just read.
        desired: the desired set-up.
        agreed: the sentences of the confirmed changes. Other changes are made only if they
            don't touch objects of others.
        done: called with each verified change.
        pause: waits for a number of seconds.

    Returns:
        The account after the changes.

    Raises:
        NotAppliedError: a change failed. A new call continues from there.
        NoPlanError: the account was changed meanwhile, and a person has to decide.
        SunshineError: the account can't be read.
    """
    for _ in range(MAX_CHANGES):
        changes = plan(account, desired)
        if not changes:
            return account
        change = changes[0]
        if change.touches_others and change.sentence not in agreed:
            reason = "the account was changed meanwhile; the next change would be to"
            raise NotAppliedError(f"{reason} {change.sentence}")
        is_done = partial(_is_not_planned, change.sentence, desired)
        account = await make(client, change, is_done, pause)
        done(change)
    raise NotAppliedError("someone else is changing the account at the same time")


def _is_not_planned(sentence: str, desired: DesiredSetup, account: Account) -> bool:
    return all(one.sentence != sentence for one in plan(account, desired))


async def make(
    client: SunshineClient,
    change: Change,
    is_done: Callable[[Account], bool],
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Account:
    """Make a change and verify it. The call is never repeated after an ambiguous answer.

    Args:
        client: a client with an app-scoped key.
        change: the change.
        is_done: returns whether an account, as read afterwards, has the change.
        pause: waits for a number of seconds.

    Returns:
        The account after the change.

    Raises:
        NotAppliedError: the change was refused, or could not be verified.
        SunshineError: the account can't be read.
    """
    unclear: SunshineError | None = None
    try:
        await _call(client, change.step)
    except Unclear as error:
        unclear = error
    except SunshineError as error:
        raise NotAppliedError(f"could not {change.sentence}: {error}{_title(error)}") from error
    for wait in VERIFY_PAUSES:
        await pause(wait.total_seconds())
        account = await read_account(client)
        if is_done(account):
            return account
    why = str(unclear) if unclear else "the platform accepted it, but it has no effect"
    raise NotAppliedError(f"could not {change.sentence}: {why}")


def _title(error: SunshineError) -> str:
    return f": {error.title}" if error.title else ""


async def _call(client: SunshineClient, step: Step) -> None:
    match step:
        case MakeIntegration(body):
            await client.create_integration(body)
        case MakeWebhook(integration_id, body):
            await client.create_webhook(integration_id, body)
        case ChangeWebhook(integration_id, webhook_id, body):
            await client.update_webhook(integration_id, webhook_id, body)
        case MakeSwitchboard():
            await client.create_switchboard()
        case ChangeSwitchboard(switchboard_id, body):
            await client.update_switchboard(switchboard_id, body)
        case MakeMember(switchboard_id, body):
            await client.create_switchboard_integration(switchboard_id, body)
        case ChangeMember(switchboard_id, member_id, body):
            await client.update_switchboard_integration(switchboard_id, member_id, body)
        case DeleteWebhook(integration_id, webhook_id):
            await client.delete_webhook(integration_id, webhook_id)
        case DeleteMember(switchboard_id, member_id):
            await client.delete_switchboard_integration(switchboard_id, member_id)
        case DeleteIntegration(integration_id):
            await client.delete_integration(integration_id)
        case _:
            assert_never(step)
