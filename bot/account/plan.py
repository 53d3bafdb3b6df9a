"""What has to be changed in an account so that the bot can work there: from a snapshot to a list of changes. Pure.

Changes that rest on others (a link to an integration that is still to be made) are listed as well. Only the first one
can be carried out as it stands; after it, the account is read and planned again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from bot.account.reading import CUSTOM, Account, Board, CustomIntegration, Member, Webhook
from bot.account.requirements import INTEGRATIONS, MOST_MEMBERS, MOST_WEBHOOKS, TRIGGERS
from bot.settings import ControlMode

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_LATER: Final = ""
"""In place of an id that is known only once an earlier change is done."""


class NoPlan(Exception):
    """There is no way that the bot can find by itself; the text says what a person has to do."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be.

    Attributes:
        mode: the account's Conversation control setting.
        target: the URL of the bot's webhook; "" to leave it where it is.
        me: the switchboard integration that the settings name; "" if they don't.
        name: what integration and switchboard integration are called where they have to be made.
        default_responder: is the bot to answer first?
    """

    mode: ControlMode
    target: str = ""
    me: str = ""
    name: str = "switchboard-bot"
    default_responder: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} can't be a name: letters, digits, - and _, at most 100 of them")


@dataclass(frozen=True, slots=True)
class MakeIntegration:
    """`body` as the API takes it."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MakeWebhook:
    """`body` as the API takes it."""

    integration_id: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChangeWebhook:
    """`body` as the API takes it."""

    integration_id: str
    webhook_id: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MakeSwitchboard:
    """An empty one, not enabled yet."""


@dataclass(frozen=True, slots=True)
class ChangeSwitchboard:
    """`body` as the API takes it."""

    switchboard_id: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MakeMember:
    """`body` as the API takes it."""

    switchboard_id: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChangeMember:
    """`body` as the API takes it."""

    switchboard_id: str
    member_id: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteWebhook:
    """Nothing is delivered by it any more."""

    integration_id: str
    webhook_id: str


@dataclass(frozen=True, slots=True)
class DeleteMember:
    """Take an integration off the switchboard."""

    switchboard_id: str
    member_id: str


@dataclass(frozen=True, slots=True)
class DeleteIntegration:
    """With its webhook and its keys."""

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
    """One change.

    Attributes:
        sentence: says it to a person; the same change has the same sentence each time it is planned.
        step: what to call.
        touches_others: does it change what somebody else has made or chosen?
    """

    sentence: str
    step: Step
    touches_others: bool = False


@dataclass(frozen=True, slots=True)
class Ours:
    """What of the account is the bot's. `is_known`: by its settings or its target, and not just by its name."""

    integration: CustomIntegration | None = None
    member: Member | None = None
    is_known: bool = True

    @property
    def webhook(self) -> Webhook | None:
        """The integration's webhook; it can have only one."""
        return self.integration.webhooks[0] if self.integration and self.integration.webhooks else None


_RELIEF: Final = re.compile(r".+-relief-[0-9a-f]{8}")


def is_relief(integration: CustomIntegration) -> bool:
    """Tell whether an integration stands in while a webhook is changed (see `bot.account.rotation`)."""
    return _RELIEF.fullmatch(integration.name) is not None


def plan(account: Account, wishes: Wishes) -> tuple[Change, ...]:
    """The changes, in the order in which they are to be made; none where all is as it should be.

    Raises:
        NoPlan: a person has to decide or to make room first.
    """
    ours = find_ours(account, wishes)
    return (*_integration(account, ours, wishes), *_switchboard(account, ours, wishes))


def find_ours(account: Account, wishes: Wishes) -> Ours:
    """What of the account is the bot's: by the settings, else by the webhook's target, else by the name.

    Raises:
        NoPlan: it can't be told which one it is.
    """
    members = account.board.members if account.board else ()
    if wishes.me and account.board and (member := account.board.named(wishes.me)):
        if member.type != CUSTOM:
            raise NoPlan(
                f"SUNSHINE_SWITCHBOARD_INTEGRATION: {member.name} is of the type {member.type}, and the bot's own has "
                "to be a custom one: take the line out, or name another"
            )
        if integration := account.custom(member.integration_id):
            return Ours(integration, member)
        raise NoPlan(
            f"the integration of the switchboard integration {member.name} is gone: delete that one, too, or use "
            "another name (--name), and take SUNSHINE_SWITCHBOARD_INTEGRATION out of the settings"
        )

    def linked(integration: CustomIntegration) -> Member | None:
        return next((member for member in members if member.integration_id == integration.id), None)

    posting = [one for one in account.posting_to(wishes.target) if not is_relief(one)] if wishes.target else []
    candidates = [one for one in posting if linked(one)] or posting
    if len(candidates) > 1:
        names = ", ".join(f"{one.name or 'unnamed'} ({one.id})" for one in candidates)
        raise NoPlan(f"several integrations post to {wishes.target}: {names}. Delete all but one: {INTEGRATIONS}")
    if candidates:
        return Ours(candidates[0], linked(candidates[0]))
    for member in members:
        if member.name == wishes.name and member.type == CUSTOM and (found := account.custom(member.integration_id)):
            return Ours(found, member, is_known=False)
    named = [one for one in account.customs if one.name == wishes.name]
    if len(named) > 1:
        raise NoPlan(f"several integrations are called {wishes.name}: use another name (--name), or delete all but one")
    return Ours(named[0], linked(named[0]), is_known=False) if named else Ours()


