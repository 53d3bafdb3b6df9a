"""A deploy while users wait, and what several calls, signals, parts, handlers and results make of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from deploy_samples import deployed, journal_of, one
from flow_samples import Play, play

from bot import Answer, CallFailed, Chat, anywhere, every_turn, flow, on_error
from bot.engine.journal_check import waits_at
from bot.flows.catalogue import Catalogue
from bot.flows.handlers import Handlers
from bot.signals import Level
from bot.store.interface import JournalEntry

PAID = ("paid", {"amount": 7})


def price() -> int:
    """A function of a flow."""
    return 3


def stock() -> int:
    """Another one."""
    return 9


# -- several calls at once ---------------------------------------------------------------------------------------------


async def _gathers(chat: Chat) -> None:
    found = await chat.gather(chat.call(price), chat.call(stock))
    name = await chat.ask("Your name?")
    await chat.say(f"{name.text}: {found}")


async def _gathers_swapped(chat: Chat) -> None:
    found = await chat.gather(chat.call(stock), chat.call(price))
    name = await chat.ask("Your name?")
    await chat.say(f"{name.text}: {found}")


async def _gathers_with_keys(chat: Chat) -> None:
    found = await chat.gather(chat.call(price, key="a"), chat.call_with(key="b")(stock))
    name = await chat.ask("Your name?")
    await chat.say(f"{name.text}: {found}")


async def _gathers_keyed(chat: Chat) -> None:
    found = await chat.gather(chat.call(price), chat.call(stock), key="both")
    name = await chat.ask("Your name?")
    await chat.say(f"{name.text}: {found}")


async def _gathers_keyed_and_swapped(chat: Chat) -> None:
    found = await chat.gather(chat.call(stock), chat.call(price), key="both")
    name = await chat.ask("Your name?")
    await chat.say(f"{name.text}: {found}")


async def _gathers_keyed_and_more(chat: Chat) -> None:
    found = await chat.gather(chat.call(price), chat.call(stock), chat.call(price), key="both")
    name = await chat.ask("Your name?")
    await chat.say(f"{name.text}: {found}")


async def _gathers_others_with_keys(chat: Chat) -> None:
    found = await chat.gather(chat.call(lambda: 0, key="a"), chat.call(lambda: 0, key="b"))
    name = await chat.ask("Your name?")
    await chat.say(f"{name.text}: {found}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (_gathers, _gathers),
        (_gathers, _gathers_with_keys),
        (_gathers, _gathers_keyed),
        (_gathers_with_keys, _gathers_others_with_keys),
    ],
)
def test_calls_at_once_are_known_by_function_or_key(old: Any, new: Any) -> None:
    """As single ones are: a key may be added, and then the function may be another."""
    result = deployed(old, one(new))
    assert (result.foretold, result.said) == ("", ["Ada: (3, 9)"])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (_gathers, _gathers_swapped, "wants gather stock, price, the journal has gather price, stock"),
        (_gathers_keyed, _gathers, "wants gather price, stock with another key than the journal has"),
        (_gathers_keyed, _gathers_keyed_and_swapped, "wants gathered stock, the journal has gathered price"),
        (_gathers_keyed, _gathers_keyed_and_more, 'wants gathered price, the journal has ask "Your name?"'),
        (_gathers_with_keys, _gathers, "wants gather price, stock"),
    ],
)
def test_no_call_gets_another_ones_result(old: Any, new: Any, words: str) -> None:
    """Foretold, and told in the same words. Nothing runs, and nothing is said."""
    result = deployed(old, one(new))
    assert words in result.foretold
    assert [detail.removeprefix("JournalMismatch: ") for detail in result.details] == [result.foretold]
    assert result.said == []
    assert result.holder is None


def test_a_key_that_is_computed_is_not_told() -> None:
    """It may quote the user."""

    async def keyed(chat: Chat) -> None:
        name = await chat.ask("Your name?")
        await chat.gather(chat.call(price, key=f"for {name.text}"), chat.call(stock), key=f"of {name.text}")
        await chat.ask("Your e-mail?")

    async def other(chat: Chat) -> None:
        name = await chat.ask("Your name?")
        await chat.gather(chat.call(price), chat.call(stock), key=f"of Mrs {name.text}")
        await chat.ask("Your e-mail?")

    result = deployed(keyed, one(other), before=["Lovelace"])
    assert "wants gather price, stock with another key" in result.foretold
    assert "Lovelace" not in str(result.details)


def test_each_of_several_calls_is_told() -> None:
    """Its attempts, its end, and in the journal how it went: as with one call."""
    tries = {"a": 0, "b": 0}

    async def flaky(name: str, failures: int) -> str:
        tries[name] += 1
        await asyncio.sleep(1)
        if tries[name] <= failures:
            raise ConnectionError("Lovelace")
        return name

    async def flow(chat: Chat) -> None:
        careful = chat.call_with(attempts=3)
        with pytest.raises(CallFailed):
            await chat.gather(careful(flaky, "a", 2), careful(flaky, "b", 9))
        await chat.ask("more?")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("more?")
        signals = played.signals
        failed = [one.fields["attempt"] for one in signals if one.event == "call_failed"]
        assert sorted(str(one) for one in failed) == ["1", "1", "2", "2", "3"]
        over = {one.fields["outcome"]: one.fields["attempts"] for one in signals if one.event == "call_over"}
        assert over == {"done": 3, "failed": 3}
        assert "Lovelace" not in repr([one for one in signals if one.level > Level.DEBUG])
        journal = await journal_of(played.stage, played.visitor.conversation_id)
        first, second = sorted(
            (entry.data for entry in journal if entry.kind == "gathered"), key=lambda one: one["number"]
        )
        assert (first["number"], first["result"], first["attempts"], first["failure"]) == (0, "a", 3, "ConnectionError")
        assert (second["number"], second["attempts"], second["failure"]) == (1, 3, "ConnectionError")
        assert second["seconds"] > 3

    play(script, flow)


# -- signals -----------------------------------------------------------------------------------------------------------


async def _pays(chat: Chat) -> None:
    paid = await chat.signal("paid")
    name = await chat.ask("Your name?")
    await chat.say(f"{name.text}: {paid}")


async def _pays_keyed(chat: Chat) -> None:
    paid = await chat.signal("paid", key="money")
    name = await chat.ask("Your name?")
    await chat.say(f"{name.text}: {paid}")


async def _pays_by_another_name(chat: Chat) -> None:
    paid = await chat.signal("money_came", key="money")
    name = await chat.ask("Your name?")
    await chat.say(f"{name.text}: {paid}")


async def _ships(chat: Chat) -> None:
    shipped = await chat.signal("shipped")
    name = await chat.ask("Your name?")
    await chat.say(f"{name.text}: {shipped}")


@pytest.mark.parametrize(("old", "new"), [(_pays, _pays), (_pays, _pays_keyed), (_pays_keyed, _pays_by_another_name)])
@pytest.mark.parametrize("has_come", [True, False])
def test_a_signal_is_known_by_its_name_or_key(old: Any, new: Any, has_come: bool) -> None:
    """Where the flow still waits for it, the new name counts."""
    name = "money_came" if new is _pays_by_another_name and not has_come else "paid"
    sent = (name, {"amount": 7})
    result = deployed(old, one(new), before=[sent] if has_come else [], after=["Ada"] if has_come else [sent, "Ada"])
    assert (result.foretold, result.said[-1]) == ("", "Ada: {'amount': 7}")


@pytest.mark.parametrize("before", [[], [PAID]])
def test_another_signal_does_not_fit(before: Any) -> None:
    """Whether the old one has come or not: `flows check` says so, and what comes ends the run."""
    result = deployed(_pays, one(_ships), before=before)
    assert "wants signal shipped, the journal has signal paid" in result.foretold
    assert result.said == []


def test_a_run_that_is_told_something_begins_anew() -> None:
    """FLOW_MISMATCH=restart: what came before counts no more, as with answers."""
    result = deployed(_pays, one(_ships), after=[PAID, ("shipped", 1), "Ada"], restarts=True)
    assert result.signals.count("flow_restarted") == 1
    assert "flow_failed" not in result.signals
    assert result.said == ["Your name?", "Ada: 1"]


def test_the_step_at_which_a_run_waits_for_a_signal() -> None:
    """A signal that came and that nobody has taken is no step."""
    entries = [
        JournalEntry(1, 0, "began", "order", {}),
        JournalEntry(1, 1, "signal", "paid", {"until": "2026-01-01T00:00:00+00:00", "place": "orders.py:12"}),
        JournalEntry(1, 1_000_000, "told", "shipped", {"place": "Lovelace"}),
    ]
    assert waits_at(entries) == "signal paid (orders.py:12)"


# -- a flow in a flow --------------------------------------------------------------------------------------------------


@flow("address")
async def address(chat: Chat) -> None:
    """The older one."""
    await chat.ask("Which street?")


@flow("address", version=2)
async def newer_address(chat: Chat) -> None:
    """The newer one asks for the town first."""
    await chat.ask("Which town?")
    await chat.ask("Which street?")


async def _delivers(chat: Chat) -> None:
    await address(chat)
    await chat.say("On its way.")


async def _delivers_newer(chat: Chat) -> None:
    await newer_address(chat)
    await chat.say("On its way.")


def test_a_part_goes_on_in_the_version_in_which_the_run_has_begun_it() -> None:
    """If that is registered still."""
    flows = one(_delivers_newer).flows
    both = Catalogue({**flows, "address": newer_address}, "order", older=(address,))
    result = deployed(_delivers, both, after=["Main Street"])
    assert (result.foretold, result.said) == ("", ["On its way."])
    alone = Catalogue({**flows, "address": newer_address}, "order")
    result = deployed(_delivers, alone, after=["Main Street"])
    assert "wants flow address version 2, the journal has flow address version 1" in result.foretold
    assert result.said == []


async def _delivers_if_changed(chat: Chat) -> None:
    if chat.changed("ask for the town"):
        await chat.ask("Which town?")
    await address(chat)
    await chat.say("On its way.")


def test_a_change_before_a_part() -> None:
    """Runs of before don't hear of it; and code that has forgotten the change finds the part behind its mark."""
    result = deployed(_delivers, one(_delivers_if_changed), after=["Main Street"])
    assert (result.foretold, result.said) == ("", ["On its way."])

    name = "a computed name"

    async def computes(chat: Chat) -> None:
        chat.changed(name)
        await address(chat)
        await chat.say("On its way.")

    result = deployed(computes, one(_delivers), after=["Main Street"])
    assert (result.foretold, result.said) == ("", ["On its way."])


