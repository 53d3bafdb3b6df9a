"""What the bot makes of clocks that are wrong, of messages told twice, and of events that tell only half."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from control_samples import BOT, BOTH_MODES, DESK, HOUR, MINUTE, NOON, SECOND, Story, owing, served, with_agent

from bot.control.facts import (
    AgentWrote,
    Answer,
    ControlMoved,
    ControlUndated,
    ConversationRead,
    Fact,
    HolderSeen,
    NotUnderstood,
    UserEnded,
    UserSpoke,
)
from bot.control.reading import facts_of
from bot.control.state import Action, Input, Integration, OpeningKind, Who
from webhooks.events import parse_event

MILLISECOND = timedelta(milliseconds=1)
NAMED_BOT, NAMED_DESK = Integration("bot", "bot"), Integration("zd-agentWorkspace", "zd-agentWorkspace")


def facts(posted: dict[str, Any], created_at: datetime | str, came: datetime = NOON) -> tuple[Fact, ...]:
    """The facts of an event of `c1`."""
    when = created_at if isinstance(created_at, str) else created_at.isoformat()
    conversation = {"id": "c1", "activeSwitchboardIntegration": {"id": "sw-bot", "name": "bot"}}
    payload = {"conversation": conversation, **posted.pop("payload", {})}
    return facts_of(parse_event({"id": "e1", "createdAt": when, "payload": payload, **posted}), came)


def word(**message: Any) -> dict[str, Any]:
    """A message of the user."""
    said = {"id": "m1", "author": {"type": "user"}, **message}
    return {"type": "conversation:message", "payload": {"message": said}}


class TestBelief:
    """No clock outside is believed without bounds."""

    @pytest.mark.parametrize(
        "ahead", [2 * SECOND, MINUTE, 5 * HOUR, timedelta(days=365 * 50), NOON.replace(year=9999) - NOON], ids=str
    )
    def test_ahead(self, ahead: timedelta) -> None:
        """An event from the future counts as undated: it is as old as its receipt, and a read tells who is active."""
        told = facts(word(), NOON + ahead)
        assert UserSpoke(Input("e1", NOON, said_id="m1"), Integration("sw-bot", "bot")) in told
        assert not any(isinstance(fact, HolderSeen) for fact in told)

    @pytest.mark.parametrize("behind", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2026-02-27T12:00:00Z"])
    def test_far_behind(self, behind: str) -> None:
        """No delivery takes that long."""
        assert UserSpoke(Input("e1", NOON, said_id="m1"), Integration("sw-bot", "bot")) in facts(word(), behind)

    @pytest.mark.parametrize(
        ("offset", "late"),
        [(SECOND, False), (MILLISECOND, False), (-SECOND, False), (-3 * SECOND, True), (-5 * HOUR, True)],
        ids=str,
    )
    def test_believed(self, offset: timedelta, late: bool) -> None:
        """What may be true counts. What is old was delayed, or dated by a clock that is behind."""
        end = word(activity={"type": "conversation:endedByUser"})
        seen, ended = facts(end, NOON + offset)
        assert isinstance(seen, HolderSeen)
        assert seen.late is late
        assert ended == UserEnded(NOON + offset, "m1", late)


class TestEnds:
    """An end that looks late is a reason to read, and the order of the messages tells."""

    @pytest.mark.parametrize("mode", BOTH_MODES)
    @pytest.mark.parametrize("ahead", [MILLISECOND, SECOND, MINUTE, HOUR, timedelta(days=20_000)], ids=str)
    def test_the_users_clock_was_ahead(self, mode: str, ahead: timedelta) -> None:
        """The word is listed before the end: it is an end, and control is released."""
        story = served(mode)
        spoke_at = story.now + ahead
        story.tell(HolderSeen(spoke_at, BOT)).tell(UserSpoke(Input("e9", spoke_at)))
        end = UserEnded(story.now, "m9")
        story.tell(end)
        assert story.state.in_doubt
        story.tell(ConversationRead(story.pending, story.now, BOT, end, spoke_at))
        assert story.ended.message_id == "m9"
        assert story.ended.at == end.at
        assert story.state.run is None or story.state.closing_run is not None

    @pytest.mark.parametrize("mode", BOTH_MODES)
    def test_told_late(self, mode: str) -> None:
        """The user has written again since the end: the read lists that last, and the conversation goes on."""
        story = served(mode)
        story.later(MINUTE).user_says()
        story.tell(UserEnded(story.now - 30 * SECOND, "m9"))
        assert story.state.in_doubt
        story.tell(ConversationRead(story.pending, story.now, BOT, None, story.now))
        assert story.state.ended is None
        assert story.state.run
        assert not story.state.in_doubt

    def test_said_while_the_read_was_on_its_way(self) -> None:
        """The list is older than the word: the end in it is void."""
        story = served()
        end = UserEnded(story.now - 10 * SECOND, "m9")
        story.tell(end)
        story.later(5 * SECOND).user_says()
        story.tell(ConversationRead(story.pending, story.now, BOT, end, story.now - MINUTE))
        assert story.state.ended is None

    def test_a_tap_is_never_listed(self) -> None:
        """Its clock may differ by a second from that of the end, and no more."""
        for ahead, ends in ((SECOND, True), (3 * SECOND, False)):
            story = served().later(MINUTE)
            tapped = story.now + ahead
            story.tell(HolderSeen(tapped, BOT)).tell(UserSpoke(Input("e9", tapped, OpeningKind.POSTBACK)))
            end = UserEnded(story.now, "m9")
            story.tell(end).tell(ConversationRead(story.pending, story.now, BOT, end, NOON))
            assert (story.state.ended is not None) is ends

    def test_one_that_is_known_asks_for_no_read(self) -> None:
        """The same message, however often it is told and however old it looks."""
        story = served().later(MINUTE).user_ends()
        known = story.ended
        for _ in range(2):
            story.tell(UserEnded(story.now - MINUTE, known.message_id))
        assert story.ended == known
        assert not story.state.in_doubt

    @pytest.mark.parametrize("mode", BOTH_MODES)
    @pytest.mark.parametrize("stamp", [NOON - HOUR, NOON + SECOND / 2], ids=["before the word", "after it"])
    def test_the_users_clock_was_behind(self, mode: str, stamp: datetime) -> None:
        """That nobody was active since an hour before proves nothing about an end that came only now."""
        story = served(mode).moves(None).later(HOUR)
        while story.state.pending:
            story.shows(None).later()
        story.tell(UserEnded(stamp, "m9", late=True))
        assert not story.state.closed
        story.shows(BOT, UserEnded(stamp, "m9"), NOON)
        assert story.ended.proof is None
        story.later(2 * MINUTE)
        assert story.state.run or story.state.duty or story.state.pending

    def test_a_word_within_a_second_of_the_end(self) -> None:
        """Two clocks may have dated them: the conversation is live, and a read tells whether that is true."""
        story = served().later(MINUTE).user_ends()
        story.later(SECOND / 2).user_says()
        assert story.state.in_doubt


class TestHolders:
    """A fact that looks old and contradicts what is known asks for a read."""

    def test_a_control_event(self) -> None:
        """What is known may have been dated by a clock that is ahead: say nothing until a read tells."""
        story = served()
        story.tell(HolderSeen(story.now + 5 * SECOND, BOT)).later()
        story.tell(ControlMoved(story.now, DESK))
        assert (story.state.holder.who, story.state.in_doubt) == (Who.BOT, True)
        assert story.last_call == "Read"

    @pytest.mark.parametrize("active", [None, BOT], ids=["released", "passed to the bot"])
    @pytest.mark.parametrize("ahead", [MILLISECOND, 2 * SECOND, 45 * SECOND], ids=str)
    def test_a_control_event_told_long_after_a_read(self, active: Integration | None, ahead: timedelta) -> None:
        """It looks newer than the read, dated by a clock that is ahead, and is not: the agents got control after it.

        To take it for the newest was to take a release of before for the proof.
        """
        story = with_agent().later(MINUTE).tell(NotUnderstood())
        read_at = story.now
        story.shows(DESK, UserEnded(read_at, "m9")).later(MINUTE)
        story.tell(ControlMoved(read_at + ahead, active, late=True))
        assert (story.state.holder.who, story.ended.proof, story.state.in_doubt) == (Who.OTHER, None, True)
        assert story.last_call == "Read"
        story.shows(active)
        assert story.state.holder.who is (Who.BOT if active else Who.NOBODY)

    def test_a_control_event_that_comes_in_time_after_a_read(self) -> None:
        """It is believed."""
        story = with_agent().later(MINUTE).tell(NotUnderstood()).shows(DESK).later(2 * SECOND).moves(None)
        assert (story.state.holder.who, story.state.in_doubt) == (Who.NOBODY, False)

    @pytest.mark.parametrize("after", [SECOND / 2, SECOND])
    def test_a_control_event_that_is_dated_just_after_a_read(self, after: timedelta) -> None:
        """It may have happened before, by a platform's clock that is ahead: a read tells."""
        story = with_agent().later(MINUTE).tell(NotUnderstood()).shows(BOT)
        story.tell(ControlMoved(story.platform + after, None))
        assert (story.state.holder.who, story.state.in_doubt) == (Who.BOT, True)

    @pytest.mark.parametrize("mode", BOTH_MODES)
    def test_what_tells_of_the_bots_own_action_just_after_a_read(self, mode: str) -> None:
        """It is waited for, and believed."""
        story = owing(mode, integration_key=False, app_key=True).shows(BOT).answers(Answer.ACCEPTED).later(SECOND / 2)
        assert story.moves(None if mode == "release" else DESK).state.duty is None
        assert not story.state.in_doubt

    def test_a_control_event_told_late_while_a_flow_is_at_work(self) -> None:
        """It shows how things stood then, and closes nothing."""
        story = owing().tell(ControlMoved(NOON + SECOND, DESK, late=True))
        assert (story.duty.action, story.state.in_doubt) == (Action.RELEASE, True)

    def test_a_control_event_that_tells_nothing_new(self) -> None:
        """No read is worth it."""
        story = served().later(MINUTE).sees(BOT)
        assert not story.tell(ControlMoved(NOON, BOT)).state.in_doubt

    @pytest.mark.parametrize(("late", "reads"), [(True, True), (False, False)])
    def test_a_message(self, late: bool, reads: bool) -> None:
        """Messages overtake each other all the time. One that came late, or was dated by a slow clock, is read."""
        story = served().later(MINUTE).moves(None).later(MINUTE).shows(None)
        before = len(story.calls)
        story.tell(HolderSeen(NOON, BOT, late)).later()
        assert (len(story.calls) > before) is reads
        assert story.state.holder.who is Who.NOBODY


