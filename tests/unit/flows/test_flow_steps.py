"""What a flow can do: each step on the real engine, store and client, against the sandbox, in virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from flow_samples import LONG, MODES, Play, assert_misuse, play

from bot import Answer, CallFailed, Chat, Choice, FlowMisuse, NoAnswer, TextField
from bot.control.policy import Policy
from bot.engine.delivery import EFFECT_KEY
from bot.flows import turn
from bot.flows.chat import MESSAGE_METADATA_LIMIT
from bot.flows.survey import survey
from bot.flows.triage import triage
from bot.sandbox.history import Cause, Kind
from bot.sandbox.switchboard import ANSWERS, BOT, WORKSPACE

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_said_arrives_in_its_order_and_then_control_is_given_up(mode: str) -> None:
    """A flow that returns is complete."""

    async def flow(chat: Chat) -> None:
        for number in range(5):
            await chat.say(f"line {number}")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.given_up()
        assert played.bots == [f"line {number}" for number in range(5)]
        assert played.holder == (None if mode == "release" else WORKSPACE)

    play(script, flow, mode=mode)


def test_the_answer_is_what_the_user_says() -> None:
    """Words have no payload, and carry the message as the platform posted it."""
    answers: list[Answer] = []

    async def flow(chat: Chat) -> None:
        answers.append(await chat.ask("Name?"))

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("Name?")
        await played.visitor.says("Zoë 🦉")
        await played.given_up()
        (answer,) = answers
        assert (answer.text, answer.payload) == ("Zoë 🦉", None)
        assert answer.message["id"] == played.visitor.messages[-1].id

    play(script, flow)


def test_a_choice_answers_with_its_label_and_its_payload() -> None:
    """A plain text is both at once."""
    answers: list[tuple[str, str | None]] = []

    async def flow(chat: Chat) -> None:
        for question in ("one", "two"):
            answer = await chat.ask(question, choices=["Plain", Choice("Label", "payload")])
            answers.append((answer.text, answer.payload))

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        message = await played.visitor.waits_for("one")
        assert [action["text"] for action in message.content["actions"]] == ["Plain", "Label"]
        await played.visitor.taps("Plain")
        await played.visitor.waits_for("two")
        await played.visitor.taps("Label")
        await played.given_up()
        assert answers[-2:] == [("Plain", "Plain"), ("Label", "payload")]

    play(script, flow)


def test_input_that_came_while_nothing_was_asked_answers_the_next_question() -> None:
    """No word of the user is lost, unless the question wants a fresh one."""

    async def flow(chat: Chat) -> None:
        await chat.call(asyncio.sleep, 5)
        kept = await chat.ask("First?")
        await chat.say(f"kept {kept.text}")
        fresh = await chat.ask("Second?", fresh=True)
        await chat.say(f"fresh {fresh.text}")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.stage.wait(timedelta(seconds=1))
        await played.visitor.says("early")
        await played.visitor.says("too early")
        await played.visitor.waits_for("Second?")
        await played.stage.wait(MINUTE)
        assert played.bots == ["First?", "kept early", "Second?"]
        await played.visitor.says("now")
        await played.given_up()
        assert played.bots[-1] == "fresh now"

    play(script, flow)


def test_a_fresh_question_ignores_what_was_said_during_the_call_before_it() -> None:
    """Also where call and question are in one turn."""

    async def flow(chat: Chat) -> None:
        await chat.call(asyncio.sleep, 5)
        answer = await chat.ask("Now?", fresh=True)
        await chat.say(f"got {answer.text}")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.stage.wait(timedelta(seconds=2))
        await played.visitor.says("stale")
        await played.visitor.waits_for("Now?")
        await played.stage.wait(MINUTE)
        await played.visitor.says("fresh")
        await played.given_up()
        assert played.bots == ["Now?", "got fresh"]

    play(script, flow)


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [(timedelta(seconds=7), 7.0), (timedelta(0), 0.0), (timedelta(hours=3), 3 * 3600.0), (None, 120.0)],
)
def test_no_answer_comes_when_the_time_is_over(timeout: timedelta | None, seconds: float) -> None:
    """The time of the question, or FLOW_IDLE_TIMEOUT."""

    async def flow(chat: Chat) -> None:
        try:
            await chat.ask("Are you there?", timeout=timeout)
        except NoAnswer:
            await chat.say("Nobody is there.")

    async def script(played: Play) -> None:
        began = played.stage.clock.now()
        await played.visitor.says("hi")
        message = await played.visitor.waits_for("Nobody", 2 * 3600 * 3)
        assert (message.received - began).total_seconds() == pytest.approx(seconds, abs=1)

    play(script, flow, policy=Policy(me=BOT, app_key=True, idle=timedelta(seconds=120)))


def test_no_answer_that_is_not_caught_gives_control_up() -> None:
    """It is an error like any other."""

    async def flow(chat: Chat) -> None:
        await chat.ask("Are you there?", timeout=MINUTE)

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        assert await played.given_up() == pytest.approx(60, abs=2)
        assert "NoAnswer" in played.failures[0]

    play(script, flow)


def test_a_sleeping_flow_goes_on_later_and_not_because_somebody_speaks() -> None:
    """What the user says meanwhile waits for the next question."""

    async def flow(chat: Chat) -> None:
        await chat.sleep(timedelta(minutes=30))
        answer = await chat.ask("Awake. And you?")
        await chat.say(f"You said {answer.text}")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.stage.wait(MINUTE)
        await played.visitor.says("hello?")
        await played.stage.wait(28 * MINUTE)
        assert played.bots == []
        await played.given_up()
        assert played.bots == ["Awake. And you?", "You said hello?"]

    play(script, flow)


@pytest.mark.parametrize("mode", MODES)
def test_release_ends_the_flow(mode: str) -> None:
    """Nothing after it runs, and control is released in both modes."""

    async def flow(chat: Chat) -> None:
        await chat.say("bye")
        await chat.release()
        await chat.say("never")  # type: ignore[unreachable]  # the type checker knows

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.given_up()
        await played.stage.wait(MINUTE)
        assert (played.bots, played.holder) == (["bye"], None)

    play(script, flow, mode=mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("to", "holder"), [(None, WORKSPACE), (ANSWERS, ANSWERS), ("zd:agentWorkspace", WORKSPACE)])
def test_hand_over_passes_control_with_the_ticket_fields(mode: str, to: str | None, holder: str) -> None:
    """To PASS_TO where no target is given; nothing after it runs."""

    async def flow(chat: Chat) -> None:
        await chat.hand_over(to, ticket_fields={"360": "gold", "361": True}, metadata={"tags": "vip"})
        await chat.say("never")  # type: ignore[unreachable]  # the type checker knows

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.given_up()
        assert played.holder == holder
        moved = played.stage.sandbox.switchboard.history.of(played.visitor.conversation_id, Kind.HOLDER)[-1]
        assert moved.cause is Cause.PASS
        assert moved.metadata == {
            "tags": "vip",
            "dataCapture.ticketField.360": "gold",
            "dataCapture.ticketField.361": True,
        }
        await played.stage.wait(MINUTE)
        assert played.bots == []

    play(script, flow, mode=mode)


def test_history_gives_the_newest_messages_oldest_first() -> None:
    """As the API gives them."""
    seen: list[list[dict[str, Any]]] = []

    async def flow(chat: Chat) -> None:
        seen.append(await chat.history())

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.given_up()
        assert [message["content"]["text"] for message in seen[-1]] == ["hi"]
        assert played.failures == []

    play(script, flow)


def test_chat_knows_where_it_is_and_what_began_it() -> None:
    """The conversation, the user, and the message that opened the flow."""
    seen: list[tuple[str, str | None, str, str]] = []

    async def flow(chat: Chat) -> None:
        seen.append((chat.conversation_id, chat.user.id, chat.opening.kind, chat.opening.text))

    async def script(played: Play) -> None:
        await played.visitor.says("my words")
        await played.given_up()
        visitor = played.visitor
        assert seen[-1] == (visitor.conversation_id, visitor.user.id, "message", "my words")

    play(script, flow)


def test_a_closing_flow_knows_that_it_began_with_the_end() -> None:
    """In pass mode it runs when the user ends."""
    seen: list[str] = []

    async def opening(chat: Chat) -> None:
        await chat.ask("?")

    async def closing(chat: Chat) -> None:
        seen.append(chat.opening.kind)

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("?")
        await played.visitor.ends()
        await played.closed()
        assert seen == ["ended"]

    play(script, opening, closing, mode="pass")


@dataclass
class Point:
    """A result with a JSON form."""

    x: int
    y: tuple[int, ...]


@pytest.mark.parametrize(
    ("result", "form"),
    [
        (Point(1, (2, 3)), {"x": 1, "y": [2, 3]}),
        ({1: "one"}, {"1": "one"}),
        (None, None),
        (timedelta(seconds=5), "PT5S"),
        ("\ud800 half a pair", "\ud800 half a pair"),
        (["nested", {"deep": [1.5, True]}], ["nested", {"deep": [1.5, True]}]),
    ],
)
def test_a_result_has_the_same_form_live_and_replayed(result: Any, form: Any) -> None:
    """The JSON form, so that a flow can't tell a first run from a later one."""
    seen: list[Any] = []

    async def flow(chat: Chat) -> None:
        seen.append(await chat.call(lambda: result))
        await chat.ask("more?")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("more?")
        await played.visitor.says("yes")
        await played.given_up()
        assert seen == [form, form]

    play(script, flow)


