"""A promised person comes: whatever is handed over, and whoever is named."""

from __future__ import annotations

from typing import Any

import pytest

from bot import Chat, User, flow
from bot.flows.hand_over import METADATA_LIMIT, fitted, json_bytes, ticket_values
from bot.sandbox.history import Kind
from bot.sandbox.switchboard import WORKSPACE
from bot.testing.talk import Mode, Talk
from bot.testing.talks import ChatWith

in_both_modes = pytest.mark.parametrize("mode", ["release", "pass"])

FAMILY = "👨‍👩‍👧"
"""One character for the reader: three emoji and two joiners."""


def _passed(talk: Talk) -> dict[str, Any]:
    """What the agent workspace got along with control."""
    moves = [entry for entry in talk._history(Kind.HOLDER) if entry.holder == WORKSPACE]
    return dict(moves[-1].metadata or {})


@flow("complaint")
async def complaint(chat: Chat) -> None:
    """Hands over what the user says."""
    answer = await chat.ask("What happened?")
    await chat.hand_over(ticket_fields={"1": answer.text, "2": "gold"}, metadata={"tags": "vip"})


@in_both_modes
@pytest.mark.parametrize("said", ["壊" * 1300, "ر" * 1950, "\n" * 1900 + "!"], ids=["Japanese", "Arabic", "many lines"])
async def test_what_the_user_said_reaches_the_agent_whole(chat_with: ChatWith, mode: Mode, said: str) -> None:
    """The limit is counted in bytes of UTF-8, in whatever language."""
    talk = chat_with(complaint, mode=mode)
    await talk.user("hi")
    await talk.user(said)
    assert _passed(talk) == {"tags": "vip", "dataCapture.ticketField.1": said, "dataCapture.ticketField.2": "gold"}


@in_both_modes
@pytest.mark.parametrize("letter", ["x", "é", "壊", "😀", '"'])
async def test_what_is_too_long_is_shortened(chat_with: ChatWith, mode: Mode, letter: str) -> None:
    """As little as possible, and at a character. It is told, and the other values are whole."""
    talk = chat_with(complaint, mode=mode)
    await talk.user("hi")
    await talk.user(letter * 4096)
    passed = _passed(talk)
    assert METADATA_LIMIT - 5 < json_bytes(passed) <= METADATA_LIMIT
    text = passed.pop("dataCapture.ticketField.1")
    assert text == letter * (len(text) - 1) + "…"
    assert passed == {"tags": "vip", "dataCapture.ticketField.2": "gold"}
    told = [signal.fields["detail"] for signal in talk.signals if signal.event == "ticket_field_shortened"]
    assert told == ["dataCapture.ticketField.1"]


@in_both_modes
@pytest.mark.parametrize(
    "value",
    [None, float("nan"), -float("inf"), ["not", "flat"], {"a": 1}, object()],
    ids=lambda value: str(type(value)),
)
async def test_a_value_that_cannot_be_sent_costs_no_hand_over(chat_with: ChatWith, mode: Mode, value: Any) -> None:
    """It is left out. The test's author is told, and so is the log."""

    async def careless(chat: Chat) -> None:
        await chat.hand_over(ticket_fields={"1": value, "2": "gold"})

    talk = chat_with(careless, mode=mode, may_fail=True)
    await talk.user("hi")
    assert talk.holder == WORKSPACE
    assert _passed(talk) == {"dataCapture.ticketField.2": "gold"}
    assert talk.failures == ["ticket field left out: dataCapture.ticketField.1"]


def test_more_fields_than_fit() -> None:
    """The last ones are left out, once all texts are as short as makes sense."""
    made = fitted({f"field {number}": "x" * 1000 for number in range(30)})
    assert json_bytes(made.metadata) <= METADATA_LIMIT
    assert list(made.metadata) == [f"field {number}" for number in range(len(made.metadata))]
    assert len(made.metadata) + len(made.left_out) == 30
    assert all(json_bytes(value) >= 200 for value in made.metadata.values())
    assert set(made.shortened) == set(made.metadata)


def test_the_longest_texts_are_shortened_first() -> None:
    """And to the same length, so that none takes all the room."""
    made = fitted({"address": "ada@example.com", "a": "ä" * 9000, "b": "ö" * 3000, "n": 7})
    assert made.metadata["address"] == "ada@example.com"
    assert made.metadata["n"] == 7
    assert made.shortened == ("a", "b")
    assert len(str(made.metadata["a"])) == len(str(made.metadata["b"]))
    assert METADATA_LIMIT - 10 < json_bytes(made.metadata) <= METADATA_LIMIT