class TestHalfTold:
    """An event that tells only half, or nothing."""

    @pytest.mark.parametrize("mode", BOTH_MODES)
    def test_not_understood(self, mode: str) -> None:
        """The bot says and does nothing until a read has told how things stand; an end found there is an end."""
        story = served(mode).tell(NotUnderstood())
        assert story.state.in_doubt
        assert story.last_call == "Read"
        story.shows(BOT, UserEnded(story.now, "m9"))
        assert story.ended.proof is None
        assert story.state.run is None or story.state.closing_run

    @pytest.mark.parametrize(("to", "begins"), [(NAMED_DESK, False), (NAMED_BOT, True)], ids=["agents", "bot"])
    def test_said_to_a_name(self, to: Integration, begins: bool) -> None:
        """Whether that was the bot, nobody can tell before a read shows the bot with its name."""
        story = Story()
        story.policy = replace(story.policy, me="sw-bot")
        story.user_says(to)
        assert story.last_call == "Read"
        story.shows(Integration("sw-bot", "bot", "custom"))
        assert (story.state.run is not None) is begins
        assert story.state.holder.who is Who.BOT

    @pytest.mark.parametrize("active", ["nobody knows", {}, {"id": None}, [], 7])
    @pytest.mark.parametrize("type_", ["conversation:message", "switchboard:passControl", "conversation:typing"])
    def test_an_unreadable_holder(self, active: object, type_: str) -> None:
        """A read tells who is active; what else the event tells counts."""
        conversation = {"id": "c1", "activeSwitchboardIntegration": active}
        message = {"id": "m1", "activity": {"type": "conversation:endedByUser"}}
        told = facts({"type": type_, "payload": {"conversation": conversation, "message": message}}, NOON)
        assert not any(isinstance(fact, HolderSeen | ControlMoved) for fact in told)
        story = served()
        for fact in told:
            story.tell(fact)
        assert story.state.in_doubt
        assert (story.state.ended is not None) is (type_ == "conversation:message")

    def test_a_new_kind_of_control_event(self) -> None:
        """Only a read tells what it means."""
        assert facts({"type": "switchboard:takeControl"}, NOON) == (NotUnderstood(),)

    def test_a_name_is_enough(self) -> None:
        """The bot, and another that is known already, are known by their names."""
        story = served()
        known = story.state.holder.integration
        story.later().sees(NAMED_BOT)
        assert (story.state.holder.integration, story.state.in_doubt) == (known, False)
        story.later().moves(DESK).later().sees(NAMED_DESK)
        assert (story.state.holder.integration, story.state.in_doubt) == (DESK, False)

    @pytest.mark.parametrize("tell", [Story.sees, Story.moves])
    def test_a_name_that_may_be_anyone(self, tell: Any) -> None:
        """The bot may be configured by its id: a read tells whose name it is."""
        story = tell(served().later(), Integration("my-bot", "my-bot"))
        assert story.state.in_doubt
        assert story.shows(BOT).state.holder.who is Who.BOT

    def test_agents_are_known_by_the_name_of_their_workspace(self) -> None:
        """What comes back from there is handed back, not a new conversation."""
        story = served("pass").moves(NAMED_DESK).later().moves(BOT)
        assert story.state.closing_run is not None