def _any(value: Any) -> Any:
    """What no type checker would let through."""
    return value


_circle: list[Any] = []
_circle.append(_circle)


_formless = [object(), {"a": object()}, _circle, b"\xff", [10**5000], float("nan"), {"deep": [-float("inf")]}]


@pytest.mark.parametrize("catches", [False, True])
@pytest.mark.parametrize("result", _formless)
def test_a_result_without_a_json_form_ends_the_flow_as_failed(result: Any, catches: bool) -> None:
    """It could not be kept; the function is not called again, whatever the flow makes of the error."""
    calls: list[int] = []

    def function() -> Any:
        calls.append(1)
        return result

    async def flow(chat: Chat) -> None:
        while True:
            try:
                await chat.call(function)
            except FlowMisuse:
                if not catches:
                    raise

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        assert await played.given_up() < 5
        assert "no JSON form" in played.failures[0]
        assert calls == [1]

    play(script, flow)


def test_a_call_is_stored_before_anything_after_it_is_said_and_runs_once() -> None:
    """Also if the process dies right after the message went out."""
    calls: list[int] = []

    def count() -> int:
        calls.append(1)
        return len(calls)

    async def flow(chat: Chat) -> None:
        number = await chat.call(count)
        answer = await chat.ask(f"Number {number}?")
        await chat.say(f"{number}: {answer.text}")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("Number 1?", LONG)
        played.stage.processes[-1].kill()
        await played.stage.start_process()
        await played.visitor.says("ok")
        await played.visitor.waits_for("1: ok", LONG)
        assert calls == [1]

    play(script, flow)


