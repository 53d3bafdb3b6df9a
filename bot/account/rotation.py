"""Plans the rotation of the webhook's secret without losing a delivery. Pure.

The platform generates the secret with the webhook, and an integration has only one webhook.
So the webhook must be deleted and recreated, which leaves two gaps: events that no webhook
delivers, and deliveries with a secret that the bot does not know yet. A *relief* covers both:
a second integration on the switchboard that stands by, gets every event too, and posts it to
the same target. (A message that arrives twice is stored once.) The order:

1. Create the relief, and add its secret to the settings. Restart the bot.
2. Delete the webhook, recreate it, and add the new secret to the settings. Restart the bot.
3. Delete the relief, and keep only the new secret in the settings.

Each step shows in the account, so a run after a crash continues where the last one stopped:
the relief's name contains a hash of the id of the webhook to be replaced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bot.account.plan import (
    Change,
    DeleteIntegration,
    DeleteMember,
    DeleteWebhook,
    MakeIntegration,
    MakeMember,
    MakeWebhook,
    NoPlanError,
    Ours,
    Step,
    is_relief,
)
from bot.account.reading import CUSTOM, Account, CustomIntegration, Member, Webhook
from bot.account.requirements import INTEGRATIONS, MAX_MEMBERS, MAX_WEBHOOKS, TRIGGERS

MAX_NAME_LENGTH: Final = 100


@dataclass(frozen=True, slots=True)
class Remember:
    """Write these webhook secrets to the settings."""

    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Continue with `then`, but only if the running bot accepts this webhook's secret."""

    webhook: Webhook
    then: Change | Remember


def next_step(account: Account, ours: Ours, known: Sequence[str]) -> Change | Remember | Ask:
    """Return the next step of a rotation; the first step if none has begun.

    Args:
        account: the account as just read.
        ours: the bot's objects in it.
        known: the webhook secrets in the settings.

    Returns:
        A change of the account, secrets to write, or a check of the running bot. The last step
        writes only the webhook's secret; after it, a new rotation would begin.

    Raises:
        NoPlanError: a person has to do something first.
    """
    if ours.integration is None or ours.member is None or account.board is None:
        raise NoPlanError("the bot is not set up in this account: run `switchboard-bot setup` first")
    relief = relief_of(account, ours)
    webhook = ours.webhook
    if relief is None:
        return _begin(account, ours, webhook, known)
    if not relief.webhooks:
        reason = f"the integration {relief.name} has lost its webhook"
        raise NoPlanError(f"{reason}: delete it ({INTEGRATIONS}), and start again")
    # The relief's name tells whether the old webhook still exists.
    if webhook is not None and relief.name.endswith(_mark(webhook)):
        return _replace_old(account, ours.integration, webhook, relief, known)
    return _create_new(account, ours.integration, webhook, relief, known)


def relief_of(account: Account, ours: Ours) -> CustomIntegration | None:
    """Return the relief of the webhook being replaced; None if no rotation has begun.

    Raises:
        NoPlanError: there are several reliefs.
    """
    found = reliefs(account, ours.member)
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        reason = "the rotation was started more than once"
        raise NoPlanError(f"{reason}: delete all but one of {names}: {INTEGRATIONS}")
    return found[0] if found else None


def reliefs(account: Account, member: Member | None) -> list[CustomIntegration]:
    """Return the reliefs of this switchboard integration's webhook: normally at most one."""
    if member is None:
        return []
    prefix = _prefix(member)
    return [one for one in account.customs if is_relief(one) and one.name.startswith(prefix)]


def _begin(
    account: Account,
    ours: Ours,
    webhook: Webhook | None,
    known: Sequence[str],
) -> Change | Ask:
    if webhook is None:
        raise NoPlanError("the bot's integration has no webhook: run `switchboard-bot setup` first")
    if not webhook.secret:
        reason = "the platform does not show the webhook's secret"
        raise NoPlanError(f"{reason}: rotate it by hand: {INTEGRATIONS}")
    if webhook.secret not in known:
        reason = "SUNSHINE_WEBHOOK_SECRET differs from the webhook's secret"
        raise NoPlanError(f"{reason}: run `switchboard-bot setup` first")
    if len(known) > 1:  # left over from a rotation
        return Ask(webhook, Remember((webhook.secret,)))
    if sum(len(one.webhooks) for one in account.customs) >= MAX_WEBHOOKS:
        reason = f"the app has {MAX_WEBHOOKS} webhooks, and a rotation needs one more"
        raise NoPlanError(f"{reason}: delete one: {INTEGRATIONS}")
    if account.board and len(account.board.members) >= MAX_MEMBERS:
        reason = f"the switchboard has {MAX_MEMBERS} switchboard integrations"
        raise NoPlanError(f"{reason}, and a rotation needs one more")
    name = f"{_prefix(ours.member)}{_mark(webhook)}"
    made = {"type": CUSTOM, "displayName": name, "webhooks": [_body(webhook)]}
    sentence = f"create the custom integration {name}, which gets every event too"
    return Change(sentence, MakeIntegration(made))


def _replace_old(
    account: Account,
    mine: CustomIntegration,
    old: Webhook,
    relief: CustomIntegration,
    known: Sequence[str],
) -> Change | Remember | Ask:
    """Return the next step while the old webhook exists."""
    board = account.board
    if board and all(member.integration_id != relief.id for member in board.members):
        body = {"name": relief.name, "integrationId": relief.id, "deliverStandbyEvents": True}
        sentence = f"add {relief.name} to the switchboard, where it only stands by"
        return Change(sentence, MakeMember(board.id, body))
    (standing_in, *_) = relief.webhooks
    if standing_in.secret not in known:
        return Remember((*known, standing_in.secret))
    sentence = f"delete the webhook of {_named(mine)} and its secret"
    return Ask(standing_in, Change(sentence, DeleteWebhook(mine.id, old.id)))


def _create_new(
    account: Account,
    mine: CustomIntegration,
    webhook: Webhook | None,
    relief: CustomIntegration,
    known: Sequence[str],
) -> Change | Remember | Ask:
    """Return the next step after the old webhook was deleted."""
    if webhook is None:
        body = _body(relief.webhooks[0])
        sentence = f"recreate the webhook of {_named(mine)}, with a new secret"
        return Change(sentence, MakeWebhook(mine.id, body))
    if webhook.secret not in known:
        return Remember((webhook.secret, *known))
    members = account.board.members if account.board else ()
    member = next((one for one in members if one.integration_id == relief.id), None)
    if member and account.board:
        step: Step = DeleteMember(account.board.id, member.id)
        return Ask(webhook, Change(f"remove {relief.name} from the switchboard", step))
    sentence = f"delete the custom integration {relief.name}"
    return Ask(webhook, Change(sentence, DeleteIntegration(relief.id)))


def _prefix(member: Member | None) -> str:
    return f"{member.name[:MAX_NAME_LENGTH] if member else ''}-relief-"


def _mark(webhook: Webhook) -> str:
    return hashlib.sha256(webhook.id.encode()).hexdigest()[:8]


def _body(webhook: Webhook) -> dict[str, Any]:
    """Return the request body for a copy of a webhook."""
    triggers = [*TRIGGERS, *sorted(webhook.triggers - {*TRIGGERS})]
    extras = {"includeFullUser": webhook.full_user, "includeFullSource": webhook.full_source}
    enabled = {name: True for name, is_on in extras.items() if is_on}
    return {"target": webhook.target, "triggers": triggers, **enabled}


def _named(integration: CustomIntegration) -> str:
    return integration.name or integration.id
