"""The integration's own API key: does the one that is set work, and where does a new one come from?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bot.account.reading import read_webhooks
from bot.sunshine import Credentials, Gone, NotOurs, Resource, Scope, SunshineClient, Unauthorized

KEY_NAME: Final = "switchboard-bot"
"""What keys that setting up makes are called."""

_IN_PLACE_OF: Final = f"{KEY_NAME}, in place of "


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
    named = [key for key in await client.list_integration_keys(integration_id) if _is_ours(key)]
    ids = [str(key.get("id")) for key in named]
    for key in named:
        match key:
            case {"id": str(id_), "secret": str(secret)} if id_ and secret:
                return OwnKey(Credentials(id_, secret), tuple(one for one in ids if one != id_))
    return OwnKey(await client.create_integration_key(integration_id, KEY_NAME), tuple(ids))


@dataclass(frozen=True, slots=True)
class KeyRotation:
    """The state of a key's rotation.

    Attributes:
        old: id of the key that the current one replaces, if it still exists; else "".
        unused: ids of keys made to replace the current one, each with its secret ("" if the platform hides it).
    """

    old: str = ""
    unused: Mapping[str, str] = field(default_factory=dict)


def name_in_place_of(key_id: str) -> str:
    """Return the display name of a key that replaces another one."""
    return f"{_IN_PLACE_OF}{key_id}"


def standing(keys: Sequence[Resource], mine: str) -> KeyRotation:
    """Read the state of a key's rotation from the keys' names.

    Args:
        keys: of the integration, as the API lists them.
        mine: id of the key in the settings.
    """
    names = {str(key.get("id")): str(key.get("displayName") or "") for key in keys}
    secrets = {str(key.get("id")): str(key.get("secret") or "") for key in keys}
    old = next((one for one in names if names.get(mine) == name_in_place_of(one)), "")
    unused = {one: secrets[one] for one, name in names.items() if name == name_in_place_of(mine)}
    return KeyRotation(old, unused)


def _is_ours(key: Resource) -> bool:
    name = str(key.get("displayName") or "")
    return name == KEY_NAME or name.startswith(_IN_PLACE_OF)