def test_a_call_whose_result_was_not_stored_runs_again() -> None:
    """At least once: the process died between the function and the save."""
    calls: list[int] = []
    killed: list[int] = []

    def count() -> int:
        calls.append(1)
        return len(calls)

    async def flow(chat: Chat) -> None:
        await chat.say(f"Number {await chat.call(count)}")

    async def script(played: Play) -> None:
        async def hook(process: Any, operation: str) -> None:
            if operation == "save" and calls and not killed:
                killed.append(1)
                played.replaced(process)

        played.stage.interference.store = hook
        await played.visitor.says("hi")
        await played.given_up()
        assert (len(calls), played.bots) == (2, ["Number 2"])

    play(script, flow)


async def _sleeps(seconds: float) -> None:
    await asyncio.sleep(seconds)


def _raises(text: str) -> None:
    raise ValueError(text)


def _finds_nothing() -> Any:
    return next(iter([]))


@pytest.mark.parametrize(
    ("function", "argument", "timeout", "error"),
    [
        (_raises, "broken", None, "ValueError: broken"),
        (_sleeps, 100.0, timedelta(seconds=2), "TimeoutError: "),
    ],
)
def test_call_failed_is_the_same_live_and_replayed(
    function: Any, argument: Any, timeout: timedelta | None, error: str
) -> None:
    """A flow takes the same way again."""
    seen: list[tuple[str, str]] = []

    async def flow(chat: Chat) -> None:
        try:
            await chat.call(function, argument, timeout=timeout)
        except CallFailed as failed:
            seen.append((failed.function, failed.error))
        await chat.ask("more?")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("more?")
        await played.visitor.says("yes")
        await played.given_up()
        assert seen == [(function.__qualname__, error)] * 2

    play(script, flow)


