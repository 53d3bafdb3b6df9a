"""Handbacks: why control came to the bot, what was said before it came, and that nothing is handed around for ever."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from control_samples import (
    ANSWERBOT,
    BOT,
    BOTH_MODES,
    DESK,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    Story,
    owing,
    served,
    with_agent,
)

from bot.control.facts import (
    Answer,
    ControlMoved,
    ControlUndated,
    ConversationRead,
    FlowHandedOver,
    HolderSeen,
    UserSpoke,
)
from bot.control.state import Action, Input, Integration, OpeningKind, Purpose, Who

in_both_modes = pytest.mark.parametrize("mode", BOTH_MODES)
E_MAIL = "transferToEmail"


def found_by_a_read(mode: str = "pass") -> tuple[Story, datetime]:
    """An agent had control. A read shows that the bot has it now; what gave it control 5 s before is not told yet."""
    story = with_agent(mode).later(MINUTE)
    handed = story.platform
    story.later(5 * SECOND).tell(ControlUndated()).shows(BOT)
    assert (story.state.holder.who, story.flow) == (Who.BOT, None)
    return story, handed


def said(story: Story, at: datetime, to: Integration | None, kind: OpeningKind = OpeningKind.MESSAGE) -> Story:
    """A word of the user, told now; the event shows who was active when it was said."""
    return story.later().tell(HolderSeen(at, to)).tell(UserSpoke(Input("late", at, kind), to))


class TestLateReason:
    """A control event that comes late still says how the bot got control, and why."""

    @in_both_modes
    def test_transfer_to_email(self, mode: str) -> None:
        """It goes on by e-mail: the bot releases, as if the event had come in time."""
        story, handed = found_by_a_read(mode)
        assert story.tell(ControlMoved(handed, BOT, E_MAIL)).duty.reason == "transferred to email"

    @in_both_modes
    @pytest.mark.parametrize("reason", ["ticketClosed", None])
    def test_closing_flow(self, mode: str, reason: str | None) -> None:
        """A closed ticket, or an agent that gives control back, has its closing flow."""
        story, handed = found_by_a_read(mode)
        assert story.tell(ControlMoved(handed, BOT, reason)).flow is Purpose.CLOSING

    def test_in_time_after_a_read(self) -> None:
        """Whoever had control before the read counts for an event newer than the read, too."""
        story, _ = found_by_a_read()
        assert story.later().moves(BOT).flow is Purpose.CLOSING

    def test_told_twice(self) -> None:
        """One event explains it; another is nothing new."""
        story, handed = found_by_a_read()
        run = story.tell(ControlMoved(handed, BOT, "ticketClosed")).run
        assert story.tell(ControlMoved(handed, BOT, "ticketClosed")).run is run

    def test_older_than_the_agent(self) -> None:
        """An event from before the agent had control explains nothing."""
        story, handed = found_by_a_read()
        assert story.tell(ControlMoved(handed - 2 * MINUTE, BOT, E_MAIL)).state.duty is None

    def test_of_another(self) -> None:
        """Late news of another explain nothing."""
        story, handed = found_by_a_read()
        assert story.tell(ControlMoved(handed, DESK, E_MAIL)).state.duty is None

    def test_the_user_is_served_already(self) -> None:
        """A flow that the user began since goes on."""
        story, handed = found_by_a_read()
        run = story.later().user_says().run
        assert story.tell(ControlMoved(handed, BOT, E_MAIL)).run is run

    def test_a_flow_that_should_not_have_begun(self) -> None:
        """A flow that began with a word from before the handback is stopped by the reason."""
        story, handed = found_by_a_read()
        said(story, handed - SECOND, BOT)
        assert story.flow is Purpose.OPENING
        assert story.tell(ControlMoved(handed, BOT, E_MAIL)).duty.action is Action.RELEASE
        assert story.flow is None

    def test_something_is_owed_already(self) -> None:
        """What is owed stays owed."""
        story, handed = found_by_a_read()
        duty = story.later().user_says().flow_returns().duty
        assert story.tell(ControlMoved(handed, BOT, E_MAIL)).duty is duty

    def test_before_the_end(self) -> None:
        """A handback from before the end is no handback of the end."""
        story, handed = found_by_a_read("release")
        story.user_ends().tell(ControlMoved(handed, BOT))
        assert not story.ended.handed_back

    def test_mode_mismatch(self) -> None:
        """That the platform acts as in the other mode is told, however late."""
        story, handed = found_by_a_read("release")
        assert story.tell(ControlMoved(handed, BOT, "ticketClosed")).reports == ["mode_mismatch"]

    @in_both_modes
    def test_undated(self, mode: str) -> None:
        """What an undated event says counts once a read shows the same."""
        story = with_agent(mode).later(MINUTE).tell(ControlUndated(BOT, E_MAIL)).shows(BOT)
        assert story.duty.reason == "transferred to email"

    @in_both_modes
    def test_untold(self, mode: str) -> None:
        """Nor is the reason lost of an event that does not name who has been given control."""
        story = with_agent(mode).later(MINUTE).tell(ControlUndated(reason=E_MAIL, untold=True)).shows(BOT)
        assert story.duty.reason == "transferred to email"

    @in_both_modes
    def test_nobody_was_known_to_have_it(self, mode: str) -> None:
        """The platform's reason tells that somebody had it."""
        for reason, owed in ((E_MAIL, True), (None, False)):
            story = Story(mode).moves(None).later(5 * SECOND).shows(None).later(MINUTE)
            story.tell(ControlUndated(BOT, reason)).shows(BOT)
            assert (story.state.holder.who, story.state.duty is not None) == (Who.BOT, owed)

    @in_both_modes
    @pytest.mark.parametrize(
        ("reason", "active", "purpose", "owed"),
        [
            (E_MAIL, BOT, None, "transferred to email"),
            ("ticketClosed", BOT, Purpose.CLOSING, None),
            (E_MAIL, DESK, None, None),
            (None, BOT, None, None),
        ],
    )
    def test_by_a_user_whose_clock_is_ahead(
        self, mode: str, reason: str | None, active: Integration, purpose: Purpose | None, owed: str | None
    ) -> None:
        """Their clock dates the agent's turn after the event that ended it: a read tells whether the reason counts."""
        ahead = NOON + 45 * SECOND
        story = Story(mode).tell(HolderSeen(ahead, BOT, apart=True)).tell(UserSpoke(Input("e1", ahead), BOT))
        story.tell(FlowHandedOver(story.run.id, DESK.name)).shows(BOT).later(2 * SECOND).shows(DESK)
        assert story.state.holder.since == ahead
        handed = story.later(20 * SECOND).platform
        story.later(5 * SECOND).tell(ControlUndated()).shows(BOT)
        story.tell(ControlMoved(handed, BOT, reason))
        if reason:
            story.shows(active)
        assert (story.flow, story.state.duty and story.state.duty.reason) == (purpose, owed)

    def test_undated_and_wrong(self) -> None:
        """It doesn't count where the read shows another, nor later on."""
        story = with_agent().later(MINUTE).tell(ControlUndated(BOT, E_MAIL)).shows(DESK)
        assert story.later().tell(ControlUndated()).shows(BOT).state.duty is None

    def test_undated_twice(self) -> None:
        """An event that comes while the read is under way leaves it in doubt: the next read tells."""
        story = with_agent().later(MINUTE).tell(ControlUndated(BOT, E_MAIL)).tell(ControlUndated()).shows(BOT)
        assert story.state.duty is None
        assert story.later().shows(BOT).duty.reason == "transferred to email"


