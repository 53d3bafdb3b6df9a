"""Runs a flow's code inside the team's `@every_turn` and `@on_error` handlers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager

from bot.flows.authoring import JournalMismatch, NoAnswer
from bot.flows.chat import Chat
from bot.flows.turn import Turn


async def played(turn: Turn, words: Callable[[BaseException], str]) -> None:
    """Run the flow of a turn.

    Args:
        turn: the turn.
        words: describes an exception without quoting the user.

    Raises:
        BaseException: the flow's exception, even if a handler dealt with it; or the
            handler's own.
    """
    chat, handlers = Chat(turn), turn.context.handlers
    async with AsyncExitStack() as stack:
        for around in handlers.every_turn:
            await stack.enter_async_context(asynccontextmanager(around.function)(chat))
        try:
            await turn.flow.run(chat)
        except (NoAnswer, JournalMismatch):
            raise
        except Exception as error:
            if handlers.on_error is None or turn.outcome is not None:
                raise
            turn.failed(error, words(error))
            try:
                await handlers.on_error.function(chat, error)
            except Exception as another:
                turn.context.raised(another)
                raise
            raise