# -- handlers ----------------------------------------------------------------------------------------------------------


@anywhere("agent")
async def person(chat: Chat, answer: Answer) -> None:
    """Asks before it gets one."""
    if chat.changed("a word before"):
        await chat.say("One moment.")
    await chat.ask("Shall I get a person?", choices=["Yes", "No"])


@anywhere("agent")
async def person_otherwise(chat: Chat, answer: Answer) -> None:
    """Asks something else."""
    await chat.ask("Are you sure?", choices=["Yes", "No"])


object.__setattr__(person_otherwise.function, "__name__", "person")


@on_error
async def sorry(chat: Chat, error: Exception) -> None:
    """Asks once more, and then gives control up."""
    await chat.ask("That did not work. Your number?")
    await chat.release()


@every_turn
async def greets_once(chat: Chat) -> AsyncIterator[None]:
    """A step of its own, around the flow."""
    await chat.say("Hello.")
    yield


async def _uses_all(chat: Chat) -> None:
    name = await chat.ask("Your name?")
    if name.text == "Eve":
        raise LookupError(name.text)
    mail = await chat.ask("Your e-mail?")
    await chat.say(f"{name.text} {mail.text}")


ALL = Handlers(anywhere=(person,), on_error=sorry, every_turn=(greets_once,))


