"""The network under the API client: httpx2's requests over aiohttp's connections.

httpx2's own pool looks at all of its connections twice a request, and keeps only twenty of them: with a hundred calls
under way it costs three times as much as aiohttp's, and most calls a new TLS handshake (tests/bench).
"""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
import httpx2

CONNECTIONS = 100
_SET_BY_HTTPX2 = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # or left out on purpose


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """Carries whole requests and whole answers; to be closed in the loop that it was first used in.

    Every error is one of httpx2's. `ConnectError`, `ConnectTimeout` and `PoolTimeout` say that nothing was sent, and no
    other does. Nothing is sent twice but GET (over a connection that turns out to be closed).

    Args:
        connections: how many there may be; a call that finds none waits for one, no longer than its `pool` time-out.
    """

    def __init__(self, connections: int = CONNECTIONS) -> None:
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it, and read the answer."""
        session = self._session or self._open()
        try:
            async with session.request(
                request.method,
                str(request.url),
                data=await request.aread() or None,
                headers=request.headers.multi_items(),
                timeout=_timeout(request.extensions.get("timeout", {})),
                allow_redirects=False,
            ) as answer:
                return httpx2.Response(answer.status, headers=answer.raw_headers, content=await answer.read())
        except (aiohttp.ConnectionTimeoutError, aiohttp.SocketTimeoutError) as error:
            raise _timed_out(error) from error
        except aiohttp.ClientConnectorError as error:
            raise httpx2.ConnectError(str(error.os_error)) from error
        except aiohttp.ClientError as error:
            raise httpx2.ReadError(type(error).__name__) from error

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, ssl=httpx2.create_ssl_context(trust_env=False)),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_SET_BY_HTTPX2,
            auto_decompress=False,  # httpx2 does that
        )
        return self._session


def _timeout(seconds: Mapping[str, float | None]) -> aiohttp.ClientTimeout:
    """aiohttp's `connect` is the wait for a connection, a new one included."""
    pool, connect = seconds.get("pool"), seconds.get("connect")
    return aiohttp.ClientTimeout(
        total=None,
        connect=None if pool is None or connect is None else pool + connect,
        sock_connect=connect,
        sock_read=seconds.get("read"),
    )


def _timed_out(error: aiohttp.ServerTimeoutError) -> httpx2.TimeoutException:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return httpx2.ConnectTimeout(str(error))
    return httpx2.ReadTimeout(str(error))
