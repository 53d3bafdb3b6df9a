"""A story's present moment: the platform's truth, what is under way, and what the bot has stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from bot.control.facts import Answer
from bot.control.state import Conversation
from bot.simulation.exhaustive.setup import BOT, NOBODY, Setup
from bot.simulation.exhaustive.told import MOVED, WORD, Told

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""When every story begins, and what the present moment is called in every stored world."""


class ReadResult(NamedTuple):
    """What a read has shown.

    Attributes:
        at: the platform time from which the bot takes it to hold.
        active: who was active.
        end: number and time of the end, if it stood after everything that the user said.
        spoke_at: when the user said the newest thing.
        void_end: number of the last end, if the user has written since.
        began: when the bot asked who is active.
        fresh: has control not moved since?
    """

    at: datetime
    active: int
    end: tuple[int, datetime] | None
    spoke_at: datetime | None
    void_end: int | None
    began: datetime
    fresh: bool = True


class Listed(NamedTuple):
    """What the newest messages tell of the user, and when they were listed: the end, the newest word, which is last."""

    end: tuple[int, datetime] | None
    spoke_at: datetime | None
    word_is_last: bool
    at: datetime


SAY, RELEASE, PASS, READ = range(4)
"""What a call to the platform does."""


class Flight(NamedTuple):
    """The call to the platform that is under way.

    Attributes:
        effect_id: as the bot names it.
        what: `SAY`, `RELEASE`, `PASS` or `READ`.
        sent_at: when it left.
        app_key: does it go out with the app key?
        target: to whom it passes.
        messages: does the read show the newest messages too?
        maybe_done: is the message looked for first?
        run_id: the run that a message comes from.
        knew: had the bot been told, when it sent it, what forbids it?
        listed: the messages, where they have been listed already.
        late: the answer, where it is under way.
    """

    effect_id: str
    what: int
    sent_at: datetime
    app_key: bool = False
    target: int = NOBODY
    messages: bool = False
    maybe_done: bool = False
    run_id: int = 0
    knew: bool = False
    listed: Listed | None = None
    late: Answer | ReadResult | None = None


class LastRead(NamedTuple):
    """The last read that was answered: what it showed, when it began, how long it took."""

    active: int
    ended: bool
    began: datetime
    took: timedelta


