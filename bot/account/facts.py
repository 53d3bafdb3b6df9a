"""All that `doctor` has found out, before anything is judged."""

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
    """What stands at the base URL.

    Attributes:
        problem: why it is not the API, in words; empty if it is.
        clock_ahead: how much this machine's clock is ahead of the platform's; None where it told no time.
        way: how it is reached, in words.
    """

    problem: str = ""
    clock_ahead: timedelta | None = None
    way: str = "directly"


@dataclass(frozen=True, slots=True)
class Target:
    """How the webhook's target answers from here: HTTP statuses, None where nothing was asked.

    Attributes:
        problem: why no connection could be made, in words; empty if one could.
        health: of `GET …/healthz` beside it; None also where its path is not the bot's.
        without_key: of an empty delivery without a secret.
        with_key: of an empty delivery with the webhook's own secret.
    """

    problem: str = ""
    health: int | None = None
    without_key: int | None = None
    with_key: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known.

    Attributes:
        settings: with stand-ins where they are not usable.
        problems: what is wrong with settings, by the name of the setting in small letters.
        webhook_path: the path at which the bot takes deliveries.
        platform: None where it was not asked.
        account: as the app key shows it, or why it does not; None where there is no app key, or it was not asked.
        keys: the keys of the bot's integration, as the API lists them; None where they can't be read.
        own: the webhooks that the integration's key sees, or why it does not; None as before.
        target: None where no webhook is known.
        database: what is wrong with the database; empty if nothing is.
        mismatched: when the platform acted as in the other control mode, in each conversation where it lately did.
        flows: what is wrong with the flows; empty if nothing is.
        troubles: what lasts in the bot that runs on this machine; None where it could not be asked.
        unknown: names that are nearly those of settings, one line each.
        opens: may a flow serve users: is there an opening flow, or a router?
        waiting: how many conversations with a flow at work were looked at.
        unfit: of these, the ones whose journal would not fit the flows: a line each.
        has_lifespan: the flows have a lifespan; then no conversation was looked at.
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
        """The bot's switchboard integration, where it can be seen."""
        return member_of(self.account, self.settings)

    @property
    def webhook(self) -> Webhook | None:
        """The bot's webhook, where it can be seen."""
        return webhook_of(self.account, self.own, self.me)


def member_of(account: Account | SunshineError | None, settings: Settings) -> Member | None:
    """The switchboard integration that the settings name."""
    if not isinstance(account, Account) or account.board is None:
        return None
    return account.board.named(settings.sunshine_switchboard_integration)


def webhook_of(
    account: Account | SunshineError | None, own: tuple[Webhook, ...] | SunshineError | None, me: Member | None
) -> Webhook | None:
    """The webhook of the bot's integration: as the account shows it, or else as the integration's key does."""
    if isinstance(account, Account):
        custom = account.custom(me.integration_id) if me else None
        return custom.webhooks[0] if custom and custom.webhooks else None
    return own[0] if isinstance(own, tuple) and own else None
