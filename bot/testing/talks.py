"""`ChatWith`: the factory behind the fixture `chat_with`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from types import ModuleType
from typing import Any, Self

from bot.flows.authoring import Flow, FlowFunction, Router
from bot.flows.catalogue import Catalogue
from bot.flows.functions import defined_in
from bot.flows.handlers import Handler, handler_problems, handlers_in
from bot.flows.identity import User
from bot.sandbox.switches import Switches
from bot.testing.talk import After, Mode, Play, Talk, Where
from bot.testing.thread import LoopThread


class ChatWith:
    """The value of the fixture `chat_with`: starts the talks of a test, and closes them."""

    def __init__(self) -> None:
        self._thread = LoopThread()
        self._talks: list[Talk] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for talk in self._talks:
            talk.close()
        self._thread.stop()

    def __call__(
        self,
        opening: Flow | Router | FlowFunction | None = None,
        *,
        closing: Flow | FlowFunction | None = None,
        flows: Sequence[Flow] = (),
        mode: Mode = "release",
        after: After = "handback",
        may_fail: bool = False,
        restart_every_turn: bool = False,
        change_worker_every_turn: bool = False,
        deaths: Where | None = None,
        user: User | None = None,
        conversation_metadata: Mapping[str, Any] | None = None,
        resources: Any = None,
        handlers: Sequence[Handler] | None = None,
        idle: timedelta = timedelta(minutes=15),
        **switches: Any,
    ) -> Talk:
        """Start a talk.

        Args:
            opening: the flow that serves the user, or the team's router; it begins with the
                user's first message.
            closing: the flow that runs after a handback. Without an opening flow, the talk
                starts at that point, after the user, an agent and the ticket.
            flows: more flows that the router may return.
            mode: the account's Conversation control setting.
            after: where a talk with only a closing flow starts: "handback" (an agent's
                ticket was closed) or "end" (the user has ended the conversation, and can't
                write any more; mode "pass" only).
            may_fail: don't fail the test if a flow fails; see `Talk.failures`.
            restart_every_turn: kill the bot's process after every turn and start another.
            change_worker_every_turn: run two workers that take turns.
            deaths: "everywhere": kill the bot's process before and after each save of the
                flow. Each step and each call is made twice, so calls must be idempotent.
                The platform repeats webhooks lost to a dying process after 15 seconds.
            user: the user, for `chat.user`.
            conversation_metadata: for `chat.conversation.metadata`.
            resources: `chat.resources`, instead of opening the `@lifespan`: a dict, or any
                object.
            handlers: the handlers (`@on_error`, …); default: those in the flows' modules.
            idle: FLOW_IDLE_TIMEOUT.
            switches: the platform's undocumented behaviour; see `bot.sandbox.switches`.

        Raises:
            ValueError: there is no flow, a handler is invalid, or options conflict.
            AssertionError: the `@lifespan` could not be entered.
        """
        if deaths and change_worker_every_turn:
            raise ValueError(
                "deaths and change_worker_every_turn conflict: deaths change the worker, too",
            )
        talk = Talk(
            self._thread,
            _catalogue(opening, closing, flows, handlers),
            switches=Switches(**{"mode": mode, **switches}),
            play=Play(
                may_fail,
                restart_every_turn,
                change_worker_every_turn,
                deaths,
                user,
                conversation_metadata or {},
                resources,
                idle,
            ),
        )
        self._talks.append(talk)
        if opening is None:
            talk.bring_to_closing(mode, after)
        return talk


def _catalogue(
    opening: Flow | Router | FlowFunction | None,
    closing: Flow | FlowFunction | None,
    flows: Sequence[Flow],
    handlers: Sequence[Handler] | None,
) -> Catalogue:
    if opening is None and closing is None:
        raise ValueError("chat_with needs a flow")
    router = opening if isinstance(opening, Router) else None
    first = None if opening is None or isinstance(opening, Router) else _flow(opening)
    last = None if closing is None else _flow(closing)
    if first and last and first.name == last.name and first is not last:
        last = replace(last, name=f"{last.name} (closing)")
    known = {flow.name: flow for flow in (*flows, first, last) if flow}
    made = Catalogue(known, first.name if first else "", last.name if last else "", router)
    found = handlers_in(_modules_of(made)) if handlers is None else handlers_in([], handlers)
    if problems := list(handler_problems(found)):
        raise ValueError("; ".join(problems))
    return replace(made, handlers=found)


def _modules_of(catalogue: Catalogue) -> list[ModuleType]:
    """The modules that define the flows and the router."""
    functions: list[Callable[..., Any]] = [flow.function for flow in catalogue.flows.values()]
    functions += [catalogue.router.function] if catalogue.router else []
    names = dict.fromkeys(filter(None, map(defined_in, functions)))
    return [sys.modules[name] for name in names if name in sys.modules]


def _flow(given: Flow | FlowFunction) -> Flow:
    if isinstance(given, Flow):
        return given
    if not callable(given):
        raise TypeError(f"chat_with takes a flow, not {given!r}")
    function: Callable[..., Any] = given
    return Flow(getattr(function, "__name__", "flow"), given)