class TestLateWords:
    """What was said to somebody else is not said to the bot."""

    @pytest.mark.parametrize("kind", [OpeningKind.MESSAGE, OpeningKind.POSTBACK, OpeningKind.REFERRAL])
    def test_said_to_the_agent(self, kind: OpeningKind) -> None:
        """By what its event shows; it begins nothing and waits for nothing."""
        story, handed = found_by_a_read()
        said(story, handed - SECOND, DESK, kind)
        assert (story.flow, story.state.inputs) == (None, ())

    def test_said_before_the_handback(self) -> None:
        """By its time, where the event doesn't show who was active."""
        story, handed = found_by_a_read()
        story.tell(ControlMoved(handed, BOT, E_MAIL)).later().tell(UserSpoke(Input("late", handed - SECOND)))
        assert story.state.inputs == ()

    def test_said_to_the_bot_by_a_slow_clock(self) -> None:
        """A user whose clock is behind is heard: the event shows that the bot was active."""
        story, handed = found_by_a_read()
        assert said(story, handed - MINUTE / 2, BOT).flow is Purpose.OPENING

    def test_said_to_somebody_with_only_a_name(self) -> None:
        """A name alone may be the bot's where the bot is known by its id alone: the word is kept."""
        story = with_agent().later(MINUTE)
        handed = story.platform
        story.later(5 * SECOND).tell(ControlUndated()).shows(Integration("bot"))
        story.later().tell(UserSpoke(Input("late", handed + SECOND), Integration("bot?", "bot?")))
        assert story.flow is Purpose.OPENING

    def test_said_to_another_name(self) -> None:
        """Where the bot's own name is known, another name is somebody else."""
        story, handed = found_by_a_read()
        story.later().tell(UserSpoke(Input("late", handed + SECOND), Integration("zd-x", "zd-x")))
        assert (story.flow, story.state.inputs) == (None, ())

    def test_said_to_another_name_where_names_are_all_that_is_told(self) -> None:
        """The bot is known by its name then."""
        story = with_agent().later(MINUTE)
        named = Integration("bot", "bot")
        story.tell(HolderSeen(story.platform, named)).tell(
            UserSpoke(Input("late", story.platform), Integration(DESK.name or "", DESK.name))
        )
        assert (story.state.holder.integration, story.flow, story.state.inputs) == (named, None, ())

    def test_undated_and_said_to_the_agent(self) -> None:
        """Without a time, what the event shows still counts."""
        story, _ = found_by_a_read()
        story.tell(ControlUndated()).tell(UserSpoke(Input("late", story.platform), DESK)).shows(BOT)
        assert (story.flow, story.state.inputs) == (None, ())

    def test_heard_by_the_run_at_work(self) -> None:
        """A word since the run began is for the run, even if somebody else is shown to have had control before."""
        story = served().flow_waits()
        then = story.later().platform
        story.later().moves(BOT).tell(HolderSeen(then - MINUTE, DESK))
        assert [kept.event_id for kept in said(story, then, BOT).state.inputs] == ["late"]

    def test_the_word_that_gave_the_bot_control(self) -> None:
        """Where nobody is active a word makes the bot active, silently, and is of course said to it."""
        story = Story().moves(None).later().user_says(None)
        assert story.later().shows(BOT).flow is Purpose.OPENING

    def test_said_before_a_router_gave_control(self) -> None:
        """A word to nobody waits for whoever gets control."""
        story = Story().moves(None).later().user_says(None).later()
        assert story.moves(BOT).flow is Purpose.OPENING

    @pytest.mark.parametrize("behind", [SECOND / 2, MINUTE, 11 * HOUR])
    def test_a_word_to_nobody_by_a_slow_clock(self, behind: timedelta) -> None:
        """It has made the bot active, as a read has shown already: it is answered, however far its clock is behind."""
        story = owing().later().moves(None).later(MINUTE).tell(ControlUndated()).shows(BOT)
        said_at = story.platform - MINUTE - behind
        assert story.tell(UserSpoke(Input("late", said_at, said_id="m9"))).flow is Purpose.OPENING

    def test_a_word_from_before_the_read(self) -> None:
        """The read shows that the bot is active, and not since when: a word may have made it so."""
        story, handed = found_by_a_read()
        assert story.tell(UserSpoke(Input("late", handed + SECOND, said_id="m9"))).flow is Purpose.OPENING

    @pytest.mark.parametrize(("to", "flow"), [(DESK, None), (None, Purpose.OPENING)])
    @pytest.mark.parametrize("before", [SECOND, -SECOND, 11 * HOUR])
    def test_a_word_from_around_the_end_of_an_agents_turn(
        self, before: timedelta, to: Integration | None, flow: Purpose | None
    ) -> None:
        """Nobody was active in between: a word has made the bot active, unless its event shows that it was another."""
        story = with_agent().later(MINUTE).moves(None)
        released = story.platform
        story.later(MINUTE).tell(ControlUndated()).shows(BOT)
        assert story.tell(UserSpoke(Input("late", released - before, said_id="m9"), to)).flow is flow


