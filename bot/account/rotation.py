"""Rotating the webhook's secret without a lost delivery: from an account and the known secrets to the next step. Pure.

The platform generates the secret together with the webhook, and an integration has one webhook. So the webhook has to
be deleted and created anew, and two gaps have to be covered: events in between that no webhook delivers, and
deliveries with a secret that the bot does not know yet. A *relief* covers both: a second integration on the
switchboard, which stands by, hears every event as well and posts it to the same target. (A message that arrives twice
is stored once.) The order:

1. Create the relief, and write its secret into the settings beside the old one. The bot is restarted.
2. Delete the webhook, create it anew, and write the new secret into the settings. The bot is restarted.
3. Delete the relief, and keep only the new secret in the settings.

Each step can be read from the account, so a run after a crash continues where the last one stopped: the relief's name
holds a hash of the id of the webhook to be replaced.
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
    NoPlan,
    Ours,
    Step,
    is_relief,
)
from bot.account.reading import CUSTOM, Account, CustomIntegration, Member, Webhook
from bot.account.requirements import INTEGRATIONS, MOST_MEMBERS, MOST_WEBHOOKS, TRIGGERS

LONGEST_NAME: Final = 100


@dataclass(frozen=True, slots=True)
class Remember:
    """Write these webhook secrets into the settings."""

    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Go on with `then`, but only if the running bot accepts this webhook's secret."""

    webhook: Webhook
    then: Change | Remember


def next_step(account: Account, ours: Ours, known: Sequence[str]) -> Change | Remember | Ask:
    """Return the next step of a rotation, or its first one where none has begun.

    Args:
        account: as it was read just now.
        ours: what of it is the bot's.
        known: the webhook secrets in the settings.

    Returns:
        A change of the account, secrets to write, or a question to the running bot. The last step writes the webhook's
        secret alone; after it, a new rotation would begin.

    Raises:
        NoPlan: a person has to do something first.
    """
    if ours.integration is None or ours.member is None or account.board is None:
        raise NoPlan("the bot is not set up in this account: run `switchboard-bot setup` first")
    relief = relief_of(account, ours)
    webhook = ours.webhook
    if relief is None:
        return _begin(account, ours, webhook, known)
    if not relief.webhooks:
        raise NoPlan(f"the integration {relief.name} has lost its webhook: delete it ({INTEGRATIONS}), and begin again")
    if webhook is not None and relief.name.endswith(_mark(webhook)):
        return _let_go(account, ours.integration, webhook, relief, known)
    return _finish(account, ours.integration, webhook, relief, known)


def relief_of(account: Account, ours: Ours) -> CustomIntegration | None:
    """Return the integration that stands in while the webhook is replaced; None if no rotation has begun.

    Raises:
        NoPlan: there are several.
    """
    found = reliefs(account, ours.member)
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise NoPlan(f"the rotation was begun more than once: delete all but one of {names}: {INTEGRATIONS}")
    return found[0] if found else None


def reliefs(account: Account, member: Member | None) -> list[CustomIntegration]:
    """Return the integrations that stand in for the webhook of this switchboard integration: at most one, normally."""
    prefix = _prefix(member)
    return [one for one in account.customs if is_relief(one) and one.name.startswith(prefix)] if member else []


def _begin(account: Account, ours: Ours, webhook: Webhook | None, known: Sequence[str]) -> Change | Ask:
    if webhook is None:
        raise NoPlan("the bot's integration has no webhook: run `switchboard-bot setup` first")
    if not webhook.secret:
        raise NoPlan(f"the platform does not show the webhook's secret: rotate it by hand: {INTEGRATIONS}")
    if webhook.secret not in known:
        raise NoPlan("SUNSHINE_WEBHOOK_SECRET is not the webhook's: run `switchboard-bot setup` first")
    if len(known) > 1:  # what is left of a rotation
        return Ask(webhook, Remember((webhook.secret,)))
    if sum(len(one.webhooks) for one in account.customs) >= MOST_WEBHOOKS:
        raise NoPlan(f"the app has {MOST_WEBHOOKS} webhooks, and a rotation needs one more: delete one: {INTEGRATIONS}")
    if account.board and len(account.board.members) >= MOST_MEMBERS:
        raise NoPlan(f"the switchboard has {MOST_MEMBERS} switchboard integrations, and a rotation needs one more")
    name = f"{_prefix(ours.member)}{_mark(webhook)}"
    made = {"type": CUSTOM, "displayName": name, "webhooks": [_body(webhook)]}
    return Change(f"make the custom integration {name}, which hears every event as well", MakeIntegration(made))


def _let_go(
    account: Account, mine: CustomIntegration, old: Webhook, relief: CustomIntegration, known: Sequence[str]
) -> Change | Remember | Ask:
    """The old webhook is still there."""
    board = account.board
    if board and all(member.integration_id != relief.id for member in board.members):
        body = {"name": relief.name, "integrationId": relief.id, "deliverStandbyEvents": True}
        return Change(f"put {relief.name} on the switchboard, where it only stands by", MakeMember(board.id, body))
    (standing_in, *_) = relief.webhooks
    if standing_in.secret not in known:
        return Remember((*known, standing_in.secret))
    sentence = f"delete the webhook of {_named(mine)}, and its secret with it"
    return Ask(standing_in, Change(sentence, DeleteWebhook(mine.id, old.id)))


def _finish(
    account: Account,
    mine: CustomIntegration,
    webhook: Webhook | None,
    relief: CustomIntegration,
    known: Sequence[str],
) -> Change | Remember | Ask:
    """The old webhook is gone."""
    if webhook is None:
        body = _body(relief.webhooks[0])
        return Change(f"make the webhook of {_named(mine)} anew, with a new secret", MakeWebhook(mine.id, body))
    if webhook.secret not in known:
        return Remember((webhook.secret, *known))
    members = account.board.members if account.board else ()
    member = next((one for one in members if one.integration_id == relief.id), None)
    if member and account.board:
        step: Step = DeleteMember(account.board.id, member.id)
        return Ask(webhook, Change(f"take {relief.name} off the switchboard", step))
    return Ask(webhook, Change(f"delete the custom integration {relief.name}", DeleteIntegration(relief.id)))


def _prefix(member: Member | None) -> str:
    return f"{member.name[:LONGEST_NAME] if member else ''}-relief-"


def _mark(webhook: Webhook) -> str:
    return hashlib.sha256(webhook.id.encode()).hexdigest()[:8]


def _body(webhook: Webhook) -> dict[str, Any]:
    """A webhook like this one."""
    triggers = [*TRIGGERS, *sorted(webhook.triggers - {*TRIGGERS})]
    extras = {"includeFullUser": webhook.full_user, "includeFullSource": webhook.full_source}
    return {"target": webhook.target, "triggers": triggers, **{name: True for name, on in extras.items() if on}}


def _named(integration: CustomIntegration) -> str:
    return integration.name or integration.id
