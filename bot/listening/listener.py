"""A listener: serves an aiohttp application on a port, with limits for untrusted clients."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from aiohttp import web, web_response

from bot.listening.connection import Connection
from bot.listening.connections import Connections
from bot.listening.limits import ACCEPTED_AT_ONCE, BACKLOG, Cut, Limits
from bot.listening.log_filter import SamplingFilter

SERVER = "switchboard-bot"  # the `Server` header

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_logger = logging.getLogger("switchboard.http")
_logger.addFilter(SamplingFilter())


def _never(_: web.BaseRequest) -> bool:
    return False


def _always(_: web.BaseRequest) -> bool:
    return True


def _ignore(_: Cut) -> None:
    pass


class Listener:
    """Serves an application.

    By default, aiohttp decompresses bodies on the event loop while they arrive, whoever the
    sender is. Here it does not: a handler that accepts compressed bodies decompresses them
    itself, after authentication. For all other handlers, the answer is 415.

    Args:
        app: the application; not started yet.
        host: address to listen on.
        port: port to listen on; 0 picks a free one.
        inflates: returns whether the handler of a request decompresses bodies itself.
        is_trusted: returns whether a request's sender may pipeline, without a rate limit.
        lenient: accept chunked and multipart bodies for all requests, and trust everyone, as a
            stand-in for tests does. Otherwise only requests that `inflates` may have such
            bodies: chunks are costly to parse, and aiohttp decompresses parts.
        limits: the limits of connections.
        on_cut: called with the reason for each connection that is cut off; must not raise.
        shutdown_timeout: seconds that running requests get when the listener stops.
    """

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int,
        *,
        inflates: Callable[[web.BaseRequest], bool] = _never,
        is_trusted: Callable[[web.BaseRequest], bool] = _never,
        lenient: bool = False,
        limits: Limits | None = None,
        on_cut: Callable[[Cut], None] | None = None,
        shutdown_timeout: float = 5.0,
    ) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._inflates = inflates
        self._is_trusted = _always if lenient else is_trusted
        self._lenient = lenient
        self._limits = limits or Limits()
        self._on_cut = on_cut or _ignore
        self._shutdown_timeout = shutdown_timeout
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._watch: asyncio.Task[None] | None = None
        self._connections: Connections | None = None

    @property
    def port(self) -> int:
        """The port, once started."""
        return self._port

    async def start(self) -> None:
        """Start listening. Raises `OSError`."""
        # Hide the versions of aiohttp and Python. No hook runs for answers to invalid HTTP.
        web_response.SERVER_SOFTWARE = SERVER  # type: ignore[attr-defined]
        self._runner = web.AppRunner(
            self._app,
            access_log=None,
            logger=_logger,
            auto_decompress=False,
            keepalive_timeout=2 * self._limits.idle,  # our own is shorter, and is counted
            lingering_time=self._limits.linger,
            shutdown_timeout=self._shutdown_timeout,
        )
        await self._runner.setup()
        serve = self._runner.server
        if serve is None:
            raise RuntimeError("aiohttp's runner has no server")
        serve.request_handler = partial(self._guarded, serve.request_handler)
        connections = self._connections = Connections(serve, self._limits, self._on_cut)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Connection(connections),
                self._host,
                self._port,
                backlog=ACCEPTED_AT_ONCE,
            )
            for each in self._server.sockets:
                with each.dup() as queue:
                    queue.listen(BACKLOG)
        except BaseException:
            await self.stop()
            raise
        self._port = int(self._server.sockets[0].getsockname()[1])
        self._watch = loop.create_task(connections.watch(), name="connections")

    async def stop(self) -> None:
        """Stop accepting connections, and close the open ones."""
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._connections is not None:
            self._connections.close()
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        self._server = self._runner = self._watch = self._connections = None

    async def _guarded(self, handle: Handle, request: web.BaseRequest) -> web.StreamResponse:
        """Handle a request. A middleware would cost three times as much."""
        connection = request.transport.get_protocol() if request.transport is not None else None
        if not isinstance(connection, Connection):  # already closed
            return await handle(request)
        body = request.content
        connection.begin(body)
        answer: web.StreamResponse | None = None
        try:
            answer = self._refusal(request) or await handle(request)
        except web.HTTPException as error:
            answer = _plain(error)
        finally:
            if answer is not None and (
                (not body.is_eof() and not answer.prepared)
                or (connection.is_pipelined() and not self._is_trusted(request))
            ):
                answer.force_close()
            connection.end(body, partial(self._is_trusted, request))
        return answer

    def _refusal(self, request: web.BaseRequest) -> web.Response | None:
        if self._inflates(request):
            return None
        headers = request.headers
        if headers.get("Content-Encoding", "identity") != "identity":
            return web.Response(status=415, text="compressed bodies are not accepted here")
        if self._lenient:
            return None
        if request.content_type.startswith("multipart/"):
            return web.Response(status=415, text="multipart bodies are not accepted here")
        if "Transfer-Encoding" in headers:
            return web.Response(status=411, text="send a Content-Length")
        return None


def _plain(error: web.HTTPException) -> web.Response:
    """Convert a raised answer to a plain one.

    A raised answer and the frames of its traceback form a reference cycle with the request and
    the connection, so only the garbage collector frees them. During a flood of 404s, it
    stopped the event loop for 80 ms at a time.
    """
    error.__traceback__ = None
    answer = web.Response(
        status=error.status,
        reason=error.reason,
        headers=error.headers,
        body=error.body,
    )
    answer.cookies.update(error.cookies)
    if error.keep_alive is False:
        answer.force_close()
    return answer
