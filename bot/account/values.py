"""Which settings follow from an account, and which of them a `.env` file does not hold yet. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.account.plan import Ours
from bot.settings import ControlMode
from bot.sunshine import Credentials


@dataclass(frozen=True, slots=True)
class Access:
    """What a person has to know before anything can be set up."""

    base_url: str
    app_id: str
    app_key: Credentials
    mode: ControlMode


def first_values(access: Access, *, keep_app_key: bool) -> dict[str, str]:
    """The settings that are known before anything is changed."""
    values = {
        "SUNSHINE_BASE_URL": access.base_url,
        "SUNSHINE_APP_ID": access.app_id,
        "CONTROL_MODE": access.mode.value,
    }
    if keep_app_key:
        values |= key_values("SUNSHINE_APP_KEY", access.app_key)
    return values


def account_values(ours: Ours, present: Mapping[str, str]) -> dict[str, str]:
    """The settings that the bot's own part of the account gives.

    Args:
        ours: what is the bot's.
        present: what is set already. A name or id that means the same stays, and so do webhook secrets of which one is
            right: they may be about to be rotated.
    """
    values: dict[str, str] = {}
    if member := ours.member:
        name = "SUNSHINE_SWITCHBOARD_INTEGRATION"
        values[name] = present[name] if present.get(name) in (member.id, member.name) else member.name
    if (webhook := ours.webhook) and webhook.secret:
        name = "SUNSHINE_WEBHOOK_SECRET"
        secrets = [secret.strip() for secret in present.get(name, "").split(",")]
        values[name] = present[name] if webhook.secret in secrets else webhook.secret
    return values


def key_values(name: str, key: Credentials) -> dict[str, str]:
    """The two settings of a key: `SUNSHINE_KEY` or `SUNSHINE_APP_KEY`."""
    return {f"{name}_ID": key.key_id, f"{name}_SECRET": key.secret}


def missing(values: Mapping[str, str], present: Mapping[str, str]) -> dict[str, str]:
    """Those that are not set yet, or differently."""
    return {name: value for name, value in values.items() if present.get(name) != value}
