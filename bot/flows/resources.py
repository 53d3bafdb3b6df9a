"""`chat.resources`: what the team's `@lifespan` has opened for all flows of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from bot.flows.handlers import Lifespan


class LifespanFailed(Exception):
    """A `@lifespan` raised before its `yield`, or did not yield; its cause is what it raised."""


class Resources:
    """The values of a dict that a `@lifespan` has yielded, as attributes."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        vars(self).update(values)

    def __getattr__(self, name: str) -> Any:
        known = ", ".join(sorted(vars(self))) or "nothing"
        raise AttributeError(f"chat.resources has no {name!r}: the @lifespan yields {known}")


def as_resources(given: Any) -> Any:
    """Wrap a dict so that its values are attributes; return any other object as it is."""
    return Resources(given) if isinstance(given, Mapping) else given


@asynccontextmanager
async def opened(lifespan: Lifespan | None, failed: Callable[[Exception], None]) -> AsyncIterator[Any]:
    """Open what a `@lifespan` opens, and close it again; None where there is none.

    Args:
        lifespan: the handler.
        failed: hears what it raises when it closes. Nothing else comes of that.

    Raises:
        LifespanFailed: it could not be opened.
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
        except Exception as error:  # noqa: BLE001 - the bot stops, whatever the team's code does
            failed(error)
