"""Clean-up that knows how the flow ended: only where it failed, withdrawn by the flow, or told the outcome."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta
from typing import Any

import pytest
from flow_samples import MODES, FlowFunction, Play, assert_misuse, interrupted, play
from readme_flows import readme_module

from bot import Chat, CleanUpHandle, NoAnswer, Outcome
from bot.control.policy import Policy
from bot.engine.clean_ups import clean_ups_of
from bot.flows.outcome import outcome_named, with_offered
from bot.replay.harness import Process
from bot.sandbox.switchboard import BOT
from bot.store.codec import load_effect
from bot.store.interface import CleanUp, JournalEntry, Unavailable
from bot.testing.talks import ChatWith

MINUTE = timedelta(minutes=1)

calls: list[Any] = []
"""What clean-up has been called with."""


@pytest.fixture(autouse=True)
def _forget() -> None:
    calls.clear()


def refund(item: str) -> None:
    """Clean-up for when things go wrong."""
    calls.append(item)


def close(item: str, outcome: Outcome) -> None:
    """Clean-up that takes the outcome."""
    calls.append((item, outcome))


async def close_later(*, outcome: Outcome = Outcome.UNKNOWN) -> None:
    """The same as a coroutine function, by keyword."""
    calls.append(outcome)


async def _returns(chat: Chat) -> None:
    await chat.say("It is yours.")


async def _releases(chat: Chat) -> None:
    await chat.release()


async def _hands_over(chat: Chat) -> None:
    await chat.hand_over()


async def _raises(chat: Chat) -> None:
    raise RuntimeError


async def _is_misused(chat: Chat) -> None:
    await chat.say("")


async def _hangs(chat: Chat) -> None:
    await asyncio.get_running_loop().create_future()


async def _asks(chat: Chat) -> None:
    await chat.ask("Your address?")


async def _nobody_answers(chat: Chat) -> None:
    await chat.ask("Your address?", timeout=MINUTE)


ENDS: list[tuple[FlowFunction, str, Outcome]] = [
    (_returns, "", Outcome.COMPLETE),
    (_releases, "", Outcome.RELEASED),
    (_hands_over, "", Outcome.HANDED_OVER),
    (_raises, "", Outcome.FAILED),
    (_is_misused, "", Outcome.FAILED),
    (_nobody_answers, "", Outcome.FAILED),
    (_hangs, "", Outcome.TIMED_OUT),
    (_asks, "end", Outcome.ENDED),
    (_hangs, "end", Outcome.ENDED),
    (_asks, "loss", Outcome.INTERRUPTED),
    (_hangs, "agent", Outcome.INTERRUPTED),
    (_asks, "removal", Outcome.INTERRUPTED),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("then", "meanwhile", "outcome"), ENDS)
def test_a_failure_is_whatever_is_not_the_flows_own_end(
    then: FlowFunction, meanwhile: str, outcome: Outcome, mode: str
) -> None:
    """A sale that went well is not refunded; every function may be told how it went."""

    async def flow(chat: Chat) -> None:
        await chat.on_end(refund, "tea", when="failed")
        await chat.on_end(close, "shop")
        await chat.on_end(close_later, when="always")
        await then(chat)

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await interrupted(played, meanwhile)
        await played.stage.wait(40 * MINUTE)

    play(script, flow, mode=mode)
    refunded = [] if outcome.went_well else ["tea"]
    assert calls in ([outcome, ("shop", outcome), *refunded], [("shop", outcome), outcome, *refunded])


@pytest.mark.parametrize("then", [_returns, _raises, _asks, _hands_over])
@pytest.mark.parametrize("restart", [False, True])
async def test_what_is_withdrawn_is_not_called(chat_with: ChatWith, then: FlowFunction, *, restart: bool) -> None:
    """However the flow ends after that; the others are, and so is the same function that was registered again."""

    async def flow(chat: Chat) -> None:
        first = await chat.on_end(refund, "first")
        await chat.on_end(refund, "second", when="failed")
        await chat.ask("Pay?")
        await first.cancel()
        await first.cancel()
        await chat.on_end(refund, "third")
        await then(chat)

    talk = chat_with(flow, restart_every_turn=restart, may_fail=True)
    await talk.user("hi")
    await talk.user("yes")
    await talk.end()
    await talk.wait(minutes=1)
    assert calls == (["third"] if then in (_returns, _hands_over) else ["third", "second"])


async def test_a_sale_that_is_done_can_go_on(chat_with: ChatWith) -> None:
    """The reservation is withdrawn once it is paid, and the user may leave at the next question."""

    async def flow(chat: Chat) -> None:
        reservation = await chat.on_end(refund, "tea", when="failed")
        await chat.ask("Pay?")
        await reservation.cancel()
        await chat.ask("Anything else?")

    talk = chat_with(flow)
    await talk.user("hi")
    await talk.user("yes")
    await talk.end()
    await talk.wait(minutes=1)
    assert calls == []
    await chat_with(flow).user("hi")


@pytest.mark.parametrize("point", ["store", "stored"])
def test_a_withdrawal_survives_a_death_at_any_save(point: str) -> None:
    """Once `cancel` has returned, the function is not called, and before it was begun, it is."""

    def played(number: int) -> tuple[bool, list[str]]:
        saves: list[int] = []
        reached: list[str] = []

        async def flow(chat: Chat) -> None:
            handle = await chat.on_end(refund, "tea")
            reached.append("registered")
            await chat.ask("Pay?")
            reached.append("paid")
            await handle.cancel()
            reached.append("withdrawn")
            await chat.ask("Anything else?")

        async def script(scene: Play) -> None:
            async def hook(process: Process, operation: str) -> None:
                if operation == "save":
                    saves.append(1)
                    if len(saves) == number:
                        scene.replaced(process)

            setattr(scene.stage.interference, point, hook)
            await scene.visitor.says("hi")
            await scene.visitor.waits_for("Pay?", 60)
            await scene.visitor.says("yes")
            await scene.visitor.waits_for("Anything else?", 60)
            await scene.visitor.ends()
            await scene.closed()
            await scene.stage.wait(2 * MINUTE)

        calls.clear()
        play(script, flow)
        return len(saves) >= number, reached

    number = 1
    while (outcome := played(number))[0]:
        assert "withdrawn" in outcome[1]
        assert calls == [], f"died {point} save {number}"
        number += 1
    assert number > 4


def test_what_comes_after_a_withdrawal_waits_until_it_is_stored() -> None:
    """Else a parcel is sent, and its order is cancelled by another process."""
    seen: list[str] = []

    async def flow(chat: Chat) -> None:
        handle = await chat.on_end(refund, "tea")
        await chat.ask("Pay?")
        await handle.cancel()
        seen.append("sent")
        await chat.ask("Anything else?")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("Pay?")
        refused: list[int] = []

        async def hook(_: Any, operation: str) -> None:
            if (
                operation == "save"
                and not refused
                and any(t.get_name().startswith("flow") for t in asyncio.all_tasks())
            ):
                refused.append(1)
                assert seen == []
                raise Unavailable("no database")

        played.stage.interference.store = hook
        await played.visitor.says("yes")
        await played.visitor.waits_for("Anything else?", 60)
        assert (refused, seen) == ([1], ["sent"])

    play(script, flow)


async def test_withdrawn_ones_do_not_count(chat_with: ChatWith) -> None:
    """A flow that registers and withdraws in a loop has at most one at a time."""

    async def flow(chat: Chat) -> None:
        for number in range(30):
            await (await chat.on_end(refund, f"{number}")).cancel()
        await chat.say("done")

    talk = chat_with(flow)
    await talk.user("hi")
    assert (talk.said, calls) == (["done"], [])


@pytest.mark.parametrize("when", ["never", "", None, 1])
def test_another_when_is_refused(when: Any) -> None:
    """When it is registered."""
    assert_misuse(lambda chat: chat.on_end(refund, "tea", when=when), "when must be one of always, failed")


# -- what earlier versions have stored -------------------------------------------------------------------------------


def _entry(index: int, data: Any, kind: str = "on_end", key: str = "shop:refund") -> JournalEntry:
    return JournalEntry(1, index, kind, key, data)


OLD = {"args": ["tea"], "kwargs": {}, "attempts": 3, "timeout": 30.0}


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_registration_of_an_earlier_version_is_due_always(outcome: Outcome) -> None:
    """As it was meant when it was stored."""
    due, unreadable = clean_ups_of([_entry(1, OLD)], 1, outcome)
    assert due == [CleanUp("", 1, "shop:refund", ["tea"], {}, 3, 30.0, outcome.value)]
    assert unreadable == []


@pytest.mark.parametrize("data", [{**OLD, "when": "never"}, {**OLD, "when": None}, [1], None, "when"])
def test_a_registration_that_can_not_be_read_is_told(data: Any) -> None:
    """It costs the others nothing."""
    due, unreadable = clean_ups_of([_entry(1, OLD), _entry(2, data)], 1, Outcome.FAILED)
    assert [clean_up.args for clean_up in due] == [["tea"]]
    assert unreadable == ["journal entry 2 can't be read"]


def test_a_withdrawal_is_of_its_own_run() -> None:
    """Indexes begin anew with each run."""
    journal = [_entry(1, OLD), JournalEntry(2, 2, "on_end_withdrawn", "1", None)]
    assert clean_ups_of(journal, 1, Outcome.COMPLETE)[0]
    journal += [_entry(2, None, "on_end_withdrawn", "1")]
    assert clean_ups_of(journal, 1, Outcome.COMPLETE) == ([], [])


def test_a_row_of_an_earlier_version_has_no_outcome() -> None:
    """The function is called all the same, and told that nobody knows."""
    body = {"effect_id": "e", "run_id": 1, "function": "shop:refund", **OLD}
    read = load_effect("clean_up", json.dumps(body))
    assert isinstance(read, CleanUp)
    assert outcome_named(read.outcome) is Outcome.UNKNOWN
    assert outcome_named("of a later version") is Outcome.UNKNOWN
    assert [outcome_named(outcome.value) for outcome in Outcome] == list(Outcome)


# -- which functions take it -----------------------------------------------------------------------------------------


def _of_their_own(item: str, outcome: str = "mine") -> None:
    """It was there before, and is given a value."""


def _any(*args: Any, **kwargs: Any) -> None:
    """It would take anything."""


def _by_position(outcome: str, /) -> None:
    """Only by its place."""


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "expected"),
    [
        (close, ["shop"], {}, {"outcome": Outcome.FAILED}),
        (close_later, [], {}, {"outcome": Outcome.FAILED}),
        (refund, ["tea"], {}, {}),
        (_of_their_own, ["tea"], {"outcome": "theirs"}, {"outcome": "theirs"}),
        (_of_their_own, ["tea", "theirs"], {}, {}),
        (_any, ["tea"], {"x": 1}, {"x": 1}),
        (_by_position, [], {}, {}),
        (refund, ["tea", "too much"], {}, {}),
        (dict, [], {}, {}),
    ],
)
def test_a_function_is_told_if_it_has_such_a_parameter(
    function: Any, args: list[Any], kwargs: dict[str, Any], expected: dict[str, Any]
) -> None:
    """And only if it was not given a value of the flow's own."""
    assert with_offered(function, args, kwargs, {"outcome": Outcome.FAILED}) == expected


