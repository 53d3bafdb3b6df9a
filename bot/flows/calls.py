"""`chat.call`, `chat.call_with` and `chat.gather`: code that must not be repeated."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from types import CoroutineType
from typing import Any, Generic, Literal, ParamSpec, TypeVar, cast, overload

from bot.control.policy import backoff
from bot.flows.authoring import CallFailed, FlowMisuse
from bot.flows.functions import name_of, run
from bot.flows.limits import (
    Errors,
    check_attempts,
    check_errors,
    check_time,
    no_more_than_a_week,
)
from bot.flows.results import ResultCodec
from bot.flows.steps import checked_key
from bot.flows.turn import Called, Turn

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

GATHER_LIMIT = 100  # calls at once
BACKOFF_CAP = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class CallOptions:
    """Options of a call. Raises `FlowMisuse` if one is invalid.

    Attributes:
        attempts: maximum number of attempts.
        timeout: per attempt; `TimeoutError` when it expires.
        backoff: pause before the second attempt; doubles each time, up to five minutes.
        retry_on: errors to retry; any other error fails the call at once.
        give_up_on: errors that fail the call at once, whatever `retry_on` says.
        key: identifies this step instead of the function's name.
    """

    attempts: int = 1
    timeout: timedelta | None = None
    backoff: timedelta = timedelta(seconds=1)
    retry_on: Errors = Exception
    give_up_on: Errors = ()
    key: str | None = None

    def __post_init__(self) -> None:
        check_attempts(self.attempts)
        if self.timeout is not None:
            no_more_than_a_week("the timeout of a call", self.timeout)
        check_time("the backoff of a call", self.backoff, BACKOFF_CAP, least=timedelta(0))
        check_errors("retry_on", self.retry_on)
        check_errors("give_up_on", self.give_up_on)
        checked_key(self.key)

    def tries_again(self, error: Exception, attempt: int) -> bool:
        """Return whether to retry after this many attempts; `error` is from the last one."""
        is_final = isinstance(error, self.give_up_on) or not isinstance(error, self.retry_on)
        return attempt < self.attempts and not is_final

    def pause(self, attempt: int, salt: str) -> float:
        """Return the pause after this many attempts, in seconds."""
        return backoff(attempt, salt, self.backoff, BACKOFF_CAP).total_seconds() if self.backoff else 0.0


_NO_OPTIONS = CallOptions()
_OPTIONS = frozenset(option.name for option in fields(CallOptions))


class Call(Coroutine[Any, Any, T], Generic[T]):
    """A call about to be made: await it, or pass it to `chat.gather`."""

    def __init__(
        self,
        turn: Turn,
        options: CallOptions,
        function: Callable[..., Any],
        args: Any,
        kwargs: Any,
    ) -> None:
        self.name = name_of(function)
        if not callable(function):
            raise FlowMisuse(f"{self.name} can't be called: pass a function, then its arguments")
        self._turn = turn
        self._options = options
        self._called_with = (function, args, kwargs)
        self._result = ResultCodec(function)
        alone = cast("CoroutineType[Any, Any, T]", self._await_alone())
        alone.__qualname__ = "Chat.call"  # shown in Python's warning if it is never awaited
        self._alone = alone

    @property
    def is_new(self) -> bool:
        """Whether it has not been awaited yet."""
        return inspect.getcoroutinestate(self._alone) == inspect.CORO_CREATED

    @property
    def called(self) -> Called:
        """The call in the form that a turn runs."""
        return Called(self.name, self._options.key or "", self._tried, self._result.read)

    async def _tried(self, failures: list[str]) -> Any:
        """Run the function, with retries; return its result as JSON.

        Raises `CallFailed` or `FlowMisuse`.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                result = await self._attempt()
            except Exception as error:
                failures.append(type(error).__name__)
                self._turn.context.called(self.name, attempt, error)
                if not self._options.tries_again(error, attempt):
                    raise CallFailed(
                        self.name,
                        f"{type(error).__name__}: {error}",
                        attempt,
                    ) from error
            else:
                self._turn.context.called(self.name, attempt, None)
                break
            await asyncio.sleep(self._options.pause(attempt, self._turn.context.conversation_id))
        try:
            return self._result.stored(result)
        except FlowMisuse as error:
            raise self._turn.misused(str(error)) from None

    async def _attempt(self) -> Any:
        function, args, kwargs = self._called_with
        timeout = self._options.timeout
        async with asyncio.timeout(timeout.total_seconds() if timeout else None):
            return await run(function, args, kwargs)

    async def _await_alone(self) -> T:
        made: T = await self._turn.call(self.called)
        return made

    # A call is a coroutine, so it works with `asyncio.create_task` and the like, and
    # Python warns if it is never awaited.

    def __await__(self) -> Generator[Any, None, T]:
        return self._alone.__await__()

    def send(self, value: Any) -> Any:
        """Behave as a coroutine does."""
        return self._alone.send(value)

    def throw(self, *error: Any) -> Any:
        """Behave as a coroutine does."""
        return self._alone.throw(*error)

    def close(self) -> None:
        """Behave as a coroutine does."""
        self._alone.close()


