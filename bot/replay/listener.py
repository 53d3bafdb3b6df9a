"""`tape record`: records deliveries and answers 200, or forwards them first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx2
from aiohttp import web

from bot.listening import Listener
from bot.recording import Recorder
from bot.signals import Observe, silent
from webhooks.intake import InvalidDeliveryError, read_delivery
from webhooks.security import API_KEY_HEADER, Secrets
from webhooks.web import MAX_BYTES

_ANSWER_TIMEOUT = 20.0  # seconds
_PASSED_ON = (API_KEY_HEADER, "Content-Type")


@asynccontextmanager
async def listen(
    tape: Path,
    host: str,
    port: int,
    *,
    forward: str = "",
    secrets: Sequence[str] = (),
    observe: Observe = silent,
) -> AsyncIterator[int]:
    """Record deliveries posted to any path; yields the port.

    Args:
        tape: the tape to append to.
        host: the address to listen on.
        port: the port; 0 for any free port.
        forward: a URL that gets the deliveries and gives the answers; empty for none. Only
            accepted deliveries are recorded then.
        secrets: the accepted keys; none: any. They are never recorded.
        observe: gets `tape_incomplete`.

    Raises:
        TapeError: the tape can't be written.
    """
    async with AsyncExitStack() as stack:
        recorder = Recorder(tape, observe)
        recorder.start()
        stack.push_async_callback(asyncio.to_thread, recorder.stop)
        client = await stack.enter_async_context(
            httpx2.AsyncClient(trust_env=False, timeout=_ANSWER_TIMEOUT),
        )
        accepted = Secrets(list(secrets)) if secrets else None

        async def receive(request: web.Request) -> web.Response:
            if accepted and not accepted.accepts(request.headers.get(API_KEY_HEADER)):
                return web.Response(status=401, text="wrong or missing key")
            came, body = datetime.now(UTC), await request.read()
            try:
                read_delivery(body, came)
            except InvalidDeliveryError as error:
                return web.Response(status=error.status, text=str(error))
            answer = await _pass_on(client, forward, request, body) if forward else web.Response(text="recorded")
            if 200 <= answer.status < 300:
                recorder.take(came, body)
            return answer

        server = web.Application(client_max_size=MAX_BYTES)
        server.router.add_post("/{path:.*}", receive)
        listener = Listener(server, host, port, lenient=True, shutdown_timeout=1)
        await listener.start()
        stack.push_async_callback(listener.stop)
        yield listener.port


async def _pass_on(
    client: httpx2.AsyncClient,
    url: str,
    request: web.Request,
    body: bytes,
) -> web.Response:
    headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
    try:
        answer = await client.post(url, content=body, headers=headers)
    except httpx2.HTTPError as error:
        return web.Response(status=502, text=f"not forwarded: {type(error).__name__}")
    return web.Response(status=answer.status_code, body=answer.content)