class TestToldTwice:
    """One message is one message, whatever its event ids."""

    @pytest.mark.parametrize("kind", [OpeningKind.MESSAGE, OpeningKind.POSTBACK, OpeningKind.REFERRAL])
    def test_under_another_event_id(self, kind: OpeningKind) -> None:
        """It begins one flow, and answers nothing."""
        story = Story().sees(BOT).tell(UserSpoke(Input("e1", NOON, kind, "m1")))
        story.flow_waits(MINUTE)
        told = story.tell(UserSpoke(Input("e2", NOON, kind, "m1"))).state
        assert (told.inputs, told.run) == ((), story.state.run)
        assert story.tell(UserSpoke(Input("e3", NOON, kind, "m2"))).state.inputs

    def test_only_the_last_are_remembered(self) -> None:
        """A state does not grow with its conversation."""
        story = Story().sees(BOT)
        for number in range(100):
            story.tell(UserSpoke(Input(f"e{number}", NOON, said_id=f"m{number}")))
        assert story.state.heard == tuple(f"m{number}" for number in range(84, 100))


class TestUnguarded:
    """Nothing guards a pass: the read before it looks at the newest messages too."""

    @pytest.mark.parametrize("because", ["complete", "idle", "by the flow"])
    def test_an_end_that_nobody_told(self, because: str) -> None:
        """The ended message was lost: no ticket about nothing is made."""
        story = served("pass", closes=False)
        story.later(MINUTE)
        end = UserEnded(story.now, "m9")
        story.flow_returns() if because == "complete" else story.later(HOUR)
        while story.state.pending and not story.actions:
            story.shows(BOT, end).later()
        assert story.actions[0] == "release"

    def test_a_guarded_release_reads_no_messages(self) -> None:
        """The platform itself refuses what is not ours."""
        story = served().flow_returns()
        assert story.actions == ["release"]


