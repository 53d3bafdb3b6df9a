"""What serves all flows: resources, what is done after an error, words that work anywhere, what goes around a turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest

from bot import Answer, Chat, Flow, FlowMisuse, NoAnswer, anywhere, every_turn, flow, lifespan, on_error
from bot.flows.handlers import Handlers, TwoHandlers, handler_problems, handlers_in
from bot.sandbox.switchboard import WORKSPACE
from bot.testing.talk import Mode
from bot.testing.talks import ChatWith

in_both_modes = pytest.mark.parametrize("mode", ["release", "pass"])
with_deaths = pytest.mark.parametrize("deaths", [None, "everywhere"])
MINUTE = timedelta(minutes=1)

done: list[str] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    done.clear()


def undo(what: str) -> None:
    """Clean-up."""
    done.append(f"undone: {what}")


async def breaks(chat: Chat) -> None:
    """A flow that breaks after a question."""
    await chat.on_end(undo, "the order", when="failed")
    answer = await chat.ask("How many?")
    await chat.say(f"{int(answer.text)} it is.")


# -- after an error ------------------------------------------------------------------------------------------------


@on_error
async def hands_over(chat: Chat, error: Exception) -> None:
    """Says sorry and gets a person."""
    await chat.say("Sorry, something went wrong.")
    await chat.hand_over(tags=["bot_failed", type(error).__name__])


@in_both_modes
@with_deaths
async def test_a_flow_that_raises_hands_over(chat_with: ChatWith, mode: Mode, deaths: Any) -> None:
    """The user hears of it, the agent gets it; and it counts as failed: it is told, and what was to be undone is."""
    talk = chat_with(breaks, mode=mode, handlers=[hands_over], deaths=deaths, may_fail=True)
    await talk.user("hi")
    await talk.user("many")
    talk.expects("How many?", "Sorry, something went wrong.")
    talk.expects_no_more()
    assert talk.holder == WORKSPACE
    assert talk.ticket
    assert talk.ticket.tags == ("bot_failed", "ValueError")
    assert set(talk.failures) == {failure for failure in talk.failures if failure.startswith("ValueError at")}
    assert talk.failures
    assert {type(error) for error in talk.errors} == {ValueError}
    assert set(done) == {"undone: the order"}


async def test_a_flow_that_works_never_sees_it(chat_with: ChatWith) -> None:
    """Nor is anything undone."""
    talk = chat_with(breaks, handlers=[hands_over])
    await talk.user("hi")
    await talk.user("7")
    talk.expects("7 it is.")
    talk.expects_no_more()
    assert (talk.failures, done) == ([], [])


@in_both_modes
@with_deaths
async def test_a_handler_may_ask(chat_with: ChatWith, mode: Mode, deaths: Any) -> None:
    """It takes steps like a flow, over several turns. If it returns, control is given up as after a failed flow."""

    @on_error
    async def asks(chat: Chat, error: Exception) -> None:
        answer = await chat.ask("That went wrong. A person?", choices=["Yes", "No"])
        if answer.text == "Yes":
            await chat.hand_over()
        await chat.say("Goodbye, then.")

    talk = chat_with(breaks, mode=mode, handlers=[asks], deaths=deaths, may_fail=True)
    await talk.user("hi")
    await talk.user("many")
    assert talk.choices == ["Yes", "No"]
    await talk.taps("No")
    talk.expects("Goodbye, then.")
    assert talk.holder == (WORKSPACE if mode == "pass" else None)
    assert len(talk.failures) == 1
    assert set(done) == {"undone: the order"}


async def test_a_handler_that_raises_ends_the_flow_as_failed(chat_with: ChatWith) -> None:
    """Both errors are shown, one as the cause of the other."""

    @on_error
    async def raises(chat: Chat, error: Exception) -> None:
        raise KeyError("sorry") from error

    talk = chat_with(breaks, handlers=[raises], may_fail=True)
    await talk.user("hi")
    await talk.user("many")
    assert talk.released
    assert [type(error) for error in talk.errors] == [ValueError, KeyError]
    assert len(talk.failures) == 1


async def _misused(chat: Chat) -> None:
    await chat.call(object)


async def _silent(chat: Chat) -> None:
    await chat.ask("Anybody?", timeout=MINUTE)


@pytest.mark.parametrize(("function", "said"), [(_misused, []), (_silent, ["Anybody?"])])
async def test_there_is_no_handler_where_nothing_went_wrong_or_nothing_can_go_on(
    chat_with: ChatWith, function: Any, said: list[str]
) -> None:
    """Nobody answered; or the run itself has ended."""
    talk = chat_with(function, handlers=[hands_over], may_fail=True)
    await talk.user("hi")
    await talk.wait(minutes=2)
    assert talk.said == said
    assert talk.released


async def test_the_user_who_ends_the_conversation_meets_no_handler(chat_with: ChatWith) -> None:
    """Being cut off is no error."""
    talk = chat_with(breaks, handlers=[hands_over], mode="pass")
    await talk.user("hi")
    await talk.end()
    assert talk.said == ["How many?"]
    assert done == ["undone: the order"]


# -- words that work anywhere --------------------------------------------------------------------------------------


class Cancelled(Exception):
    """What the flow of these tests makes of the word "cancel"."""


@anywhere("agent", "talk to a person")
async def person(chat: Chat, answer: Answer) -> None:
    """Gets a person, if it is meant."""
    sure = await chat.ask("Shall I get a person?", choices=["Yes", "No"])
    if sure.choice and sure.choice.text == "Yes":
        await chat.hand_over()
    await chat.say("Back to your order.")


@anywhere("cancel")
async def cancel(chat: Chat, answer: Answer) -> None:
    """Lets the flow decide."""
    raise Cancelled


@flow("order")
async def order(chat: Chat) -> None:
    """Two questions, of which one has choices."""
    try:
        item = await chat.ask("What would you like?")
        size = await chat.ask("Which size?", choices=["Small", "Agent"])
    except Cancelled:
        await chat.say("Cancelled.")
        return
    await chat.say(f"{item.text}, {size.text}.")


@with_deaths
async def test_a_word_works_at_any_question_and_the_question_is_asked_again(chat_with: ChatWith, deaths: Any) -> None:
    """In any case, with a full stop."""
    talk = chat_with(order, handlers=[person, cancel], deaths=deaths)
    await talk.user("hi")
    await talk.user("Talk to a person.")
    talk.expects("What would you like?", "Shall I get a person?")
    await talk.taps("No")
    talk.expects("Back to your order.", "What would you like?")
    await talk.user("Tea")
    await talk.user("AGENT")
    talk.expects("Which size?", "Tea, AGENT.")
    assert talk.released


@with_deaths
async def test_a_word_may_end_the_flow(chat_with: ChatWith, deaths: Any) -> None:
    """By what its handler does, or by what the flow makes of what it raises."""
    talk = chat_with(order, handlers=[person, cancel], deaths=deaths)
    await talk.user("hi")
    await talk.user("agent")
    await talk.taps("Yes")
    assert talk.holder == WORKSPACE
    talk = chat_with(order, handlers=[person, cancel], deaths=deaths)
    await talk.user("hi")
    await talk.user("Tea")
    await talk.user("cancel")
    assert talk.said[-1] == "Cancelled."
    assert talk.released


async def test_the_words_of_a_handler_are_answers_while_it_is_at_work(chat_with: ChatWith) -> None:
    """Else it would ask within itself for ever. Those of others work."""
    talk = chat_with(order, handlers=[person, cancel])
    await talk.user("hi")
    await talk.user("agent")
    await talk.user("agent")
    talk.expects("Shall I get a person?", "Back to your order.", "What would you like?")
    await talk.user("agent")
    await talk.user("cancel")
    talk.expects("Shall I get a person?", "Cancelled.")


@pytest.mark.parametrize("before", [False, True])
async def test_a_word_that_a_deploy_brings_or_takes_changes_no_answer_of_earlier(
    chat_with: ChatWith, before: bool
) -> None:
    """What was an answer stays one, and what called a handler that is gone does not fit any more."""
    handlers = [person] if before else []
    talk = chat_with(order, handlers=handlers, may_fail=True, restart_every_turn=True)
    await talk.user("hi")
    await talk.user("agent")
    after = Handlers() if before else Handlers(anywhere=(person,))
    object.__setattr__(talk._stage.catalogue, "handlers", after)
    if before:
        await talk.taps("No")
        assert "wants no @anywhere handler of that name, the journal has anywhere person" in talk.failures[0]
    else:
        await talk.user("Small")
        talk.expects("agent, Small.")


# -- around every turn ---------------------------------------------------------------------------------------------

LANGUAGE: ContextVar[str] = ContextVar("language", default="en")


@every_turn
async def in_the_users_language(chat: Chat) -> AsyncIterator[None]:
    """Sets the language, and takes the time."""
    LANGUAGE.set(chat.user.locale or "en")
    done.append("begins")
    try:
        yield
    finally:
        done.append("ends")


@every_turn
async def with_a_tenant(chat: Chat) -> AsyncIterator[None]:
    """Takes a step before the flow does."""
    tenant = await chat.call(str.upper, chat.user.locale or "?")
    done.append(f"tenant {tenant}")
    yield


@with_deaths
async def test_each_turn_is_wrapped(chat_with: ChatWith, deaths: Any) -> None:
    """Context variables hold for the flow and for what it calls; what stands in `finally` runs when the turn ends."""

    async def speaks(chat: Chat) -> None:
        answer = await chat.ask(f"[{LANGUAGE.get()}] ?")
        await chat.say(await chat.call(lambda: f"[{LANGUAGE.get()}] {answer.text}"))

    from bot import User

    talk = chat_with(speaks, user=User(locale="de"), handlers=[in_the_users_language, with_a_tenant], deaths=deaths)
    await talk.user("hi")
    talk.expects("[de] ?")
    await talk.user("ja")
    talk.expects("[de] ja")
    assert done.count("begins") == done.count("ends") >= done.count("tenant DE") >= 2
    if not deaths:
        assert done == ["begins", "tenant DE", "ends"] * 2


# -- resources -----------------------------------------------------------------------------------------------------


@lifespan
async def resources() -> AsyncIterator[dict[str, Any]]:
    """Opens and closes."""
    done.append("opened")
    await asyncio.sleep(0)
    yield {"db": {"tea": 7}}
    done.append("closed")


async def looks_up(chat: Chat) -> None:
    """Uses what is open."""
    answer = await chat.ask("Which one?")
    await chat.say(str(chat.resources.db[answer.text]))


async def test_resources_are_opened_once(chat_with: ChatWith) -> None:
    """Whatever restarts; here they stand for the process's."""
    talk = chat_with(looks_up, handlers=[resources], restart_every_turn=True)
    await talk.user("hi")
    await talk.user("tea")
    talk.expects("7")
    assert done == ["opened"]


