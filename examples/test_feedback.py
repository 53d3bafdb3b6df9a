"""The feedback flow: after an agent's work, and after the user's end."""

import pytest
from feedback import SCORE_FIELD, Feedback, Surveys, feedback, second_look

from bot.testing import ChatWith, Talk


@pytest.fixture
def surveys() -> Surveys:
    """An empty system of scores."""
    return Surveys()


@pytest.fixture
def talk(chat_with: ChatWith, surveys: Surveys) -> Talk:
    """A talk with a user whose ticket an agent has closed. The flow dies and goes on at every step."""
    return chat_with(
        closing=feedback,
        mode="pass",
        resources={"surveys": surveys},
        deaths="everywhere",
    )


async def test_a_good_score_is_kept(talk: Talk, surveys: Surveys) -> None:
    await talk.taps("Great")
    talk.expects("How did we do?", "Thank you!")
    assert list(surveys.kept.values()) == [Feedback(5, None, None)]
    assert talk.logged("survey_answered")
    assert talk.released


async def test_a_bad_score_gets_a_person(talk: Talk, surveys: Surveys) -> None:
    await talk.user("bad")
    await talk.user("Nobody wrote back")
    await talk.taps("Yes, please")
    talk.expects(
        "How did we do?",
        "What went wrong?",
        "Shall somebody look into it?",
        "I am getting somebody.",
    )
    assert list(surveys.kept.values()) == [Feedback(2, "Nobody wrote back", None)]
    assert talk.ticket
    assert talk.ticket.fields == {SCORE_FIELD: 2}
    assert talk.ticket.priority == "high"


async def test_the_score_of_a_user_who_says_no_more_is_kept(talk: Talk, surveys: Surveys) -> None:
    await talk.taps("Awful")
    await talk.wait(minutes=6)
    assert list(surveys.kept.values()) == [Feedback(1, None, None)]
    assert talk.released


async def test_nobody_is_asked_after_the_end(chat_with: ChatWith, surveys: Surveys) -> None:
    talk = chat_with(
        closing=feedback,
        mode="pass",
        after="end",
        resources={"surveys": surveys},
        deaths="everywhere",
    )
    talk.expects_no_more()
    assert not surveys.kept
    assert talk.released


async def test_words_that_are_no_score_are_no_score(talk: Talk, surveys: Surveys) -> None:
    await talk.user("You were friendly")
    talk.expects("How did we do?", "Thank you!")
    assert not surveys.kept


async def sent_away(chat_with: ChatWith, surveys: Surveys) -> Talk:
    """Start a talk with a user who gives a bad score and wants no help."""
    talk = chat_with(
        closing=feedback,
        flows=[second_look],
        mode="pass",
        resources={"surveys": surveys},
        deaths="everywhere",
    )
    await talk.taps("Bad")
    await talk.user("Nobody wrote back")
    await talk.taps("No, thanks")
    talk.expects(
        "How did we do?",
        "What went wrong?",
        "Shall somebody look into it?",
        "I will ask again",
    )
    assert talk.released
    return talk


async def test_a_bad_score_is_looked_at_again(chat_with: ChatWith, surveys: Surveys) -> None:
    talk = await sent_away(chat_with, surveys)
    await talk.until_reminder()
    await talk.taps("Yes, it is")
    talk.expects("Is it better now?", "I am glad to hear that.")
    assert talk.released
    assert talk.logged("second_look_answered")


async def test_what_is_no_better_gets_a_person(chat_with: ChatWith, surveys: Surveys) -> None:
    talk = await sent_away(chat_with, surveys)
    await talk.until_reminder()
    await talk.taps("No, it is not")
    assert talk.ticket
    assert talk.ticket.fields == {SCORE_FIELD: 2}


async def test_who_is_with_an_agent_by_then_is_not_asked(
    chat_with: ChatWith,
    surveys: Surveys,
) -> None:
    talk = await sent_away(chat_with, surveys)
    await talk.user("One more thing")
    assert talk.holder == "zd-agentWorkspace"
    await talk.until_reminder()
    talk.expects_no_more()
    assert talk.logged("reminder_dropped")
