"""The set-up calls: app, integrations, keys, webhooks and switchboards.

They require an app key (docs/platform.md, 6); the webhook calls also accept the integration's
own. Bodies and results are the API's JSON objects. Only integrations are paginated; all pages
are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bot.sunshine.calls import Caller
from bot.sunshine.credentials import Credentials
from bot.sunshine.errors import NoAnswer
from bot.sunshine.readings import part, parts, text

Resource = Mapping[str, Any]
"""A JSON object of the API."""

PAGE_SIZE: Final = 100
_MEMBER: Final = "switchboardIntegration"
_MEMBERS: Final = "switchboardIntegrations"
MAX_PAGES: Final = 50


class ConfigurationCalls:
    """The set-up calls of `SunshineClient`. Every method raises `SunshineError`."""

    def __init__(self, caller: Caller, app_id: str) -> None:
        self._caller = caller
        self._app_id = app_id

    async def get_app(self) -> Resource:
        """Read the app, with its `settings`."""
        reply = await self._caller.read("get_app", self._app_id)
        return part("get_app", reply.body, "app")

    async def list_integrations(self, types: Sequence[str] = ()) -> tuple[Resource, ...]:
        """List integrations (channels and custom ones), optionally only those of `types`."""
        action = "list_integrations"
        params = {"page[size]": str(PAGE_SIZE)}
        if types:
            params["filter[types]"] = ",".join(types)
        found: list[Resource] = []
        for _ in range(MAX_PAGES):
            reply = await self._caller.read(action, self._app_id, "integrations", params=params)
            found += parts(action, reply.body, "integrations")
            match reply.body.get("meta"):
                case {"hasMore": True, "afterCursor": str(cursor)} if cursor != params.get("page[after]"):
                    params["page[after]"] = cursor
                case {"hasMore": True}:
                    detail = "there are more pages, but no cursor"
                    raise NoAnswer(action, status=200, detail=detail)
                case _:
                    return tuple(found)
        detail = f"more than {MAX_PAGES * PAGE_SIZE} integrations"
        raise NoAnswer(action, status=200, detail=detail)

    async def create_integration(self, integration: Resource) -> Resource:
        """Create an integration: `type`, `displayName`, and one of `webhooks` if custom."""
        action = "create_integration"
        path = ("integrations",)
        return await self._change(action, "POST", *path, body=integration, gives="integration")

    async def update_integration(self, integration_id: str, changes: Resource) -> Resource:
        """Update an integration; only `displayName` if it is custom."""
        action = "update_integration"
        path = ("integrations", integration_id)
        return await self._change(action, "PATCH", *path, body=changes, gives="integration")

    async def delete_integration(self, integration_id: str) -> None:
        """Delete an integration with its webhooks and keys. It must be off the switchboard."""
        await self._delete("delete_integration", "integrations", integration_id)

    async def create_integration_key(self, integration_id: str, display_name: str) -> Credentials:
        """Create an `int_` key for a custom integration. Its secret is shown only once."""
        action = "create_integration_key"
        path = ("integrations", integration_id, "keys")
        body = {"displayName": display_name}
        key = await self._change(action, "POST", *path, body=body, gives="key")
        return Credentials(text(action, key, "id"), text(action, key, "secret"))

    async def list_integration_keys(self, integration_id: str) -> tuple[Resource, ...]:
        """List the keys of a custom integration: `id`, `displayName`, perhaps `secret`."""
        return await self._list("list_integration_keys", "integrations", integration_id, "keys")

    async def delete_integration_key(self, integration_id: str, key_id: str) -> None:
        """Delete a key of a custom integration. The platform then rejects it."""
        await self._delete("delete_integration_key", "integrations", integration_id, "keys", key_id)

    async def list_webhooks(self, integration_id: str) -> tuple[Resource, ...]:
        """List the webhooks of an integration: `target`, `triggers`, `secret`."""
        return await self._list("list_webhooks", "integrations", integration_id, "webhooks")

    async def create_webhook(self, integration_id: str, webhook: Resource) -> Resource:
        """Create a webhook: `target`, `triggers`, `includeFullUser`, `includeFullSource`."""
        return await self._change(
            "create_webhook",
            "POST",
            "integrations",
            integration_id,
            "webhooks",
            body=webhook,
            gives="webhook",
        )

    async def update_webhook(
        self,
        integration_id: str,
        webhook_id: str,
        changes: Resource,
    ) -> Resource:
        """Update the given fields of a webhook. `triggers` replaces the old list."""
        path = ("integrations", integration_id, "webhooks", webhook_id)
        return await self._change("update_webhook", "PATCH", *path, body=changes, gives="webhook")

    async def delete_webhook(self, integration_id: str, webhook_id: str) -> None:
        """Delete a webhook."""
        await self._delete("delete_webhook", "integrations", integration_id, "webhooks", webhook_id)

    async def list_switchboards(self) -> tuple[Resource, ...]:
        """List the app's switchboards: at most one."""
        return await self._list("list_switchboards", "switchboards")

    async def create_switchboard(self) -> Resource:
        """Create the app's switchboard, empty and disabled."""
        action, path = "create_switchboard", ("switchboards",)
        return await self._change(action, "POST", *path, body=None, gives="switchboard")

    async def update_switchboard(self, switchboard_id: str, changes: Resource) -> Resource:
        """Update `enabled` or `defaultSwitchboardIntegrationId`."""
        action, path = "update_switchboard", ("switchboards", switchboard_id)
        return await self._change(action, "PATCH", *path, body=changes, gives="switchboard")

    async def list_switchboard_integrations(self, switchboard_id: str) -> tuple[Resource, ...]:
        """List the switchboard integrations, with `nextSwitchboardIntegrationId`."""
        action = "list_switchboard_integrations"
        return await self._list(action, "switchboards", switchboard_id, _MEMBERS)

    async def create_switchboard_integration(
        self,
        switchboard_id: str,
        integration: Resource,
    ) -> Resource:
        """Add an integration to the switchboard: `name`, `integrationId` or `…Type`."""
        action = "create_switchboard_integration"
        path = ("switchboards", switchboard_id, _MEMBERS)
        return await self._change(action, "POST", *path, body=integration, gives=_MEMBER)

    async def update_switchboard_integration(
        self,
        switchboard_id: str,
        switchboard_integration_id: str,
        changes: Resource,
    ) -> Resource:
        """Update `name`, `nextSwitchboardIntegrationId`, `deliverStandbyEvents`, …"""
        action = "update_switchboard_integration"
        path = ("switchboards", switchboard_id, _MEMBERS, switchboard_integration_id)
        return await self._change(action, "PATCH", *path, body=changes, gives=_MEMBER)

    async def delete_switchboard_integration(
        self,
        switchboard_id: str,
        switchboard_integration_id: str,
    ) -> None:
        """Remove an integration from the switchboard. Where it was active, nobody is."""
        path = ("switchboards", switchboard_id, _MEMBERS, switchboard_integration_id)
        await self._delete("delete_switchboard_integration", *path)

    async def _list(self, action: str, *path: str) -> tuple[Resource, ...]:
        reply = await self._caller.read(action, self._app_id, *path)
        return parts(action, reply.body, path[-1])

    async def _delete(self, action: str, *path: str) -> None:
        await self._caller.write(action, "DELETE", self._app_id, *path)

    async def _change(
        self,
        action: str,
        method: str,
        *path: str,
        body: Resource | None,
        gives: str,
    ) -> Resource:
        reply = await self._caller.write(action, method, self._app_id, *path, body=body)
        return part(action, reply.body, gives)
