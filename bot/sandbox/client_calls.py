"""The API's clients and devices: the channels and browsers of a user.

The widget's client (`sdk`) and device are derived from the user's last visit there.
Clients of other channels are created by the API and stay pending, because the stand-in
has no channel to confirm them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bot.sandbox.conversation_calls import API_SOURCE
from bot.sandbox.errors import bad_request, not_found
from bot.sandbox.paging import page
from bot.sandbox.participant_calls import ParticipantCalls
from bot.sandbox.payloads import user_in_event
from bot.sandbox.records import Client, Json, User, iso, related_id

_ADDRESSES = {
    "mailgun": "address",
    "messagebird": "phoneNumber",
    "twilio": "phoneNumber",
    "whatsapp": "phoneNumber",
}
_CONFIRMATIONS = ("immediate", "userActivity", "prompt")


class ClientCalls(ParticipantCalls):
    """The API's client and device operations."""

    def create_client(self, user: User, body: Json, now: datetime) -> Json:
        """`POST …/clients`: link a user to a channel; pending until the channel confirms."""
        criteria, confirmation, target = (_part(body, name) for name in ("matchCriteria", "confirmation", "target"))
        kind, integration_id = criteria.get("type"), criteria.get("integrationId")
        if kind not in _ADDRESSES:
            raise bad_request(f"matchCriteria.type must be one of {', '.join(_ADDRESSES)}.")
        address = criteria.get(_ADDRESSES[kind])
        if not isinstance(address, str) or not address:
            raise bad_request(f"matchCriteria.{_ADDRESSES[kind]} is required.")
        if confirmation.get("type") not in _CONFIRMATIONS:
            raise bad_request(f"confirmation.type must be one of {', '.join(_CONFIRMATIONS)}.")
        integration = self.integrations.get(str(integration_id))
        if integration is None or integration.type != kind:
            raise not_found("integration")
        conversation = self._find(str(target.get("conversationId")))
        client = Client(self._ids(), user.id, kind, "pending", integration.id, address)
        self.clients[client.id] = client
        payload = {
            "conversation": self._snapshot(conversation),
            "user": user_in_event(user),
            "client": _client_json(client),
            "reason": "channelLinking",
            "source": {"type": API_SOURCE},
        }
        self._emit("client:add", payload, now, conversation)
        return {"client": _client_json(client)}

    def list_clients(self, user: User, query: Mapping[str, str]) -> Json:
        """`GET …/clients`: the widget's first."""
        theirs = [
            *self._widget_clients(user),
            *(one for one in self.clients.values() if one.user_id == user.id),
        ]
        shown, about = page(theirs, lambda one: one.id, query)
        return {"clients": [_client_json(one) for one in shown], **about}

    def remove_client(self, user: User, client_id: str, now: datetime) -> None:
        """`DELETE …/clients/{id}`: the widget's client can't be removed."""
        if any(client.id == client_id for client in self._widget_clients(user)):
            raise bad_request("Cannot remove a client of type 'sdk'")
        client = self.clients.get(client_id)
        if client is None or client.user_id != user.id:
            raise not_found("client")
        del self.clients[client_id]
        payload = {
            "user": user_in_event(user),
            "client": _client_json(client),
            "reason": "api",
            "source": {"type": API_SOURCE},
        }
        self._emit("client:remove", payload, now)

    def list_devices(self, user: User) -> Json:
        """`GET …/devices`: the browser in which the widget last saw the user."""
        return {"devices": self._devices(user)}

    def get_device(self, user: User, device_id: str) -> Json:
        """`GET …/devices/{id}`."""
        for device in self._devices(user):
            if device["id"] == device_id:
                return {"device": device}
        raise not_found("device")

    def remove_user(self, user_id: str, *, now: datetime) -> None:
        """Delete a user, with all clients."""
        super().remove_user(user_id, now=now)
        self.widget_seen.pop(user_id, None)
        for client in [one for one in self.clients.values() if one.user_id == user_id]:
            del self.clients[client.id]

    def _widget_clients(self, user: User) -> list[Client]:
        seen = self.widget_seen.get(user.id)
        if seen is None:
            return []
        return [
            Client(
                related_id(user.id, "client"),
                user.id,
                "sdk",
                "active",
                linked_at=seen,
                last_seen=seen,
            )
        ]

    def _devices(self, user: User) -> list[Json]:
        seen = self.widget_seen.get(user.id)
        if seen is None:
            return []
        device: Json = {
            "id": related_id(user.id, "device"),
            "type": "web",
            "guid": related_id(user.id, "guid"),
            "clientId": related_id(user.id, "client"),
            "status": "active",
            "integrationId": self.channel_id,
            "lastSeen": iso(seen),
            "info": {"vendor": "zendesk"},
        }
        return [device]


def _part(body: Json, name: str) -> Json:
    part: Any = body.get(name)
    if not isinstance(part, dict):
        raise bad_request(f"{name} is required.")
    return part


def _client_json(client: Client) -> Json:
    shown: Json = {"id": client.id, "type": client.type, "status": client.status}
    if client.integration_id is not None:
        shown["integrationId"] = client.integration_id
    if client.external_id is not None:
        shown["externalId"] = client.external_id
    if client.linked_at is not None:
        shown["linkedAt"] = iso(client.linked_at)
    if client.last_seen is not None:
        shown["lastSeen"] = iso(client.last_seen)
    return shown
