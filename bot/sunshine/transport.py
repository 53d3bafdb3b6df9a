"""The network transport of the API client: httpx2 requests over aiohttp connections.

httpx2's own pool scans all connections twice per request, and keeps only twenty. With a
hundred concurrent calls it costs three times as much as aiohttp's, and most calls need a new
TLS handshake (tests/bench).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping

import aiohttp
import httpx2

from bot.sunshine.proxy import proxy_for, trusted

CONNECTIONS = 100

MAX_ANSWER = 4 * 1024 * 1024
"""Maximum bytes of an answer, before and after decompression. A page of messages has 100,
mostly of less than a kilobyte."""

MAX_ERROR = 64 * 1024
"""Maximum bytes read of an answer other than 2xx: enough for its first error."""

_PIECE = 64 * 1024  # bytes decompressed before yielding to other tasks
_ENCODINGS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_UNDONE = (b"content-encoding", b"content-length", b"transfer-encoding")
_SET_BY_HTTPX2 = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # or left out on purpose


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """Sends whole requests and reads whole answers. Close it in the loop of its first use.

    A 2xx answer of more than `MAX_ANSWER` bytes raises `ReadError`. Of other answers, only the
    beginning is read.

    All errors are httpx2's. Only `ConnectError`, `ConnectTimeout` and `PoolTimeout` mean that
    nothing was sent. Only GET is ever sent twice, if a kept connection turns out to be closed.

    Args:
        connections: maximum number of connections. Further calls wait for a free one, at most
            for their `pool` timeout.
    """

    def __init__(self, connections: int = CONNECTIONS) -> None:
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._proxies: dict[tuple[str, str, int | None], str | None] = {}  # by scheme, host and port

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and read the answer."""
        try:
            session = self._session or self._open()
            proxy = self._proxy_for(request.url)
        except (OSError, ValueError) as error:  # a bad file or proxy in the environment
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
                pairs = answer.raw_headers
                headers = [pair for pair in pairs if pair[0].lower() not in _UNDONE]
                content = await _content(answer)
                return httpx2.Response(answer.status, headers=headers, content=content)
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
        """Return the proxy for a URL, cached by origin: the look-up searches the environment."""
        origin = (url.scheme, url.host, url.port)
        if origin not in self._proxies:
            self._proxies[origin] = proxy_for(str(url))
        return self._proxies[origin]

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, ssl=trusted()),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_SET_BY_HTTPX2,
            auto_decompress=False,  # neither aiohttp nor httpx2 limits the size
        )
        return self._session


def _unusable(error: Exception) -> str:
    return "SSL_CERT_FILE can't be used" if isinstance(error, OSError) else str(error)


async def _content(answer: aiohttp.ClientResponse) -> bytes:
    """Read and decompress an answer. Raises `httpx2.ReadError` if too large or corrupt."""
    successful = 200 <= answer.status < 300
    most = MAX_ANSWER if successful else MAX_ERROR
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity", *_ENCODINGS):
        if successful:
            raise httpx2.ReadError("the answer's Content-Encoding is unknown")
        return b""
    inflater = zlib.decompressobj(_ENCODINGS[encoding]) if encoding in _ENCODINGS else None
    content = bytearray()
    try:
        async for chunk in answer.content.iter_any():
            if inflater is not None:
                chunk = await _inflated(inflater, chunk, most - len(content))
            content += chunk
            if len(content) > most:
                if successful:
                    raise httpx2.ReadError(f"the answer has more than {most} bytes")
                break
    except zlib.error as error:
        if successful:
            raise httpx2.ReadError("the answer can't be decompressed") from error
    return bytes(content[:most])


async def _inflated(inflater: zlib._Decompress, chunk: bytes, most: int) -> bytes:
    """Decompress a piece of an answer in steps, to little more than `most` bytes."""
    plain = bytearray()
    while chunk and len(plain) <= most:
        plain += inflater.decompress(chunk, _PIECE)
        chunk = inflater.unconsumed_tail
        await asyncio.sleep(0)
    return bytes(plain)


def _timeout(seconds: Mapping[str, float | None]) -> aiohttp.ClientTimeout:
    """Convert timeouts. aiohttp's `connect` covers waiting for and making a connection."""
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
