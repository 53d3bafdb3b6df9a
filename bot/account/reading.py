"""Reads a snapshot of an account: app, channels, custom integrations and switchboard."""

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
    """A webhook of an integration."""

    id: str
    target: str
    triggers: frozenset[str]
    secret: str = field(repr=False)
    full_user: bool = False
    full_source: bool = False


@dataclass(frozen=True, slots=True)
class CustomIntegration:
    """A custom integration. `name` is the display name, and may be empty."""

    id: str
    name: str
    webhooks: tuple[Webhook, ...] = ()


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel. `responder` is the name of its own default responder; "" if it has none."""

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
        """Return the switchboard integration with this id."""
        return next((member for member in self.members if member.id == member_id), None)

    def named(self, name: str) -> Member | None:
        """Return the switchboard integration with this id, else with this name."""
        found = (member for member in self.members if member.name == name)
        return self.by_id(name) or next(found, None)

    def target(self, name: str) -> Member | None:
        """Resolve a passControl target: id, name or type, not `next` (docs/platform.md, 2)."""
        found = (member for member in self.members if member.type == name)
        return self.named(name) or next(found, None)

    @property
    def workspace(self) -> Member | None:
        """The switchboard integration of the agent workspace."""
        found = (member for member in self.members if member.type == AGENT_WORKSPACE)
        return next(found, None)


@dataclass(frozen=True, slots=True)
class Account:
    """A snapshot of an account.

    Attributes:
        app_id: the app's id.
        settings: the app's settings, by their names in the API.
        channels: the channels.
        customs: the custom integrations with their webhooks.
        board: the switchboard; None if there is none yet.
    """

    app_id: str
    settings: Mapping[str, Any]
    channels: tuple[Channel, ...]
    customs: tuple[CustomIntegration, ...]
    board: Board | None

    def custom(self, integration_id: str) -> CustomIntegration | None:
        """Return the custom integration with this id."""
        return next((one for one in self.customs if one.id == integration_id), None)

    def posting_to(self, target: str) -> tuple[CustomIntegration, ...]:
        """Return the custom integrations that have a webhook with this target."""
        return tuple(one for one in self.customs if any(webhook.target == target for webhook in one.webhooks))


async def read_account(client: SunshineClient) -> Account:
    """Read the account with an app-scoped key.

    Raises:
        SunshineError: a read failed; `NotOurs` if the key is not app-scoped.
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
            webhooks = await read_webhooks(client, id_)
            customs.append(CustomIntegration(id_, _name(integration), webhooks))
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
    """Read the webhooks of an integration; also with its own key. Raises `SunshineError`."""
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
    id_ = text("list_integrations", integration, "id")
    return Channel(id_, type_, _name(integration), responder)


def _name(integration: Resource) -> str:
    return _maybe(integration, "displayName") or ""


def _maybe(resource: Resource, name: str) -> str | None:
    value = resource.get(name)
    return value if isinstance(value, str) and value else None
