"""The network under the API client: httpx2's requests over aiohttp's connections, and answers within bounds.

httpx2's own pool looks at all of its connections twice a request, and keeps only twenty of them: with a hundred calls
under way it costs three times as much as aiohttp's, and most calls a new TLS handshake (tests/bench).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping

import aiohttp
import httpx2

from bot.sunshine.way import proxy_for, trusted

CONNECTIONS = 100

LARGEST_ANSWER = 4 * 1024 * 1024
"""Bytes of an answer, compressed or not. A page of messages has a hundred of mostly less than a kilobyte."""

LARGEST_ERROR = 64 * 1024
"""Bytes that are read of an answer other than 2xx: enough for its first error. Its status counts all the same."""

_PIECE = 64 * 1024  # bytes that are inflated before others have their turn
_ENCODINGS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_UNDONE = (b"content-encoding", b"content-length", b"transfer-encoding")
_SET_BY_HTTPX2 = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # or left out on purpose


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """Carries whole requests and whole answers; to be closed in the loop that it was first used in.

    An answer of more than `LARGEST_ANSWER` bytes is a `ReadError`; of one that tells of an error, or leads elsewhere,
    only the beginning is read.

    Every error is one of httpx2's. `ConnectError`, `ConnectTimeout` and `PoolTimeout` say that nothing was sent, and no
    other does. Nothing is sent twice but GET (over a connection that turns out to be closed).

    Args:
        connections: how many there may be; a call that finds none waits for one, no longer than its `pool` time-out.
    """

    def __init__(self, connections: int = CONNECTIONS) -> None:
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._proxies: dict[tuple[str, str, int | None], str | None] = {}  # by scheme, host and port

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it, and read the answer."""
        try:
            session = self._session or self._open()
            proxy = self._proxy_for(request.url)
        except (OSError, ValueError) as error:  # a file or a proxy that the environment names
            raise httpx2.ConnectError(_unusable(error)) from error
        try:
            async with session.request(
                request.method,
                str(request.url),
                data=await request.aread() or None,
                headers=request.headers.multi_items(),
                timeout=_timeout(request.extensions.get("timeout", {})),
                allow_redirects=False,
                proxy=proxy,
            ) as answer:
                headers = [pair for pair in answer.raw_headers if pair[0].lower() not in _UNDONE]
                return httpx2.Response(answer.status, headers=headers, content=await _content(answer))
        except (aiohttp.ConnectionTimeoutError, aiohttp.SocketTimeoutError) as error:
            raise _timed_out(error) from error
        except aiohttp.ClientConnectorError as error:
            raise httpx2.ConnectError(str(error.os_error)) from error
        except aiohttp.ClientHttpProxyError as error:
            raise httpx2.ConnectError(f"the proxy answers {error.status}") from error
        except aiohttp.ClientError as error:
            raise httpx2.ReadError(type(error).__name__) from error

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _proxy_for(self, url: httpx2.URL) -> str | None:
        """The proxy for a URL, looked up once for each origin: the environment has to be searched for it."""
        origin = (url.scheme, url.host, url.port)
        if origin not in self._proxies:
            self._proxies[origin] = proxy_for(str(url))
        return self._proxies[origin]

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, ssl=trusted()),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_SET_BY_HTTPX2,
            auto_decompress=False,  # neither it nor httpx2 has a bound
        )
        return self._session


def _unusable(error: Exception) -> str:
    return "SSL_CERT_FILE can't be used" if isinstance(error, OSError) else str(error)


async def _content(answer: aiohttp.ClientResponse) -> bytes:
    """Read an answer, and inflate it. Raises `httpx2.ReadError` if it is too large or can't be inflated."""
    successful = 200 <= answer.status < 300
    most = LARGEST_ANSWER if successful else LARGEST_ERROR
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity", *_ENCODINGS):
        if successful:
            raise httpx2.ReadError("the answer's Content-Encoding is unknown")
        return b""
    inflater = zlib.decompressobj(_ENCODINGS[encoding]) if encoding in _ENCODINGS else None
    content = bytearray()
    try:
        async for chunk in answer.content.iter_any():
            content += chunk if inflater is None else await _inflated(inflater, chunk, most - len(content))
            if len(content) > most:
                if successful:
                    raise httpx2.ReadError(f"the answer has more than {most} bytes")
                break
    except zlib.error as error:
        if successful:
            raise httpx2.ReadError("the answer can't be inflated") from error
    return bytes(content[:most])


async def _inflated(inflater: zlib._Decompress, chunk: bytes, most: int) -> bytes:
    """Inflate a piece of an answer, in steps, to little more than `most` bytes."""
    plain = bytearray()
    while chunk and len(plain) <= most:
        plain += inflater.decompress(chunk, _PIECE)
        chunk = inflater.unconsumed_tail
        await asyncio.sleep(0)
    return bytes(plain)


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
