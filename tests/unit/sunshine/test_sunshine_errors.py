"""The errors answer one question: did it happen?"""

from __future__ import annotations

import pytest

from bot.control.facts import Answer
from bot.sunshine import (
    Gone,
    Locked,
    NoAnswer,
    NotOurs,
    NotSent,
    RateLimited,
    Refused,
    ServerError,
    SunshineError,
    Unauthorized,
    Unclear,
    to_answer,
)

ANSWERS = {
    SunshineError: Answer.UNCLEAR,
    Refused: Answer.REFUSED,
    Unauthorized: Answer.REFUSED,
    NotOurs: Answer.NOT_OURS,
    Gone: Answer.GONE,
    Locked: Answer.REFUSED,
    RateLimited: Answer.RATE_LIMITED,
    NotSent: Answer.NOT_SENT,
    Unclear: Answer.UNCLEAR,
    ServerError: Answer.UNCLEAR,
    NoAnswer: Answer.UNCLEAR,
}


def the_tree(error: type[SunshineError] = SunshineError) -> set[type[SunshineError]]:
    return {error}.union(*(the_tree(branch) for branch in error.__subclasses__()))


@pytest.mark.parametrize("error", sorted(the_tree(), key=str), ids=lambda error: error.__name__)
def test_every_error_has_its_answer(error: type[SunshineError]) -> None:
    assert to_answer(error("release_control")) is ANSWERS[error]


def test_no_error_is_an_acceptance() -> None:
    assert Answer.ACCEPTED not in {to_answer(error("release_control")) for error in the_tree()}


def test_the_rules_tell_all_failures_apart() -> None:
    never_a_failed_call = {Answer.ACCEPTED, Answer.STALE}
    assert {to_answer(error("release_control")) for error in the_tree()} == set(Answer) - never_a_failed_call


def test_an_error_says_what_failed_and_how() -> None:
    assert (
        str(Gone("get_conversation", status=404, code="conversation_not_found"))
        == "get_conversation: not found (404 conversation_not_found)"
    )
    assert str(NotSent("get_app", detail="Name or service not known")) == "get_app: not sent: Name or service not known"


def test_the_platforms_own_sentence_stays_out_of_logs() -> None:
    error = Refused("post_message", status=400, code="bad_request", title="text 'my PIN is 1234' is too long")
    assert "1234" not in str(error)
    assert "1234" not in repr(error)
    assert "1234" in error.title
