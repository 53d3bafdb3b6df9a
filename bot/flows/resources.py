"""`chat.resources`: opened by the team's `@lifespan` for all flows of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from bot.flows.handlers import Lifespan


class LifespanFailed(Exception):
    """A `@lifespan` raised before its `yield`, or did not yield; see its cause."""


class Resources:
    """The values of a dict yielded by a `@lifespan`, as attributes."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        vars(self).update(values)

    def __getattr__(self, name: str) -> Any:
        known = ", ".join(sorted(vars(self))) or "nothing"
        raise AttributeError(f"chat.resources has no {name!r}: the @lifespan yields {known}")


def as_resources(given: Any) -> Any:
    """Wrap a dict to offer its values as attributes; return other objects unchanged."""
    return Resources(given) if isinstance(given, Mapping) else given


@asynccontextmanager
async def opened(
    lifespan: Lifespan | None,
    failed: Callable[[Exception], None],
) -> AsyncIterator[Any]:
    """Enter a `@lifespan` and exit it at the end; yields None if there is none.

    Args:
        lifespan: the handler.
        failed: called with an exception raised at the exit, which is then ignored.

    Raises:
        LifespanFailed: it could not be entered.
    """
    if lifespan is None:
        yield None
        return
    manager = asynccontextmanager(lifespan.function)()
    try:
        given = await manager.__aenter__()
    except Exception as error:
        raise LifespanFailed(getattr(lifespan.function, "__name__", "lifespan")) from error
    try:
        yield as_resources(given)
    finally:
        try:
            await manager.__aexit__(None, None, None)
        except Exception as error:  # noqa: BLE001 - the team's code must not block the bot's stop
            failed(error)