class TestSightings:
    """What a message shows may be dated by a clock that is wrong: it contradicts what is certain, and a read tells."""

    @pytest.mark.parametrize("mode", BOTH_MODES)
    def test_while_a_duty_is_owed(self, mode: str) -> None:
        """It closes no duty by itself."""
        story = with_agent(mode).later(MINUTE).moves(BOT, "transferToEmail")
        assert story.duty.reason == "transferred to email"
        story.tell(HolderSeen(story.platform + SECOND, DESK))
        assert (story.duty.reason, story.state.in_doubt) == ("transferred to email", True)
        story.shows(BOT)
        assert (story.duty.reason, story.state.in_doubt) == ("transferred to email", False)

    def test_told_while_a_read_is_under_way(self) -> None:
        """What the read shows is older than that by the clocks: it is read again, and then it counts."""
        story = with_agent().later(MINUTE).tell(ControlUndated(BOT, "transferToEmail"))
        began = story.platform
        story.tell(HolderSeen(began + SECOND / 2, DESK))
        story.tell(ConversationRead(story.pending, began, BOT))
        assert story.state.in_doubt
        story.tell(ConversationRead(story.pending, began, BOT))
        assert (story.duty.reason, story.state.in_doubt) == ("transferred to email", False)

    def test_a_word_heard_while_another_seems_to_be_active(self) -> None:
        """It is kept until the read: the bot may be active. What its event shows to be for another is not."""
        story = with_agent().tell(HolderSeen(NOON + HOUR, DESK)).tell(HolderSeen(NOON, BOT, late=True))
        assert (story.state.holder.who, story.state.in_doubt) == (Who.OTHER, True)
        story.tell(UserSpoke(Input("e8", NOON, said_id="m8"), DESK)).tell(
            UserSpoke(Input("e9", NOON, said_id="m9"), BOT)
        )
        assert [word.event_id for word in story.state.inputs] == ["e9"]
        assert story.shows(BOT).run.opening.event_id == "e9"

    def test_named_in_part(self) -> None:
        """A name alone and the whole of an integration are the same, whichever is told first."""
        named, whole = Integration("desk", "desk"), Integration("sw-desk", "desk", "zd:agentWorkspace")
        for first, second in ((named, whole), (whole, named)):
            story = served().sees(first).later().sees(second)
            assert story.state.former
            assert story.state.former.who is Who.BOT

    def test_an_agents_clock_that_is_far_ahead(self) -> None:
        """What a message showed of the agent does not keep a control event from telling why the bot has control."""
        story = with_agent().tell(HolderSeen(NOON + 10 * HOUR, DESK)).later(MINUTE)
        handed = story.platform
        story.tell(ControlUndated()).shows(BOT)
        assert story.tell(ControlMoved(handed, BOT, "transferToEmail")).duty.reason == "transferred to email"

    def test_what_was_said_before_an_end_that_a_read_found(self) -> None:
        """It waits for nothing any more; what was said since the read began does."""
        story = owing().user_says().later()
        end = UserEnded(story.platform - 2 * SECOND, "m9")
        story.tell(end)
        story.tell(UserSpoke(Input("since", story.platform, said_id="m10"), BOT))
        story.tell(ConversationRead(story.pending, story.platform, BOT, end, story.platform - SECOND))
        assert [word.event_id for word in story.state.inputs] == ["since"]

    def test_what_was_said_without_a_time_before_an_end(self) -> None:
        """No time tells which came first: what was heard before the read began stands before the end that it shows."""
        story = owing()
        end = UserEnded(story.platform, "m9")
        story.tell(UserSpoke(Input("before", story.platform + SECOND, said_id="m8"), BOT)).tell(end)
        story.tell(UserSpoke(Input("tap", story.platform + SECOND, OpeningKind.POSTBACK), BOT)).tell(NotUnderstood())
        story.tell(UserSpoke(Input("since", story.platform + SECOND, said_id="m10"), BOT))
        story.tell(ConversationRead(story.pending, story.platform, BOT, end))
        assert [word.event_id for word in story.state.inputs] == ["tap", "since"]

    @pytest.mark.parametrize("active", [BOT, None, DESK])
    @pytest.mark.parametrize("before", [SECOND / 2, SECOND])
    def test_just_before_a_release(self, before: timedelta, active: Integration | None) -> None:
        """By a clock that is behind it may have come after that, and have made the bot active: a read tells."""
        story = owing().later().moves(None)
        assert story.proofs
        story.tell(HolderSeen(story.platform - before, active, apart=True))
        assert (story.state.holder.who, story.state.in_doubt) == (Who.NOBODY, True)
        story.later()
        assert story.last_call == "Read"
        assert story.shows(BOT).state.idle_at is not None

    @pytest.mark.parametrize("before", [SECOND, HOUR])
    def test_an_agents_clock_that_is_behind(self, before: timedelta) -> None:
        """What an agent writes while nobody is active may make the bot active, whatever its time: a read tells."""
        story = owing().later().moves(None).tell(AgentWrote(NOON - before, "zd:agentWorkspace"))
        assert (story.state.holder.who, story.state.in_doubt) == (Who.NOBODY, True)

    @pytest.mark.parametrize(("active", "reads"), [(BOT, True), (DESK, False), (None, True)])
    def test_just_before_another_was_given_control(self, active: Integration | None, reads: bool) -> None:
        """The same; what shows that other one contradicts nothing."""
        story = served().later().moves(DESK)
        story.tell(HolderSeen(story.platform - SECOND / 2, active, apart=True))
        assert (story.state.holder.who, story.state.in_doubt) == (Who.OTHER, reads)

    @pytest.mark.parametrize(("apart", "reads"), [(True, True), (False, False)])
    def test_a_word_that_shows_the_bot_while_another_has_control(self, apart: bool, reads: bool) -> None:
        """Control comes from another by a control event. A clock that is ahead dates a word of before after that."""
        story = with_agent().later().tell(HolderSeen(NOON + MINUTE, BOT, apart=apart))
        assert story.state.in_doubt is reads
        story.tell(UserSpoke(Input("e1", NOON + MINUTE), BOT))
        if reads:
            assert story.shows(DESK).state.run is None
            assert story.state.inputs == ()

    @pytest.mark.parametrize(("after", "reads"), [(SECOND, True), (3 * SECOND, True), (4 * SECOND, False)])
    def test_a_word_that_shows_the_bot_after_a_release(self, after: timedelta, reads: bool) -> None:
        """A new one makes the bot active; one of just before the release may be dated after it."""
        story = owing().later().moves(None)
        story.tell(HolderSeen(story.platform + after, BOT, apart=True))
        assert (story.state.holder.who, story.state.in_doubt) == (Who.BOT, reads)

    def test_the_bots_own_words_told_after_a_release(self) -> None:
        """One clock dates both: no read is spent on it."""
        story = owing().later().moves(None).tell(HolderSeen(NOON, BOT))
        assert (story.state.holder.who, story.state.in_doubt) == (Who.NOBODY, False)

    @pytest.mark.parametrize(
        ("posted", "apart"),
        [
            ({"author": {"type": "user"}}, True),
            ({"author": {"type": "business"}, "source": {"type": "zd:agentWorkspace"}}, True),
            ({"author": {"type": "business"}, "activity": {"type": "conversation:endedByUser"}}, True),
            ({"author": {"type": "business"}, "source": {"type": "api:conversations"}}, False),
        ],
    )
    def test_whose_clock(self, posted: dict[str, Any], apart: bool) -> None:
        """A user's or an agent's may be another than the one that dates control events."""
        seen, *_ = facts(word(**posted), NOON)
        assert seen == HolderSeen(NOON, Integration("sw-bot", "bot"), apart=apart)

    def test_long_before_a_release(self) -> None:
        """No read is spent on it."""
        story = owing().later(3 * SECOND).moves(None).tell(HolderSeen(NOON, BOT, apart=True))
        assert (story.state.holder.who, story.state.in_doubt) == (Who.NOBODY, False)


