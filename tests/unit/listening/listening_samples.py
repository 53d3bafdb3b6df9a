"""A listener with short limits, and raw connections to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web

from bot.listening import Cut, Limits, Listener

SHORT: dict[str, Any] = {"head": 0.1, "body": 0.1, "idle": 0.1, "reader": 0.1, "linger": 1, "look": 0.02}
LONG = 3600  # seconds
GET = b"GET / HTTP/1.1\r\nHost: bot\r\n\r\n"


class Place:
    """A listener and what it did.

    Attributes:
        cuts: why connections were cut off.
        began: set when a handler works that waits for `goes_on`.
        bodies: what handlers have read.
    """

    def __init__(self) -> None:
        self.cuts: list[Cut] = []
        self.began = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.bodies: list[bytes] = []
        self.listener: Listener
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self, first: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that has sent something."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        self._writers.append(writer)
        writer.write(first)
        return reader, writer

    async def asked(self, request: bytes) -> bytes:
        """All that comes back, until the connection is closed."""
        reader, _ = await self.connect(request)
        with suppress(ConnectionError):
            return await reader.read()
        return b""

    async def leave(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def listening(**limits: Any) -> AsyncIterator[Place]:
    """A listener on this machine."""
    place = Place()

    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    async def read(request: web.Request) -> web.Response:
        place.bodies.append(await request.read())
        return web.Response(text="read")

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=401, text="no")

    async def slow(_: web.Request) -> web.Response:
        place.began.set()
        await place.goes_on.wait()
        return web.Response(text="slow")

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 50_000_000)

    async def moved(_: web.Request) -> web.Response:
        error = web.HTTPSeeOther("/elsewhere", text="go there")
        error.set_cookie("session", "gone")
        error.force_close()
        raise error

    async def broken(_: web.Request) -> web.Response:
        raise RuntimeError("a user's words")

    app = web.Application(client_max_size=100_000)
    app.router.add_get("/", hello)
    app.router.add_post("/read", read)
    app.router.add_post("/inflates", read)
    app.router.add_post("/refuse", refuse)
    app.router.add_get("/slow", slow)
    app.router.add_get("/large", large)
    app.router.add_get("/moved", moved)
    app.router.add_get("/broken", broken)
    place.listener = Listener(
        app,
        "127.0.0.1",
        0,
        inflates=lambda request: request.path == "/inflates",
        is_trusted=lambda request: request.headers.get("X-Key") == "right",
        limits=Limits(**{**SHORT, **limits}),
        on_cut=place.cuts.append,
        shutdown_timeout=0.1,
    )
    await place.listener.start()
    try:
        yield place
    finally:
        place.goes_on.set()
        await place.leave()
        await place.listener.stop()