class CallWith:
    """Calls functions with fixed options and typed arguments; see `chat.call_with`."""

    def __init__(self, turn: Turn, options: CallOptions) -> None:
        self._turn, self._options = turn, options

    @overload
    def __call__(
        self,
        function: Callable[P, Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Call[T]: ...
    @overload
    def __call__(
        self,
        function: Callable[P, T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Call[T]: ...
    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Call[Any]:
        """Call a function, as `chat.call` does."""
        return Call(self._turn, self._options, function, args, kwargs)


class Calls:
    """The methods of `Chat` that call functions."""

    _turn: Turn

    @overload
    def call(
        self,
        function: Callable[P, Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Call[T]: ...
    @overload
    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Call[T]: ...
    @overload
    def call(
        self,
        function: Callable[..., Any],
        /,
        *args: Any,
        attempts: int,
        **kwargs: Any,
    ) -> Call[Any]: ...
    @overload
    def call(
        self,
        function: Callable[..., Any],
        /,
        *args: Any,
        timeout: timedelta | None,
        **kwargs: Any,
    ) -> Call[Any]: ...
    @overload
    def call(
        self,
        function: Callable[..., Any],
        /,
        *args: Any,
        backoff: timedelta,
        **kwargs: Any,
    ) -> Call[Any]: ...
    @overload
    def call(
        self,
        function: Callable[..., Any],
        /,
        *args: Any,
        retry_on: Errors,
        **kwargs: Any,
    ) -> Call[Any]: ...
    @overload
    def call(
        self,
        function: Callable[..., Any],
        /,
        *args: Any,
        give_up_on: Errors,
        **kwargs: Any,
    ) -> Call[Any]: ...
    @overload
    def call(
        self,
        function: Callable[..., Any],
        /,
        *args: Any,
        key: str | None,
        **kwargs: Any,
    ) -> Call[Any]: ...
    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Call[Any]:
        """Run code that must not be repeated: it runs at least once; its result is kept.

        Without options, the function's arguments are type-checked. With options, use
        `chat.call_with(attempts=3)(function, …)` to keep them type-checked.

        Args:
            function: a coroutine function, or a plain one, which runs in a thread.
            attempts: maximum number of attempts, with growing pauses.
            timeout: per attempt; `TimeoutError` when it expires.
            backoff: the first pause; doubles each time, up to five minutes.
            retry_on: errors to retry; any other error fails the call at once.
            give_up_on: errors that fail the call at once, whatever `retry_on` says.
            key: identifies this step instead of the function's name.

        Returns:
            The type in the function's annotation: a dataclass, a pydantic model, an
            enum, a datetime, …. Without an annotation, the JSON form, in which a
            dataclass is a dict.

        Raises:
            CallFailed: the last attempt raised or timed out; holds the error's type and
                message, and the number of attempts.
            FlowMisuse: not a function, an invalid option, or a result that can't be
                stored and read back unchanged. The last of these ends the flow.
        """
        given = _OPTIONS & kwargs.keys() if kwargs else ()
        options = CallOptions(**{name: kwargs.pop(name) for name in given}) if given else _NO_OPTIONS
        return Call(self._turn, options, function, args, kwargs)

    def call_with(
        self,
        *,
        attempts: int = 1,
        timeout: timedelta | None = None,
        backoff: timedelta = timedelta(seconds=1),
        retry_on: Errors = Exception,
        give_up_on: Errors = (),
        key: str | None = None,
    ) -> CallWith:
        """Set a call's options first: `await chat.call_with(attempts=3)(reserve, "tea")`.

        They are the options of `call`.
        """
        return CallWith(
            self._turn,
            CallOptions(attempts, timeout, backoff, retry_on, give_up_on, key),
        )

    @overload
    async def gather(self, a: Call[A], b: Call[B], /, *, key: str | None = None) -> tuple[A, B]: ...
    @overload
    async def gather(
        self,
        a: Call[A],
        b: Call[B],
        c: Call[C],
        /,
        *,
        key: str | None = None,
    ) -> tuple[A, B, C]: ...
    @overload
    async def gather(
        self,
        a: Call[A],
        b: Call[B],
        c: Call[C],
        d: Call[D],
        /,
        *,
        key: str | None = None,
    ) -> tuple[A, B, C, D]: ...
    @overload
    async def gather(self, *calls: Call[T], key: str | None = None) -> tuple[T, ...]: ...
    @overload
    async def gather(
        self,
        a: Call[A],
        b: Call[B],
        /,
        *,
        return_exceptions: Literal[True],
        key: str | None = None,
    ) -> tuple[A | CallFailed, B | CallFailed]: ...
    @overload
    async def gather(
        self,
        a: Call[A],
        b: Call[B],
        c: Call[C],
        /,
        *,
        return_exceptions: Literal[True],
        key: str | None = None,
    ) -> tuple[A | CallFailed, B | CallFailed, C | CallFailed]: ...
    @overload
    async def gather(
        self,
        *calls: Call[T],
        return_exceptions: Literal[True],
        key: str | None = None,
    ) -> tuple[T | CallFailed, ...]: ...
    async def gather(
        self,
        *calls: Call[Any],
        return_exceptions: bool = False,
        key: str | None = None,
    ) -> tuple[Any, ...]:
        """Make several calls at once.

        Example: `price, stock = await chat.gather(chat.call(price_of, "tea"), chat.call(…))`.
        This is a single step. Each result is stored as soon as it is available, under the
        call's position in the list. A call with a stored result never runs again, even
        after a crash.

        Args:
            calls: from `chat.call` or `chat.call_with`, not awaited; at most a hundred.
            return_exceptions: return the `CallFailed` of a failed call instead of raising.
            key: identifies this step, instead of its calls' keys and functions. Each
                result still belongs to its call, by key or function.

        Returns:
            The results, in the order of the calls.

        Raises:
            CallFailed: from the first failed call in the list, once all have finished.
            FlowMisuse: an argument is not a call, or there are too many.
        """
        problem = _problem(calls)
        for call in calls:
            if isinstance(call, Coroutine):
                call.close()  # gather runs it; it is never awaited on its own
        if problem:
            raise FlowMisuse(problem)
        made = await self._turn.gather([call.called for call in calls], checked_key(key))
        failed = next((one for one in made if isinstance(one, CallFailed)), None)
        if failed and not return_exceptions:
            raise failed
        return tuple(made)


def _problem(calls: Sequence[object]) -> str:
    """Return why these calls can't be gathered, or an empty string."""
    if not all(isinstance(call, Call) for call in calls):
        return "chat.gather takes calls: chat.gather(chat.call(…), chat.call(…)), without await"
    if len(calls) > GATHER_LIMIT:
        return f"{len(calls)} calls at once are too many: at most {GATHER_LIMIT}"
    if len({id(call) for call in calls if isinstance(call, Call) and call.is_new}) < len(calls):
        return "chat.gather takes each call once, and only calls that were not awaited"
    return ""
