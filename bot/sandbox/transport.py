"""An httpx2 transport to the sandbox's API without a socket, for virtual time."""

from __future__ import annotations

import asyncio

import httpx2

from bot.clock import Clock
from bot.sandbox.api import Api, ApiRequest
from bot.sandbox.faults import BrokenConnectionError, Faults, exchange


class SandboxTransport(httpx2.AsyncBaseTransport):
    """Use it as `httpx2.AsyncClient(transport=SandboxTransport(api, clock))`.

    A fault's delay is an asyncio sleep, limited by the client's read timeout.

    Attributes:
        faults: called for every request; may change at any time.
        requests: all requests received, in order.
    """

    def __init__(self, api: Api, clock: Clock) -> None:
        self.faults: Faults | None = None
        self.requests: list[ApiRequest] = []
        self._api = api
        self._clock = clock

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request, or raise what a real connection would raise."""
        asked = ApiRequest(
            method=request.method,
            path=request.url.path,
            query=request.url.query.decode(),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.aread(),
        )
        self.requests.append(asked)
        timeout = request.extensions.get("timeout", {}).get("read")
        try:
            async with asyncio.timeout(timeout):
                reply = await exchange(self._api, asked, self._clock, self.faults)
        except TimeoutError as error:
            raise httpx2.ReadTimeout(
                "The sandbox did not answer in time.",
                request=request,
            ) from error
        except BrokenConnectionError as error:
            broken = httpx2.ConnectError if error.refused else httpx2.ReadError
            raise broken(str(error), request=request) from error
        return httpx2.Response(
            reply.status,
            headers=dict(reply.headers),
            content=reply.body,
            request=request,
        )