def give_back(item: str, resources: Any) -> None:
    """Clean-up that takes what the lifespan has opened."""
    resources.shop.append(item)


def of_its_own(resources: str = "its own") -> None:
    """It was there before."""
    calls.append(resources)


@pytest.mark.parametrize("mode", MODES)
async def test_a_function_gets_the_resources_of_its_process(chat_with: ChatWith, mode: Any) -> None:
    """Whichever process that is, for a clean-up can't bring anything that is open along."""

    async def books(chat: Chat) -> None:
        await chat.on_end(give_back, "tea", when="failed")
        await chat.on_end(of_its_own, "given")
        await chat.ask("Your address?")

    shop: list[str] = []
    talk = chat_with(books, mode=mode, resources={"shop": shop}, deaths="everywhere")
    await talk.user("hi")
    await talk.end()
    assert set(shop) == {"tea"}
    assert set(calls) == {"given"}


async def test_without_a_lifespan_there_are_no_resources(chat_with: ChatWith) -> None:
    """So a function with such a parameter is called as before."""

    async def books(chat: Chat) -> None:
        await chat.on_end(of_its_own)

    talk = chat_with(books)
    await talk.user("hi")
    assert calls == ["its own"]


async def test_a_handle_can_be_kept_for_the_clean_up_of_a_part(chat_with: ChatWith) -> None:
    """As a flow with steps does it: book, and take back what was booked if a later step fails."""

    async def books(chat: Chat, item: str) -> CleanUpHandle:
        return await chat.on_end(refund, item, when="failed")

    async def flow(chat: Chat) -> None:
        kept = [await books(chat, item) for item in ("flight", "hotel")]
        try:
            await chat.ask("Pay?", timeout=MINUTE)
        except NoAnswer:
            return
        for handle in kept:
            await handle.cancel()
        await chat.say("Booked.")
        raise RuntimeError("the mail could not be sent")

    talk = chat_with(flow, may_fail=True, change_worker_every_turn=True)
    await talk.user("hi")
    await talk.user("yes")
    await talk.wait(minutes=1)
    assert (talk.said, calls) == (["Pay?", "Booked."], [])


