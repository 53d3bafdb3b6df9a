"""The facts that `doctor` gathers, before any judgement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.account.reading import Account, Member, Webhook
from bot.settings import Settings
from bot.sunshine import Resource, SunshineError
from bot.troubles import What


@dataclass(frozen=True, slots=True)
class Platform:
    """The service at the base URL.

    Attributes:
        problem: why it is not the API; empty if it is.
        clock_ahead: how far this machine's clock is ahead of the platform's; None if unknown.
        way: how it is reached, such as "directly".
    """

    problem: str = ""
    clock_ahead: timedelta | None = None
    way: str = "directly"


@dataclass(frozen=True, slots=True)
class Target:
    """The HTTP statuses of the webhook's target; None for requests that were not made.

    Attributes:
        problem: why the connection failed; empty if it did not.
        health: status of `GET …/healthz`; None also if the target's path is not the bot's.
        without_key: status of an empty delivery without a secret.
        with_key: status of an empty delivery with the webhook's secret.
    """

    problem: str = ""
    health: int | None = None
    without_key: int | None = None
    with_key: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts.

    Attributes:
        settings: the settings, with placeholders for unusable ones.
        problems: error messages by name of the setting, in lower case.
        webhook_path: the path where the bot receives deliveries.
        platform: the service at the base URL; None if not requested.
        account: the account as the app key sees it, or the error; None without an app key.
        own: the webhooks as the integration's key sees them, or the error; None without one.
        keys: the keys of the bot's integration; None if they can't be read.
        target: the answers of the webhook's target; None if no webhook is known.
        database: the database's problem; empty if there is none.
        mismatched: times of recent conversations where the platform acted as in the other
            control mode.
        flows: the problems of the flows; empty if there are none.
        troubles: ongoing troubles of the bot on this machine; None if unknown.
        opens: whether there is an opening flow or a router.
        unknown: messages about misspelt setting names.
        waiting: number of conversations with a running flow that were checked.
        unfit: a line per checked conversation whose journal does not fit the flows.
        has_lifespan: whether the flows have a lifespan. If so, none was checked.
    """

    settings: Settings
    webhook_path: str
    problems: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    account: Account | SunshineError | None = None
    own: tuple[Webhook, ...] | SunshineError | None = None
    keys: tuple[Resource, ...] | None = None
    target: Target | None = None
    database: str = ""
    mismatched: tuple[datetime, ...] = ()
    flows: str = ""
    troubles: tuple[What, ...] | None = None
    opens: bool = True
    unknown: tuple[str, ...] = ()
    waiting: int = 0
    unfit: tuple[str, ...] = ()
    has_lifespan: bool = False

    @property
    def me(self) -> Member | None:
        """The bot's switchboard integration, if visible."""
        return member_of(self.account, self.settings)

    @property
    def webhook(self) -> Webhook | None:
        """The bot's webhook, if visible."""
        return webhook_of(self.account, self.own, self.me)


def member_of(account: Account | SunshineError | None, settings: Settings) -> Member | None:
    """Return the switchboard integration named in the settings."""
    if not isinstance(account, Account) or account.board is None:
        return None
    return account.board.named(settings.sunshine_switchboard_integration)


def webhook_of(
    account: Account | SunshineError | None,
    own: tuple[Webhook, ...] | SunshineError | None,
    me: Member | None,
) -> Webhook | None:
    """Return the bot's webhook as seen by the app key, else by the integration's key."""
    if isinstance(account, Account):
        custom = account.custom(me.integration_id) if me else None
        return custom.webhooks[0] if custom and custom.webhooks else None
    return own[0] if isinstance(own, tuple) and own else None
