"""Did the guarantee hold? Read from the platform's history and the database, not from what the bot believes.

What the bot could not know does not count against it: an event that was never delivered, a change of control within
the time that a request is under way. Everything else does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from bot.engine.delivery import EFFECT_KEY
from bot.engine.orders import CONFIRMED_FOR
from bot.sandbox.history import Cause, Entry, Kind
from bot.sandbox.switchboard import BOT
from bot.simulation.flows import DEAF
from bot.simulation.record import Acknowledged, Called, Ordered, Record

END_TEXT = "The user has left the chat."
NO_PROOFS = ("void", "replaced", "given up")  # how a duty ends that is not done
REFUSED = "(403)"  # trusted for a flow that is over, even if a fault made it up: a read follows anyway
LATELY = timedelta(minutes=1)  # what a late event tells may have been so much before
REACTION = timedelta(seconds=2)  # from an acknowledged event to the bot's acting on it, at most


def violations(record: Record) -> list[str]:
    """All breaches of G1 to G5 in a run, each in a line that names the conversation."""
    found = list(record.errors)
    if not record.rests:
        found.append("G1: the bot does not come to rest")
    for conversation_id in record.holders:
        checker = Checker(record, conversation_id)
        found += [f"{breach} ({conversation_id})" for breach in checker.breaches()]
    found += [f"G4: an acknowledged event is lost: {gone}" for gone in _lost_events(record)]
    found += [f"G4: an event never took effect: {key}" for key, status in record.inbox.items() if status == "pending"]
    found += [f"G4: an event was set aside: {key}" for key in _set_aside(record)]
    found += [f"invariant: unsafe row {key}" for key, state in record.states.items() if not state.is_safe()]
    return found


def _lost_events(record: Record) -> Iterator[str]:
    for known in record.acknowledged:
        if known.event["id"] not in record.inbox:
            yield known.event["id"]


def _set_aside(record: Record) -> Iterator[str]:
    """What was set aside, but for orders to take control from another that came to their turn too late to count."""
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
        self._entries = [entry for entry in record.history if entry.conversation_id == conversation_id]
        self._told = [known for known in record.acknowledged if _conversation_of(known) == conversation_id]
        self._calls = [call for call in record.calls if f"/{conversation_id}" in call.path]
        self._end_messages = {
            entry.message_id for entry in self._entries if entry.kind is Kind.MESSAGE and entry.text == END_TEXT
        }
        self._removed = any(entry.kind in (Kind.REMOVED, Kind.MERGED) for entry in self._entries)

    def breaches(self) -> Iterator[str]:
        """Everything that is wrong with the conversation."""
        if self._removed:
            yield from self._remembered()
        else:
            yield from self._given_up()
            yield from self._proven_wrongly()
        yield from self._robbed()
        yield from self._out_of_turn()
        yield from self._doubled()
        yield from self._repeated_blindly()
        yield from self._closed_twice()

    # -- G1 --------------------------------------------------------------------------------------------------------

    def _given_up(self) -> Iterator[str]:
        """Nobody stays active after an end; the bot never stays active."""
        holder = self._record.holders[self._id]
        moved = [entry for entry in self._entries if entry.kind is Kind.HOLDER]
        ended = bool(self._entries) and self._entries[-1].ended
        state = self._record.states.get(self._id)
        if holder is None:
            told_of_end = any(self._is_end(known) for known in self._told)
            if ended and told_of_end and (state is None or not state.closed):
                yield "G1: the conversation is closed, but the bot has no proof of it"
            return
        could_know = bool(moved) and self._could_know(moved[-1].at)
        if holder == BOT and could_know:
            yield "G1: the bot still holds control"
        elif ended and could_know and self._record.closes_for_others:
            yield f"G1: the user has ended it, and {holder} is still active"
        if state and state.closed and could_know:
            yield f"G1: the bot has a proof, but {holder} is active"

    def _proven_wrongly(self) -> Iterator[str]:
        """A duty that counts as done has been: control had left the bot since it was owed, or lately before."""
        for at, signal in self._record.signals:
            if signal.event != "duty_closed" or signal.conversation_id != self._id:
                continue
            proof, seconds = str(signal.fields["proof"]), signal.fields["seconds"]
            another = " is active" in proof and not proof.startswith("nobody")
            if proof.startswith(NO_PROOFS) or REFUSED in proof or another or not isinstance(seconds, float):
                continue
            since = at - timedelta(seconds=seconds) - LATELY
            moves = [entry for entry in self._entries if entry.kind is Kind.HOLDER and entry.at <= at]
            left = any(entry.before == BOT and entry.at >= since for entry in moves)
            if not left and moves and moves[-1].holder == BOT:
                yield f"G1: a duty counts as done at {at.time()}, and control has never left the bot: {proof}"

    def _remembered(self) -> Iterator[str]:
        """What was removed is erased, if the bot was told."""
        told = any(known.event["type"] == "conversation:remove" for known in self._told)
        if told and self._id in self._record.states:
            yield "the conversation was removed, and the bot remembers it"

    def _closed_twice(self) -> Iterator[str]:
        """The closing flow runs once after an end."""
        runs: set[str] = set()
        for entry in self._entries:
            if entry.kind in (Kind.ENDED, Kind.REOPENED):
                runs.clear()
            if entry.ended and entry.text.startswith("[close"):
                runs.add(entry.text.partition("#")[0])
            if len(runs) > 1:
                yield f"G3: a second closing flow after the end: {entry.text!r}"
                return

    def _could_know(self, moment: datetime) -> bool:
        """Was the bot told anything of the conversation since then, or did it read it?"""
        return any(_created(known) >= _floor(moment) for known in self._told) or any(
            call.method == "GET" and call.told and call.at >= moment for call in self._calls
        )

    # -- G2 --------------------------------------------------------------------------------------------------------

    def _robbed(self) -> Iterator[str]:
        """The bot moves control away from another only after an end, and never against what it has just read.

        Or as an operator wants: once an order, and after a read.
        """
        orders = [order for order in self._record.orders if order.conversation_id == self._id and order.against]
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
            since = max(e.at for e in self._entries if e.kind is Kind.HOLDER and e.number < entry.number)
            read = max((c.at for c in self._calls if c.method == "GET" and c.told and c.at <= entry.at), default=None)
            if read is None or read >= since:
                yield f"G2: the bot took control from {entry.before} at {entry.at.time()}"

    def _order_for(self, release: Entry, orders: list[Ordered]) -> Ordered | None:
        """The order that a release follows, with a read between."""
        reads = [call.at for call in self._calls if call.method == "GET" and call.told and call.at <= release.at]
        for order in orders:
            if order.against == release.before and any(order.at <= read for read in reads):
                return order
        return None

    def _answered_closing(self, release: Entry) -> bool:
        """Had the user ended it, and was what the user said since a word in the closing flow?"""
        before = [entry for entry in self._entries if entry.number < release.number]
        ends = [entry.number for entry in before if entry.kind is Kind.ENDED]
        return any(entry.number > ends[-1] and "[close" in entry.text for entry in before) if ends else False

    # -- G3 --------------------------------------------------------------------------------------------------------

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
        """Had the bot been told of what happened then, long enough before it sent?"""
        tells = self._is_end if end else _tells_of_another
        return any(
            known.at + REACTION + self._paused_after(known.at) < sent and tells(known, _floor(moment))
            for known in self._told
        )

    def _is_end(self, known: Acknowledged, since: datetime | None = None) -> bool:
        """Is it the message that tells the end, whether or not the event shows that?"""
        message = known.event["payload"].get("message") or {}
        return message.get("id") in self._end_messages and (since is None or _created(known) >= since)

    def _paused_after(self, moment: datetime) -> timedelta:
        return sum((till - since for since, till in self._record.paused if till >= moment), timedelta(0))

    def _repeated_blindly(self) -> Iterator[str]:
        """After an unclear answer to a control action, the next one comes after a read, or an event that tells."""
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
        """Did a control event tell how things have stood since then?"""
        return any(
            known.event["type"].startswith("switchboard:") and known.at <= until and _created(known) >= _floor(since)
            for known in self._told
        )

    # -- G4, G5 ----------------------------------------------------------------------------------------------------

    def _doubled(self) -> Iterator[str]:
        """What the user said is heard, no message is said twice, and those of one run come in their order."""
        spoken = list(self._spoken())
        yield from (f"G4: the flow did not hear the user: {entry.text!r}" for entry in spoken if DEAF in entry.text)
        for text, times in Counter(entry.text for entry in spoken).items():
            if times > 1:
                yield f"G4: said {times} times: {text!r}"
        asked = Counter(entry.text for entry in self._entries if entry.actor.startswith("user:"))
        echoed = Counter(entry.text.partition("] echo ")[2] for entry in spoken if "] echo " in entry.text)
        for text, times in echoed.items():
            if times > asked[text]:
                yield f"G4: said {asked[text]} times by the user, and answered {times} times: {text!r}"
        places: dict[str, int] = {}
        for entry in spoken:
            run, _, rest = entry.text.partition("#")
            place = int(rest.partition("]")[0])
            if place < places.get(run, 0):
                yield f"G5: said out of order: {entry.text!r}"
            places[run] = place

    def _spoken(self) -> list[Entry]:
        """What the bot's flows said."""
        keys = (self._record.key, self._record.app_key)
        return [entry for entry in self._entries if entry.kind is Kind.MESSAGE and entry.actor in keys]


def _conversation_of(known: Acknowledged) -> str | None:
    conversation = known.event.get("payload", {}).get("conversation") or {}
    found = conversation.get("id")
    return found if isinstance(found, str) else None


def _created(known: Acknowledged) -> datetime:
    created = known.event.get("createdAt")
    return datetime.fromisoformat(created) if created else known.created


def _floor(moment: datetime) -> datetime:
    """The platform writes milliseconds."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _tells_of_another(known: Acknowledged, since: datetime) -> bool:
    """Does the event show that the bot was not active at or after a moment?

    What a message shows may be from just before the moment, where the two have the same millisecond.
    """
    active = known.event["payload"]["conversation"].get("activeSwitchboardIntegration")
    if active and active["name"] == BOT:
        return False
    is_control = known.event["type"].startswith("switchboard:")
    return _created(known) >= since if is_control else _created(known) > since


def _effect_of(call: Called) -> object:
    return (call.body.get("metadata") or {}).get(EFFECT_KEY)