def test_resources_are_closed_with_the_talk() -> None:
    """And not before."""
    with ChatWith() as talks:
        talks(looks_up, handlers=[resources])
        assert done == ["opened"]
    assert done == ["opened", "closed"]


async def test_a_test_brings_its_own(chat_with: ChatWith) -> None:
    """Then nothing is opened."""
    talk = chat_with(looks_up, handlers=[resources], resources={"db": {"tea": 8}})
    await talk.user("hi")
    await talk.user("tea")
    talk.expects("8")
    assert done == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "there are no resources: no module of FLOWS has a function with @lifespan"),
        ({"resources": {"pool": 1}}, "chat.resources has no 'db': the @lifespan yields pool"),
    ],
)
async def test_what_is_not_there_is_told(chat_with: ChatWith, given: Any, words: str) -> None:
    """With what to do."""
    talk = chat_with(looks_up, may_fail=True, handlers=[], **given)
    await talk.user("hi")
    await talk.user("tea")
    (error,) = talk.errors
    assert words in str(error)


async def test_a_lifespan_that_fails_fails_the_test(chat_with: ChatWith) -> None:
    """With its error as the cause."""

    @lifespan
    async def broken() -> AsyncIterator[None]:
        if not done:
            raise ConnectionRefusedError("no database")
        yield

    with pytest.raises(AssertionError, match="the @lifespan broken failed: no database") as failure:
        chat_with(looks_up, handlers=[broken])
    assert isinstance(failure.value.__cause__, ConnectionRefusedError)


