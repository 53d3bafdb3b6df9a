"""Control and its API actions: every way in which it moves (docs/platform.md, 1 and 2)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bot.sandbox.account import PLATFORM, Account
from bot.sandbox.contents import check_metadata
from bot.sandbox.errors import ApiError, forbidden
from bot.sandbox.history import Cause, Kind
from bot.sandbox.records import Caller, Conversation, Json, SwitchboardIntegration

PASSED = "switchboard:passControl"
RELEASED = "switchboard:releaseControl"
OFFERED = "switchboard:offerControl"
ACCEPTED = "switchboard:acceptControl"


class Control(Account):
    """The control layer of the model."""

    def release_control(
        self,
        conversation_id: str,
        caller: Caller,
        now: datetime,
        metadata: Json | None = None,
    ) -> None:
        """Return a conversation to its default state.

        With an integration key, only the active integration may do it (403 otherwise): an
        atomic "release only if it is still mine". An app key takes control from anybody.
        """
        conversation = self._find(conversation_id)
        check_metadata(metadata)
        if caller.scope == "integration" and not self._is_caller(conversation.active, caller):
            self._refuse(conversation, caller, now, Cause.RELEASE)
            raise forbidden("This integration is not active in the conversation.")
        self._move(conversation, None, now, caller.key_id, Cause.RELEASE, metadata=metadata)

    def pass_control(
        self,
        conversation_id: str,
        caller: Caller,
        target: str,
        now: datetime,
        metadata: Json | None = None,
    ) -> None:
        """Activate another integration, at any time, for any caller.

        `target` is an id, a name, a type, or `next`.
        """
        conversation = self._find(conversation_id)
        check_metadata(metadata)
        self._pass_to(conversation, target, now, caller, Cause.PASS, metadata)

    def offer_control(
        self,
        conversation_id: str,
        caller: Caller,
        target: str,
        now: datetime,
        metadata: Json | None = None,
    ) -> None:
        """Offer control to another integration, which becomes pending.

        Replaces an earlier offer.
        """
        conversation = self._find(conversation_id)
        check_metadata(metadata)
        member = self._target(conversation, target, caller)
        if member is None or member.id == conversation.active:
            self._fail(conversation, OFFERED, "switchboard_invalid_target", now, caller, metadata)
            return
        conversation.pending = member.id
        self._record(
            Kind.PENDING,
            now,
            conversation,
            caller.key_id,
            text=member.name,
            metadata=metadata,
        )
        self._emit(OFFERED, self._control_payload(conversation, metadata), now, conversation)

    def accept_control(
        self,
        conversation_id: str,
        caller: Caller,
        now: datetime,
        metadata: Json | None = None,
    ) -> None:
        """Activate the pending integration; another integration key gets 403."""
        conversation = self._find(conversation_id)
        check_metadata(metadata)
        if caller.scope == "integration" and not self._is_caller(conversation.pending, caller):
            self._refuse(conversation, caller, now, Cause.ACCEPT)
            raise forbidden("This integration has not been offered control of the conversation.")
        if conversation.pending is None:
            self._fail(conversation, ACCEPTED, "switchboard_invalid_action", now, caller, metadata)
            return
        self._move(
            conversation,
            conversation.pending,
            now,
            caller.key_id,
            Cause.ACCEPT,
            metadata=metadata,
            event=ACCEPTED,
        )

    def _pass_to(
        self,
        conversation: Conversation,
        target: str,
        now: datetime,
        caller: Caller,
        cause: Cause,
        metadata: Json | None = None,
    ) -> None:
        member = self._target(conversation, target, caller)
        if member is None:
            self._fail(conversation, PASSED, "switchboard_invalid_target", now, caller, metadata)
            return
        self._move(conversation, member.id, now, caller.key_id, cause, metadata=metadata)

    def _target(
        self,
        conversation: Conversation,
        target: str,
        caller: Caller,
    ) -> SwitchboardIntegration | None:
        """Find a target by id, then name, then type, then as `next`.

        `next` comes last, so that it can't hide an integration of that name.
        """
        members = list(self.members.values())
        for member in (
            *(m for m in members if m.id == target),
            *(m for m in members if m.name == target),
            *(m for m in members if m.integration_type == target),
        ):
            return member
        if target != "next":
            return None
        start = self.members.get(conversation.active or "")
        if caller.scope == "integration" and self.switches.next_of == "caller":
            start = next((m for m in members if m.integration_id == caller.integration_id), None)
        return None if start is None else self.members.get(start.next_id or "")

    def _move(
        self,
        conversation: Conversation,
        to: str | None,
        now: datetime,
        actor: str,
        cause: Cause,
        *,
        reason: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        event: str | None = None,
        webhook: bool = True,
    ) -> None:
        """Move control to an integration or to nobody; send it unless `webhook` is false."""
        before = conversation.active
        if before == to:
            repeated = self.switches.repeated_release_event if to is None else self.switches.repeated_pass_event
            webhook = webhook and (repeated or event is not None)
        conversation.active = to
        if to is not None or self.switches.release_clears_pending:
            conversation.pending = None
        if before != to:
            detail = {"reason": reason, "webhook": webhook, "mode": self.switches.mode}
            was = self._name(before)
            self._record(
                Kind.HOLDER,
                now,
                conversation,
                actor,
                cause=cause,
                before=was,
                metadata=metadata,
                detail=detail,
            )
        if webhook:
            payload = self._control_payload(conversation, metadata, reason)
            self._emit(
                event or (RELEASED if to is None else PASSED),
                payload,
                now,
                conversation,
                former=before,
            )
        if to is not None and before != to:
            self._control_arrived(conversation, self.members[to], metadata or {}, now)

    def _touch(self, conversation: Conversation, now: datetime) -> Json:
        """Register activity: if nobody is active, silently assign the default responder.

        Returns:
            The conversation as the activity's own event shows it.
        """
        before = self._snapshot(conversation)
        responder = self._default_responder(conversation)
        if conversation.active is None and responder is not None:
            self._move(
                conversation,
                responder,
                now,
                PLATFORM,
                Cause.DEFAULT_RESPONDER,
                webhook=False,
            )
        return self._snapshot(conversation) if self.switches.snapshot_in_first_message else before

    def _control_arrived(
        self,
        conversation: Conversation,
        member: SwitchboardIntegration,
        metadata: Mapping[str, Any],
        now: datetime,
    ) -> None:
        """Hook for upper layers: control has reached `member`."""

    def _control_payload(
        self,
        conversation: Conversation,
        metadata: Mapping[str, Any] | None,
        reason: str | None = None,
    ) -> Json:
        payload: Json = {"conversation": self._snapshot(conversation)}
        if metadata:
            payload["metadata"] = dict(metadata)
        if reason is not None:
            payload["reason"] = reason
        return payload

    def _fail(
        self,
        conversation: Conversation,
        event: str,
        code: str,
        now: datetime,
        caller: Caller,
        metadata: Json | None,
    ) -> None:
        """Let a control action fail later by an event, or at once if the switch says so."""
        self._record(Kind.FAILURE, now, conversation, caller.key_id, text=code, metadata=metadata)
        if code == "switchboard_invalid_target" and self.switches.unknown_target == "refused":
            raise ApiError(400, code, "Control can't go to this switchboard integration.")
        payload = self._control_payload(conversation, metadata)
        payload["error"] = {"code": code, "message": "The switchboard could not do that."}
        self._emit(f"{event}:failure", payload, now, conversation)

    def _refuse(
        self,
        conversation: Conversation,
        caller: Caller,
        now: datetime,
        cause: Cause,
    ) -> None:
        self._record(Kind.REFUSED, now, conversation, caller.key_id, cause=cause, text="403")

    def _is_caller(self, member_id: str | None, caller: Caller) -> bool:
        member = self.members.get(member_id or "")
        return member is not None and member.integration_id == caller.integration_id
