"""After a failure: did it happen? And who gets to see the key?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import httpx
import httpx2
import pytest
import respx
from sunshine_samples import APP, BASE, CONVERSATION, KEY, SECRET, client_with, never_called

from bot.sunshine import (
    Gone,
    NoAnswer,
    NotSent,
    SunshineClient,
    SunshineError,
    Timeouts,
)


@pytest.fixture
def platform() -> Iterator[respx.MockRouter]:
    with respx.mock(using="httpcore2", assert_all_called=False) as router:
        yield router


DID_IT_HAPPEN: dict[type[Exception], type[SunshineError]] = {
    httpx2.ConnectError: NotSent,
    httpx2.ConnectTimeout: NotSent,
    httpx2.PoolTimeout: NotSent,
    httpx2.ReadTimeout: NoAnswer,
    httpx2.WriteTimeout: NoAnswer,
    httpx2.ReadError: NoAnswer,
    httpx2.WriteError: NoAnswer,
    httpx2.CloseError: NoAnswer,
    httpx2.RemoteProtocolError: NoAnswer,
    httpx2.LocalProtocolError: NoAnswer,
    httpx2.ProxyError: NoAnswer,
    httpx2.UnsupportedProtocol: NoAnswer,
    httpx2.DecodingError: NoAnswer,
    httpx2.TooManyRedirects: NoAnswer,
    httpx2.SSEError: NoAnswer,
    ConnectionResetError: NoAnswer,
    TimeoutError: NoAnswer,
}


class TestDidItHappen:
    """The mapping, with each error of the HTTP library."""

    @pytest.mark.parametrize(("happened", "error"), DID_IT_HAPPEN.items(), ids=lambda value: value.__name__)
    async def test_only_a_missing_connection_is_certain(
        self, happened: type[Exception], error: type[SunshineError]
    ) -> None:
        def fail(_: httpx2.Request) -> httpx2.Response:
            raise happened("in words")

        async with client_with(fail) as client:
            with pytest.raises(SunshineError) as raised:
                await client.release_control(CONVERSATION)
        assert type(raised.value) is error
        assert raised.value.status is None

    def test_no_error_of_the_library_is_forgotten(self) -> None:
        def leaves(error: type[Exception]) -> set[type[Exception]]:
            return set().union(*map(leaves, error.__subclasses__())) or {error}

        assert leaves(httpx2.RequestError) <= DID_IT_HAPPEN.keys()

    async def test_a_closed_client_sends_nothing(self) -> None:
        client = client_with(never_called)
        await client.aclose()
        with pytest.raises(NotSent, match="closed"):
            await client.release_control(CONVERSATION)

    async def test_a_redirect_is_not_followed(self, platform: respx.MockRouter) -> None:
        platform.post(host="acme.zendesk.com").mock(httpx.Response(307, headers={"Location": "https://evil.example/"}))
        elsewhere = platform.route(host="evil.example").mock(httpx.Response(200, json={}))
        async with SunshineClient(BASE, APP, KEY) as client:
            with pytest.raises(NoAnswer, match="base URL"):
                await client.release_control(CONVERSATION)
        assert not elsewhere.called


Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def a_server(connected: Connected) -> AsyncIterator[str]:
    """A server on this machine that treats each connection as `connected` does, and closes it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await connected(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class TestOnTheWire:
    """The same with real connections, so that the mapping holds for what the library really raises."""

    async def release(self, base_url: str, **timeouts: float) -> SunshineError:
        async with SunshineClient(base_url, APP, KEY, timeouts=Timeouts(**timeouts)) as client:
            with pytest.raises(SunshineError) as raised:
                await client.release_control(CONVERSATION)
        return raised.value

    async def test_nobody_listens(self) -> None:
        async def nothing(*_: object) -> None: ...

        async with a_server(nothing) as url:
            pass
        assert type(await self.release(url)) is NotSent

    async def test_no_such_host(self) -> None:
        assert type(await self.release("https://no-such-host.invalid")) is NotSent

    async def test_tls_fails(self) -> None:
        async def nothing(*_: object) -> None: ...

        async with a_server(nothing) as url:
            error = await self.release(url.replace("http:", "https:"), connect=0.3)
        assert type(error) is NotSent

    async def test_the_connection_ends_without_an_answer(self) -> None:
        async def hang_up(*_: object) -> None: ...

        async with a_server(hang_up) as url:
            assert type(await self.release(url)) is NoAnswer

    async def test_the_connection_is_reset(self) -> None:
        async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        async with a_server(reset) as url:
            assert type(await self.release(url)) is NoAnswer

    async def test_no_answer_in_time(self) -> None:
        async def wait(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read()  # until the client hangs up
            await reader.read()

        async with a_server(wait) as url:
            assert type(await self.release(url, read=0.05)) is NoAnswer

    async def test_an_answer_that_trickles_in_is_not_waited_for_forever(self) -> None:
        async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not writer.is_closing():
                writer.write(b" ")
                await asyncio.sleep(0.01)

        async with a_server(trickle) as url:
            assert type(await self.release(url, read=5, total=0.1)) is NoAnswer

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
            b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        ],
        ids=["cut off", "not HTTP", "not gzip"],
    )
    async def test_an_answer_that_is_broken(self, answer: bytes) -> None:
        async def break_it(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer)
            await writer.drain()

        async with a_server(break_it) as url:
            assert type(await self.release(url)) is NoAnswer


class TestSecrets:
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 200])
    async def test_no_error_shows_the_key_or_what_was_said(self, status: int) -> None:
        def echo(request: httpx2.Request) -> httpx2.Response:
            quoted = f"{request.headers['authorization']} {request.content.decode()}"
            return httpx2.Response(status, json=[{"errors": [{"code": quoted, "title": quoted}]}][: status != 200])

        async with client_with(echo) as client:
            with pytest.raises(SunshineError) as raised:
                await client.post_message(CONVERSATION, {"type": "text", "text": "my PIN is 1234"})
            shown = f"{raised.value} {raised.value!r} {client!r}"
        for hidden in (SECRET, "Basic ", "1234"):
            assert hidden not in shown

    async def test_the_environment_has_no_say(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A proxy or a .netrc that happens to be there would get to see the key."""
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

        async def gone(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()

        async with a_server(gone) as url, SunshineClient(url, APP, KEY) as client:
            with pytest.raises(Gone):
                await client.release_control(CONVERSATION)