# -- a flow in a flow ----------------------------------------------------------------------------------------------


@flow("address")
async def address(chat: Chat) -> None:
    """A part of others."""
    await chat.ask("Which street?")


@flow("phone")
async def phone(chat: Chat) -> None:
    """Another one, with the same steps."""
    await chat.ask("Which street?")


@with_deaths
async def test_a_flow_may_be_part_of_another(chat_with: ChatWith, deaths: Any) -> None:
    """The journal has it under its own name."""

    @flow("delivery")
    async def delivery(chat: Chat) -> None:
        await address(chat)
        await address(chat)
        await chat.say("On its way.")

    talk = chat_with(delivery, deaths=deaths, handlers=[])
    await talk.user("hi")
    connection = talk._stage.store._shared
    assert connection
    query = "SELECT kind, key FROM journal WHERE kind = 'flow'"
    kinds = talk._thread.run(lambda: connection.execute(query).fetchall())
    assert kinds == [("flow", "address")]
    await talk.user("Main Street")
    await talk.user("Side Street")
    talk.expects("Which street?", "Which street?", "On its way.")


async def test_another_part_does_not_fit_the_journal(chat_with: ChatWith) -> None:
    """Even if its steps are the same."""
    part: list[Flow] = [address]

    async def whole(chat: Chat) -> None:
        await part[0](chat)

    talk = chat_with(whole, may_fail=True, handlers=[])
    await talk.user("hi")
    part[0] = phone
    await talk.user("Main Street")
    assert "wants flow phone, the journal has flow address" in talk.failures[0]


