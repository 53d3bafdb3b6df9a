"""The integration's own API key: testing, creating and rotating it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bot.account.reading import read_webhooks
from bot.sunshine import Credentials, Gone, NotOurs, Resource, Scope, SunshineClient, Unauthorized

KEY_NAME: Final = "switchboard-bot"
"""The display name of keys that `setup` creates."""

_IN_PLACE_OF: Final = f"{KEY_NAME}, in place of "


def key_in(present: Mapping[str, str]) -> Credentials | None:
    """Return the integration's key in the settings; None if unset or app-scoped."""
    try:
        key = Credentials(
            present.get("SUNSHINE_KEY_ID", ""),
            present.get("SUNSHINE_KEY_SECRET", ""),
        )
    except ValueError:
        return None
    return key if key.scope is Scope.INTEGRATION else None


async def works(client: SunshineClient, integration_id: str) -> bool:
    """Return whether the client's key works for this integration.

    Raises:
        SunshineError: the test failed.
    """
    try:
        await read_webhooks(client, integration_id)
    except (Unauthorized, NotOurs, Gone):
        return False
    return True


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A key, and the ids of other keys with the same name: orphaned, or used elsewhere."""

    key: Credentials
    others: tuple[str, ...] = ()


async def find_or_make(client: SunshineClient, integration_id: str) -> OwnKey:
    """Return a key of ours whose secret is visible, or create a new one.

    The platform may or may not list secrets (an example in the published API has them). If it
    does, this recovers a key that was created just before a crash.

    Raises:
        SunshineError: the key was not created, or it is unclear whether it was.
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
        unused: ids of keys created to replace the current one, with their secrets ("" if the
            platform hides them).
    """

    old: str = ""
    unused: Mapping[str, str] = field(default_factory=dict)


def name_in_place_of(key_id: str) -> str:
    """Return the display name of a key that replaces another one."""
    return f"{_IN_PLACE_OF}{key_id}"


def standing(keys: Sequence[Resource], mine: str) -> KeyRotation:
    """Derive the state of a key's rotation from the names of the keys.

    Args:
        keys: the keys of the integration, as listed by the API.
        mine: the id of the key in the settings.
    """
    names = {str(key.get("id")): str(key.get("displayName") or "") for key in keys}
    secrets = {str(key.get("id")): str(key.get("secret") or "") for key in keys}
    old = next((one for one in names if names.get(mine) == name_in_place_of(one)), "")
    unused = {one: secrets[one] for one, name in names.items() if name == name_in_place_of(mine)}
    return KeyRotation(old, unused)


def _is_ours(key: Resource) -> bool:
    name = str(key.get("displayName") or "")
    return name == KEY_NAME or name.startswith(_IN_PLACE_OF)
