"""Handlers shared by all flows: `@lifespan`, `@on_error`, `@anywhere`, `@every_turn`."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bot.flows.answer import Answer
from bot.flows.authoring import FlowMisuse
from bot.flows.content import Choice
from bot.flows.labels import typed_choice

if TYPE_CHECKING:
    from bot.flows.chat import Chat

LifespanFunction = Callable[[], AsyncIterator[Any]]
ErrorFunction = Callable[["Chat", Exception], Awaitable[None]]
AnywhereFunction = Callable[["Chat", Answer], Awaitable[None]]
TurnFunction = Callable[["Chat"], AsyncIterator[None]]


@dataclass(frozen=True, slots=True)
class Lifespan:
    """Opens and closes what the flows of a process share."""

    function: LifespanFunction


@dataclass(frozen=True, slots=True)
class OnError:
    """Takes over when a flow has raised."""

    function: ErrorFunction


@dataclass(frozen=True, slots=True)
class Anywhere:
    """Takes over when the user writes one of its words, whatever the question was."""

    words: tuple[str, ...]
    function: AnywhereFunction

    @property
    def name(self) -> str:
        """The name by which the journal knows it."""
        return str(getattr(self.function, "__name__", type(self.function).__name__))


@dataclass(frozen=True, slots=True)
class EveryTurn:
    """Goes around each turn of each flow."""

    function: TurnFunction


Handler = Lifespan | OnError | Anywhere | EveryTurn


def lifespan(function: LifespanFunction) -> Lifespan:
    """Make an async generator open what flows share, once per process, and close it: pools, sessions, clients.

    It takes nothing and yields once: a dict, whose names become attributes of `chat.resources`, or any object, which
    is `chat.resources` then. It is entered before the first flow runs; the bot does not start if it raises.
    """
    return Lifespan(function)


def on_error(function: ErrorFunction) -> OnError:
    """Make a coroutine function take over when a flow raises an exception: to say sorry, to hand over or to release.

    It gets the `Chat` and the exception, and may do all that a flow can. If it returns, control is given up as after
    any failed flow. The flow counts as failed whatever it does. It is not called when the user does not answer
    (`NoAnswer`), nor where the run can't go on: a journal that does not fit, a limit of the run.
    """
    return OnError(function)


def anywhere(*words: str) -> Callable[[AnywhereFunction], Anywhere]:
    """Make a coroutine function answer to words at any question, such as "agent" or "cancel".

    It gets the `Chat` and the `Answer` with the word, and may do all that a flow can. If it returns, the question is
    asked again. What it raises comes out of the question. The question's own choices go first.

    Args:
        words: each is the whole answer, in any case, with or without a full stop.

    Raises:
        FlowMisuse: no words, or an empty one.
    """
    if not words or callable(words[0]) or not all(word.strip() for word in words):
        raise FlowMisuse('give the words in brackets: @anywhere("agent", "human")')

    def made(function: AnywhereFunction) -> Anywhere:
        return Anywhere(words, function)

    return made


def every_turn(function: TurnFunction) -> EveryTurn:
    """Make an async generator go around each turn of each flow: to take the time, to choose a tenant or a language.

    It gets the `Chat` and yields once. What comes before the `yield` runs when a turn begins, so once more after each
    answer and each restart; what must run when the turn is over stands in a `finally`. Context variables that it sets
    hold for the flow.
    """
    return EveryTurn(function)


@dataclass(frozen=True, slots=True)
class Handlers:
    """The handlers of a catalogue."""

    lifespan: Lifespan | None = None
    on_error: OnError | None = None
    anywhere: tuple[Anywhere, ...] = ()
    every_turn: tuple[EveryTurn, ...] = field(default=())

    @property
    def functions(self) -> list[Callable[..., Any]]:
        """The functions that run in a flow's turns."""
        on_error = [self.on_error.function] if self.on_error else []
        return [
            *on_error,
            *(one.function for one in self.anywhere),
            *(one.function for one in self.every_turn),
        ]

    def wanted(self, answer: Answer) -> str | None:
        """Return the name of the handler that an answer calls, if any."""
        if not self.anywhere or answer.payload is not None or answer.choice is not None:
            return None
        words = [Choice(word, handler.name) for handler in self.anywhere for word in handler.words]
        found = typed_choice(words, [], answer.text)
        return found.payload if found else None

    def named(self, name: str) -> Anywhere | None:
        """The handler of that name."""
        return next((handler for handler in self.anywhere if handler.name == name), None)