def test_a_function_that_raises_stop_iteration_fails_like_any_other() -> None:
    """No future takes one, so that the flow would hang."""

    async def flow(chat: Chat) -> None:
        try:
            await chat.call(_finds_nothing)
        except CallFailed as failed:
            await chat.say(failed.error)

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        assert await played.given_up() < 5
        assert played.bots == ["RuntimeError: the function raised StopIteration"]

    play(script, flow)


@pytest.mark.parametrize(
    ("attempts", "works_at", "result"), [(3, 3, "3"), (3, 1, "1"), (2, 3, "failed"), (1, 2, "failed")]
)
def test_a_call_is_tried_as_often_as_is_asked(attempts: int, works_at: int, result: str) -> None:
    """With a growing pause, and no oftener."""
    times: list[float] = []

    async def flow(chat: Chat) -> None:
        def flaky() -> int:
            times.append(asyncio.get_event_loop().time())
            if len(times) < works_at:
                raise OSError("not now")
            return len(times)

        try:
            await chat.say(str(await chat.call(flaky, attempts=attempts)))
        except CallFailed:
            await chat.say("failed")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.given_up()
        assert played.bots == [result]
        assert len(times) == min(attempts, works_at)
        pauses = [later - earlier for earlier, later in pairwise(times)]
        assert all(pause > 0.7 for pause in pauses)
        assert pauses == sorted(pauses)

    play(script, flow)


class _NotFoundError(LookupError):
    """What will not be there at the next try either."""


@pytest.mark.parametrize(
    ("options", "raises", "tries"),
    [
        ({}, _NotFoundError, 3),
        ({"retry_on": OSError}, _NotFoundError, 1),
        ({"retry_on": (OSError, LookupError)}, _NotFoundError, 3),
        ({"give_up_on": LookupError}, _NotFoundError, 1),
        ({"retry_on": LookupError, "give_up_on": (_NotFoundError,)}, _NotFoundError, 1),
        ({"give_up_on": _NotFoundError}, OSError, 3),
    ],
)
def test_some_errors_are_not_tried_again(options: dict[str, Any], raises: type[Exception], tries: int) -> None:
    """The flow hears what it was, and how often it was tried; the first time, and from the journal."""
    heard: list[tuple[str, str, int, bool]] = []

    async def flow(chat: Chat) -> None:
        def looks() -> None:
            raise raises("number 7")

        try:
            await chat.call(looks, attempts=3, **options)
        except CallFailed as failed:
            told = isinstance(failed.__cause__, raises)
            heard.append((failed.error_type, failed.message, failed.attempts, told))
        await chat.ask("Which one?")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for(lambda message: message.text == "Which one?", MINUTE.total_seconds())
        await played.visitor.says("8")
        await played.given_up()

    play(script, flow)
    first, again = heard
    assert first == (raises.__name__, "number 7", tries, True)
    assert again == (raises.__name__, "number 7", tries, False)


def test_the_timeout_of_a_call_is_for_each_attempt() -> None:
    """Three attempts of two seconds, and the pauses between them."""

    async def flow(chat: Chat) -> None:
        await chat.call(_sleeps, 100.0, attempts=3, timeout=timedelta(seconds=2))

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        assert 6 < await played.given_up() < 11

    play(script, flow)


def test_a_function_may_be_a_partial_a_method_or_a_coroutine_function() -> None:
    """Whatever can be called."""

    class Counter:
        def __init__(self) -> None:
            self.count = 0

        def plain(self, by: int = 1) -> int:
            self.count += by
            return self.count

        async def later(self) -> int:
            await asyncio.sleep(1)
            return self.plain()

        def returns_an_awaitable(self) -> Any:
            return self.later()

    counter = Counter()

    async def flow(chat: Chat) -> None:
        await chat.call(counter.plain, by=5)
        await chat.call(counter.later)
        await chat.call(counter.returns_an_awaitable)

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.given_up()
        assert (counter.count, played.failures) == (7, [])

    play(script, flow)