def test_a_check_plays_flows_with_their_handlers() -> None:
    """Steps of handlers are in the journal like all others."""
    for before in ([], ["agent"], ["agent", "No"], ["agent", "No", "nobody"], ["nobody", "agent"]):
        result = deployed(one(_uses_all, handlers=ALL), one(_uses_all, handlers=ALL), before=before, after=[])
        assert result.foretold == "", before


CHANGES: dict[str, tuple[list[str], Handlers, str]] = {
    "another question of a word": (
        ["agent"],
        Handlers(anywhere=(person_otherwise,), every_turn=(greets_once,)),
        'wants ask "Are you sure?", the journal has ',
    ),
    "a word taken away": (
        ["agent"],
        Handlers(every_turn=(greets_once,)),
        "wants no @anywhere handler of that name, the journal has anywhere person",
    ),
    "no greeting any more": ([], Handlers(), 'wants ask "Your name?", the journal has say "Hello."'),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("restarts", [False, True])
def test_a_change_of_handlers_is_foretold_and_noticed(change: str, restarts: bool) -> None:
    """Like one of the flow: the run ends, or begins anew, once, with the new handlers."""
    before, handlers, words = CHANGES[change]
    new = one(_uses_all, handlers=handlers)
    result = deployed(
        one(_uses_all, handlers=ALL), new, before=before, after=["Yes", "nobody", "a@x"], restarts=restarts
    )
    assert words in result.foretold
    assert [detail.removeprefix("JournalMismatch: ") for detail in result.details] == [result.foretold]
    if restarts:
        assert result.signals.count("flow_restarted") == 1
        assert "flow_failed" not in result.signals
        assert result.said[-1] == "nobody a@x"
    else:
        assert result.said == []
        assert result.signals.count("flow_mismatched") == 1


def test_a_mismatch_calls_no_handler_of_errors() -> None:
    """The flow has raised nothing."""
    failing = one(_uses_all, handlers=Handlers(on_error=sorry))
    result = deployed(failing, one(_pays, handlers=Handlers(on_error=sorry)))
    assert result.said == []
    assert result.signals.count("flow_mismatched") == 1


def test_a_failure_that_a_handler_took_over_is_a_step() -> None:
    """Code that does not fail any more does not fit, nor code that fails elsewhere."""
    works = True

    async def fails(chat: Chat) -> None:
        await chat.ask("Your name?")
        raise LookupError

    async def mended(chat: Chat) -> None:
        await chat.ask("Your name?")
        await chat.ask("Your e-mail?")

    async def fails_early(chat: Chat) -> None:
        assert not works

    handlers = Handlers(on_error=sorry)
    old = one(fails, handlers=handlers)
    same = deployed(old, old, before=["Ada"], after=["17"])
    assert (same.foretold, same.holder) == ("", None)
    result = deployed(old, one(mended, handlers=handlers), before=["Ada"])
    assert 'wants ask "Your e-mail?", the journal has raised LookupError' in result.foretold
    result = deployed(old, one(fails_early, handlers=handlers), before=["Ada"])
    assert "wants to fail (AssertionError at" in result.foretold
    assert 'the journal has ask "Your name?"' in result.foretold


def test_a_run_that_has_failed_is_over_as_a_failed_one() -> None:
    """Whatever end the handler of its error has chosen: so the metrics know, and the alert."""

    async def fails(chat: Chat) -> None:
        raise LookupError

    result = deployed(one(fails, handlers=Handlers(on_error=sorry)), one(fails, handlers=Handlers(on_error=sorry)))
    assert "flow_failed" in result.signals
    assert result.outcomes == ["failed"]


def test_changes_in_handlers_are_known_when_a_run_begins() -> None:
    """So runs of before go the old way in them."""
    old = one(_uses_all, handlers=Handlers(anywhere=(person_otherwise,)))
    result = deployed(old, one(_uses_all, handlers=Handlers(anywhere=(person,))), after=["agent", "No"])
    assert result.foretold == ""
    assert "One moment." not in result.said
    new = one(_uses_all, handlers=Handlers(anywhere=(person,)))
    assert "One moment." in deployed(new, new, after=["agent", "No"]).said


# -- results -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Offer:
    """As it was."""

    item: str
    cents: int


@dataclass(frozen=True)
class PricedOffer:
    """As it is now: it wants a currency, for each of many."""

    item: str
    currency: str


def offers() -> dict[str, Offer]:
    """What a flow looks up; the keys are names of customers."""
    return {"Lovelace": Offer("tea", 3)}


def priced_offers() -> dict[str, PricedOffer]:
    """The same of later."""
    raise AssertionError("it ran already")


priced_offers.__qualname__ = offers.__qualname__


@pytest.mark.parametrize("at_once", [False, True])
def test_another_type_of_result_is_foretold_without_quoting_it(at_once: bool) -> None:
    """Whether alone or with others, in the one way that all mismatches have."""

    def looks_up(function: Any) -> Any:
        async def looks_up(chat: Chat) -> None:
            if at_once:
                await chat.gather(chat.call(function), chat.call(price))
            else:
                await chat.call(function)
            await chat.ask("Your name?")

        return looks_up

    result = deployed(looks_up(offers), one(looks_up(priced_offers)))
    assert "offers to return dict[str, " in result.foretold
    assert result.foretold.endswith("the journal has a result that does not fit (missing, at ….currency)")
    assert "Lovelace" not in str(result.details)
    assert result.signals.count("flow_mismatched") == 1
