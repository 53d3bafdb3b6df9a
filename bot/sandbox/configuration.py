"""The API's app and integrations: settings, channels, custom integrations, responders."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from bot.sandbox.errors import ApiError, bad_request, items, maybe_text
from bot.sandbox.paging import page
from bot.sandbox.records import CUSTOM, WEB, Integration, Json
from bot.sandbox.switchboards import Switchboards, link_json
from bot.sandbox.webhooks import Webhooks, webhook_json

CHANNELS = (
    "android",
    "apple",
    "instagram",
    "ios",
    "line",
    "mailgun",
    "messagebird",
    "messenger",
    "telegram",
    "twilio",
    "twitter",
    "unity",
    "viber",
    WEB,
    "whatsapp",
)
"""Channel types. The stand-in stores their configuration but connects to none."""

_OWN = (
    "id",
    "type",
    "status",
    "displayName",
    "webhooks",
    "defaultResponderId",
    "defaultResponder",
)
_SECRETS = ("secret", "token", "key", "password", "certificate")


class Configuration(Webhooks, Switchboards):
    """The configuration layer of the model: what `doctor` reads and `setup` changes."""

    def get_app(self) -> Json:
        """`GET …/apps/{appId}`."""
        return {
            "app": {
                "id": self.app_id,
                "displayName": "Sandbox",
                "settings": dict(self.settings),
                "metadata": {},
            }
        }

    def update_app(self, body: Json) -> Json:
        """`PATCH …/apps/{appId}`: settings."""
        settings = _object(body.get("settings", {}), "settings")
        if self.settings["multiConvoEnabled"] and settings.get("multiConvoEnabled") is False:
            raise bad_request("multiConvoEnabled can't be turned off.")
        self.settings.update(settings)
        return self.get_app()

    def list_integrations(
        self,
        types: Collection[str] = (),
        query: Mapping[str, str] | None = None,
    ) -> Json:
        """`GET …/integrations`: channels and custom ones; first-party ones are not listed."""
        query = query or {}
        wanted = types or [name for name in query.get("filter[types]", "").split(",") if name]
        listed = [one for one in self.integrations.values() if not one.type.startswith("zd:")]
        fitting = [one for one in listed if not wanted or one.type in wanted]
        shown, about = page(fitting, lambda one: one.id, query)
        return {"integrations": [self._integration_json(one) for one in shown], **about}

    def get_integration(self, integration_id: str) -> Json:
        """`GET …/integrations/{id}`."""
        return {"integration": self._integration_json(self._integration(integration_id))}

    def create_integration(self, body: Json) -> Json:
        """`POST …/integrations`: a custom one, with its webhooks, or a channel."""
        kind = body.get("type")
        if kind != CUSTOM and kind not in CHANNELS:
            raise bad_request("Invalid integration type")
        given = {name: value for name, value in body.items() if name not in _OWN and not _is_secret(name)}
        name = maybe_text(body, "displayName")
        integration = Integration(self._ids(), kind, name, properties=given)
        self.integrations[integration.id] = integration
        try:
            for webhook in items(body, "webhooks"):
                self._add_webhook(integration.id, webhook)
        except ApiError:
            del self.integrations[integration.id]
            raise
        return self.get_integration(integration.id)

    def update_integration(self, integration_id: str, body: Json) -> Json:
        """`PATCH …/integrations/{id}`: the name, and a channel's own default responder."""
        integration = self._integration(integration_id)
        if "displayName" in body:
            integration = replace(integration, display_name=maybe_text(body, "displayName"))
        if "defaultResponderId" in body:
            responder = maybe_text(body, "defaultResponderId")
            if integration.type == CUSTOM or (responder is not None and responder not in self.members):
                raise bad_request(
                    "defaultResponderId belongs to a channel and names a switchboard integration.",
                )
            integration = replace(integration, default_responder_id=responder)
        self.integrations[integration_id] = integration
        return self.get_integration(integration_id)

    def delete_integration(self, integration_id: str) -> None:
        """`DELETE …/integrations/{id}`, with its webhooks; linked ones are refused."""
        self._integration(integration_id)
        if integration_id == self.channel_id:
            raise bad_request("SDK integrations configured on Admin Center cannot be deleted")
        if any(member.integration_id == integration_id for member in self.members.values()):
            raise bad_request("A switchboard integration is linked to it.")
        for webhook in [w for w in self.webhooks.values() if w.integration_id == integration_id]:
            del self.webhooks[webhook.id]
        del self.integrations[integration_id]

    def _integration_json(self, integration: Integration) -> Json:
        shown: Json = {"id": integration.id, "type": integration.type, "status": "active"}
        if integration.display_name is not None:
            shown["displayName"] = integration.display_name
        if integration.type == CUSTOM:
            mine = (w for w in self.webhooks.values() if w.integration_id == integration.id)
            return {**shown, "webhooks": [webhook_json(webhook) for webhook in mine]}
        shown |= integration.properties
        shown["defaultResponderId"] = integration.default_responder_id
        responder = self.members.get(integration.default_responder_id or self.default_id or "")
        if responder is not None:
            inherited = integration.default_responder_id is None
            shown["defaultResponder"] = {**link_json(responder), "inherited": inherited}
        return shown


def _is_secret(name: str) -> bool:
    """Return whether a property is a secret, which the platform never shows again."""
    return any(name.lower().endswith(word) for word in _SECRETS)


def _object(value: Any, name: str) -> Json:
    if not isinstance(value, dict):
        raise bad_request(f"{name} must be an object.")
    return value