@pytest.mark.parametrize("unit", ["e\u0301", FAMILY, "का", "\ud83d"], ids=["accent", "family", "Hindi", "half a pair"])
def test_a_character_is_not_torn_apart(unit: str) -> None:
    """Nor is an accent, or a member of an emoji family. Half a surrogate pair, as users can send it, does no harm."""
    text = str(fitted({"a": unit * 5000}).metadata["a"])
    assert text.endswith(unit + "…")
    assert text.removesuffix("…") == unit * ((len(text) - 1) // len(unit))


@pytest.mark.parametrize("size", range(3980, 4110))
def test_every_size_around_the_limit(size: int) -> None:
    """What fits is untouched; one byte more, and it is shortened and fits."""
    values = {"a": "x" * size}
    made = fitted(values)
    assert json_bytes(made.metadata) <= METADATA_LIMIT
    assert bool(made.shortened) == (json_bytes(values) > METADATA_LIMIT)


@flow("mistyped")
async def mistyped(chat: Chat) -> None:
    """Names an agent workspace that is not there."""
    await chat.say("I am getting a person for you.")
    await chat.hand_over("zd-agentworkspce", ticket_fields={"1": "gold"})


@in_both_modes
@pytest.mark.parametrize("how", ["refused", "failure_event"])
async def test_a_mistyped_target_gives_way_to_a_person(chat_with: ChatWith, mode: Mode, how: str) -> None:
    """PASS_TO is next, the ticket has its fields, and the test's author is told once."""
    talk = chat_with(mistyped, mode=mode, may_fail=True, unknown_target=how)
    await talk.user("hi")
    assert (talk.holder, talk.said) == (WORKSPACE, ["I am getting a person for you."])
    assert _passed(talk) == {"dataCapture.ticketField.1": "gold"}
    assert len(talk.failures) == 1
    assert "pass refused: no pass to 'zd-agentworkspce'" in talk.failures[0]
    assert "passing to 'zd-agentWorkspace' instead" in talk.failures[0]


@in_both_modes
async def test_a_mistyped_target_fails_the_test(chat_with: ChatWith, mode: Mode) -> None:
    """Unless the test is about that."""
    talk = chat_with(mistyped, mode=mode)
    with pytest.raises(AssertionError, match="no pass to 'zd-agentworkspce'"):
        await talk.user("hi")


@in_both_modes
async def test_a_restart_on_the_way_down_changes_nothing(chat_with: ChatWith, mode: Mode) -> None:
    """What is owed is stored before it is tried."""
    talk = chat_with(mistyped, mode=mode, may_fail=True, restart_every_turn=True)
    await talk.user("hi")
    assert talk.holder == WORKSPACE


@in_both_modes
async def test_the_user_ends_on_the_way_down(chat_with: ChatWith, mode: Mode) -> None:
    """Then nobody is to come any more: the conversation closes."""
    talk = chat_with(mistyped, mode=mode, may_fail=True)
    talk._act(talk._visitor.says("hi"))
    await talk.end()
    await talk.wait(minutes=1)
    assert (talk.holder, talk.released) == (None, True)


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ({"tags": ["vip", " angry customer ", "a,b", "", "vip"]}, {"tags": "vip,angry_customer,a_b"}),
        ({"tags": "vip"}, {"tags": "vip"}),
        ({"tags": []}, {}),
        ({"priority": "urgent"}, {"priority": "urgent"}),
        ({"requester": User(name="Ada", email="a@b.c")}, {"requester.name": "Ada", "requester.email": "a@b.c"}),
        ({"requester": User("u")}, {}),
    ],
)
def test_a_ticket_has_tags_priority_and_requester(given: dict[str, Any], passed: dict[str, Any]) -> None:
    """Under the names from which the agent workspace fills it."""
    whole: dict[str, Any] = {"tags": (), "priority": None, "requester": None, **given}
    values = ticket_values({"1": "gold"}, **whole)
    expected = {f"dataCapture.systemField.{name}": value for name, value in passed.items()}
    assert values == {"dataCapture.ticketField.1": "gold", **expected}


async def test_a_priority_that_is_none_costs_no_hand_over(chat_with: ChatWith) -> None:
    """It is left out, and told."""

    async def hurries(chat: Chat) -> None:
        await chat.hand_over(priority="at once", tags=["vip"])  # type: ignore[arg-type]

    talk = chat_with(hurries, may_fail=True)
    await talk.user("hi")
    assert talk.ticket
    assert (talk.ticket.tags, talk.ticket.priority) == (("vip",), None)
    assert talk.failures == ["ticket field left out: dataCapture.systemField.priority"]
