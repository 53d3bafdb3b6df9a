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
    """Opens and closes the resources shared by the flows of a process."""

    function: LifespanFunction


@dataclass(frozen=True, slots=True)
class OnError:
    """Runs after a flow has raised."""

    function: ErrorFunction


@dataclass(frozen=True, slots=True)
class Anywhere:
    """Runs when the user writes one of its words, at any question."""

    words: tuple[str, ...]
    function: AnywhereFunction

    @property
    def name(self) -> str:
        """The handler's name in the journal."""
        return str(getattr(self.function, "__name__", type(self.function).__name__))


@dataclass(frozen=True, slots=True)
class EveryTurn:
    """Wraps each turn of each flow."""

    function: TurnFunction


Handler = Lifespan | OnError | Anywhere | EveryTurn


def lifespan(function: LifespanFunction) -> Lifespan:
    """Use an async generator to open and close shared resources, once per process.

    Resources are, for example, pools, sessions and clients. The function takes no
    arguments and yields once: a dict, whose keys become attributes of `chat.resources`,
    or any object, which then is `chat.resources`. It is entered before the first flow
    runs. The bot does not start if it raises.
    """
    return Lifespan(function)


def on_error(function: ErrorFunction) -> OnError:
    """Use a coroutine function after a flow has raised: apologize, hand over or release.

    It takes the `Chat` and the exception, and may do anything a flow can. If it returns,
    control is given up as after any failed flow. The flow counts as failed in any case.
    It is not called for a missing answer (`NoAnswer`), nor if the run can't continue:
    a journal mismatch, or a limit of the run.
    """
    return OnError(function)


def anywhere(*words: str) -> Callable[[AnywhereFunction], Anywhere]:
    """Use a coroutine function for certain words at any question, such as "agent".

    It takes the `Chat` and the `Answer` with the word, and may do anything a flow can.
    If it returns, the question is asked again. If it raises, the exception comes out of
    the question. The question's own choices take precedence.

    Args:
        words: each must be the whole answer, in any case, with or without a full stop.

    Raises:
        FlowMisuse: there are no words, or one is empty.
    """
    if not words or callable(words[0]) or not all(word.strip() for word in words):
        raise FlowMisuse('pass the words in parentheses: @anywhere("agent", "human")')

    def made(function: AnywhereFunction) -> Anywhere:
        return Anywhere(words, function)

    return made


def every_turn(function: TurnFunction) -> EveryTurn:
    """Use an async generator around each turn of each flow.

    It may measure time, or set a tenant or a language. It takes the `Chat` and yields
    once. The code before the `yield` runs when a turn begins, so again after each answer
    and each restart. Code that must run when the turn ends belongs in a `finally`. The
    flow sees the context variables that it sets.
    """
    return EveryTurn(function)


@dataclass(frozen=True, slots=True)
class Handlers:
    """The shared handlers of a catalogue."""

    lifespan: Lifespan | None = None
    on_error: OnError | None = None
    anywhere: tuple[Anywhere, ...] = ()
    every_turn: tuple[EveryTurn, ...] = field(default=())

    @property
    def functions(self) -> list[Callable[..., Any]]:
        """The functions that run within a flow's turns."""
        on_error = [self.on_error.function] if self.on_error else []
        return [
            *on_error,
            *(one.function for one in self.anywhere),
            *(one.function for one in self.every_turn),
        ]

    def wanted(self, answer: Answer) -> str | None:
        """Return the name of the handler that an answer triggers, if any."""
        if not self.anywhere or answer.payload is not None or answer.choice is not None:
            return None
        words = [Choice(word, handler.name) for handler in self.anywhere for word in handler.words]
        found = typed_choice(words, [], answer.text)
        return found.payload if found else None

    def named(self, name: str) -> Anywhere | None:
        """The handler with this name."""
        return next((handler for handler in self.anywhere if handler.name == name), None)


class TwoHandlers(ValueError):
    """Two handlers conflict; the text says which and where."""


def handlers_in(modules: Iterable[ModuleType], more: Sequence[Handler] = ()) -> Handlers:
    """Return the handlers of the modules. Raises `TwoHandlers`."""
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
    """Yield a line per handler that can't work, with the right signature."""
    if handlers.lifespan:
        yield from _problems(
            "@lifespan",
            handlers.lifespan.function,
            "async def {name}()",
            0,
            yields=True,
        )
    if handlers.on_error:
        yield from _problems(
            "@on_error",
            handlers.on_error.function,
            "async def {name}(chat, error)",
            2,
        )
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
        yield f"FLOWS: {decorator} above {name}{place} needs `{wanted.format(name=name)}`{inside}"