async def test_a_journal_of_before_parts_were_written_goes_on(chat_with: ChatWith) -> None:
    """A deploy of the bot itself while users wait."""

    async def before(chat: Chat) -> None:
        await address.run(chat)
        await chat.say("On its way.")

    async def after(chat: Chat) -> None:
        await address(chat)
        await chat.say("On its way.")

    functions = [before]

    async def whole(chat: Chat) -> None:
        await functions[0](chat)

    talk = chat_with(whole, handlers=[])
    await talk.user("hi")
    functions[0] = after
    await talk.user("Main Street")
    talk.expects("Which street?", "On its way.")


# -- what can't be -------------------------------------------------------------------------------------------------


def _module(name: str, **values: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(values)
    return module


@anywhere("stop", "CANCEL")
async def stop(chat: Chat, answer: Answer) -> None:
    """Another function of a word."""


async def _no_generator(*_: Any) -> None: ...


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        (
            [_module("a", x=hands_over), _module("b", x=on_error(_no_generator))],
            "there is more than one @on_error, in 'a' and 'b'",
        ),
        ([_module("a", x=resources, y=lifespan(undo))], "there is more than one @lifespan, in 'a' and 'a'"),  # type: ignore[arg-type]
        ([_module("a", x=cancel, y=stop)], "@anywhere('CANCEL') is above both cancel and stop"),
        ([_module("a", x=cancel, y=anywhere("x")(cancel.function))], "two functions with @anywhere are called cancel"),
    ],
)
def test_two_that_would_do_the_same_are_refused(modules: list[ModuleType], words: str) -> None:
    """Nobody could tell which one counts."""
    with pytest.raises(TwoHandlers) as refused:
        handlers_in(modules)
    assert words in str(refused.value)


def test_one_that_several_modules_import_is_one() -> None:
    """In the order in which they are found."""
    modules = [_module("a", x=hands_over, y=cancel, z=with_a_tenant), _module("b", x=hands_over, w=cancel, r=resources)]
    assert handlers_in(modules) == Handlers(resources, hands_over, (cancel,), (with_a_tenant,))


@pytest.mark.parametrize(
    ("handlers", "words"),
    [
        (Handlers(lifespan=lifespan(_no_generator)), "needs `async def _no_generator()`, with one `yield`"),  # type: ignore[arg-type]
        (Handlers(on_error=on_error(undo)), "FLOWS: @on_error above undo (test_flow_handlers.py:"),  # type: ignore[arg-type]
        (Handlers(anywhere=(anywhere("x")(breaks),)), "needs `async def breaks(chat, answer)`, without `yield`"),  # type: ignore[arg-type]
        (Handlers(every_turn=(every_turn(resources.function),)), "needs `async def resources(chat)`, with one"),  # type: ignore[arg-type]
    ],
)
def test_a_handler_that_can_not_work_is_told_at_the_start(handlers: Handlers, words: str) -> None:
    """One line, with what to write."""
    (line,) = handler_problems(handlers)
    assert words in line


def test_those_of_these_tests_can_work() -> None:
    """No line for what is right."""
    right = Handlers(resources, hands_over, (person, cancel), (in_the_users_language, with_a_tenant))
    assert list(handler_problems(right)) == []


@pytest.mark.parametrize("words", [(), ("",), ("agent", " "), (undo,)])
def test_anywhere_wants_words(words: Any) -> None:
    """Also if somebody forgets the brackets."""
    with pytest.raises(FlowMisuse, match="in parentheses"):
        anywhere(*words)


def test_no_answer_is_a_flow_error() -> None:
    """So that nothing that is one gets past the handler by its type."""
    assert issubclass(NoAnswer, Exception)
