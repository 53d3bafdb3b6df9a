"""Deploys while users wait in flows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

from flow_samples import Play

from bot import Chat, Flow
from bot.control.policy import Policy
from bot.engine.journal_check import misfit
from bot.engine.orders import signal_order
from bot.flows.catalogue import Catalogue
from bot.flows.handlers import Handlers
from bot.replay.harness import Stage
from bot.replay.virtual_time import run_virtual
from bot.sandbox.switchboard import BOT
from bot.sandbox.switches import Switches
from bot.store.interface import JournalEntry

FlowFunction = Callable[[Chat], Awaitable[None]]
Said = str | tuple[str, Any]
"""What a user says, or a signal's name and data."""


@dataclass(frozen=True)
class Deployed:
    """What became of a user who waited during a deploy.

    Attributes:
        said: by the bot, after the deploy.
        foretold: what `flows check` said of the waiting run; empty: it fits.
        signals: names of what was told after the deploy.
        details: of the mismatch.
        holder: who is active in the end.
        outcomes: of the runs that were over after the deploy.
    """

    said: list[str]
    foretold: str
    signals: list[str]
    details: list[str]
    holder: str | None
    outcomes: list[str]


def deployed(
    old: FlowFunction | Catalogue,
    new: Catalogue,
    *,
    before: Sequence[Said] = (),
    after: Sequence[Said] = ("Ada",),
    mode: Literal["release", "pass"] = "release",
    restarts: bool = False,
    text: str = "",
    legacy: bool = False,
) -> Deployed:
    """Let a user answer some questions of a flow, deploy other flows, and let the user go on."""
    first = old if isinstance(old, Catalogue) else one(old)

    async def whole(loop: Any) -> Deployed:
        policy = replace(Policy(me=BOT, app_key=True), closes=False)
        async with Stage(loop, switches=Switches(mode=mode), catalogue=first, policy=policy) as stage:
            process = await stage.start_process()
            played = Play(stage)
            for words in ("hi", *before):
                await _say(played, words)
                await stage.wait(timedelta(seconds=5))
            process.kill()
            if legacy:
                _as_stored_by_today(stage)
            stage.catalogue, stage.restarts, stage.mismatch_text = new, restarts, text
            journal = await journal_of(stage, played.visitor.conversation_id)
            foretold = await misfit(new, played.visitor.conversation_id, journal, stage.clock)
            known, told = len(played.bots), len(played.signals)
            await stage.start_process()
            await stage.wait(timedelta(seconds=30))
            for words in after:
                if played.holder == BOT:
                    await _say(played, words)
                    await stage.wait(timedelta(seconds=5))
            await stage.wait(timedelta(seconds=30))
            signals = played.signals[told:]
            details = [
                str(one.fields["detail"]) for one in signals if one.event in ("flow_mismatched", "flow_restarted")
            ]
            outcomes = [str(one.fields["outcome"]) for one in signals if one.event == "flow_over"]
            names = [one.event for one in signals]
            return Deployed(played.bots[known:], foretold, names, details, played.holder, outcomes)

    return run_virtual(whole)


async def _say(played: Play, said: Said) -> None:
    if isinstance(said, str):
        await played.visitor.says(said)
        return
    name, data = said
    conversation_id, stage = played.visitor.conversation_id, played.stage
    await stage.store.order(signal_order(conversation_id, name, data, key=name, now=stage.clock.now()))
    stage.look(conversation_id)


async def journal_of(stage: Stage, conversation_id: str) -> list[JournalEntry]:
    """The stored journal of the run at work."""
    found = await stage.store.timeline(conversation_id)
    assert found is not None
    assert found.listed.state.run is not None
    return [entry for entry in found.journal if entry.run_id == found.listed.state.run.id]


def _as_stored_by_today(stage: Stage) -> None:
    """Make the stored journal and state what version 1.0 of the bot would have stored."""
    connection = stage.store._shared
    assert connection is not None
    connection.execute("UPDATE journal SET key = '' WHERE kind IN ('say', 'ask', 'sleep')")
    connection.execute("UPDATE journal SET data = 'null' WHERE kind = 'say'")
    connection.execute("UPDATE journal SET data = json_remove(data, '$.place', '$.says', '$.version', '$.changes')")
    connection.execute("UPDATE journal SET data = json_remove(data, '$.returns', '$.seconds') WHERE kind = 'call'")
    fields = ("$.run.flow", "$.run.version", "$.run.restarted")
    connection.execute("UPDATE conversations SET state = json_remove(state, ?, ?, ?)", fields)


def one(function: FlowFunction, name: str = "order", version: int = 1, handlers: Handlers | None = None) -> Catalogue:
    """A catalogue with one flow."""
    return Catalogue({name: Flow(name, function, version)}, name, handlers=handlers or Handlers())
