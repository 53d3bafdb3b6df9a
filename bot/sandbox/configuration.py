"""The configuration API: app settings, integrations, webhooks, switchboards and the default responder."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any

from bot.sandbox.account import PLATFORM, Account
from bot.sandbox.errors import ApiError, bad_request, forbidden, not_found
from bot.sandbox.history import Cause, Kind
from bot.sandbox.records import CUSTOM, WEB, Caller, Integration, Json, SwitchboardIntegration, Webhook

MAX_MEMBERS = 10
MAX_WEBHOOKS = 10
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Configuration(Account):
    """The configuration layer of the model: what `doctor` reads and `setup` mends."""

    def get_app(self) -> Json:
        """`GET …/apps/{appId}`."""
        return {"app": {"id": self.app_id, "displayName": "Sandbox", "settings": dict(self.settings), "metadata": {}}}

    def update_app(self, body: Json) -> Json:
        """`PATCH …/apps/{appId}`: settings."""
        settings = _object(body.get("settings", {}), "settings")
        if self.settings["multiConvoEnabled"] and settings.get("multiConvoEnabled") is False:
            raise bad_request("multiConvoEnabled can't be taken back.")
        self.settings.update(settings)
        return self.get_app()

    def list_integrations(self, types: Collection[str] = ()) -> Json:
        """`GET …/integrations`: channels and custom integrations; first-party ones are not listed."""
        listed = [i for i in self.integrations.values() if not i.type.startswith("zd:")]
        shown = [i for i in listed if not types or i.type in types]
        return {"integrations": [self._integration_json(i) for i in shown], "meta": {"hasMore": False}}

    def get_integration(self, integration_id: str) -> Json:
        """`GET …/integrations/{id}`."""
        return {"integration": self._integration_json(self._integration(integration_id))}

    def create_integration(self, body: Json) -> Json:
        """`POST …/integrations`: a custom one, with its webhooks, or a web channel."""
        if body.get("type") not in (WEB, CUSTOM):
            raise bad_request("The sandbox makes integrations of the types custom and web.")
        integration = Integration(self._ids(), body["type"], body.get("displayName"))
        self.integrations[integration.id] = integration
        for webhook in body.get("webhooks") or ():
            self._add_webhook(integration.id, webhook)
        return self.get_integration(integration.id)

    def update_integration(self, integration_id: str, body: Json) -> Json:
        """`PATCH …/integrations/{id}`: the name, and a channel's own default responder."""
        integration = self._integration(integration_id)
        if "displayName" in body:
            integration = replace(integration, display_name=body["displayName"])
        if "defaultResponderId" in body:
            responder = body["defaultResponderId"]
            if integration.type == CUSTOM or (responder is not None and responder not in self.members):
                raise bad_request("defaultResponderId belongs to a channel and names a switchboard integration.")
            integration = replace(integration, default_responder_id=responder)
        self.integrations[integration_id] = integration
        return self.get_integration(integration_id)

    def delete_integration(self, integration_id: str) -> None:
        """`DELETE …/integrations/{id}`, with its webhooks. One that the switchboard links has to be unlinked first."""
        if self._integration(integration_id).type == WEB:
            raise bad_request("A web widget can be deleted only in Admin Center.")
        if any(member.integration_id == integration_id for member in self.members.values()):
            raise bad_request("A switchboard integration is linked to it.")
        for webhook in [w for w in self.webhooks.values() if w.integration_id == integration_id]:
            del self.webhooks[webhook.id]
        del self.integrations[integration_id]

    def list_webhooks(self, integration_id: str, caller: Caller) -> Json:
        """`GET …/webhooks`: target, triggers and secret of the integration's webhooks."""
        owner = self._owner(integration_id, caller)
        return {"webhooks": [_webhook_json(w) for w in self.webhooks.values() if w.integration_id == owner]}

    def get_webhook(self, integration_id: str, webhook_id: str, caller: Caller) -> Json:
        """`GET …/webhooks/{id}`."""
        return {"webhook": _webhook_json(self._webhook(integration_id, webhook_id, caller))}

    def create_webhook(self, integration_id: str, body: Json, caller: Caller, secret: str | None = None) -> Json:
        """`POST …/webhooks`. The platform makes the secret; `secret` is for those who set up a sandbox."""
        webhook = self._add_webhook(self._owner(integration_id, caller), body, secret)
        return {"webhook": _webhook_json(webhook)}

    def update_webhook(self, integration_id: str, webhook_id: str, body: Json, caller: Caller) -> Json:
        """`PATCH …/webhooks/{id}`."""
        webhook = self._webhook(integration_id, webhook_id, caller)
        self.webhooks[webhook_id] = replace(
            webhook,
            target=body.get("target", webhook.target),
            triggers=tuple(body.get("triggers", webhook.triggers)),
            include_full_user=body.get("includeFullUser", webhook.include_full_user),
            include_full_source=body.get("includeFullSource", webhook.include_full_source),
        )
        return {"webhook": _webhook_json(self.webhooks[webhook_id])}

    def delete_webhook(self, integration_id: str, webhook_id: str, caller: Caller) -> None:
        """`DELETE …/webhooks/{id}`."""
        del self.webhooks[self._webhook(integration_id, webhook_id, caller).id]

    def list_switchboards(self) -> Json:
        """`GET …/switchboards`: one, or none."""
        return {"switchboards": [] if self.switchboard_id is None else [self._switchboard_json()]}

    def create_switchboard(self) -> Json:
        """`POST …/switchboards`."""
        if self.switchboard_id is not None:
            raise bad_request("The app has a switchboard already.")
        self.switchboard_id, self.enabled, self.default_id = self._ids(), False, None
        return {"switchboard": self._switchboard_json()}

    def update_switchboard(self, switchboard_id: str, body: Json) -> Json:
        """`PATCH …/switchboards/{id}`: enabled, and the app's default responder."""
        self._check_switchboard(switchboard_id)
        default = body.get("defaultSwitchboardIntegrationId", self.default_id)
        enabled = body.get("enabled", self.enabled)
        if default is not None and default not in self.members:
            raise not_found("switchboard integration")
        if enabled and default is None:
            raise bad_request("A switchboard can be enabled only with a default switchboard integration.")
        self.default_id, self.enabled = default, enabled
        return {"switchboard": self._switchboard_json()}

    def list_switchboard_integrations(self, switchboard_id: str) -> Json:
        """`GET …/switchboardIntegrations`."""
        self._check_switchboard(switchboard_id)
        return {"switchboardIntegrations": [_link_json(member) for member in self.members.values()]}

    def create_switchboard_integration(self, switchboard_id: str, body: Json) -> Json:
        """`POST …/switchboardIntegrations`: links an integration, by its id, or by its type if it is first-party."""
        self._check_switchboard(switchboard_id)
        if len(self.members) >= MAX_MEMBERS:
            title = f"A switchboard has at most {MAX_MEMBERS} switchboard integrations."
            raise ApiError(400, "too_many_switchboard_integrations", title)
        wanted_id, wanted_type = body.get("integrationId"), body.get("integrationType")
        if (wanted_id is None) == (wanted_type is None):
            raise bad_request("Give either integrationId or integrationType.")
        found = next((i for i in self.integrations.values() if wanted_id == i.id or wanted_type == i.type), None)
        if found is None:
            raise not_found("integration")
        member = SwitchboardIntegration(self._ids(), "", found.id, found.type)
        self.members[member.id] = self._changed(member, {**body, "name": body.get("name")})
        return {"switchboardIntegration": _link_json(self.members[member.id])}

    def update_switchboard_integration(self, switchboard_id: str, member_id: str, body: Json) -> Json:
        """`PATCH …/switchboardIntegrations/{id}`: name, next, standby events."""
        self._check_switchboard(switchboard_id)
        if member_id not in self.members:
            raise not_found("switchboard integration")
        self.members[member_id] = self._changed(self.members[member_id], body)
        return {"switchboardIntegration": _link_json(self.members[member_id])}

    def delete_switchboard_integration(self, switchboard_id: str, member_id: str, now: datetime) -> None:
        """`DELETE …/switchboardIntegrations/{id}`: where it was active, nobody is, until the next activity."""
        self._check_switchboard(switchboard_id)
        if member_id not in self.members:
            raise not_found("switchboard integration")
        if self.enabled and member_id == self.default_id:
            raise forbidden("This is the default switchboard integration.")
        for conversation in self.conversations.values():
            if conversation.pending == member_id:
                conversation.pending = None
            if conversation.active == member_id:
                before, conversation.active = self._name(member_id), None
                self._record(Kind.HOLDER, now, conversation, PLATFORM, cause=Cause.CONFIGURATION, before=before)
        del self.members[member_id]

    def _changed(self, member: SwitchboardIntegration, body: Json) -> SwitchboardIntegration:
        """A switchboard integration with the changes of a request, or 400/404."""
        name = body.get("name", member.name)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise bad_request("name has to be letters, digits, - and _, at most 128 of them.")
        if any(other.name == name and other.id != member.id for other in self.members.values()):
            raise bad_request("Another switchboard integration has this name.")
        following = body.get("nextSwitchboardIntegrationId", member.next_id)
        if following is not None and following not in self.members:
            raise not_found("switchboard integration")
        return replace(
            member,
            name=name,
            next_id=following,
            deliver_standby_events=bool(body.get("deliverStandbyEvents", member.deliver_standby_events)),
            message_history_count=int(body.get("messageHistoryCount", member.message_history_count)),
        )

    def _add_webhook(self, integration_id: str, body: Json, secret: str | None = None) -> Webhook:
        if self._integration(integration_id).type != CUSTOM:
            raise bad_request("Only custom integrations have webhooks.")
        if any(webhook.integration_id == integration_id for webhook in self.webhooks.values()):
            raise bad_request("A custom integration has one webhook.")
        if len(self.webhooks) >= MAX_WEBHOOKS:
            raise bad_request(f"An app has at most {MAX_WEBHOOKS} webhooks.")
        target, triggers = body.get("target"), body.get("triggers")
        if not isinstance(target, str) or not isinstance(triggers, list):
            raise bad_request("A webhook needs target and triggers.")
        webhook = Webhook(
            id=self._ids(),
            integration_id=integration_id,
            target=target,
            triggers=tuple(triggers),
            secret=secret or f"secret-{self._ids()}",
            include_full_user=bool(body.get("includeFullUser")),
            include_full_source=bool(body.get("includeFullSource")),
        )
        self.webhooks[webhook.id] = webhook
        return webhook

    def _owner(self, integration_id: str, caller: Caller) -> str:
        """The integration whose webhooks are meant; an integration's key sees only its own (403), and may say `me`."""
        if integration_id == "me" and caller.integration_id is not None:
            return caller.integration_id
        if caller.scope == "integration" and caller.integration_id != integration_id:
            raise forbidden("An integration's key reaches only its own webhooks.")
        return self._integration(integration_id).id

    def _webhook(self, integration_id: str, webhook_id: str, caller: Caller) -> Webhook:
        webhook = self.webhooks.get(webhook_id)
        if webhook is None or webhook.integration_id != self._owner(integration_id, caller):
            raise ApiError(404, "not_found", "There is no such webhook.")
        return webhook

    def _integration(self, integration_id: str) -> Integration:
        if integration_id not in self.integrations:
            raise not_found("integration")
        return self.integrations[integration_id]

    def _check_switchboard(self, switchboard_id: str) -> None:
        if switchboard_id != self.switchboard_id:
            raise not_found("switchboard")

    def _switchboard_json(self) -> Json:
        shown: Json = {"id": self.switchboard_id, "enabled": self.enabled}
        return shown if self.default_id is None else {**shown, "defaultSwitchboardIntegrationId": self.default_id}

    def _integration_json(self, integration: Integration) -> Json:
        shown: Json = {"id": integration.id, "type": integration.type, "status": "active"}
        if integration.display_name is not None:
            shown["displayName"] = integration.display_name
        if integration.type == CUSTOM:
            mine = (w for w in self.webhooks.values() if w.integration_id == integration.id)
            return {**shown, "webhooks": [_webhook_json(webhook) for webhook in mine]}
        shown["defaultResponderId"] = integration.default_responder_id
        responder = self.members.get(integration.default_responder_id or self.default_id or "")
        if responder is not None:
            inherited = integration.default_responder_id is None
            shown["defaultResponder"] = {**_link_json(responder), "inherited": inherited}
        return shown


def _link_json(member: SwitchboardIntegration) -> Json:
    """A switchboard integration as the configuration API shows it."""
    shown: Json = {
        "id": member.id,
        "name": member.name,
        "integrationId": member.integration_id,
        "integrationType": member.integration_type,
        "deliverStandbyEvents": member.deliver_standby_events,
        "messageHistoryCount": member.message_history_count,
    }
    return shown if member.next_id is None else {**shown, "nextSwitchboardIntegrationId": member.next_id}


def _webhook_json(webhook: Webhook) -> Json:
    return {
        "id": webhook.id,
        "version": "v2",
        "target": webhook.target,
        "triggers": list(webhook.triggers),
        "secret": webhook.secret,
        "includeFullUser": webhook.include_full_user,
        "includeFullSource": webhook.include_full_source,
    }


def _object(value: Any, name: str) -> Json:
    if not isinstance(value, dict):
        raise bad_request(f"{name} has to be an object.")
    return value
