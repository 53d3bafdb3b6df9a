"""Derives settings from an account, and finds those missing from a `.env` file. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.account.plan import Ours
from bot.settings import ControlMode
from bot.sunshine import Credentials


@dataclass(frozen=True, slots=True)
class Access:
    """The inputs that `setup` needs to access an account."""

    base_url: str
    app_id: str
    app_key: Credentials
    mode: ControlMode


def first_values(access: Access, *, keep_app_key: bool) -> dict[str, str]:
    """Return the settings that are known before any change."""
    values = {
        "SUNSHINE_BASE_URL": access.base_url,
        "SUNSHINE_APP_ID": access.app_id,
        "CONTROL_MODE": access.mode.value,
    }
    if keep_app_key:
        values |= key_values("SUNSHINE_APP_KEY", access.app_key)
    return values


def account_values(ours: Ours, present: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that follow from the bot's objects.

    Args:
        ours: the bot's objects in the account.
        present: the current settings. Keeps an equivalent name or id, and a list of webhook
            secrets that includes the right one: a rotation may be in progress.
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
    """Return the two settings of a key. `name` is `SUNSHINE_KEY` or `SUNSHINE_APP_KEY`."""
    return {f"{name}_ID": key.key_id, f"{name}_SECRET": key.secret}


def missing(values: Mapping[str, str], present: Mapping[str, str]) -> dict[str, str]:
    """Return the values that are not set, or set differently."""
    return {name: value for name, value in values.items() if present.get(name) != value}
