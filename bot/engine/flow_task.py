"""Runs a turn of a flow as a task, prepared from the journal and cancelled without waiting."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

from bot.control.facts import FlowFailed, FlowMismatched, FlowReleased, FlowReturned
from bot.control.state import Conversation, OpeningKind, Run
from bot.engine import flow_runner as flow_runner_module
from bot.engine.context import Context
from bot.engine.flow_runner import played
from bot.engine.identity import conversation_in, user_in
from bot.flows import authoring as authoring_module
from bot.flows import calls as calls_module
from bot.flows import chat as chat_module
from bot.flows import content as content_module
from bot.flows import functions as functions_module
from bot.flows import json_form as json_form_module
from bot.flows import limits as limits_module
from bot.flows import results as results_module
from bot.flows import steps as steps_module
from bot.flows import turn as turn_module
from bot.flows.answer import Answer
from bot.flows.authoring import Began, CallFailed, Flow, FlowError
from bot.flows.catalogue import Catalogue, UnknownFlowError
from bot.flows.changes import changes_in
from bot.flows.error_report import Raised
from bot.flows.identity import conversation_of, user_of
from bot.flows.turn import BEGAN, TOLD, Turn, TurnContext
from bot.log_sampling import count_to_log
from bot.signals import Level, Signal
from bot.store.interface import JournalEntry
from bot.sunshine import SunshineError
from bot.troubles import What
from webhooks.events import (
    ConversationMessage,
    ConversationPostback,
    ConversationReferral,
    Event,
)

_BEGAN_FIELDS = frozenset(field.name for field in fields(Began)) - {"user", "conversation"}
_BACKEND_TODO = "Look at the function and at the system that it calls; flows go on without its result."

_OURS_MODULES = (
    authoring_module,
    calls_module,
    chat_module,
    content_module,
    flow_runner_module,
    functions_module,
    json_form_module,
    limits_module,
    results_module,
    steps_module,
    turn_module,
)
_OURS = (__file__, *(module.__file__ for module in _OURS_MODULES))

TIME_TO_CLEAN_UP = 10.0  # seconds for `finally` after a cancellation
INSISTENCE = 100  # maximum cancellations of a flow that catches them

NoTurn = FlowReturned | FlowReleased | FlowFailed | FlowMismatched
"""Outcome of a run without a flow to run."""

# Cancelled flows that have not stopped; kept so that they end quietly.
_abandoned: set[asyncio.Task[None]] = set()


class FlowTask:
    """One turn of one run, as a task.

    Attributes:
        run: the run it belongs to.
        turn: what the flow has done in this turn so far.
    """

    def __init__(self, run: Run, turn: Turn) -> None:
        self.run = run
        self.turn = turn
        self._task = asyncio.get_running_loop().create_task(
            perform(turn),
            name=f"flow {turn.flow.name}",
        )

    def cut_off(self) -> None:
        """Cancel the flow's code. From now on nothing that it does counts."""
        self.turn.cut_off()
        if not self._task.done():
            _abandoned.add(self._task)
            self._task.add_done_callback(_abandoned.discard)
            _insist(self._task)


def _insist(task: asyncio.Task[None], times: int = 1) -> None:
    """Cancel a flow repeatedly until it stops.

    Each time it may use `finally` to clean up.
    """
    if not task.done():
        task.cancel()
        if times < INSISTENCE:
            again = task.get_loop().call_later(TIME_TO_CLEAN_UP, _insist, task, times + 1)
            task.add_done_callback(lambda _: again.cancel())


async def perform(turn: Turn) -> None:
    """Run a turn until it ends or takes its last valid step; `turn.outcome` is the result."""
    run_id = turn.context.run_id
    try:
        await played(turn, _words)
    except asyncio.CancelledError:
        turn.over(FlowFailed(run_id, "cancelled"))
    except BaseException as error:  # noqa: BLE001 - ends this flow only
        if not turn.failure and (turn.outcome is None or isinstance(turn.outcome, FlowFailed)):
            turn.context.raised(error)
        turn.over(FlowFailed(run_id, _words(error)))
    else:
        turn.over(FlowReturned(run_id))


