"""The calls that look at an account's set-up and change it: app, integrations, keys, webhooks, switchboards.

They need an app key (docs/platform.md, 6); webhooks also take the integration's own. Bodies and results are the API's
JSON objects, in its own words. Only integrations come in pages, which are followed to the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bot.sunshine.calls import Caller
from bot.sunshine.credentials import Credentials
from bot.sunshine.errors import NoAnswer
from bot.sunshine.readings import part, parts, text

Resource = Mapping[str, Any]
"""An object of the API, as it gives and takes it."""

PAGE_SIZE: Final = 100
MOST_PAGES: Final = 50


class ConfigurationCalls:
    """The set-up calls of `SunshineClient`. Every method raises `SunshineError`."""

    def __init__(self, caller: Caller, app_id: str) -> None:
        self._caller = caller
        self._app_id = app_id

    async def get_app(self) -> Resource:
        """The app, with its `settings`."""
        reply = await self._caller.read("get_app", self._app_id)
        return part("get_app", reply.body, "app")

    async def list_integrations(self, types: Sequence[str] = ()) -> tuple[Resource, ...]:
        """All integrations (channels, and custom ones), or those of the given types."""
        action = "list_integrations"
        params = {"page[size]": str(PAGE_SIZE)}
        if types:
            params["filter[types]"] = ",".join(types)
        found: list[Resource] = []
        for _ in range(MOST_PAGES):
            reply = await self._caller.read(action, self._app_id, "integrations", params=params)
            found += parts(action, reply.body, "integrations")
            match reply.body.get("meta"):
                case {"hasMore": True, "afterCursor": str(cursor)} if cursor != params.get("page[after]"):
                    params["page[after]"] = cursor
                case {"hasMore": True}:
                    raise NoAnswer(action, status=200, detail="there are more pages, and no way to the next")
                case _:
                    return tuple(found)
        raise NoAnswer(action, status=200, detail=f"more than {MOST_PAGES * PAGE_SIZE} integrations")

    async def create_integration(self, integration: Resource) -> Resource:
        """Make an integration: `type`, for a custom one `webhooks` with exactly one, and `displayName`."""
        return await self._change("create_integration", "POST", "integrations", body=integration, gives="integration")

    async def update_integration(self, integration_id: str, changes: Resource) -> Resource:
        """Change an integration; of a custom one only `displayName` can be."""
        return await self._change(
            "update_integration", "PATCH", "integrations", integration_id, body=changes, gives="integration"
        )

    async def delete_integration(self, integration_id: str) -> None:
        """Delete an integration, with its webhooks and keys. One on the switchboard has to be taken off it first."""
        await self._delete("delete_integration", "integrations", integration_id)

    async def create_integration_key(self, integration_id: str, display_name: str) -> Credentials:
        """Make an `int_` key for a custom integration. Its secret is told this once."""
        action = "create_integration_key"
        body = {"displayName": display_name}
        key = await self._change(action, "POST", "integrations", integration_id, "keys", body=body, gives="key")
        return Credentials(text(action, key, "id"), text(action, key, "secret"))

    async def list_integration_keys(self, integration_id: str) -> tuple[Resource, ...]:
        """The keys of a custom integration: `id`, `displayName`, and perhaps `secret`."""
        return await self._list("list_integration_keys", "integrations", integration_id, "keys")

    async def delete_integration_key(self, integration_id: str, key_id: str) -> None:
        """Delete a key of a custom integration. Whoever uses it is refused from then on."""
        await self._delete("delete_integration_key", "integrations", integration_id, "keys", key_id)

    async def list_webhooks(self, integration_id: str) -> tuple[Resource, ...]:
        """The webhooks of an integration, each with `target`, `triggers` and `secret`."""
        return await self._list("list_webhooks", "integrations", integration_id, "webhooks")

    async def create_webhook(self, integration_id: str, webhook: Resource) -> Resource:
        """Make a webhook: `target`, `triggers`, and perhaps `includeFullUser`, `includeFullSource`."""
        return await self._change(
            "create_webhook",
            "POST",
            "integrations",
            integration_id,
            "webhooks",
            body=webhook,
            gives="webhook",
        )

    async def update_webhook(self, integration_id: str, webhook_id: str, changes: Resource) -> Resource:
        """Change a webhook; what isn't named stays. A list of triggers replaces the old one."""
        path = ("integrations", integration_id, "webhooks", webhook_id)
        return await self._change("update_webhook", "PATCH", *path, body=changes, gives="webhook")

    async def delete_webhook(self, integration_id: str, webhook_id: str) -> None:
        """Delete a webhook: nothing is delivered by it from then on."""
        await self._delete("delete_webhook", "integrations", integration_id, "webhooks", webhook_id)

    async def list_switchboards(self) -> tuple[Resource, ...]:
        """The switchboards of the app; there is at most one."""
        return await self._list("list_switchboards", "switchboards")

    async def create_switchboard(self) -> Resource:
        """Make the app's switchboard, empty and not enabled yet."""
        return await self._change("create_switchboard", "POST", "switchboards", body=None, gives="switchboard")

    async def update_switchboard(self, switchboard_id: str, changes: Resource) -> Resource:
        """Change `enabled` or `defaultSwitchboardIntegrationId`."""
        return await self._change(
            "update_switchboard", "PATCH", "switchboards", switchboard_id, body=changes, gives="switchboard"
        )

    async def list_switchboard_integrations(self, switchboard_id: str) -> tuple[Resource, ...]:
        """The switchboard integrations, each with its `nextSwitchboardIntegrationId`."""
        action = "list_switchboard_integrations"
        return await self._list(action, "switchboards", switchboard_id, "switchboardIntegrations")

    async def create_switchboard_integration(self, switchboard_id: str, integration: Resource) -> Resource:
        """Link an integration to the switchboard: `name`, and `integrationId` or `integrationType`."""
        path = ("switchboards", switchboard_id, "switchboardIntegrations")
        return await self._change(
            "create_switchboard_integration", "POST", *path, body=integration, gives="switchboardIntegration"
        )

    async def update_switchboard_integration(
        self, switchboard_id: str, switchboard_integration_id: str, changes: Resource
    ) -> Resource:
        """Change `name`, `nextSwitchboardIntegrationId`, `deliverStandbyEvents`, …"""
        path = ("switchboards", switchboard_id, "switchboardIntegrations", switchboard_integration_id)
        return await self._change(
            "update_switchboard_integration", "PATCH", *path, body=changes, gives="switchboardIntegration"
        )

    async def delete_switchboard_integration(self, switchboard_id: str, switchboard_integration_id: str) -> None:
        """Take an integration off the switchboard. Where it was active, nobody is."""
        path = ("switchboards", switchboard_id, "switchboardIntegrations", switchboard_integration_id)
        await self._delete("delete_switchboard_integration", *path)

    async def _list(self, action: str, *path: str) -> tuple[Resource, ...]:
        reply = await self._caller.read(action, self._app_id, *path)
        return parts(action, reply.body, path[-1])

    async def _delete(self, action: str, *path: str) -> None:
        await self._caller.write(action, "DELETE", self._app_id, *path)

    async def _change(self, action: str, method: str, *path: str, body: Resource | None, gives: str) -> Resource:
        reply = await self._caller.write(action, method, self._app_id, *path, body=body)
        return part(action, reply.body, gives)