def test_the_outcome_outlives_the_process() -> None:
    """It is stored with the call: the next process tells the same."""

    async def flow(chat: Chat) -> None:
        await chat.on_end(close, "shop")
        raise RuntimeError

    async def script(played: Play) -> None:
        async def hook(process: Process, operation: str) -> None:
            if operation == "save" and played.failures:
                played.stage.interference.stored = None
                played.replaced(process)

        played.stage.interference.stored = hook
        await played.visitor.says("hi")
        await played.given_up()
        await played.stage.wait(MINUTE)

    play(script, flow, policy=Policy(me=BOT, app_key=True))
    assert set(calls) == {("shop", Outcome.FAILED)}


@pytest.mark.parametrize(("leaves", "expected"), [(False, []), (True, ["tea-4711"])])
async def test_the_readmes_shop_cancels_only_what_was_not_sold(
    chat_with: ChatWith, monkeypatch: pytest.MonkeyPatch, expected: list[str], *, leaves: bool
) -> None:
    """Not the order that went well."""
    monkeypatch.setitem(sys.modules, "readme_shop", sys)  # put back afterwards: other tests have a copy of their own
    shop: Any = readme_module("shop")

    def cancel(reservation: str) -> None:
        calls.append(reservation)

    cancel.__module__, cancel.__qualname__ = shop.__name__, "cancel"
    shop.cancel = cancel
    talk = chat_with(shop.shop)
    await talk.user("hi")
    await talk.taps("Buy")
    await (talk.end() if leaves else talk.fills_in(mail="ada@example.com", size="Large"))
    await talk.wait(minutes=1)
    assert (calls, "A large one is yours." in talk.said) == (expected, not leaves)