def _words(error: BaseException) -> str:
    """Describe an exception by type and place in the flow's code.

    Its message may quote the user, so it is included only if it is the bot's own.
    """
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    place = next((f" at {file}:{line}" for file, line in reversed(frames) if file not in _OURS), "")
    says = ""
    if isinstance(error, CallFailed):
        says = f" ({error.function}: {error.error.partition(':')[0]})" if frames[-1][0] in _OURS else ""
    elif isinstance(error, FlowError) and frames and frames[-1][0] in _OURS:
        says = f": {error}"
    return f"{type(error).__name__}{place}{says}"


def prepare(
    context: Context,
    state: Conversation,
    run: Run,
    journal: list[JournalEntry],
    events: Mapping[str, Event],
    notify: Callable[[], None],
    ended: Callable[[], bool],
) -> tuple[FlowTask | None, list[JournalEntry], NoTurn | None]:
    """Begin a turn.

    Returns:
        The task; the journal entries that begin the run, if this is its first turn; and
        instead of a task the run's outcome, if no flow can run.
    """
    first: list[JournalEntry] = []
    signals = [entry for entry in journal if entry.kind == TOLD]
    if signals:
        journal = [entry for entry in journal if entry.kind != TOLD]
    if not journal:
        beginning = _beginning(run, events)
        try:
            flow = _flow_for(context.catalogue, run, _began_with(beginning, state.id))
        except BaseException as error:  # noqa: BLE001 - the team's code; ends this run only
            return None, [], FlowFailed(run.id, _no_route(error))
        if flow is None:  # without user input there is nothing to pass on
            nobody = run.opening.kind is OpeningKind.CREATED
            return None, [], FlowReleased(run.id) if nobody else FlowReturned(run.id)
        first = [began_entry(run, flow, beginning, context)]
    entry = (journal or first)[0]
    known = flow_of(context.catalogue, entry)
    if known is None:
        return None, [], FlowMismatched(run.id, gone(context.catalogue, entry))
    turn = Turn(
        known,
        TurnContext(
            conversation_id=state.id,
            run_id=run.id,
            began=began_by(entry, state.id),
            journal=[*journal, *first, *signals],
            answers={given.event_id: _answer(events.get(given.event_id)) for given in state.inputs},
            clock=context.clock,
            idle=context.policy.idle,
            history=_History(context, state.id),
            ended=ended,
            functions=context.catalogue.functions,
            called=partial(_note_call, context, state.id, known),
            observe=context.observe,
            raised=lambda error: context.raised(Raised(known.name, state.id, run.id, error, known.version)),
            handlers=context.catalogue.handlers,
            resources=context.resources,
            find=context.catalogue.find,
            flows=context.catalogue.flows,
        ),
        notify,
    )
    return FlowTask(run, turn), first, None


def _flow_for(catalogue: Catalogue, run: Run, began: Began) -> Flow | None:
    """Return the flow that a run begins with. Raises like `Catalogue.route`."""
    wanted = run.opening.flow
    return catalogue.named(wanted) if wanted else catalogue.route(run.purpose, began)


def flow_of(catalogue: Catalogue, entry: JournalEntry) -> Flow | None:
    """Return the flow and version in a run's first journal entry; None if not registered any more.

    Entries of earlier versions of the bot don't name a version; it is 1.
    """
    return catalogue.find(entry.key, entry.data.get("version", 1))


def gone(catalogue: Catalogue, entry: JournalEntry) -> str:
    """Describe a run whose flow, or version of it, is not registered any more."""
    version = f" version {entry.data.get('version', 1)}" if entry.key in catalogue.flows else ""
    return f"there is no flow {entry.key!r}{version} any more"


def began_by(entry: JournalEntry, conversation_id: str) -> Began:
    """Return a run's opening, user and conversation from its first journal entry."""
    return _began_with(entry.data, conversation_id)


def began_entry(
    run: Run,
    flow: Flow,
    beginning: Mapping[str, Any],
    context: Context,
) -> JournalEntry:
    """Return the first journal entry of a run.

    `beginning` has the opening, the user and the conversation.
    """
    changes = sorted(changes_in(flow, context.catalogue.handlers))
    data = {**beginning, "version": flow.version, "changes": changes}
    return JournalEntry(run.id, 0, BEGAN, flow.name, data, at=context.clock.now())


