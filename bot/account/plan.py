"""Plans the changes that an account needs, from a snapshot. Pure.

The plan includes changes that depend on earlier ones, such as a link to an integration that
does not exist yet. Only the first change can be applied as is; then the account is read and
planned again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from bot.account.reading import CUSTOM, Account, Board, CustomIntegration, Member, Webhook
from bot.account.requirements import INTEGRATIONS, MAX_MEMBERS, MAX_WEBHOOKS, TRIGGERS
from bot.settings import ControlMode

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_LATER: Final = ""
"""Placeholder for an id that an earlier change will create."""


class NoPlanError(Exception):
    """The bot can't plan the change. The message says what a person has to do."""


@dataclass(frozen=True, slots=True)
class DesiredSetup:
    """The desired set-up of an account.

    Attributes:
        mode: the account's Conversation control setting.
        target: the URL of the bot's webhook; "" leaves it unchanged.
        me: the switchboard integration in the settings; "" if unset.
        name: the name of a new integration and switchboard integration.
        default_responder: whether the bot should answer first.
    """

    mode: ControlMode
    target: str = ""
    me: str = ""
    name: str = "switchboard-bot"
    default_responder: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            rule = "use at most 100 letters, digits, - and _"
            raise ValueError(f"{self.name!r} is not a valid name: {rule}")


@dataclass(frozen=True, slots=True)
class MakeIntegration:
    """Create a custom integration with this request body."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MakeWebhook:
    """Create a webhook with this request body."""

    integration_id: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChangeWebhook:
    """Update a webhook with this request body."""

    integration_id: str
    webhook_id: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MakeSwitchboard:
    """Create the switchboard, empty and disabled."""


@dataclass(frozen=True, slots=True)
class ChangeSwitchboard:
    """Update the switchboard with this request body."""

    switchboard_id: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MakeMember:
    """Create a switchboard integration with this request body."""

    switchboard_id: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChangeMember:
    """Update a switchboard integration with this request body."""

    switchboard_id: str
    member_id: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteWebhook:
    """Delete a webhook."""

    integration_id: str
    webhook_id: str


@dataclass(frozen=True, slots=True)
class DeleteMember:
    """Delete a switchboard integration."""

    switchboard_id: str
    member_id: str


@dataclass(frozen=True, slots=True)
class DeleteIntegration:
    """Delete an integration with its webhook and its keys."""

    integration_id: str


Step = (
    MakeIntegration
    | MakeWebhook
    | ChangeWebhook
    | MakeSwitchboard
    | ChangeSwitchboard
    | MakeMember
    | ChangeMember
    | DeleteWebhook
    | DeleteMember
    | DeleteIntegration
)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the account.

    Attributes:
        sentence: a description for people; identical each time the change is planned.
        step: the API call.
        touches_others: whether it changes an object that others made or chose.
    """

    sentence: str
    step: Step
    touches_others: bool = False


@dataclass(frozen=True, slots=True)
class Ours:
    """The bot's objects in the account. `is_known`: identified by more than the name."""

    integration: CustomIntegration | None = None
    member: Member | None = None
    is_known: bool = True

    @property
    def webhook(self) -> Webhook | None:
        """The integration's webhook; there is at most one."""
        webhooks = self.integration.webhooks if self.integration else ()
        return webhooks[0] if webhooks else None


_RELIEF: Final = re.compile(r".+-relief-[0-9a-f]{8}")


def is_relief(integration: CustomIntegration) -> bool:
    """Return whether an integration is a relief webhook (see `bot.account.rotation`)."""
    return _RELIEF.fullmatch(integration.name) is not None


def plan(account: Account, desired: DesiredSetup) -> tuple[Change, ...]:
    """Return the missing changes, in order.

    Raises:
        NoPlanError: a person has to decide, or make room, first.
    """
    ours = find_ours(account, desired)
    return (*_integration(account, ours, desired), *_switchboard(account, ours, desired))


def find_ours(account: Account, desired: DesiredSetup) -> Ours:
    """Find the bot's objects by the settings, else by the webhook's target, else by name.

    Raises:
        NoPlanError: the objects are missing or ambiguous.
    """
    members = account.board.members if account.board else ()
    if desired.me and account.board and (member := account.board.named(desired.me)):
        if member.type != CUSTOM:
            raise NoPlanError(
                f"SUNSHINE_SWITCHBOARD_INTEGRATION: {member.name} has the type {member.type}, but "
                "the bot's must be custom: remove the line, or name another"
            )
        if integration := account.custom(member.integration_id):
            return Ours(integration, member)
        raise NoPlanError(
            f"the integration of the switchboard integration {member.name} is gone: delete it too, "
            "or use another name (--name), and remove SUNSHINE_SWITCHBOARD_INTEGRATION from the "
            "settings"
        )

    def linked(integration: CustomIntegration) -> Member | None:
        ids = (member for member in members if member.integration_id == integration.id)
        return next(ids, None)

    posting = list(account.posting_to(desired.target)) if desired.target else []
    posting = [one for one in posting if not is_relief(one)]
    candidates = [one for one in posting if linked(one)] or posting
    if len(candidates) > 1:
        names = ", ".join(f"{one.name or 'unnamed'} ({one.id})" for one in candidates)
        reason = f"several integrations post to {desired.target}: {names}"
        raise NoPlanError(f"{reason}. Delete all but one: {INTEGRATIONS}")
    if candidates:
        return Ours(candidates[0], linked(candidates[0]))
    for member in members:
        if member.name != desired.name or member.type != CUSTOM:
            continue
        if found := account.custom(member.integration_id):
            return Ours(found, member, is_known=False)
    named = [one for one in account.customs if one.name == desired.name]
    if len(named) > 1:
        hint = "use another name (--name), or delete all but one"
        raise NoPlanError(f"several integrations are called {desired.name}: {hint}")
    return Ours(named[0], linked(named[0]), is_known=False) if named else Ours()