class TestSameInstant:
    """The user ends and writes at once, as far as the times tell: the order of the messages decides."""

    def test_said_after_the_end(self) -> None:
        """What the user said then is answered, although its run was stopped before its first turn."""
        story = self.ended_and_spoke()
        story.tell(
            ConversationRead(story.pending, story.platform + SECOND, BOT, spoke_at=story.platform, void_end="m9")
        )
        assert (story.state.ended, story.run.opening.event_id) == (None, "e1")

    def test_said_before_the_end(self) -> None:
        """It is over, and what the user said before begins nothing."""
        story = self.ended_and_spoke()
        end = UserEnded(story.platform, "m9")
        story.tell(ConversationRead(story.pending, story.platform + SECOND, BOT, end, story.platform)).later()
        assert (story.state.run, story.ended.message_id) == (None, "m9")
        while story.state.in_doubt or story.state.pending:
            story.tell(ConversationRead(story.pending, story.platform + SECOND, BOT, end, story.platform)).later()
        assert (story.state.run, story.state.inputs) == (None, ())

    @pytest.mark.parametrize("known", [True, False])
    def test_said_after_another_end(self, known: bool) -> None:
        """An end that was known when the read began is void with the last one. A newer one is not."""
        story = owing() if not known else owing().tell(UserEnded(NOON + HOUR, "m9"))
        story.tell(NotUnderstood())
        if not known:
            story.tell(UserEnded(NOON + HOUR, "m9"))
        story.tell(ConversationRead(story.pending, story.platform, BOT, spoke_at=NOON, void_end="m10"))
        assert (story.state.ended is None) is known

    def test_a_run_that_has_begun(self) -> None:
        """What began it is not heard again."""
        story = served().flow_waits(HOUR, wants_input=False).later(HOUR)
        story.user_says().tell(UserEnded(story.platform, "m9"))
        assert (story.state.in_doubt, [word.event_id for word in story.state.inputs]) == (True, [])

    @staticmethod
    def ended_and_spoke() -> Story:
        """One batch tells a word and the end, with one time."""
        story = Story().user_says().tell(UserEnded(NOON, "m9"))
        assert (story.ended.at, story.state.run, story.state.in_doubt) == (NOON, None, True)
        return story
