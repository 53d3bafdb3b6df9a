"""Feedback: asks for a score after an agent's work, and follows up a bad one days later."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Never

from bot import Chat, Choice, NoAnswer, flow, lifespan

SCORE_FIELD = "360003"  # id of the ticket field that shows agents the score
ANSWER_TIMEOUT = timedelta(minutes=5)
SCORES = [
    Choice("Great", "5"),
    Choice("Good", "4"),
    Choice("So-so", "3"),
    Choice("Bad", "2"),
    Choice("Awful", "1"),
]
BAD = 2  # and below
FOLLOW_UP_AFTER = timedelta(days=3)
YES, NO = Choice("Yes, please"), Choice("No, thanks")
BETTER, NO_BETTER = Choice("Yes, it is"), Choice("No, it is not")


@dataclass(frozen=True)
class Feedback:
    """The stored feedback."""

    score: int
    comment: str | None
    customer: str | None


class Surveys:
    """Stands in for your system of scores."""

    def __init__(self) -> None:
        self.kept: dict[str, Feedback] = {}

    async def keep(self, key: str, feedback: Feedback) -> None:
        """Store a customer's feedback; idempotent by key, since a call may be repeated."""
        self.kept[key] = feedback


@lifespan
async def resources() -> AsyncIterator[dict[str, object]]:
    """Open the system, once per process."""
    yield {"surveys": Surveys()}


@flow("feedback")
async def feedback(chat: Chat) -> None:
    """Ask for a score, and for the reason of a bad one."""
    try:
        answer = await chat.ask("How did we do?", choices=SCORES, timeout=ANSWER_TIMEOUT)
    except NoAnswer:
        return
    if answer.choice is None:
        await chat.say("Thank you!")
        return
    score = int(answer.choice.payload)
    await keep(chat, score)
    await chat.log("survey_answered", score=score)
    if score > BAD:
        await chat.say("Thank you!")
        return
    try:
        comment = (await chat.ask("I am sorry to hear that. What went wrong?", timeout=ANSWER_TIMEOUT)).text
        await keep(chat, score, comment)
        wants_help = await chat.ask(
            "Thank you. Shall somebody look into it?",
            choices=[YES, NO],
            timeout=ANSWER_TIMEOUT,
        )
    except NoAnswer:
        return
    if wants_help.choice == YES:
        await to_a_person(chat, score)
    await chat.say("Thank you for telling us. I will ask again in a few days.")
    await chat.remind(FOLLOW_UP_AFTER, second_look, score)


@flow("second_look")
async def second_look(chat: Chat) -> None:
    """Ask again days later, unless somebody else is active in the conversation then."""
    score: int = chat.opening.data
    try:
        answer = await chat.ask(
            "A few days ago you were not content. Is it better now?",
            choices=[BETTER, NO_BETTER],
        )
    except NoAnswer:
        await chat.release()
    await chat.log("second_look_answered", score=score, better=answer.choice == BETTER)
    if answer.choice != BETTER:
        await to_a_person(chat, score)
    await chat.say("I am glad to hear that.")
    await chat.release()


async def to_a_person(chat: Chat, score: int) -> Never:
    """Hand over with the score in the ticket."""
    await chat.say("I am getting somebody.")
    await chat.hand_over(ticket_fields={SCORE_FIELD: score}, tags=["bad_score"], priority="high")


async def keep(chat: Chat, score: int, comment: str | None = None) -> None:
    """Store what is known so far, in case the user stops answering."""
    surveys: Surveys = chat.resources.surveys
    key = f"{chat.conversation_id}-{chat.run_id}"
    await chat.call_with(attempts=5)(
        surveys.keep,
        key,
        Feedback(score, comment, chat.user.external_id),
    )