@pytest.mark.parametrize("change", ["kind", "function", "order"])
@pytest.mark.parametrize("mode", MODES)
def test_a_journal_that_does_not_fit_ends_the_flow_as_failed(change: str, mode: str) -> None:
    """The code changed while the run was under way: control is given up at once, and nothing is said."""
    version: list[str] = ["old"]

    async def flow(chat: Chat) -> None:
        if version[0] == "kind":
            await chat.sleep(MINUTE)
        elif version[0] == "function":
            await chat.call(_sleeps, 0)
        elif version[0] == "order":
            await chat.say("new")
        await chat.call(str)
        await chat.ask("more?")
        await chat.say("never")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("more?")
        version[0] = change
        await played.visitor.says("yes")
        assert await played.given_up() < 5
        assert "JournalMismatch" in played.failures[0]
        assert "the journal has call str" in played.failures[0]
        assert played.bots == ["more?"]

    play(script, flow, mode=mode)


def test_a_flow_that_is_gone_ends_its_run_as_failed() -> None:
    """The run of a flow that the new version does not have."""

    async def flow(chat: Chat) -> None:
        await chat.ask("more?")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("more?")
        dict.clear(played.stage.catalogue.flows)  # type: ignore[arg-type]
        await played.visitor.says("yes")
        assert await played.given_up() < 5
        assert played.failures == ["there is no flow 'opening' any more"]

    play(script, flow)


@pytest.mark.parametrize(
    ("misuse", "words"),
    [
        (lambda chat: chat.say(""), "the text is empty"),
        (lambda chat: chat.say(" \n\t"), "the text is empty"),
        (lambda chat: chat.ask(""), "the text is empty"),
        (lambda chat: chat.say("x", choices=[str(n) for n in range(11)]), "11 choices are too many"),
        (lambda chat: chat.say("x", choices=["l" * 129]), "1 to 128 characters"),
        (lambda chat: chat.say("x", choices=[Choice("", "p")]), "1 to 128 characters"),
        (lambda chat: chat.say("x", metadata={"a": "m" * 5000}), "too large"),
        (lambda chat: chat.say("x", metadata={"a": object()}), "no JSON form"),
        (lambda chat: chat.say("x", metadata={"a": _circle}), "no JSON form"),
        (lambda chat: chat.say("x", metadata={"a": float("nan")}), "NaN or infinite"),
        (lambda chat: chat.ask("x", metadata={"a": float("inf")}), "NaN or infinite"),
        (lambda chat: chat.say("x", metadata={"a": {1: 2}}), "flat"),
        (lambda chat: chat.say("x", metadata={"a": None}), "flat"),
        (lambda chat: chat.say("x", metadata=["a"]), "flat"),
        (lambda chat: chat.say("x", metadata={"a": "m" * 3900}), "at most 3840 bytes"),
        (lambda chat: chat.hand_over(7), "int is not a switchboard integration"),
        (lambda chat: chat.say("word " * 20_001), "at most 100000 characters"),
        (lambda chat: chat.ask("x", choices=[Choice("a", _any(5))]), "the payload of a choice must be a text, not int"),
        (lambda chat: chat.form(TextField("a", "A", least=_any(1.5))), "1 to 256 characters"),
        (lambda chat: chat.form(TextField("a", "A", format=_any("hex"))), "'hex' is not a format"),
        (lambda chat: chat.call(str, attempts=0), "at least 1"),
        (lambda chat: chat.call(str, attempts=1.5), "a whole number"),
        (lambda chat: chat.call(str, timeout=5), "must be a timedelta, not int"),
        (lambda chat: chat.call(str, timeout=timedelta(0)), "must be positive and at most 7 days"),
        (lambda chat: chat.call("str"), "str can't be called"),
        (lambda chat: chat.call(str, retry_on=[OSError]), "retry_on must be an exception type, or a tuple of them"),
        (lambda chat: chat.call(str, give_up_on="OSError"), "give_up_on must be an exception type"),
        (lambda chat: chat.ask("x", timeout=5), "must be a timedelta, not int"),
        (lambda chat: chat.ask("x", timeout=timedelta(days=8)), "at most 7 days"),
        (lambda chat: chat.form(), "fields: pass at least one"),
        (lambda chat: chat.form(TextField("a", "A"), timeout=timedelta.max), "at most 7 days"),
        (lambda chat: chat.sleep(5), "must be a timedelta, not int"),
        (lambda chat: chat.sleep(timedelta.max), "at most 7 days"),
    ],
)
def test_a_misuse_says_what_is_wrong_and_gives_control_up(misuse: Any, words: str) -> None:
    """Nothing of it is said."""
    assert_misuse(misuse, words)