def _integration(account: Account, ours: Ours, wishes: Wishes) -> Iterator[Change]:
    body = {"target": wishes.target, "triggers": list(TRIGGERS), "includeFullUser": True}  # for `chat.user`
    found, webhook = ours.integration, ours.webhook
    if webhook is None and not wishes.target:
        raise NoPlan(
            "--public-url: give the URL at which the platform reaches the bot, such as https://bot.example.com"
        )
    if webhook is None and sum(len(one.webhooks) for one in account.customs) >= MOST_WEBHOOKS:
        raise NoPlan(f"the app has {MOST_WEBHOOKS} webhooks, and can't have more: delete one: {INTEGRATIONS}")
    if found is None:
        made = {"type": CUSTOM, "displayName": wishes.name, "webhooks": [body]}
        sentence = f"make the custom integration {wishes.name}, with a webhook to {wishes.target}"
        yield Change(sentence, MakeIntegration(made))
    elif webhook is None:
        name = found.name or found.id
        sentence = f"give the integration {name} a webhook to {wishes.target}"
        yield Change(sentence, MakeWebhook(found.id, body), touches_others=not ours.is_known)
    else:
        yield from _webhook(found, webhook, ours, wishes)


def _webhook(found: CustomIntegration, webhook: Webhook, ours: Ours, wishes: Wishes) -> Iterator[Change]:
    name = found.name or found.id
    if wishes.target and webhook.target != wishes.target:
        sentence = f"let the webhook of {name} post to {wishes.target}, and no longer to {webhook.target}"
        yield Change(sentence, ChangeWebhook(found.id, webhook.id, {"target": wishes.target}), touches_others=True)
    if missing := [trigger for trigger in TRIGGERS if trigger not in webhook.triggers]:
        triggers = [*sorted(webhook.triggers), *missing]
        sentence = f"tell the webhook of {name} of {', '.join(missing)} as well"
        step = ChangeWebhook(found.id, webhook.id, {"triggers": triggers})
        yield Change(sentence, step, touches_others=not ours.is_known)


def _switchboard(account: Account, ours: Ours, wishes: Wishes) -> Iterator[Change]:
    board = account.board or Board(_LATER, False, None, ())
    me = ours.member
    if account.board is None:
        yield Change("make the app's switchboard", MakeSwitchboard())
    if me is None:
        me = _new_member(board, ours, wishes)
        made = {"name": me.name, "integrationId": me.integration_id, "deliverStandbyEvents": True}
        yield Change(f"put the bot on the switchboard, as {me.name}", MakeMember(board.id, made))
    elif not me.hears_standby:
        sentence = f"let {me.name} hear what happens while others are active"
        step = ChangeMember(board.id, me.id, {"deliverStandbyEvents": True})
        yield Change(sentence, step, touches_others=not ours.is_known)
    yield from _next(board, me, wishes)
    yield from _first(account, board, me, wishes)


def _new_member(board: Board, ours: Ours, wishes: Wishes) -> Member:
    if len(board.members) >= MOST_MEMBERS:
        raise NoPlan(f"the switchboard has {MOST_MEMBERS} switchboard integrations, and can't have more: delete one")
    if board.named(wishes.name):
        raise NoPlan(f"another switchboard integration is called {wishes.name}: use another name (--name)")
    integration_id = ours.integration.id if ours.integration else _LATER
    return Member(_LATER, wishes.name, integration_id, CUSTOM, hears_standby=True, next_id=None)


def _next(board: Board, me: Member, wishes: Wishes) -> Iterator[Change]:
    """In pass mode: first agents, then the bot. The bot after itself is a circle in either mode."""
    desk = board.workspace
    is_circle = me.next_id is not None and me.next_id == me.id
    if desk is None or (wishes.mode is not ControlMode.PASS and not is_circle):
        return
    if me.next_id != desk.id:
        yield Change(
            f"let {desk.name} come after {me.name} (so far: {_named(board, me.next_id)})",
            ChangeMember(board.id, me.id, {"nextSwitchboardIntegrationId": desk.id}),
            touches_others=me.next_id is not None and not is_circle,
        )
    if wishes.mode is ControlMode.PASS and (desk.next_id is None or desk.next_id != me.id):
        yield Change(
            f"let {me.name} come after {desk.name}, so that it gets what agents are done with "
            f"(so far: {_named(board, desk.next_id)})",
            ChangeMember(board.id, desk.id, {"nextSwitchboardIntegrationId": me.id}),
            touches_others=True,
        )


def _first(account: Account, board: Board, me: Member, wishes: Wishes) -> Iterator[Change]:
    """Who answers first; a switchboard can be enabled only where somebody does."""
    is_first = board.default_id is not None and board.default_id == me.id
    if not is_first and (wishes.default_responder or board.by_id(board.default_id) is None):
        yield Change(
            f"let {me.name} answer first in every new conversation (so far: {_named(board, board.default_id)})",
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