class World:
    """One moment of a story. Acts change it, always a copy.

    Attributes:
        setup: what does not change.
        now: the one clock that there is.
        state: the bot's conversation.
        active: who is active.
        ended: has the user ended the conversation?
        end, spoke_at, word_is_last: what the messages show of the user, as in `Listed`.
        wire: events under way, the oldest first.
        flight: the call that is under way.
        posted: effect ids of messages that are posted.
        at_work: is a turn of the flow under way, of which nothing has come yet?
        made: how many messages there are.
        known: has the bot been told anything since control moved last?
        told_of_loss: has it been told that it does not have control, since it lost that?
        told_of_end: has it been told of the end?
        told_of_return: has it been told that the user wrote again after the end?
        read: the last read that was answered.
        was: who has been active since the last duty was closed, a bit each.
        was_nobody: has nobody been active at some moment since the end?
        closed_for: number of the end for which a closing run was at work last.
        closing_answered: the user wrote again, after a closing run had begun: that may be the answer to it.
        handed: has a hand-back begun a run since the user spoke?
        opened: numbers of messages that have begun a run.
        unclear: the action whose answer is unclear, and nothing has shown since what became of it.
        order: from whom an operator wants control taken.
        order_read: has a read been answered since?
        closers: ids of the closing runs.
        waited_for: the bot was told what it must act upon, and has begun nothing since.
    """

    __slots__ = (
        "active",
        "at_work",
        "closed_for",
        "closers",
        "closing_answered",
        "end",
        "ended",
        "flight",
        "handed",
        "known",
        "made",
        "now",
        "opened",
        "order",
        "order_read",
        "posted",
        "read",
        "setup",
        "spoke_at",
        "state",
        "told_of_end",
        "told_of_loss",
        "told_of_return",
        "unclear",
        "waited_for",
        "was",
        "was_nobody",
        "wire",
        "word_is_last",
    )

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.now = NOON
        self.state = Conversation("c")
        self.active = BOT
        self.ended = False
        self.end: tuple[int, datetime] | None = None
        self.spoke_at: datetime | None = None
        self.word_is_last = False
        self.wire: tuple[Told, ...] = ()
        self.flight: Flight | None = None
        self.posted: tuple[str, ...] = ()
        self.at_work = False
        self.made = 0
        self.known = False
        self.told_of_loss = False
        self.told_of_end = False
        self.told_of_return = False
        self.read: LastRead | None = None
        self.was = 1 << BOT
        self.was_nobody = False
        self.closed_for = 0
        self.closing_answered = False
        self.handed = False
        self.opened: tuple[int, ...] = ()
        self.unclear: int | None = None
        self.order = NOBODY
        self.order_read = False
        self.closers: tuple[int, ...] = ()
        self.waited_for = False

    def copy(self) -> World:
        """The same moment once more."""
        new = World.__new__(World)
        new.setup = self.setup
        new.now = self.now
        new.state = self.state
        new.active = self.active
        new.ended = self.ended
        new.end = self.end
        new.spoke_at = self.spoke_at
        new.word_is_last = self.word_is_last
        new.wire = self.wire
        new.flight = self.flight
        new.posted = self.posted
        new.at_work = self.at_work
        new.made = self.made
        new.known = self.known
        new.told_of_loss = self.told_of_loss
        new.told_of_end = self.told_of_end
        new.told_of_return = self.told_of_return
        new.read = self.read
        new.was = self.was
        new.was_nobody = self.was_nobody
        new.closed_for = self.closed_for
        new.closing_answered = self.closing_answered
        new.handed = self.handed
        new.opened = self.opened
        new.unclear = self.unclear
        new.order = self.order
        new.order_read = self.order_read
        new.closers = self.closers
        new.waited_for = self.waited_for
        return new

    # -- the platform ----------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Something is about to happen: it is a little later than what happened before."""
        self.now += self.setup.tick

    def move(self, to: int) -> None:
        """Control moves. What is under way tells of the time before."""
        if to == self.active:
            return
        self.active = to
        self.known = self.told_of_loss = self.waited_for = False
        self.was |= 1 << to
        if to == NOBODY:
            self.was_nobody = True
        if self.wire:
            self.wire = tuple(told._replace(fresh=False) if told.fresh else told for told in self.wire)
        if self.flight and isinstance(self.flight.late, ReadResult):
            self.flight = self.flight._replace(late=self.flight.late._replace(fresh=False))

    def moved(self, reason: int = 0) -> Told:
        """The control event that tells where control has just moved."""
        return Told(MOVED, self.now, self.active, 0, reason=reason)

    def message(self, kind: int, shown: int | None = None, *, foreign: bool = False) -> Told:
        """A new message. The event shows who is active now, unless it is told otherwise."""
        self.made += 1
        is_shown = self.active if shown is None else shown
        return Told(kind, self.now, is_shown, self.made, foreign, fresh=is_shown == self.active)

    def word(self, shown: int | None = None) -> Told:
        """The user writes. After an end the conversation is live again."""
        to = self.active
        if to == NOBODY:
            self.move(BOT)  # the default responder, silently
        told = self.message(WORD, shown, foreign=to not in (NOBODY, BOT))
        if self.ended:
            self.ended = self.told_of_return = False
            self.closing_answered = self.end is not None and self.closed_for == self.end[0]
        self.spoke_at, self.word_is_last, self.handed = self.now, True, False
        return told

    def ends(self) -> int:
        """The user ends the conversation; returns the number of the message that tells it."""
        self.made += 1
        self.ended, self.end, self.word_is_last = True, (self.made, self.now), False
        self.told_of_end = self.closing_answered = self.waited_for = False
        self.was_nobody = self.active == NOBODY
        return self.made

    def listed(self) -> Listed:
        """The messages, as they are listed now."""
        return Listed(self.end, self.spoke_at, self.word_is_last, self.now)