def test_the_metadata_of_a_message_leaves_room_for_the_bots_own() -> None:
    """The most that a flow may give arrives whole, beside the id by which the bot finds its message again."""
    most = {"a": "m" * (MESSAGE_METADATA_LIMIT - len('{"a": ""}'))}

    async def flow(chat: Chat) -> None:
        await chat.say("x", metadata=most)

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.given_up()
        (said,) = [message for message in played.visitor.messages if message.author["type"] == "business"]
        metadata = dict(said.metadata or {})
        assert metadata.pop(EFFECT_KEY)
        assert metadata == most

    play(script, flow)


@pytest.mark.parametrize("mode", MODES)
def test_numbers_of_a_hand_over_reach_the_platform_whatever_dies(mode: str) -> None:
    """A duty keeps them as they are: what the database could not keep has been refused before."""

    fields: dict[str, Any] = {"1": 1.5, "2": 10**30, "3": Decimal("0.1")}

    async def flow(chat: Chat) -> None:
        await chat.hand_over(ANSWERS, ticket_fields=fields)

    async def script(played: Play) -> None:
        async def hook(process: Any, operation: str) -> None:
            if operation == "save" and len(played.stage.processes) < 4:
                played.replaced(process)

        played.stage.interference.stored = hook
        await played.visitor.says("hi")
        await played.given_up()
        assert played.holder == ANSWERS
        moved = played.stage.sandbox.switchboard.history.of(played.visitor.conversation_id, Kind.HOLDER)[-1]
        assert list(moved.metadata.values()) == [1.5, 10**30, "0.1"]

    play(script, flow, mode=mode)


def test_a_text_that_is_too_long_becomes_several_messages_cut_at_words() -> None:
    """The choices are with the last one, and no word is lost."""
    text = " ".join(f"word{number}" for number in range(1500))

    async def flow(chat: Chat) -> None:
        await chat.say(text, choices=["Go on"], metadata={"part": "last"})

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.given_up()
        assert len(played.bots) == 4
        assert all(len(part) <= 4096 for part in played.bots)
        assert " ".join(played.bots) == text
        said = [message for message in played.visitor.messages if message.author["type"] == "business"]
        assert [bool(message.content.get("actions")) for message in said] == [False, False, False, True]
        assert [(message.metadata or {}).get("part") for message in said] == [None, None, None, "last"]

    play(script, flow)


@pytest.mark.parametrize(
    "pair",
    [
        lambda chat: (chat.call(_sleeps, 1.0), chat.call(_sleeps, 2.0)),
        lambda chat: (chat.ask("a?"), chat.ask("b?")),
        lambda chat: (chat.ask("a?"), chat.say("b")),
        lambda chat: (chat.call(_sleeps, 1.0), chat.say("b")),
        lambda chat: (chat.sleep(MINUTE), chat.ask("b?")),
        lambda chat: (chat.call(_sleeps, 1.0), chat.release()),
    ],
)
def test_two_steps_at_once_end_the_flow_as_failed(pair: Any) -> None:
    """The journal has an order, and so must the flow."""

    async def flow(chat: Chat) -> None:
        await asyncio.gather(*pair(chat))

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        assert await played.given_up() < 5
        assert "await one step after the other" in played.failures[0]

    play(script, flow)


