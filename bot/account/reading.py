"""What an account is: one snapshot of app, channels, custom integrations and switchboard, read over the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bot.sunshine import Resource, SunshineClient
from bot.sunshine.readings import text

AGENT_WORKSPACE: Final = "zd:agentWorkspace"
CUSTOM: Final = "custom"
WEB: Final = "web"
_FIRST_PARTY: Final = ("zd:", "ultimate")


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where an integration's events go."""

    id: str
    target: str
    triggers: frozenset[str]
    secret: str = field(repr=False)
    full_user: bool = False
    full_source: bool = False


@dataclass(frozen=True, slots=True)
class CustomIntegration:
    """A custom integration; `name` is for people, and may be empty."""

    id: str
    name: str
    webhooks: tuple[Webhook, ...] = ()


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel on which people write; `responder` is the name of its own default responder, "" where it has none."""

    id: str
    type: str
    name: str
    responder: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """A switchboard integration."""

    id: str
    name: str
    integration_id: str
    type: str
    hears_standby: bool
    next_id: str | None


@dataclass(frozen=True, slots=True)
class Board:
    """The app's switchboard."""

    id: str
    enabled: bool
    default_id: str | None
    members: tuple[Member, ...]

    def by_id(self, member_id: str | None) -> Member | None:
        """The switchboard integration with this id."""
        return next((member for member in self.members if member.id == member_id), None)

    def named(self, name: str) -> Member | None:
        """The switchboard integration with this id or name, as the bot recognises itself by it."""
        return self.by_id(name) or next((member for member in self.members if member.name == name), None)

    def target(self, name: str) -> Member | None:
        """Whom passControl means by this id, name or type (docs/platform.md, 2); not for `next`."""
        return self.named(name) or next((member for member in self.members if member.type == name), None)

    @property
    def workspace(self) -> Member | None:
        """The agent workspace."""
        return next((member for member in self.members if member.type == AGENT_WORKSPACE), None)


@dataclass(frozen=True, slots=True)
class Account:
    """An account at one moment.

    Attributes:
        app_id: the app.
        settings: the app's settings, as the API names them.
        channels: where people write.
        customs: the custom integrations, each with its webhooks.
        board: the switchboard; None where there is none yet.
    """

    app_id: str
    settings: Mapping[str, Any]
    channels: tuple[Channel, ...]
    customs: tuple[CustomIntegration, ...]
    board: Board | None

    def custom(self, integration_id: str) -> CustomIntegration | None:
        """The custom integration with this id."""
        return next((one for one in self.customs if one.id == integration_id), None)

    def posting_to(self, target: str) -> tuple[CustomIntegration, ...]:
        """The custom integrations that have a webhook with this target."""
        return tuple(one for one in self.customs if any(webhook.target == target for webhook in one.webhooks))


async def read_account(client: SunshineClient) -> Account:
    """Read all of it, with an app-scoped key.

    Raises:
        SunshineError: one of the reads failed; `NotOurs` where the key is not app-scoped.
    """
    app = await client.get_app()
    settings = app.get("settings")
    channels: list[Channel] = []
    customs: list[CustomIntegration] = []
    board = await _read_board(client)
    systems = {member.integration_id for member in board.members} if board else set()
    for integration in await client.list_integrations():
        type_, id_ = (text("list_integrations", integration, name) for name in ("type", "id"))
        if type_ == CUSTOM:
            customs.append(CustomIntegration(id_, _name(integration), await read_webhooks(client, id_)))
        elif not type_.startswith(_FIRST_PARTY) and id_ not in systems:
            channels.append(_channel(integration, type_))
    return Account(
        app_id=text("get_app", app, "id"),
        settings=settings if isinstance(settings, Mapping) else {},
        channels=tuple(channels),
        customs=tuple(customs),
        board=board,
    )


async def read_webhooks(client: SunshineClient, integration_id: str) -> tuple[Webhook, ...]:
    """The webhooks of an integration; its own key may ask, too. Raises `SunshineError`."""
    action = "list_webhooks"
    return tuple(
        Webhook(
            id=text(action, webhook, "id"),
            target=text(action, webhook, "target"),
            triggers=frozenset(map(str, webhook.get("triggers") or ())),
            secret=str(webhook.get("secret") or ""),
            full_user=webhook.get("includeFullUser") is True,
            full_source=webhook.get("includeFullSource") is True,
        )
        for webhook in await client.list_webhooks(integration_id)
    )


async def _read_board(client: SunshineClient) -> Board | None:
    boards = await client.list_switchboards()
    if not boards:
        return None
    id_ = text("list_switchboards", boards[0], "id")
    return Board(
        id=id_,
        enabled=boards[0].get("enabled") is True,
        default_id=_maybe(boards[0], "defaultSwitchboardIntegrationId"),
        members=tuple(map(_member, await client.list_switchboard_integrations(id_))),
    )


def _member(member: Resource) -> Member:
    action = "list_switchboard_integrations"
    return Member(
        id=text(action, member, "id"),
        name=text(action, member, "name"),
        integration_id=_maybe(member, "integrationId") or "",
        type=_maybe(member, "integrationType") or "",
        hears_standby=member.get("deliverStandbyEvents") is not False,
        next_id=_maybe(member, "nextSwitchboardIntegrationId"),
    )


def _channel(integration: Resource, type_: str) -> Channel:
    match integration.get("defaultResponder"):
        case {"inherited": False, "name": str(name)}:
            responder = name
        case _:
            responder = ""
    return Channel(text("list_integrations", integration, "id"), type_, _name(integration), responder)


def _name(integration: Resource) -> str:
    return _maybe(integration, "displayName") or ""


def _maybe(resource: Resource, name: str) -> str | None:
    value = resource.get(name)
    return value if isinstance(value, str) and value else None