class TwoHandlers(ValueError):
    """Two handlers compete for the same job; the text says which and where."""


def handlers_in(modules: Iterable[ModuleType], more: Sequence[Handler] = ()) -> Handlers:
    """Return the handlers that modules hold. Raises `TwoHandlers`."""
    found: dict[int, tuple[Handler, str]] = {id(handler): (handler, "") for handler in more}
    for module in modules:
        for value in list(vars(module).values()):
            if isinstance(value, Lifespan | OnError | Anywhere | EveryTurn):
                found.setdefault(id(value), (value, module.__name__))
    return Handlers(
        _only(Lifespan, "@lifespan", found.values()),
        _only(OnError, "@on_error", found.values()),
        tuple(_without_doubles([one for one, _ in found.values() if isinstance(one, Anywhere)])),
        tuple(one for one, _ in found.values() if isinstance(one, EveryTurn)),
    )


def _only(kind: type[Any], shown: str, found: Iterable[tuple[Handler, str]]) -> Any:
    of_kind = [(one, module) for one, module in found if isinstance(one, kind)]
    if len(of_kind) > 1:
        places = " and ".join(sorted(repr(module) for _, module in of_kind if module))
        raise TwoHandlers(f"there is more than one {shown}, in {places}")
    return of_kind[0][0] if of_kind else None


def _without_doubles(handlers: Iterable[Anywhere]) -> Iterator[Anywhere]:
    names: set[str] = set()
    words: dict[str, str] = {}
    for handler in handlers:
        if handler.name in names:
            raise TwoHandlers(f"two functions with @anywhere are called {handler.name}")
        names.add(handler.name)
        for word in handler.words:
            if other := words.get(word.strip().casefold()):
                raise TwoHandlers(f"@anywhere({word!r}) is above both {other} and {handler.name}")
            words[word.strip().casefold()] = handler.name
        yield handler


def handler_problems(handlers: Handlers) -> Iterator[str]:
    """Yield one line per handler that can't work, with the signature to write instead."""
    if handlers.lifespan:
        yield from _problems("@lifespan", handlers.lifespan.function, "async def {name}()", 0, yields=True)
    if handlers.on_error:
        yield from _problems("@on_error", handlers.on_error.function, "async def {name}(chat, error)", 2)
    for handler in handlers.anywhere:
        yield from _problems("@anywhere", handler.function, "async def {name}(chat, answer)", 2)
    for turn in handlers.every_turn:
        yield from _problems("@every_turn", turn.function, "async def {name}(chat)", 1, yields=True)


def _problems(
    decorator: str,
    function: Callable[..., Any],
    wanted: str,
    takes: int,
    *,
    yields: bool = False,
) -> Iterator[str]:
    code = getattr(function, "__code__", None)
    place = f" ({Path(code.co_filename).name}:{code.co_firstlineno})" if code else ""
    name = getattr(function, "__name__", "f")
    is_right = inspect.isasyncgenfunction(function) if yields else inspect.iscoroutinefunction(function)
    try:
        inspect.signature(function).bind(*[object()] * takes)
    except TypeError:
        is_right = False
    if not is_right:
        inside = ", with one `yield`" if yields else ", without `yield`"
        yield f"FLOWS: {decorator} above {name}{place} wants `{wanted.format(name=name)}`{inside}"