def test_the_steps_of_a_run_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow that goes on and on is a flow that hangs, also if its turns are short (a thousand; here a hundred)."""
    assert turn.ENTRIES_LIMIT == 1000
    monkeypatch.setattr(turn, "ENTRIES_LIMIT", 100)

    async def flow(chat: Chat) -> None:
        while True:
            await chat.sleep(timedelta(seconds=1))

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        assert 49 < await played.given_up() < 60
        assert "at most 100 steps" in played.failures[0]

    play(script, flow)


def test_a_flow_that_asks_on_and_on_although_nobody_answers_is_ended() -> None:
    """After ten questions in a row; an answer in between starts the count anew."""

    async def flow(chat: Chat) -> None:
        while True:
            try:
                await chat.ask("Still there?", timeout=MINUTE)
            except NoAnswer:
                continue

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.stage.wait(5.5 * MINUTE)
        await played.visitor.says("yes")
        assert await played.given_up() == pytest.approx(11 * 60, abs=30)
        assert "10 questions in a row had no answer" in played.failures[0]

    play(script, flow)


def _asked_oftener(played: Play, than: int) -> bool | None:
    return played.bots.count("more?") > than or None


@pytest.mark.long
def test_the_messages_of_a_run_are_limited_over_all_its_turns() -> None:
    """Five hundred, however many of them a step says; the release comes when those are said."""

    async def flow(chat: Chat) -> None:
        while True:
            for _ in range(5):
                await chat.say("word " * 20_000)
            await chat.ask("more?")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        for number in range(3):
            asked = partial(_asked_oftener, played, number)
            await played.stage.sandbox.until(asked, LONG, "it asks")
            await played.visitor.says("yes")
        assert await played.given_up() < 60
        assert "at most 500 messages" in played.failures[0]
        assert len(played.bots) == 3 * (5 * 25 + 1) + 4 * 25

    play(script, flow)


def test_the_results_of_a_run_are_limited_over_all_its_turns() -> None:
    """A megabyte in all; what earlier turns have kept counts."""

    async def flow(chat: Chat) -> None:
        while True:
            await chat.call(lambda: "x" * 300_000)
            await chat.ask("more?")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        for _ in range(3):
            await played.visitor.waits_for("more?")
            await played.visitor.says("yes")
        assert await played.given_up() < 5
        assert "1000000 bytes of results" in played.failures[0]
        assert played.bots == ["more?"] * 3

    play(script, flow)


def test_a_tapped_button_opens_a_flow_and_answers_a_question() -> None:
    """A postback has no words, but a payload and a user."""
    seen: list[tuple[Any, ...]] = []

    async def flow(chat: Chat) -> None:
        answer = await chat.ask("Which?")
        seen.append((chat.opening.kind, chat.opening.payload, chat.user.id, answer.text, answer.payload))

    async def script(played: Play) -> None:
        board, visitor = played.stage.sandbox.switchboard, played.visitor
        await visitor.opens()
        board.user_taps(visitor.conversation_id, "START", now=played.stage.clock.now())
        await visitor.waits_for("Which?")
        board.user_taps(visitor.conversation_id, "ONE", now=played.stage.clock.now())
        await played.given_up()
        assert seen == [("postback", "START", visitor.user.id, "", "ONE")]

    play(script, flow)


def test_what_began_a_flow_without_words_has_none() -> None:
    """A visitor who came by a link."""
    seen: list[tuple[Any, ...]] = []

    async def flow(chat: Chat) -> None:
        seen.append((chat.opening.kind, chat.opening.text, chat.opening.payload))

    async def script(played: Play) -> None:
        board, visitor = played.stage.sandbox.switchboard, played.visitor
        await visitor.opens()
        board.user_is_referred(visitor.conversation_id, "summer", now=played.stage.clock.now())
        await played.given_up()
        assert seen == [("referral", "", None)]

    play(script, flow)


@pytest.mark.parametrize("mode", MODES)
def test_the_flows_that_come_with_the_bot(mode: str) -> None:
    """Triage answers, and hands over what it does not know; the survey thanks for its answer."""

    async def script(played: Play) -> None:
        visitor = played.visitor
        await visitor.says("hi")
        await visitor.waits_for("What can I do")
        await visitor.taps("Opening hours")
        await visitor.waits_for("don't know any opening hours")
        await visitor.waits_for("anything else")
        await visitor.says("something strange")
        agent = played.stage.sandbox.agent()
        await agent.waits_for_ticket(visitor)
        assert played.holder == WORKSPACE
        await played.stage.wait(timedelta(seconds=1))  # two control events of one time would ask for a read
        await agent.solves()
        await agent.closes()
        if mode == "pass":
            await visitor.waits_for("How did we do?", LONG)
            await visitor.taps("Good")
            await visitor.waits_for("Thank you!")
        await played.closed()
        assert played.holder is None

    play(script, triage.function, survey.function, mode=mode)  # type: ignore[arg-type]


def test_triage_ends_when_nobody_answers() -> None:
    """After FLOW_IDLE_TIMEOUT."""

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        assert await played.given_up() == pytest.approx(15 * 60, abs=5)
        assert played.failures == []

    play(script, triage.function)  # type: ignore[arg-type]
