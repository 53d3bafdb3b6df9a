"""The integration's own API key: does the one that is set work, and where does a new one come from?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bot.account.reading import read_webhooks
from bot.sunshine import Credentials, Gone, NotOurs, Scope, SunshineClient, Unauthorized

KEY_NAME: Final = "switchboard-bot"
"""What keys that setting up makes are called."""


def key_in(present: Mapping[str, str]) -> Credentials | None:
    """The integration's key that is set, if it is one (and not an app-scoped one)."""
    try:
        key = Credentials(present.get("SUNSHINE_KEY_ID", ""), present.get("SUNSHINE_KEY_SECRET", ""))
    except ValueError:
        return None
    return key if key.scope is Scope.INTEGRATION else None


async def works(client: SunshineClient, integration_id: str) -> bool:
    """Is the client's key one of this integration?

    Raises:
        SunshineError: it could not be found out.
    """
    try:
        await read_webhooks(client, integration_id)
    except (Unauthorized, NotOurs, Gone):
        return False
    return True


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A key, and the ids of others that go by the same name: left by a crash, or in use elsewhere."""

    key: Credentials
    others: tuple[str, ...] = ()


async def find_or_make(client: SunshineClient, integration_id: str) -> OwnKey:
    """A key of the integration: one of ours whose secret the platform still shows, or a new one.

    Whether a list of keys shows secrets is not certain (the published description has it in an example). Where it
    does, a key that was made just before a crash is found again.

    Raises:
        SunshineError: there is none, or it is unclear whether one was made.
    """
    named = [key for key in await client.list_integration_keys(integration_id) if key.get("displayName") == KEY_NAME]
    ids = [str(key.get("id")) for key in named]
    for key in named:
        match key:
            case {"id": str(id_), "secret": str(secret)} if id_ and secret:
                return OwnKey(Credentials(id_, secret), tuple(one for one in ids if one != id_))
    return OwnKey(await client.create_integration_key(integration_id, KEY_NAME), tuple(ids))
