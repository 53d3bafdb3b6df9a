"""The API's switchboard and its members: default responder, `next`, standby events."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from bot.sandbox.account import PLATFORM, Account
from bot.sandbox.errors import ApiError, bad_request, forbidden, maybe_text, not_found
from bot.sandbox.history import Cause, Kind
from bot.sandbox.records import Json, SwitchboardIntegration

MAX_MEMBERS = 10
MAX_HISTORY = 10
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Switchboards(Account):
    """The API's switchboard operations. An app has at most one switchboard."""

    def list_switchboards(self) -> Json:
        """`GET …/switchboards`: one, or none."""
        return {"switchboards": [] if self.switchboard_id is None else [self._switchboard_json()]}

    def create_switchboard(self) -> Json:
        """`POST …/switchboards`."""
        if self.switchboard_id is not None:
            raise bad_request("Only one switchboard can be created per app")
        self.switchboard_id, self.enabled, self.default_id = self._ids(), False, None
        return {"switchboard": self._switchboard_json()}

    def update_switchboard(self, switchboard_id: str, body: Json) -> Json:
        """`PATCH …/switchboards/{id}`: enabled, and the app's default responder."""
        self._check_switchboard(switchboard_id)
        default = maybe_text(body, "defaultSwitchboardIntegrationId", self.default_id)
        enabled = bool(body.get("enabled", self.enabled))
        if default is not None and default not in self.members:
            raise not_found("switchboard integration")
        if enabled and default is None:
            raise bad_request(
                "A switchboard can be enabled only with a default switchboard integration.",
            )
        self.default_id, self.enabled = default, enabled
        return {"switchboard": self._switchboard_json()}

    def delete_switchboard(self, switchboard_id: str, now: datetime) -> None:
        """`DELETE …/switchboards/{id}`, with its members; integrations then hear everything."""
        self._check_switchboard(switchboard_id)
        self.enabled, self.default_id = False, None
        for member_id in list(self.members):
            self._unlink(member_id, now)
        self.switchboard_id = None

    def list_switchboard_integrations(self, switchboard_id: str) -> Json:
        """`GET …/switchboardIntegrations`."""
        self._check_switchboard(switchboard_id)
        return {"switchboardIntegrations": [link_json(member) for member in self.members.values()]}

    def create_switchboard_integration(self, switchboard_id: str, body: Json) -> Json:
        """`POST …/switchboardIntegrations`: link an integration by id or first-party type."""
        self._check_switchboard(switchboard_id)
        if len(self.members) >= MAX_MEMBERS:
            title = f"A switchboard can have at most {MAX_MEMBERS} switchboard integrations."
            raise ApiError(400, "too_many_switchboard_integrations", title)
        wanted_id, wanted_type = (
            maybe_text(body, "integrationId"),
            maybe_text(body, "integrationType"),
        )
        if (wanted_id is None) == (wanted_type is None):
            raise bad_request("Pass either integrationId or integrationType.")
        found = next(
            (i for i in self.integrations.values() if wanted_id == i.id or wanted_type == i.type),
            None,
        )
        if found is None:
            raise not_found("integration")
        member = SwitchboardIntegration(self._ids(), "", found.id, found.type)
        self.members[member.id] = self._changed(member, {**body, "name": body.get("name")})
        return {"switchboardIntegration": link_json(self.members[member.id])}

    def update_switchboard_integration(
        self,
        switchboard_id: str,
        member_id: str,
        body: Json,
    ) -> Json:
        """`PATCH …/switchboardIntegrations/{id}`: name, next, standby events."""
        self._check_switchboard(switchboard_id)
        if member_id not in self.members:
            raise not_found("switchboard integration")
        self.members[member_id] = self._changed(self.members[member_id], body)
        return {"switchboardIntegration": link_json(self.members[member_id])}

    def delete_switchboard_integration(
        self,
        switchboard_id: str,
        member_id: str,
        now: datetime,
    ) -> None:
        """`DELETE …/switchboardIntegrations/{id}`: it is no longer active anywhere."""
        self._check_switchboard(switchboard_id)
        if member_id not in self.members:
            raise not_found("switchboard integration")
        if self.enabled and member_id == self.default_id:
            raise forbidden("This is the default switchboard integration.")
        if any(other.next_id == member_id for other in self.members.values() if other.id != member_id):
            raise forbidden("It is the next of another switchboard integration.")
        self._unlink(member_id, now)

    def _unlink(self, member_id: str, now: datetime) -> None:
        for conversation in self.conversations.values():
            if conversation.pending == member_id:
                conversation.pending = None
            if conversation.active == member_id:
                before, conversation.active = self._name(member_id), None
                self._record(
                    Kind.HOLDER,
                    now,
                    conversation,
                    PLATFORM,
                    cause=Cause.CONFIGURATION,
                    before=before,
                )
        del self.members[member_id]

    def _changed(self, member: SwitchboardIntegration, body: Json) -> SwitchboardIntegration:
        """A switchboard integration with the request's changes, or 400/404."""
        name = body.get("name", member.name)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise bad_request("name must be 1 to 128 letters, digits, - and _.")
        if any(other.name == name and other.id != member.id for other in self.members.values()):
            raise bad_request("Another switchboard integration has this name.")
        following = maybe_text(body, "nextSwitchboardIntegrationId", member.next_id)
        if following is not None and following not in self.members:
            raise not_found("switchboard integration")
        count = body.get("messageHistoryCount", member.message_history_count) or MAX_HISTORY
        if not isinstance(count, int) or not 1 <= count <= MAX_HISTORY:
            raise bad_request(f"messageHistoryCount must be a number from 1 to {MAX_HISTORY}.")
        return replace(
            member,
            name=name,
            next_id=following,
            deliver_standby_events=bool(
                body.get("deliverStandbyEvents", member.deliver_standby_events),
            ),
            message_history_count=count,
        )

    def _check_switchboard(self, switchboard_id: str) -> None:
        if switchboard_id != self.switchboard_id:
            raise not_found("switchboard")

    def _switchboard_json(self) -> Json:
        shown: Json = {"id": self.switchboard_id, "enabled": self.enabled}
        return shown if self.default_id is None else {**shown, "defaultSwitchboardIntegrationId": self.default_id}


def link_json(member: SwitchboardIntegration) -> Json:
    """A switchboard integration as shown by the configuration API."""
    shown: Json = {
        "id": member.id,
        "name": member.name,
        "integrationId": member.integration_id,
        "integrationType": member.integration_type,
        "deliverStandbyEvents": member.deliver_standby_events,
        "messageHistoryCount": member.message_history_count,
    }
    return shown if member.next_id is None else {**shown, "nextSwitchboardIntegrationId": member.next_id}