def _integration(account: Account, ours: Ours, desired: DesiredSetup) -> Iterator[Change]:
    body = {
        "target": desired.target,
        "triggers": list(TRIGGERS),
        "includeFullUser": True,  # for `chat.user`
    }
    found, webhook = ours.integration, ours.webhook
    if webhook is None and not desired.target:
        raise NoPlanError("--public-url: give the bot's public URL, such as https://bot.example.com")
    number = sum(len(one.webhooks) for one in account.customs)
    if webhook is None and number >= MAX_WEBHOOKS:
        reason = f"the app has {MAX_WEBHOOKS} webhooks, which is the maximum"
        raise NoPlanError(f"{reason}: delete one: {INTEGRATIONS}")
    if found is None:
        made = {"type": CUSTOM, "displayName": desired.name, "webhooks": [body]}
        sentence = f"create the custom integration {desired.name}, with a webhook to {desired.target}"
        yield Change(sentence, MakeIntegration(made))
    elif webhook is None:
        name = found.name or found.id
        sentence = f"create a webhook to {desired.target} for the integration {name}"
        step = MakeWebhook(found.id, body)
        yield Change(sentence, step, touches_others=not ours.is_known)
    else:
        yield from _webhook(found, webhook, ours, desired)


def _webhook(
    found: CustomIntegration,
    webhook: Webhook,
    ours: Ours,
    desired: DesiredSetup,
) -> Iterator[Change]:
    name = found.name or found.id
    if desired.target and webhook.target != desired.target:
        sentence = f"point the webhook of {name} to {desired.target} instead of {webhook.target}"
        step = ChangeWebhook(found.id, webhook.id, {"target": desired.target})
        yield Change(sentence, step, touches_others=True)
    if missing := [trigger for trigger in TRIGGERS if trigger not in webhook.triggers]:
        triggers = [*sorted(webhook.triggers), *missing]
        sentence = f"add {', '.join(missing)} to the triggers of the webhook of {name}"
        step = ChangeWebhook(found.id, webhook.id, {"triggers": triggers})
        yield Change(sentence, step, touches_others=not ours.is_known)


def _switchboard(account: Account, ours: Ours, desired: DesiredSetup) -> Iterator[Change]:
    board = account.board or Board(_LATER, False, None, ())
    me = ours.member
    if account.board is None:
        yield Change("create the app's switchboard", MakeSwitchboard())
    if me is None:
        me = _new_member(board, ours, desired)
        made = {
            "name": me.name,
            "integrationId": me.integration_id,
            "deliverStandbyEvents": True,
        }
        yield Change(f"add the bot to the switchboard, as {me.name}", MakeMember(board.id, made))
    elif not me.hears_standby:
        sentence = f"deliver events to {me.name} while others are active"
        step = ChangeMember(board.id, me.id, {"deliverStandbyEvents": True})
        yield Change(sentence, step, touches_others=not ours.is_known)
    yield from _next(board, me, desired)
    yield from _first(account, board, me, desired)


def _new_member(board: Board, ours: Ours, desired: DesiredSetup) -> Member:
    if len(board.members) >= MAX_MEMBERS:
        reason = f"the switchboard has {MAX_MEMBERS} switchboard integrations"
        raise NoPlanError(f"{reason}, which is the maximum: delete one")
    if board.named(desired.name):
        reason = f"another switchboard integration is called {desired.name}"
        raise NoPlanError(f"{reason}: use another name (--name)")
    integration_id = ours.integration.id if ours.integration else _LATER
    return Member(_LATER, desired.name, integration_id, CUSTOM, hears_standby=True, next_id=None)


def _next(board: Board, me: Member, desired: DesiredSetup) -> Iterator[Change]:
    """In pass mode: agents after the bot, the bot after agents. In any mode: break a loop."""
    desk = board.workspace
    is_circle = me.next_id is not None and me.next_id == me.id
    if desk is None or (desired.mode is not ControlMode.PASS and not is_circle):
        return
    if me.next_id != desk.id:
        yield Change(
            f"set the next of {me.name} to {desk.name} (now: {_named(board, me.next_id)})",
            ChangeMember(board.id, me.id, {"nextSwitchboardIntegrationId": desk.id}),
            touches_others=me.next_id is not None and not is_circle,
        )
    if desired.mode is ControlMode.PASS and (desk.next_id is None or desk.next_id != me.id):
        yield Change(
            f"set the next of {desk.name} to {me.name}, so that it gets finished conversations "
            f"(now: {_named(board, desk.next_id)})",
            ChangeMember(board.id, desk.id, {"nextSwitchboardIntegrationId": me.id}),
            touches_others=True,
        )


def _first(account: Account, board: Board, me: Member, desired: DesiredSetup) -> Iterator[Change]:
    """Set the default responder, which an enabled switchboard requires."""
    is_first = board.default_id is not None and board.default_id == me.id
    has_first = board.by_id(board.default_id) is not None
    if not is_first and (desired.default_responder or not has_first):
        yield Change(
            f"let {me.name} answer first in every new conversation (now: {_named(board, board.default_id)})",
            ChangeSwitchboard(board.id, {"defaultSwitchboardIntegrationId": me.id}),
            touches_others=board.default_id is not None,
        )
    if not board.enabled:
        yield Change(
            "enable the switchboard",
            ChangeSwitchboard(board.id, {"enabled": True}),
            touches_others=account.board is not None,
        )


def _named(board: Board, member_id: str | None) -> str:
    found = board.by_id(member_id)
    return found.name if found else "nobody"
