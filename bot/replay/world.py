"""The platform during a replay: others act as on the tape, the bot acts as it does now.

Where the two no longer fit, the difference is noted as *diverged*.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bot.control.policy import Policy
from bot.replay.attribution import Past, Who, is_own_message, is_own_move
from bot.replay.facts import Happening, Taken
from bot.replay.platform import TapedSwitchboard
from bot.sandbox.history import Cause, Entry, Kind
from bot.sandbox.sessions import ENDED
from webhooks.events import (
    ControlAccepted,
    ControlPassed,
    ControlPassFailed,
    ControlReleased,
    ConversationMessage,
    ConversationPostback,
    ConversationReferral,
    ConversationRemove,
    Event,
    Reason,
    UserMerge,
    UserRemove,
)
from webhooks.messages import Message, SwitchboardIntegration
from webhooks.payloads import InConversation

LATE = timedelta(seconds=5)
"""A control action that is this much later (or sooner) than on the tape is a difference."""

_CAUSES = {
    Reason.TICKET_CLOSED.value: Cause.TICKET_CLOSED,
    Reason.TRANSFER_TO_EMAIL.value: Cause.TRANSFER_TO_EMAIL,
}


@dataclass(frozen=True, slots=True)
class Divergence:
    """A difference from the tape, in words."""

    at: datetime
    conversation_id: str
    what: str


@dataclass(slots=True)
class _Talk:
    """A conversation, both on the tape and now.

    Attributes:
        past: its past on the tape.
        awaited: the bot's moves on the tape that it has not made now: time and target.
        ahead: the bot's moves now that the tape has not shown yet.
        moved_at: the tape's last control event; other events may show a slightly older
            holder.
    """

    past: Past
    awaited: deque[tuple[datetime, str | None]] = field(default_factory=deque)
    ahead: deque[tuple[datetime, str | None]] = field(default_factory=deque)
    moved_at: datetime | None = None


class World:
    """Carries out the facts of a tape.

    Args:
        board: the model.
        taken: the facts of the tape.
        policy: the bot's policy; its mode decides what the platform does by itself.
        me: the tape's name or id of the bot's switchboard integration.
        keys: ids of the bot's API keys.

    Attributes:
        shown: each event as it is to be delivered; None if not, because the sandbox sends
            its own.
        diverged: differences from the tape.
        said: messages of the tape's bot, by conversation.
    """

    def __init__(
        self,
        board: TapedSwitchboard,
        taken: Taken,
        policy: Policy,
        me: str,
        keys: tuple[str, ...],
    ) -> None:
        self.shown: dict[str, Mapping[str, Any] | None] = {}
        self.diverged: list[Divergence] = []
        self._board = board
        self._policy = policy
        self._me = me
        self._keys = keys
        self._ends = taken.ends
        self._end_ids = taken.end_ids
        self._talks: dict[str, _Talk] = {}
        board.failing = {conversation_id: list(codes) for conversation_id, codes in taken.failures.items()}
        board.observers.append(self._noticed)

    @property
    def said(self) -> dict[str, list[str]]:
        """Messages of the tape's bot, by conversation."""
        return {conversation_id: talk.past.said for conversation_id, talk in self._talks.items()}

    def happens(self, happening: Happening) -> None:
        """Carry out a fact now."""
        self.shown[happening.id] = happening.raw
        event, at = happening.event, happening.at
        if happening.id in self._end_ids and not isinstance(event, ConversationMessage):
            self._end_unread(str(happening.conversation_id), at)
        match event:
            case None:
                pass
            case UserRemove():
                self._board.vanish_with(event.payload.user.id, at)
            case UserMerge():
                if event.payload.merged_conversations:
                    self._board.vanishes(event.payload.merged_conversations.discarded.id, at)
            case ConversationRemove():
                self._board.vanishes(event.payload.conversation.id, at)
            case _:
                if isinstance(event.payload, InConversation):
                    self._in_conversation(happening, event, event.payload)

    def finish(self) -> None:
        """Note the moves that never came, after the tape is over and the bot at rest."""
        for conversation_id, talk in self._talks.items():
            for at, to in talk.awaited:
                self._diverge(
                    at,
                    conversation_id,
                    f"on the tape the bot {self._move_in_words(to)}; now it does not",
                )
            for at, to in talk.ahead:
                self._diverge(
                    at,
                    conversation_id,
                    f"now the bot {self._move_in_words(to)}; on the tape it does not",
                )
        self.diverged.sort(key=lambda one: (one.at, one.conversation_id))

    def _end_unread(self, conversation_id: str, at: datetime) -> None:
        """Carry out an end, and add its message, although the bot can't parse the event."""
        self._board.ends(conversation_id, at)
        self._board.says(conversation_id, Message(), {}, at, activity=ENDED)

    # -- a single event ----------------------------------------------------------------------

    def _in_conversation(self, happening: Happening, event: Event, payload: InConversation) -> None:
        seen = payload.conversation.active_switchboard_integration
        is_told = seen is None or seen.is_known
        conversation_id, at = payload.conversation.id, happening.at
        if conversation_id not in self._talks:
            self._begin(happening, payload, seen if is_told and not _moves(event) else None)
        elif conversation_id not in self._board.conversations:
            return  # removed: later events are delivered unchanged
        talk = self._talks[conversation_id]
        told = True
        match event:
            case ControlPassed() | ControlAccepted() if not is_told:
                pass  # the bot must find out by itself
            case ControlPassed() | ControlAccepted() | ControlReleased():
                to = None if isinstance(event, ControlReleased) else seen
                talk.moved_at = at
                told = self._moved(
                    talk,
                    conversation_id,
                    to,
                    event.payload.reason,
                    at,
                    silent=False,
                )
            case ControlPassFailed():
                told = False  # the sandbox sends its own failure event
            case _:
                silently = is_told and self._who(seen) is not talk.past.holder
                if silently and (talk.moved_at is None or at > talk.moved_at):
                    self._moved(talk, conversation_id, seen, None, at, silent=True)
                told = self._said(talk, happening, event, at)
        self.shown[happening.id] = self._as_shown(happening) if told else None

    def _begin(
        self,
        happening: Happening,
        payload: InConversation,
        seen: SwitchboardIntegration | None,
    ) -> None:
        conversation_id = payload.conversation.id
        users = sorted(payload.user_ids)
        active = self._board.member_of(seen, self._me)
        self._board.appears(conversation_id, users[0] if users else None, active, happening.at)
        self._talks[conversation_id] = _Talk(
            Past(self._who(seen), self._ends.get(conversation_id, [])),
        )

    def _said(self, talk: _Talk, happening: Happening, event: Event, at: datetime) -> bool:
        """Add a message; return False if it is the bot's, which says it itself."""
        conversation_id = happening.conversation_id or ""
        match event:
            case ConversationMessage():
                message, raw = (
                    event.payload.message,
                    dict(happening.raw["payload"]["message"]),
                )
                talk.past.stirred_at = at
                if is_own_message(message, raw, talk.past):
                    talk.past.said.append(message.content.text or "")
                    return False
                ends = happening.id in self._end_ids
                if ends:
                    self._board.ends(conversation_id, at)
                self._board.says(conversation_id, message, raw, at, activity=ENDED if ends else "")
            case ConversationPostback():
                talk.past.stirred_at = at
                self._board.taps(conversation_id, event.payload.postback.payload or "", at)
            case ConversationReferral():
                talk.past.stirred_at = at
                self._board.taps(conversation_id, "referral", at)
            case _:
                pass
        return True

    def _moved(
        self,
        talk: _Talk,
        conversation_id: str,
        seen: SwitchboardIntegration | None,
        reason: str | None,
        at: datetime,
        *,
        silent: bool,
    ) -> bool:
        """Move control as on the tape; return False if the bot's own action reports it."""
        to, who = self._board.member_of(seen, self._me), self._who(seen)
        own = is_own_move(talk.past, who, reason, at, self._policy)
        before = talk.past.holder
        talk.past.holder = who
        if (done := next((one for one in talk.ahead if one[1] == to), None)) is not None and who is not Who.BOT:
            talk.ahead.remove(done)
            self._mind_the_time(conversation_id, done[0], at, to)
            return False
        if own:
            talk.awaited.append((at, to))
            return False
        now = self._board.active(conversation_id)
        if before is not None and before is not self._who_is(now) and who is not self._who_is(now):
            shown = f"{self._name(now)} is active, not the {before.value} of the tape"
            self._diverge(at, conversation_id, f"control goes to {self._name(to)} while {shown}")
        cause = _CAUSES.get(reason or "") or (Cause.DEFAULT_RESPONDER if silent else Cause.PASS)
        end = talk.past.ended_before(at)
        if end is not None and to is None and not reason:
            cause = Cause.USER_ENDED
        self._board.moves(conversation_id, to, at, cause, reason)
        return True

    def _as_shown(self, happening: Happening) -> Mapping[str, Any]:
        """The event with the present holder, in as much detail as on the tape."""
        payload = dict(happening.raw["payload"])
        conversation = dict(payload["conversation"])
        active = self._board.shown(str(happening.conversation_id))
        taped = conversation.pop("activeSwitchboardIntegration", None)
        if taped is not None and not (isinstance(taped, Mapping) and (taped.get("id") or taped.get("name"))):
            conversation["activeSwitchboardIntegration"] = taped  # unreadable then and now
        elif active is not None:
            named_only = isinstance(taped, Mapping) and not taped.get("id")
            conversation["activeSwitchboardIntegration"] = {"name": active["name"]} if named_only else active
        return {**happening.raw, "payload": {**payload, "conversation": conversation}}

    # -- the bot's actions -------------------------------------------------------------------

    def _noticed(self, entry: Entry) -> None:
        """Note a move of control by the bot."""
        if entry.kind is not Kind.HOLDER or entry.actor not in self._keys or entry.conversation_id is None:
            return
        talk, to = (
            self._talks.get(entry.conversation_id),
            self._board.active(entry.conversation_id),
        )
        if talk is None:
            return
        awaited = next((one for one in talk.awaited if one[1] == to), None)
        if awaited is None:
            talk.ahead.append((entry.at, to))
            return
        talk.awaited.remove(awaited)
        self._mind_the_time(entry.conversation_id, entry.at, awaited[0], to)

    def _mind_the_time(
        self,
        conversation_id: str,
        now: datetime,
        then: datetime,
        to: str | None,
    ) -> None:
        late = now - then
        if abs(late) > LATE:
            how = "later" if late > timedelta(0) else "sooner"
            seconds = abs(late).total_seconds()
            what = f"the bot {self._move_in_words(to)} {seconds:.1f} s {how} than on the tape"
            self._diverge(now, conversation_id, what)

    def _diverge(self, at: datetime, conversation_id: str, what: str) -> None:
        self.diverged.append(Divergence(at, conversation_id, what))

    def _move_in_words(self, to: str | None) -> str:
        return "releases control" if to is None else f"passes control to {self._name(to)}"

    def _name(self, member_id: str | None) -> str:
        return "nobody" if member_id is None else self._board.members[member_id].name

    def _who(self, seen: SwitchboardIntegration | None) -> Who:
        return self._who_is(self._board.member_of(seen, self._me))

    def _who_is(self, member_id: str | None) -> Who:
        if member_id is None:
            return Who.NOBODY
        return Who.BOT if self._board.is_bot(member_id) else Who.OTHER


def _moves(event: Event) -> bool:
    return isinstance(event, ControlPassed | ControlAccepted | ControlReleased)
