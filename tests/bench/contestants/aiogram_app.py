"""aiogram's aiohttp webhook handler with one handler that does nothing: it checks the secret, stores nothing."""

from __future__ import annotations

import os

from aiogram import Bot, Dispatcher
from aiogram.types import Message
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web


def made() -> web.Application:
    """The application, as aiogram's documentation makes it."""
    dispatcher = Dispatcher()

    @dispatcher.message()
    async def heard(_: Message) -> None:
        """Nothing."""

    app = web.Application()
    bot = Bot("42:TOKEN")
    SimpleRequestHandler(dispatcher, bot, secret_token=os.environ["SECRET"]).register(app, path="/telegram")
    return app


if __name__ == "__main__":
    web.run_app(made(), host="127.0.0.1", port=int(os.environ["PORT"]), print=None, access_log=None)
