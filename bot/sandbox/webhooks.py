"""The API's webhooks: the destinations of an integration's events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot.sandbox.account import Account
from bot.sandbox.errors import ApiError, bad_request, forbidden, not_found
from bot.sandbox.records import CUSTOM, Caller, Integration, Json, Webhook

MAX_WEBHOOKS = 10


class Webhooks(Account):
    """The API's webhook operations."""

    def list_webhooks(self, integration_id: str, caller: Caller) -> Json:
        """`GET …/webhooks`: target, triggers and secret of each webhook."""
        owner = self._owner(integration_id, caller)
        return {"webhooks": [webhook_json(w) for w in self.webhooks.values() if w.integration_id == owner]}

    def get_webhook(self, integration_id: str, webhook_id: str, caller: Caller) -> Json:
        """`GET …/webhooks/{id}`."""
        return {"webhook": webhook_json(self._webhook(integration_id, webhook_id, caller))}

    def create_webhook(
        self,
        integration_id: str,
        body: Json,
        caller: Caller,
        secret: str | None = None,
    ) -> Json:
        """`POST …/webhooks`. The platform creates the secret; `secret` is for set-up code."""
        webhook = self._add_webhook(self._owner(integration_id, caller), body, secret)
        return {"webhook": webhook_json(webhook)}

    def update_webhook(
        self,
        integration_id: str,
        webhook_id: str,
        body: Json,
        caller: Caller,
    ) -> Json:
        """`PATCH …/webhooks/{id}`."""
        webhook = self._webhook(integration_id, webhook_id, caller)
        target, triggers = _checked(
            {"target": webhook.target, "triggers": list(webhook.triggers), **body},
        )
        self.webhooks[webhook_id] = replace(
            webhook,
            target=target,
            triggers=triggers,
            include_full_user=bool(body.get("includeFullUser", webhook.include_full_user)),
            include_full_source=bool(body.get("includeFullSource", webhook.include_full_source)),
        )
        return {"webhook": webhook_json(self.webhooks[webhook_id])}

    def delete_webhook(self, integration_id: str, webhook_id: str, caller: Caller) -> None:
        """`DELETE …/webhooks/{id}`."""
        del self.webhooks[self._webhook(integration_id, webhook_id, caller).id]

    def _add_webhook(self, integration_id: str, body: Json, secret: str | None = None) -> Webhook:
        if self._integration(integration_id).type != CUSTOM:
            raise bad_request("Only custom integrations can have webhooks.")
        if any(webhook.integration_id == integration_id for webhook in self.webhooks.values()):
            raise bad_request("A custom integration can have only one webhook.")
        if len(self.webhooks) >= MAX_WEBHOOKS:
            raise bad_request(f"An app can have at most {MAX_WEBHOOKS} webhooks.")
        target, triggers = _checked(body)
        webhook = Webhook(
            id=self._ids(),
            integration_id=integration_id,
            target=target,
            triggers=triggers,
            secret=secret or f"secret-{self._ids()}",
            include_full_user=bool(body.get("includeFullUser")),
            include_full_source=bool(body.get("includeFullSource")),
        )
        self.webhooks[webhook.id] = webhook
        return webhook

    def _owner(self, integration_id: str, caller: Caller) -> str:
        """The integration in the path, or `me`; with an integration key only its own."""
        if integration_id == "me" and caller.integration_id is not None:
            return caller.integration_id
        if caller.scope == "integration" and caller.integration_id != integration_id:
            raise forbidden("An integration's key can access only its own webhooks.")
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


def webhook_json(webhook: Webhook) -> Json:
    """A webhook as shown by the API."""
    return {
        "id": webhook.id,
        "version": "v2",
        "target": webhook.target,
        "triggers": list(webhook.triggers),
        "secret": webhook.secret,
        "includeFullUser": webhook.include_full_user,
        "includeFullSource": webhook.include_full_source,
    }


def _checked(body: Any) -> tuple[str, tuple[str, ...]]:
    """The target and triggers in a request, or 400."""
    if not isinstance(body, dict):
        raise bad_request("A webhook must be an object.")
    target, triggers = body.get("target"), body.get("triggers")
    if not isinstance(target, str) or not target.startswith(("http://", "https://")):
        raise bad_request("A webhook needs a target that begins with https://.")
    if not isinstance(triggers, list) or not all(isinstance(trigger, str) for trigger in triggers):
        raise bad_request("A webhook needs a list of triggers.")
    return target, tuple(triggers)
