"""What must hold at every moment of a story, and what must hold once it has come to rest: the guarantee, G1 to G5.

Judged by the platform's truth and by what the bot has been told, never by what the bot believes. The platform's one
window (control is taken between a read and an action that the platform does not refuse) is known here precisely:
the read showed it to be the bot's, it is not old, and the bot was told nothing else when it acted.
"""

from __future__ import annotations

from datetime import timedelta

from bot.control.commands import CloseDuty, GivenUp, Proven, Record, RunOver
from bot.control.facts import Answered, Fact
from bot.control.policy import FRESH
from bot.control.state import Conversation, Kind, OpeningKind, Outcome, Purpose, Run, Who
from bot.simulation.exhaustive.setup import BOT, DESK, INTEGRATIONS, NAMES, NOBODY, OTHER
from bot.simulation.exhaustive.told import END, HALF_END, MOVED, REASONS, WORD, Told
from bot.simulation.exhaustive.world import PASS, RELEASE, SAY, Flight, World

NO_PROOFS = ("void", "replaced", "given up")  # how a duty ends that is not done
REFUSED = "(403)"
CLAIMS = {"nobody": NOBODY, **{str(one): place for place, one in enumerate(INTEGRATIONS) if one}}
CUT_OFF = (Outcome.ENDED, Outcome.INTERRUPTED, Outcome.TIMED_OUT)
UNGUARDED = (PASS, RELEASE)
SOON_ENOUGH = timedelta(minutes=5)  # less than the idle deadline
TRANSFER = "transferToEmail"


class Breach(Exception):
    """The guarantee is broken; says how."""


# -- what the bot decides --------------------------------------------------------------------------------------------


def check_step(world: World, before: Conversation, records: tuple[Record, ...], fact: Fact) -> None:
    """A step of the rules claims only what is so, begins only what it may, and drops nothing that was said."""
    after = world.state
    for record in records:
        if isinstance(record, CloseDuty):
            _check_proof(world, record.proof.how)
            world.was = 1 << world.active
            world.unclear = None  # what another duty asks for later is no repetition
        elif isinstance(record, Proven) and not world.was_nobody:
            raise Breach("G1: the end counts as proven, and somebody has been active ever since")
    run = after.run
    if run and (before.run is None or before.run.id != run.id):
        _check_run(world, run)
    elif run and run.purpose is Purpose.CLOSING and after.ended is not before.ended:
        world.closed_for = _end_of(after) or world.closed_for  # the end comes after the hand-back that began it
    if before.unsent and before.unsent is not after.unsent:
        _check_dropped(before, after, records, fact)


def _check_proof(world: World, how: str) -> None:
    if how.startswith(NO_PROOFS):
        return
    if REFUSED in how:
        if world.ended and world.told_of_end:
            raise Breach("G1: a refusal counts as proof, after the end")
        return
    claimed, active, _ = how.partition(" is active")
    was_so = bool(world.was & 1 << CLAIMS[claimed]) if active else world.was != 1 << BOT
    if not was_so:
        raise Breach(f"G1: a duty counts as done, and that was never so: {how}")


def _check_run(world: World, run: Run) -> None:
    if run.purpose is Purpose.CLOSING and (number := _end_of(world.state)):
        if world.closed_for == number:
            raise Breach("G3: a second closing flow after the end")
        world.closed_for = number
    opening = run.opening
    if opening.kind is OpeningKind.HANDBACK:
        if world.handed:
            raise Breach("G5: a second flow begins by a hand-back, and the user has said nothing in between")
        world.handed = True
    if opening.kind is OpeningKind.MESSAGE and opening.event_id:
        if opening.event_id.startswith("x"):
            raise Breach("G5: a flow begins with what was said to another integration")
        if int(opening.event_id[1:].rstrip("b")) in world.opened:
            raise Breach("G4: a word begins a second flow")


def _end_of(state: Conversation) -> int:
    """The number of the end that the bot knows of; 0 if it knows of none."""
    return int(state.ended.message_id[1:]) if state.ended and state.ended.message_id else 0


def _check_dropped(before: Conversation, after: Conversation, records: tuple[Record, ...], fact: Fact) -> None:
    if after.gone or after.ended or after.holder.who is not Who.BOT:
        return
    kept = {unsent.id for unsent in after.unsent}
    answered = fact.effect_id if isinstance(fact, Answered) else None
    dropped = [u for u in before.unsent if u.kind is Kind.SAY and u.id not in kept and u.id != answered]
    excused = any(
        isinstance(record, GivenUp) or (isinstance(record, RunOver) and record.outcome in CUT_OFF) for record in records
    )
    if dropped and not excused:
        raise Breach("G4: what a flow has said is dropped, and nothing has come between")