class TestHandedAround:
    """Between two words of the user a flow begins with a handback once."""

    def test_a_word_from_the_future(self) -> None:
        """What a read shows of the user's newest word is no new word where its clock is ahead."""
        story = Story().sees(ANSWERBOT).later().moves(BOT)
        assert story.flow is Purpose.OPENING
        story.tell(ControlUndated()).shows(BOT, spoke_at=story.platform + HOUR)
        assert story.state.handback_at is not None

    def test_a_word_by_a_clock_ahead(self) -> None:
        """A read shows a word again that was known when control was handed back: that is no new one."""
        story = Story().sees(ANSWERBOT).later()
        ahead = story.platform + SECOND / 2
        assert story.tell(ControlUndated(BOT)).shows(BOT, spoke_at=ahead).flow is Purpose.OPENING
        story.tell(ControlUndated()).shows(BOT, spoke_at=ahead)
        assert story.state.handback_at is not None

    @in_both_modes
    def test_two_bots(self, mode: str) -> None:
        """Two bots that hand over to each other: the second time, the bot gives control up and says so."""
        story = served(mode)
        for _ in range(2):
            assert story.run.opening.kind in (OpeningKind.MESSAGE, OpeningKind.HANDBACK)
            story.tell(FlowHandedOver(story.run.id, ANSWERBOT.name)).shows(BOT).answers(Answer.ACCEPTED)
            story.later().moves(ANSWERBOT).later().moves(BOT)
        assert story.flow is None
        assert (story.duty.action, story.duty.reason) == (Action.RELEASE, "handed around")
        assert (story.reports, story.actions) == (["handed_around"], 2 * ["pass to zd-answerBot"] + ["release"])

    @in_both_modes
    def test_an_agent_who_gives_back_again(self, mode: str) -> None:
        """Closing flows count, too."""
        story = with_agent(mode).moves(BOT).later()
        story.tell(FlowHandedOver(story.run.id, DESK.name)).shows(BOT).later().moves(DESK).later()
        assert story.state.closing_run
        assert story.moves(BOT).duty.action is Action.RELEASE

    @pytest.mark.parametrize("heard", ["webhook", "to another", "read"])
    def test_the_user_spoke(self, heard: str) -> None:
        """A word of the user makes it another matter, whoever it was said to and however it is known."""
        story = self.handed_back_once()
        if heard == "read":
            story.tell(ControlUndated())
            story.tell(ConversationRead(story.pending, story.platform, ANSWERBOT, spoke_at=story.platform))
        else:
            story.user_says(ANSWERBOT if heard == "to another" else BOT)
        assert story.later().moves(ANSWERBOT).later().moves(BOT).flow is Purpose.OPENING

    def test_a_word_from_before(self) -> None:
        """A word that was said before the handback, and is told late, makes no difference."""
        story = self.handed_back_once()
        said(story, story.run.began - 2 * SECOND, ANSWERBOT)
        assert story.later().moves(ANSWERBOT).later().moves(BOT).reports == ["handed_around"]

    @in_both_modes
    @pytest.mark.parametrize("answer", [Answer.ACCEPTED, Answer.UNCLEAR, None])
    def test_the_way_there_was_not_told(self, mode: str, answer: Answer | None) -> None:
        """Control comes back from a pass that the bot has tried: the pass had worked, and is not tried again."""
        story = served(mode)
        story.tell(FlowHandedOver(story.run.id, ANSWERBOT.name)).shows(BOT)
        if answer:
            story.answers(answer)
        story.later(3 * SECOND).moves(BOT)
        assert (story.flow, story.run.opening.kind) == (Purpose.OPENING, OpeningKind.HANDBACK)
        assert (story.state.duty, story.actions) == (None, ["pass to zd-answerBot"])

    @in_both_modes
    @pytest.mark.parametrize("active", [BOT, DESK])
    @pytest.mark.parametrize("answer", [None, Answer.UNCLEAR])
    def test_told_just_when_a_pass_goes_out(self, mode: str, active: Integration, answer: Answer | None) -> None:
        """The event may tell of the time before that pass, where control has not come back: a read tells."""
        story = served(mode)
        story.tell(FlowHandedOver(story.run.id, DESK.name)).shows(BOT)
        if answer:
            story.answers(answer)
        story.later(SECOND / 2).moves(BOT)
        assert (story.duty.action, story.flow, story.state.in_doubt) == (Action.PASS, None, True)
        story.shows(active)
        assert story.state.duty is None or active is BOT
        assert story.flow is None

    def test_closed_just_when_a_pass_goes_out(self) -> None:
        """A reason tells that another had control: it has come back."""
        story = served("pass")
        story.tell(FlowHandedOver(story.run.id, DESK.name)).shows(BOT).moves(BOT, "ticketClosed")
        assert (story.state.duty, story.flow) == (None, Purpose.CLOSING)

    def test_passed_to_the_bot_before_it_passes_on(self) -> None:
        """A pass to the bot that comes before the bot's own has nothing to do with it."""
        story = served()
        story.tell(FlowHandedOver(story.run.id, ANSWERBOT.name)).moves(BOT)
        assert story.duty.action is Action.PASS

    @staticmethod
    def handed_back_once() -> Story:
        """Another bot has handed the conversation to the bot, whose flow is at work."""
        story = Story().moves(ANSWERBOT).later().moves(BOT).later()
        assert story.run.opening.kind is OpeningKind.HANDBACK
        return story