def begun_anew(
    context: Context,
    conversation_id: str,
    run: Run,
    old: JournalEntry,
) -> JournalEntry | None:
    """Return the first journal entry of a restarted run.

    It uses the newest version of its flow, or whichever flow serves it now.

    Args:
        context: dependencies of the engine.
        conversation_id: the platform's conversation id.
        run: the new run.
        old: the first entry of the previous run.

    Returns:
        None if no flow serves it.
    """
    flow = context.catalogue.flows.get(old.key)
    if flow is None:
        try:
            flow = context.catalogue.route(run.purpose, began_by(old, conversation_id))
        except BaseException:  # noqa: BLE001 - the team's code
            return None
    return None if flow is None else began_entry(run, flow, old.data, context)


def _note_call(
    context: Context, conversation_id: str, flow: Flow, function: str, attempt: int, error: Exception | None
) -> None:
    """Record an attempt of `chat.call`. API errors are recorded where they occur."""
    if error is None:
        context.troubles.works(What.BACKEND, function)
        return
    kind = type(error).__name__
    if not isinstance(error, SunshineError):
        problem = f"{function} raised {kind}"  # its text may quote the user
        context.troubles.failed(What.BACKEND, problem, _BACKEND_TODO, where=function)
    fields: dict[str, object] = {"flow": flow.name, "version": flow.version, "function": function, "error": kind}
    fields["attempt"] = attempt
    if context.full_errors:
        fields["message"] = str(error)
    times = count_to_log(context.told, (function, kind))
    level = Level.WARNING if times else Level.DEBUG
    context.observe(Signal("call_failed", level, conversation_id, {**fields, **({"times": times} if times else {})}))


def _no_route(error: BaseException) -> str:
    """Describe why the router found no flow."""
    return str(error) if isinstance(error, UnknownFlowError) else f"the router: {_words(error)}"


class _History:
    """Reads the newest messages. A class, so that the journal shows a plain name."""

    __qualname__ = "history"

    def __init__(self, context: Context, conversation_id: str) -> None:
        self._context, self._id = context, conversation_id

    async def __call__(self) -> list[dict[str, Any]]:
        page = await self._context.clients.any.list_messages(self._id)
        return [dict(message) for message in page.messages]


def _began(stored: Mapping[str, Any], **with_whom: Any) -> Began:
    """Build a `Began` from the journal.

    Another version of the bot may have stored other fields; unknown ones are ignored.
    """
    return Began(
        **{name: value for name, value in stored.items() if name in _BEGAN_FIELDS},
        **with_whom,
    )


def _began_with(stored: Mapping[str, Any], conversation_id: str) -> Began:
    """Build a `Began` with its user and conversation."""
    conversation = conversation_of({**stored.get("conversation", {}), "id": conversation_id})
    return _began(stored["began"], user=user_of(stored["user"]), conversation=conversation)


def _beginning(run: Run, events: Mapping[str, Event]) -> dict[str, Any]:
    """Return what the journal stores of an opening, the user and the conversation."""
    opening = run.opening
    event = events.get(opening.event_id or "")
    said, referral = _answer(event), _referral(event)
    code, about = referral.get("code"), opening.about
    return {
        "began": {
            "kind": opening.kind.value,
            "text": said.text,
            "payload": said.payload,
            "reason": opening.reason,
            "referral": code if isinstance(code, str) else None,
            "message": dict(said.message),
            "referral_details": referral,
            "data": opening.data,
        },
        "user": about.get("user") or user_in(event),
        "conversation": about.get("conversation") or conversation_in(event or next(reversed([*events.values()]), None)),
    }


def _answer(event: Event | None) -> Answer:
    """Return a message or postback as an answer; empty for other events."""
    match event:
        case ConversationMessage(payload=payload):
            message = payload.message
            raw = message.model_dump(mode="json", by_alias=True, exclude_none=True)
            words = message.content.text or (message.content.model_extra or {}).get("textFallback")
            return Answer(words if isinstance(words, str) else "", message.content.payload, raw)
        case ConversationPostback(payload=payload):
            raw = payload.postback.model_dump(mode="json", by_alias=True, exclude_none=True)
            return Answer("", payload.postback.payload, raw)
        case _:
            return Answer("")


def _referral(event: Event | None) -> dict[str, Any]:
    """Return a referral's details; empty for other events."""
    match event:
        case ConversationReferral(payload=payload):
            return dict(payload.referral)
        case _:
            return {}