# -- what the bot is told --------------------------------------------------------------------------------------------


def note_told(world: World, told: Told) -> None:
    """Note what an event tells the bot."""
    if told.fresh:
        world.known = True
        if told.shown != BOT and world.active != BOT:
            world.told_of_loss = True
    if told.kind in (END, HALF_END) and world.ended and world.end and world.end[0] == told.number:
        world.told_of_end = True
    elif told.kind == WORD and world.end and not world.ended:
        world.told_of_return = True
    elif told.kind == MOVED:
        world.unclear = None


def note_heard(world: World, told: Told) -> None:
    """Note what must lead to something soon: a word to the bot, or the end of an agent's session, told in time."""
    if not told.fresh or told.shown != BOT or told.again or world.ended or world.now != told.at:
        return
    asks = told.kind == WORD or (told.kind == MOVED and REASONS[told.reason] == TRANSFER)
    if asks and world.active == BOT and not (world.state.run or world.state.duty):
        world.waited_for = True


def check_patience(world: World, time: timedelta) -> None:
    """What the bot was told in time does not wait until it holds control for too long."""
    if world.waited_for and time >= SOON_ENOUGH:
        raise Breach("G1: the bot does nothing about what it was told")


# -- what the bot does -----------------------------------------------------------------------------------------------


def knows_better(world: World, flight: Flight) -> bool:
    """Has the bot been told what forbids what it sends?"""
    lost = world.active != BOT and world.told_of_loss
    if flight.what == SAY:
        return lost or (world.ended and world.told_of_end and flight.run_id not in world.closers)
    if flight.what == PASS or flight.app_key:
        return lost or (flight.what == RELEASE and not world.ended and world.told_of_return)
    return False


def check_sent(world: World, flight: Flight) -> None:
    """Messages go out in their order, no action is repeated blindly, and nothing is passed on that has ended."""
    if flight.what == SAY and flight.effect_id != next(u.id for u in world.state.unsent if u.kind is Kind.SAY):
        raise Breach("G5: messages go out in another order than they were said in")
    if flight.what in UNGUARDED and world.unclear == flight.what:
        raise Breach("G2: an action whose outcome is unclear is repeated without a read")
    if flight.what == PASS and world.ended and world.told_of_end:
        raise Breach("G2: control is passed on in what the user has ended, as the bot was told")


def check_said(world: World, flight: Flight) -> None:
    """A message is posted."""
    if flight.effect_id in world.posted:
        raise Breach("G4: a message is said twice")
    if not flight.knew:
        return
    if world.active != BOT:
        raise Breach(f"G3: the bot speaks while {NAMES[world.active]} is active, as it was told")
    if world.ended and flight.run_id not in world.closers:
        raise Breach("G3: the bot speaks after the end, of which it was told")


def check_taken(world: World, flight: Flight) -> None:
    """An action that the platform does not refuse takes control from whoever has it."""
    read = world.read
    if flight.what == PASS and read and world.ended and world.end and world.end[1] < read.began:
        raise Breach("G2: control is passed on in what had ended when the bot looked")
    if world.active not in (DESK, OTHER) or world.active == flight.target:
        return
    if flight.what == RELEASE and (world.ended or world.closing_answered):
        return
    if flight.what == RELEASE and world.order == world.active and world.order_read:
        world.order = NOBODY
        return
    shown = read is not None and (
        read.active == BOT or (flight.what == RELEASE and read.ended)  # the user has written again since
    )
    in_window = read and shown and not flight.knew and flight.sent_at - read.began <= 2 * (FRESH + read.took)
    if not in_window:
        raise Breach(f"G2: the bot takes control from {NAMES[world.active]}")


# -- at rest ---------------------------------------------------------------------------------------------------------


def check_rest(world: World) -> None:
    """Everything is over, and time alone changes nothing any more."""
    state, active = world.state, world.active
    if state.run or state.duty or state.unsent or state.start:
        raise Breach("G1: the bot does not come to rest")
    if world.known and active == BOT:
        raise Breach("G1: the bot still holds control")
    if world.known and active != NOBODY and state.closed:
        raise Breach(f"G1: the end counts as proven, and {NAMES[active]} is active")
    if not world.ended:
        return
    if active == NOBODY and world.told_of_end and not state.closed:
        raise Breach("G1: the conversation is closed, and the bot has no proof of it")
    if active in (DESK, OTHER) and world.known:
        if world.setup.policy.app_key:
            raise Breach(f"G1: the user has ended it, and {NAMES[active]} is still active")
        if not state.no_app_key_reported:
            raise Breach(f"G1: nobody is told that only an app key could release what {NAMES[active]} holds")
