"""What operators see of flows: names, runs, calls and their failures; and nobody's words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest
from flow_samples import Play, play

from bot import CallFailed, Chat, Flow
from bot.control.policy import Policy
from bot.engine.context import Context
from bot.engine.flow_task import _note_call
from bot.flows.authoring import Router
from bot.flows.catalogue import Catalogue
from bot.replay.harness import Stage
from bot.replay.virtual_time import run_virtual
from bot.sandbox.switchboard import BOT
from bot.signals import Level, Signal
from bot.troubles import Troubles

SECRET = "SECRET of Ada"


class Backend:
    """A backend that fails some times before it works."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    async def reserve(self, _: str) -> str:
        """A function of a flow."""
        if self.failures:
            self.failures -= 1
            raise ConnectionError(SECRET)
        return SECRET


def seen(backend: Backend, attempts: int = 3) -> tuple[list[Signal], Any]:
    """The signals of a flow that calls a backend, and the journal entry of the call."""

    async def order(chat: Chat) -> None:
        name = await chat.ask("Your name?")
        try:
            await chat.call(backend.reserve, name.text, attempts=attempts)
        except CallFailed:
            await chat.say("That did not work.")

    async def script(played: Play) -> Any:
        await played.visitor.says("hi")
        await played.visitor.waits_for("Your name?")
        await played.visitor.says(SECRET)
        await played.given_up()
        await played.stage.wait(timedelta(seconds=10))
        found = await played.stage.store.timeline(played.visitor.conversation_id)
        assert found is not None
        return played.signals, next(entry for entry in found.journal if entry.kind == "call")

    signals, entry = play(script, order)
    return signals, entry


def of(signals: list[Signal], *names: str) -> list[Signal]:
    """The signals of these names."""
    return [signal for signal in signals if signal.event in names]


def test_each_failed_attempt_is_told() -> None:
    """With function, attempt and type of error, and not with what the error says."""
    signals, entry = seen(Backend(2))
    failed = of(signals, "call_failed")
    assert [(one.level, one.fields["attempt"], one.fields["error"]) for one in failed] == [
        (Level.WARNING, 1, "ConnectionError"),
        (Level.WARNING, 2, "ConnectionError"),
    ]
    assert failed[0].fields["function"] == "Backend.reserve"
    assert (failed[0].fields["flow"], failed[0].fields["version"]) == ("opening", 1)
    (over,) = of(signals, "call_over")
    assert (over.fields["outcome"], over.fields["attempts"], over.level) == ("done", 3, Level.DEBUG)
    assert SECRET not in repr(signals)
    kept = {name: entry.data[name] for name in ("result", "attempts", "failure")}
    assert kept == {"result": SECRET, "attempts": 3, "failure": "ConnectionError"}
    assert entry.data["seconds"] == pytest.approx(over.fields["seconds"], abs=0.001)
    assert entry.data["seconds"] > 1, "the pauses between attempts count"


def test_a_call_that_fails_for_good() -> None:
    """It is counted as failed, and its step says so."""
    signals, entry = seen(Backend(9), attempts=2)
    (over,) = of(signals, "call_over")
    assert (over.fields["outcome"], over.fields["attempts"]) == ("failed", 2)
    assert (entry.data["attempts"], entry.data["failure"]) == (2, "ConnectionError")


def test_a_dead_backend_does_not_fill_the_log() -> None:
    """Of what fails again and again the 1st, 2nd, 4th, 8th, … time is a warning; all of it is counted."""
    signals, _ = seen(Backend(99), attempts=10)
    levels = [one.level for one in of(signals, "call_failed")]
    assert len(levels) == 10
    assert [place for place, level in enumerate(levels, 1) if level is Level.WARNING] == [1, 2, 4, 8]


@pytest.mark.parametrize("full", [False, True])
def test_the_message_is_told_only_on_demand(full: bool) -> None:
    """LOG_ERRORS=full."""
    signals: list[Signal] = []
    nothing = cast("Any", None)
    troubles = Troubles(lambda _: None, lambda: 0.0)
    context = Context(
        nothing, nothing, nothing, Catalogue(), nothing, "w", signals.append, troubles=troubles, full_errors=full
    )
    _note_call(context, "c1", Flow("order", nothing), "reserve", 1, KeyError(SECRET))
    assert (SECRET in repr(signals[0])) == full


def test_a_run_is_told_with_its_flow() -> None:
    """Its name and version stand in every line about it, and in what is stored of the conversation."""

    async def broken(chat: Chat) -> None:
        await chat.ask("Your name?")
        raise LookupError(SECRET)

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("Your name?")
        state = await played.stage.state(played.visitor.conversation_id)
        assert state is not None
        assert state.run is not None
        assert (state.run.flow, state.run.version) == ("opening", 1)
        assert (await played.stage.store.counts(played.stage.clock.now())).flows == {("opening", 1): 1}
        await played.visitor.says("Ada")
        await played.given_up()
        for signal in of(played.signals, "flow_failed", "flow_over", "turn_over"):
            assert (signal.fields["flow"], signal.fields["version"]) == ("opening", 1), signal
        (over,) = of(played.signals, "flow_over")
        assert (over.fields["outcome"], over.level) == ("failed", Level.INFO)
        assert cast("float", over.fields["seconds"]) >= 0
        assert (await played.stage.store.counts(played.stage.clock.now())).flows == {}

    play(script, broken)


def test_a_name_that_a_router_gave_is_told_nowhere() -> None:
    """It may be what the user said: only names of registered flows are told."""
    router = Router(lambda began, _: began.text)

    async def whole(loop: Any) -> None:
        policy = Policy(me=BOT, app_key=True)
        async with Stage(loop, catalogue=Catalogue(router=router), policy=policy) as stage:
            await stage.start_process()
            played = Play(stage)
            await played.visitor.says(SECRET)
            await played.given_up()
            (over,) = of(played.signals, "flow_over")
            assert (over.fields.get("flow"), over.fields["outcome"]) == (None, "failed")
            assert SECRET not in repr(played.signals)
            found = await stage.store.timeline(played.visitor.conversation_id)
            assert found is not None
            assert SECRET not in repr((found.moments, found.journal, found.listed))

    run_virtual(whole)
