"""Carries a plan out: one change after the other, each proven by reading the account again."""

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
    MakeIntegration,
    MakeMember,
    MakeSwitchboard,
    MakeWebhook,
    Step,
    Wishes,
    plan,
)
from bot.account.reading import Account, read_account
from bot.sunshine import SunshineClient, SunshineError, Unclear

LOOKS: Final = (timedelta(0), timedelta(seconds=1), timedelta(seconds=2), timedelta(seconds=4))
"""The pauses before each look at whether a change shows: what was just written may be read late."""

MOST_CHANGES: Final = 30


class NotApplied(Exception):
    """A change could not be made, or does not show; the text says which. All before it are done, and stay."""


async def apply(
    client: SunshineClient,
    account: Account,
    wishes: Wishes,
    *,
    agreed: Collection[str],
    done: Callable[[Change], None],
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Account:
    """Make all changes that are still missing.

    Args:
        client: with an app-scoped key.
        account: as it was read just now.
        wishes: what is to be.
        agreed: the sentences of the changes that were agreed to; others are made only where they touch nobody else.
        done: told of each change that shows.
        pause: waits so many seconds.

    Returns:
        The account as it is then.

    Raises:
        NotApplied: it did not get there. To be tried again as a whole: it goes on where it stopped.
        NoPlan: somebody has changed the account meanwhile, and a person has to decide.
        SunshineError: the account can't be read.
    """
    for _ in range(MOST_CHANGES):
        changes = plan(account, wishes)
        if not changes:
            return account
        change = changes[0]
        if change.touches_others and change.sentence not in agreed:
            raise NotApplied(f"somebody has changed the account meanwhile; it would be needed to {change.sentence}")
        account = await make(client, change, partial(_is_not_planned, change.sentence, wishes), pause)
        done(change)
    raise NotApplied("somebody else is changing the account at the same time")


def _is_not_planned(sentence: str, wishes: Wishes, account: Account) -> bool:
    return all(one.sentence != sentence for one in plan(account, wishes))


async def make(
    client: SunshineClient,
    change: Change,
    shows: Callable[[Account], bool],
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Account:
    """Make a change and see that it shows. It is called only once: an unclear answer is settled by reading.

    Args:
        client: with an app-scoped key.
        change: what to do.
        shows: is it done, in an account as it is read afterwards?
        pause: waits so many seconds.

    Returns:
        The account as it is then.

    Raises:
        NotApplied: it was refused, or does not show.
        SunshineError: the account can't be read.
    """
    unclear: SunshineError | None = None
    try:
        await _call(client, change.step)
    except Unclear as error:
        unclear = error
    except SunshineError as error:
        raise NotApplied(f"could not {change.sentence}: {error}{_title(error)}") from error
    for wait in LOOKS:
        await pause(wait.total_seconds())
        account = await read_account(client)
        if shows(account):
            return account
    why = str(unclear) if unclear else "the platform said yes, but it does not show"
    raise NotApplied(f"could not {change.sentence}: {why}")


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
