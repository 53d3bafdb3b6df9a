"""Checks whether the guarantee held, from the platform's history and the database.

The bot's own view is not used. It is excused only for what it could not know: an event
that was never delivered, or a change of control while a request was in flight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from bot.control.policy import FRESH, PASS_ATTEMPTS, SETTLING
from bot.engine.delivery import EFFECT_KEY
from bot.engine.orders import CONFIRMED_FOR
from bot.sandbox.history import Cause, Entry, Kind
from bot.sandbox.switchboard import BOT
from bot.simulation.flows import DEAF, OPENED_BY, PROMISES, REMINDER, SAYS_AND_ENDS
from bot.simulation.record import Acknowledged, Called, Ordered, Record
from webhooks import wire

END_TEXT = "The user has left the chat."
NO_PROOFS = ("void", "replaced", "given up")  # a duty closed this way was not done
REFUSED = "(403)"  # proof for a complete flow, even if a fault made it up: a read follows
IDLES = timedelta(minutes=10)  # shorter than the idle deadline
MOST_PASSES = 2 * 2 * PASS_ATTEMPTS  # two flows, two targets; an unheard return counts as a failure
MOST_MESSAGES = 30
LATELY = timedelta(minutes=1)  # how old the news of a late event may be
REACTION = timedelta(seconds=2)  # maximum from an acknowledged event to the bot's action


def violations(record: Record) -> list[str]:
    """Return all breaches of G1 to G5, one line each, naming the conversation."""
    found = list(record.errors)
    if not record.rests:
        found.append("G1: the bot did not come to rest")
    for conversation_id in record.holders:
        checker = Checker(record, conversation_id)
        found += [f"{breach} ({conversation_id})" for breach in checker.breaches()]
    found += [f"G4: an acknowledged event is lost: {gone}" for gone in lost_events(record)]
    found += [f"G4: an event never took effect: {key}" for key, status in record.inbox.items() if status == "pending"]
    found += [f"G4: an event was set aside: {key}" for key in _set_aside(record)]
    found += [f"invariant: unsafe row {key}" for key, state in record.states.items() if not state.is_safe()]
    return found


def lost_events(record: Record) -> Iterator[str]:
    """Yield acknowledged events that are not stored, even under another event id."""
    stored = {wire.said_id(k.event) for k in record.acknowledged if k.event["id"] in record.inbox}
    for known in record.acknowledged:
        said = wire.said_id(known.event)
        if known.event["id"] not in record.inbox and (said is None or said not in stored):
            yield known.event["id"]


def _set_aside(record: Record) -> Iterator[str]:
    """Yield events that were set aside, except take-over orders that expired in the queue."""
    outdated = {
        order.event_id
        for order in record.orders
        for at, signal in record.signals
        if order.against and at > order.at + CONFIRMED_FOR
        if (signal.event, signal.conversation_id) == ("event_set_aside", order.conversation_id)
    }
    yield from (key for key, status in record.inbox.items() if status == "set_aside" and key not in outdated)


class Checker:
    """The checks of one conversation."""

    def __init__(self, record: Record, conversation_id: str) -> None:
        self._record = record
        self._id = conversation_id
        self._entries = [e for e in record.history if e.conversation_id == conversation_id]
        self._told = [k for k in record.acknowledged if _conversation_of(k) == conversation_id]
        self._calls = [call for call in record.calls if f"/{conversation_id}" in call.path]
        self._end_messages = {e.message_id for e in self._entries if e.kind is Kind.MESSAGE and e.text == END_TEXT}
        self._removed = any(entry.kind in (Kind.REMOVED, Kind.MERGED) for entry in self._entries)

    def breaches(self) -> Iterator[str]:
        """Yield every breach in the conversation."""
        if self._removed:
            yield from self._remembered()
        else:
            yield from self._given_up()
            yield from self._proven_wrongly()
        yield from self._robbed()
        yield from self._out_of_turn()
        yield from self._meant_for_others()
        yield from self._keeps_after_transfer()
        yield from self._unanswered()
        yield from self._handed_around()
        yield from self._passed_in_vain()
        yield from self._unsaid()
        yield from self._not_reminded()
        yield from self._gave_way_to_a_trigger()
        yield from self._doubled()
        yield from self._repeated_blindly()
        yield from self._closed_twice()

    # -- G1 ------------------------------------------------------------------------------

    def _given_up(self) -> Iterator[str]:
        """After an end nobody stays active; without a flow the bot doesn't either."""
        holder = self._record.holders[self._id]
        moved = [entry for entry in self._entries if entry.kind is Kind.HOLDER]
        ended = bool(self._entries) and self._entries[-1].ended
        state = self._record.states.get(self._id)
        if holder is None:
            reopened = max((e.at for e in self._entries if e.kind is Kind.REOPENED), default=None)
            told_of_end = any(self._is_end(known, reopened and _floor(reopened)) for known in self._told)
            if ended and told_of_end and (state is None or not state.closed):
                yield "G1: the conversation is closed, but the bot has no proof of it"
            return
        could_know = bool(moved) and self._could_know(moved[-1])
        if holder == BOT and could_know:
            yield "G1: the bot still holds control"
        elif ended and could_know and self._record.closes_for_others:
            yield f"G1: the user has ended the conversation, but {holder} is still active"
        if state and state.closed and could_know:
            yield f"G1: the bot has recorded a proof, but {holder} is active"

    def _proven_wrongly(self) -> Iterator[str]:
        """A duty's proof was true since the duty began or shortly before.

        A refusal does not prove an end.
        """
        for at, signal in self._record.signals:
            if signal.event != "duty_closed" or signal.conversation_id != self._id:
                continue
            proof, seconds = str(signal.fields["proof"]), signal.fields["seconds"]
            if proof.startswith(NO_PROOFS) or not isinstance(seconds, float):
                continue
            since = at - timedelta(seconds=seconds)
            if REFUSED in proof:
                if self._knew_of_end(at):
                    yield f"G1: a refusal counts as proof at {at.time()}, after the end"
                continue
            claimed, active, _ = proof.partition(" is active")
            # An event may come later by as long as the bot was paused.
            late = LATELY + self._record.paused_between(self._entries[0].at, since)
            held = self._holders_between(since - late, at)
            if (None if claimed == "nobody" else claimed) not in held if active else held == {BOT}:
                yield f"G1: a duty counts as done at {at.time()}, but its proof was never true: {proof}"

    def _holders_between(self, since: datetime, until: datetime) -> set[str | None]:
        """Return everyone who was active at some moment of this period."""
        moves = [e for e in self._entries if e.kind is Kind.HOLDER and e.at <= until]
        lately = [entry for entry in moves if entry.at >= since]
        return {e.before for e in lately[:1]} | {e.holder for e in lately or moves[-1:]}

    def _knew_of_end(self, moment: datetime) -> bool:
        """Return whether the user had ended the conversation and the bot had been told."""
        ends = [e for e in self._entries if e.kind in (Kind.ENDED, Kind.REOPENED) and e.at <= moment]
        return bool(ends) and ends[-1].kind is Kind.ENDED and self._knew_since(ends[-1].at, moment, end=True)

    def _remembered(self) -> Iterator[str]:
        """A removed conversation is erased, if the bot was told."""
        told = any(known.event["type"] == "conversation:remove" for known in self._told)
        if told and self._id in self._record.states:
            yield "the conversation was removed, but the bot still stores it"

    def _closed_twice(self) -> Iterator[str]:
        """The closing flow runs at most once after an end."""
        runs: set[str] = set()
        for entry in self._entries:
            if entry.kind in (Kind.ENDED, Kind.REOPENED):
                runs.clear()
            if entry.ended and entry.text.startswith("[close"):
                runs.add(entry.text.partition("#")[0])
            if len(runs) > 1:
                yield f"G3: a second closing flow after the end: {entry.text!r}"
                return

    def _could_know(self, entry: Entry) -> bool:
        """Return whether the bot was told anything, or read anything, since then."""
        reads = [call for call in self._calls if call.method == "GET" and call.told]
        read = any(call.at >= entry.at if call.place is None else call.place > entry.number for call in reads)
        return read or any(_created(known) >= _floor(entry.at) for known in self._told)

    # -- G2 ------------------------------------------------------------------------------

    def _robbed(self) -> Iterator[str]:
        """The bot takes control from others only after an end or an operator's order.

        One window can't be closed, because the platform does not refuse such an action:
        the time between the bot's read and the action's arrival. The check bounds the
        bot's part of it, and the bot must not have been told of the change.
        """
        orders = [o for o in self._record.orders if o.conversation_id == self._id and o.against]
        for entry in self._entries:
            by_bot = entry.actor in (self._record.key, self._record.app_key)
            if entry.kind is not Kind.HOLDER or not by_bot or entry.cause is Cause.SHORTHAND:
                continue
            if entry.before in (None, BOT):
                continue
            if entry.cause is Cause.RELEASE and (entry.ended or self._answered_closing(entry)):
                continue
            if entry.cause is Cause.RELEASE and (order := self._order_for(entry, orders)):
                orders.remove(order)
                continue
            if not self._is_in_window(entry):
                yield f"G2: the bot took control from {entry.before} at {entry.at.time()}"

    def _is_in_window(self, robbery: Entry) -> bool:
        """Return whether the change happened between a fresh read and the action.

        The change is either that the other took control, or that the user wrote again
        after the end. The bot must not have been told of it.
        """
        changes = [e for e in self._entries if e.kind in (Kind.HOLDER, Kind.REOPENED) and e.number < robbery.number]
        change = max(changes, key=lambda e: e.number)
        acted = next(i for i, c in enumerate(self._calls) if c.place is not None and c.place > robbery.number)
        act, before = self._calls[acted], self._calls[:acted]
        reopened = change.kind is Kind.REOPENED  # shown by messages, which are read before the holder
        shows = [c.shows_messages if reopened else c.shows_holder for c in before]
        shown = [(c, c.answered) for c, tells in zip(before, shows, strict=True) if tells and c.answered]
        shown = [(c, answered) for c, answered in shown if answered <= act.at]
        told = self._heard_since if reopened else self._knew_since
        if not shown or told(change.at, act.at):
            return False
        read, answered = shown[-1]
        bound = 2 * (FRESH + answered - read.at)
        return (read.place or 0) <= change.number and act.at - read.at <= bound

    def _order_for(self, release: Entry, orders: list[Ordered]) -> Ordered | None:
        """Return the order that a release carries out, with a read between."""
        reads = [c.at for c in self._calls if c.method == "GET" and c.told and c.at <= release.at]
        for order in orders:
            if order.against == release.before and any(order.at <= read for read in reads):
                return order
        return None

    def _answered_closing(self, release: Entry) -> bool:
        """Return whether the user's words since the end went to the closing flow."""
        before = [entry for entry in self._entries if entry.number < release.number]
        ends = [entry.number for entry in before if entry.kind is Kind.ENDED]
        return any(e.number > ends[-1] and "[close" in e.text for e in before) if ends else False

    # -- G3 ------------------------------------------------------------------------------

    def _out_of_turn(self) -> Iterator[str]:
        for entry in self._spoken():
            effect = entry.metadata.get(EFFECT_KEY)
            sent = max((c.at for c in self._calls if _effect_of(c) == effect), default=entry.at)
            if entry.holder != BOT and self._knew_since(self._lost_control(entry), sent):
                yield f"G3: the bot spoke while {entry.holder or 'nobody'} was active: {entry.text!r}"
            if entry.ended and "[open" in entry.text and self._knew_since(self._end_before(entry), sent, end=True):
                yield f"G3: the bot spoke after the end: {entry.text!r}"

    def _lost_control(self, entry: Entry) -> datetime:
        moves = [e for e in self._entries if e.kind is Kind.HOLDER and e.number < entry.number and e.before == BOT]
        return moves[-1].at if moves else entry.at

    def _end_before(self, entry: Entry) -> datetime:
        return [e for e in self._entries if e.kind is Kind.ENDED and e.number < entry.number][-1].at

    def _knew_since(self, moment: datetime, sent: datetime, *, end: bool = False) -> bool:
        """Return whether the bot had been told of that moment, long enough before."""
        tells = self._is_end if end else _tells_of_another
        return any(self._in_time(k, sent) and tells(k, _floor(moment)) for k in self._told)

    def _heard_since(self, moment: datetime, sent: datetime) -> bool:
        """Return whether the bot had been told the user's words, long enough before."""
        said = {e.message_id for e in self._user_entries() if moment <= e.at <= sent}
        return any(self._in_time(k, sent) and _message_of(k).get("id") in said for k in self._told)

    def _in_time(self, known: Acknowledged, sent: datetime) -> bool:
        """Return whether the event came long enough before the bot's request."""
        return known.at + REACTION + self._record.paused_between(known.at, sent) < sent

    def _is_end(self, known: Acknowledged, since: datetime | None = None) -> bool:
        """Return whether it is the message of the end, even if the event doesn't show it."""
        message = known.event["payload"].get("message") or {}
        told = str(message.get("id")) in self._end_messages
        return told and (since is None or _created(known) >= since)

    def _repeated_blindly(self) -> Iterator[str]:
        """After an unclear response, a control action is repeated only after a read.

        An event that tells the outcome will do as well.
        """
        unclear: Called | None = None
        for call in self._calls:
            verb = call.path.rpartition("/")[2]
            acts = verb in ("releaseControl", "passControl")
            repeats = acts and unclear is not None and unclear.path == call.path
            if repeats and unclear and not self._was_told(unclear.at, call.at):
                yield f"G2: {verb} was repeated without a read at {call.at.time()}"
            if acts or call.method == "GET":
                unclear = call if acts and call.unclear else None

    def _was_told(self, since: datetime, until: datetime) -> bool:
        """Return whether a control event has told the state since then."""
        return any(
            known.event["type"].startswith("switchboard:") and known.at <= until and _created(known) >= _floor(since)
            for known in self._told
        )

    # -- what the user said, and to whom ------------------------------------------------------

    def _meant_for_others(self) -> Iterator[str]:
        """No flow begins with words that the user said to another holder.

        Applies only if the event tells the bot the holder.
        """
        if not self._record.tells_holders:
            return
        for entry in self._spoken():
            words = entry.metadata.get(OPENED_BY)
            said = [e for e in self._user_entries() if e.number < entry.number and e.text == words]
            if said and all(e.holder not in (BOT, None) for e in said):
                yield f"G5: a flow began with {words!r}, said to {said[-1].holder}: {entry.text!r}"

    def _keeps_after_transfer(self) -> Iterator[str]:
        """After a transfer to e-mail that it was told of, the bot gives up control."""
        for entry in self._entries:
            if (entry.kind, entry.cause) != (Kind.HOLDER, Cause.TRANSFER_TO_EMAIL) or entry.holder != BOT:
                continue
            told = [k.at for k in self._told if k.event["payload"].get("reason") == "transferToEmail"]
            if told:
                yield from self._idles(
                    entry,
                    max(min(told), entry.at),
                    "after a transfer to e-mail",
                )

    def _unanswered(self) -> Iterator[str]:
        """A user who comes back after the end is answered if the bot has control.

        The bot must have been told of the end. Events that don't name the holder are
        excluded: a slow clock makes the message look as if it was said to another.
        """
        if not self._record.tells_holders:
            return
        for place, entry in enumerate(self._entries):
            if entry.kind is not Kind.REOPENED or place + 1 == len(self._entries):
                continue
            ends = [e.number for e in self._entries[:place] if e.kind is Kind.ENDED]
            said = next((e for e in self._entries[place:] if e.kind is Kind.MESSAGE), entry)
            closing = any("[close" in e.text for e in self._entries if e.number > ends[-1])
            told = [k.at for k in self._told if _message_of(k).get("id") == said.message_id]
            knew = told and any(
                self._is_end(k) and k.at <= min(told) and "activity" in _message_of(k) for k in self._told
            )
            if said.holder == BOT and said.actor.startswith("user:") and knew and not closing:
                yield from self._idles(said, max(min(told), said.at), "after the user came back")

    def _idles(self, entry: Entry, told: datetime, what: str) -> Iterator[str]:
        """Report that the bot did nothing about an event until its idle deadline.

        Excluded if something was in the way, or if the conversation or a person was
        removed: then the bot has to forget the event.
        """
        if any(
            e.kind in (Kind.REMOVED, Kind.USER_REMOVED)
            for e in self._record.history
            if e.conversation_id in (self._id, None)
        ):
            return
        later = [e for e in self._entries if e.number > entry.number]
        acted = (c.at for c in self._calls if c.at >= told and c.path.endswith("Control"))
        until = next((e.at for e in later if self._changes(e) or e.at > told + IDLES), told + IDLES)
        until = min(until, next(acted, until))
        hampered = any(began < until and ended > entry.at for began, ended in self._record.cut_off)
        if not hampered and until - told - self._record.paused_between(told, until) >= IDLES:
            yield f"G1: the bot does nothing {what} at {entry.at.time()}"

    def _changes(self, entry: Entry) -> bool:
        """Return whether the bot acts, or no longer has a reason to."""
        keys = (self._record.key, self._record.app_key)
        return entry.kind in (Kind.HOLDER, Kind.ENDED) or entry.actor in keys or entry.actor.startswith("user:")

    def _handed_around(self) -> Iterator[str]:
        """Between two messages of the user, passes and messages are limited."""
        keys = (self._record.key, self._record.app_key)
        passes = messages = agents = 0
        for entry in self._entries:
            if entry.actor.startswith("user:"):
                passes = messages = agents = 0
            agents += entry.actor.startswith("agent:")
            passes += entry.actor in keys and entry.kind is Kind.HOLDER and entry.cause is Cause.PASS
            messages += entry.actor in keys and entry.kind is Kind.MESSAGE
            if passes > MOST_PASSES + agents or messages > MOST_MESSAGES:
                yield f"G5: {passes} passes and {messages} messages since the user spoke, at {entry.at.time()}"
                return

    def _passed_in_vain(self) -> Iterator[str]:
        """A refused pass is not tried forever."""
        spoke = [entry.at for entry in self._entries if entry.actor.startswith("user:")]
        tries = Counter(
            (call.body.get("switchboardIntegration"), sum(at <= call.at for at in spoke))
            for call in self._calls
            if call.path.endswith("passControl")
        )
        for (target, _), times in tries.items():
            if times > MOST_PASSES:
                yield f"G1: passed to {target} {times} times, in vain"

    def _unsaid(self) -> Iterator[str]:
        """A flow's last words are said, if there were no faults and nobody intervened."""
        if not self._record.is_faultless:
            return
        said = [entry for entry in self._entries if entry.kind is Kind.MESSAGE]
        if not said or said[0].holder != BOT or said[0].text not in SAYS_AND_ENDS:
            return
        later = [e for e in self._entries if e.number > said[0].number and e.kind is not Kind.TICKET]
        disturbed = any(e.at < said[0].at + LATELY for e in later if not self._is_bots(e))
        ordered = any(order.conversation_id == self._id for order in self._record.orders)
        if not (disturbed or ordered) and not any("[open" in entry.text for entry in later):
            yield f"G4: nothing was said in response to {said[0].text!r}"

    def _not_reminded(self) -> Iterator[str]:
        """A reminder begins its flow, or its loss is reported, unless data was removed."""
        forgets = self._removed or any(e.kind is Kind.USER_REMOVED for e in self._record.history)
        if self._record.paused or forgets or not any(PROMISES in e.text for e in self._spoken()):
            return
        told = (signal for _, signal in self._record.signals if signal.conversation_id == self._id)
        if not any(
            signal.event == "reminder_dropped"
            or (signal.event == "flow_over" and signal.fields.get("flow", REMINDER) == REMINDER)
            for signal in told
        ):
            yield "G4: a reminder was forgotten"

    def _gave_way_to_a_trigger(self) -> Iterator[str]:
        """A flow that waits for the user keeps waiting after a trigger's message."""
        for place, entry in enumerate(self._entries):
            if entry.actor != "trigger" or entry.holder != BOT or self._is_over(entry):
                continue
            after = next(
                (e for e in self._entries[place + 1 :] if e.kind in (Kind.HOLDER, Kind.MESSAGE)),
                None,
            )
            soon = after and self._is_bots(after) and after.at < entry.at + timedelta(seconds=5)
            if after and soon and after.cause is Cause.PASS:
                yield f"G5: control was passed to {after.holder} because of a trigger's message"

    def _is_over(self, entry: Entry) -> bool:
        """Return whether the user's last flow was over by then; a release may come later."""
        spoke = max(
            (e.at for e in self._user_entries() if e.number < entry.number),
            default=entry.at,
        )
        told = self._record.signals
        over = (at for at, signal in told if signal.event == "flow_over" and signal.conversation_id == self._id)
        return any(spoke <= at <= entry.at for at in over)

    def _is_bots(self, entry: Entry) -> bool:
        return entry.actor in (self._record.key, self._record.app_key)

    def _user_entries(self) -> list[Entry]:
        return [e for e in self._entries if e.kind is Kind.MESSAGE and e.actor.startswith("user:")]

    # -- G4, G5 --------------------------------------------------------------------------

    def _doubled(self) -> Iterator[str]:
        """No message is lost or said twice, and a run's messages are in order."""
        spoken = [entry for entry in self._spoken() if not self._came_too_late(entry)]
        yield from (f"G4: the flow did not hear the user: {entry.text!r}" for entry in spoken if DEAF in entry.text)
        for text, times in Counter(entry.text for entry in spoken).items():
            if times > 1:
                yield f"G4: said {times} times: {text!r}"
        asked = Counter(entry.text for entry in self._entries if entry.actor.startswith("user:"))
        echoed = Counter(entry.text.partition("] echo ")[2] for entry in spoken if "] echo " in entry.text)
        for text, times in echoed.items():
            if times > asked[text]:
                yield f"G4: said {asked[text]} times by the user, but answered {times} times: {text!r}"
        places: dict[str, int] = {}
        for entry in spoken:
            run, _, rest = entry.text.partition("#")
            place = int(rest.partition("]")[0])
            if place < places.get(run, 0):
                yield f"G5: said out of order: {entry.text!r}"
            places[run] = place

    def _came_too_late(self, entry: Entry) -> bool:
        """Return whether the platform posted a message after the bot's longest wait.

        By then the sender counts as dead. The bot looks for the message, doesn't find it,
        and sends it again.
        """
        effect = entry.metadata.get(EFFECT_KEY)
        calls = [(c, c.place) for c in self._calls if _effect_of(c) == effect and c.place is not None]
        sent = min(((place, c.at) for c, place in calls if place > entry.number), default=None)
        looked = [
            c.at
            for c in self._calls
            if sent and c.shows_messages and c.at >= sent[1] + SETTLING and (c.place or 0) <= entry.number
        ]
        return bool(looked) and any(c.at >= max(looked) for c, _ in calls)

    def _spoken(self) -> list[Entry]:
        """Return the messages of the bot's flows."""
        keys = (self._record.key, self._record.app_key)
        return [e for e in self._entries if e.kind is Kind.MESSAGE and e.actor in keys]


def _conversation_of(known: Acknowledged) -> str | None:
    conversation = known.event.get("payload", {}).get("conversation") or {}
    found = conversation.get("id")
    return found if isinstance(found, str) else None


def _created(known: Acknowledged) -> datetime:
    created = known.event.get("createdAt")
    return datetime.fromisoformat(created) if created else known.created


def _floor(moment: datetime) -> datetime:
    """Round down to milliseconds, as the platform does."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _tells_of_another(known: Acknowledged, since: datetime) -> bool:
    """Return whether the event shows that the bot was not active since a moment.

    A message in the same millisecond may still show the state before that moment.
    """
    active = known.event["payload"]["conversation"].get("activeSwitchboardIntegration")
    if active and active["name"] == BOT:
        return False
    is_control = known.event["type"].startswith("switchboard:")
    return _created(known) >= since if is_control else _created(known) > since


def _message_of(known: Acknowledged) -> Mapping[str, Any]:
    return known.event["payload"].get("message") or {}


def _effect_of(call: Called) -> object:
    return (call.body.get("metadata") or {}).get(EFFECT_KEY)
