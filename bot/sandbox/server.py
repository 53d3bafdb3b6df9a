"""The platform's API over real HTTP: a thin aiohttp server around `Api`."""

from __future__ import annotations

from aiohttp import web

from bot.clock import Clock
from bot.listening import Listener
from bot.sandbox.api import Api, ApiRequest
from bot.sandbox.attachment_calls import MAX_UPLOAD
from bot.sandbox.faults import BrokenConnectionError, Faults, exchange


class Server:
    """Serves `/v2/apps/…`, and the same below `/sc`.

    Args:
        api: handles the requests.
        clock: the platform's time.
        host: the address to listen on.
        port: 0 for any free port.

    Attributes:
        faults: called for every request; may change at any time.
        requests: all requests received, in order.
    """

    def __init__(self, api: Api, clock: Clock, host: str = "127.0.0.1", port: int = 0) -> None:
        self.faults: Faults | None = None
        self.requests: list[ApiRequest] = []
        self._api = api
        self._clock = clock
        self._host = host
        self._port = port
        self._listener: Listener | None = None

    @property
    def url(self) -> str:
        """The base URL after the start, without a trailing slash."""
        return f"http://{self._host}:{self._port}/sc"

    async def start(self) -> None:
        """Start listening."""
        app = web.Application(client_max_size=2 * MAX_UPLOAD)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._listener = Listener(app, self._host, self._port, lenient=True, shutdown_timeout=1.0)
        await self._listener.start()
        self._port = self._listener.port

    async def stop(self) -> None:
        """Stop listening. Requests in progress get a second to finish."""
        if self._listener is not None:
            await self._listener.stop()
            self._listener = None

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            body = b"x" * (MAX_UPLOAD + 1)
        except ConnectionError:  # the client is gone, so nobody gets the answer
            return web.Response(status=400)
        asked = ApiRequest(
            method=request.method,
            path=request.path,
            query=request.query_string,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
        )
        self.requests.append(asked)
        try:
            reply = await exchange(self._api, asked, self._clock, self.faults)
        except BrokenConnectionError:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        return web.Response(status=reply.status, body=reply.body, headers=dict(reply.headers))
