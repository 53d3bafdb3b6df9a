"""The way to the API: directly, or through the proxy that the environment names."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from sunshine_samples import APP, CONVERSATION, KEY
from test_sunshine_transport import ACCEPTED, make_certificate, request_from

from bot.sunshine import AiohttpTransport, NotSent, SunshineClient
from bot.sunshine.proxy import proxy_for, route_to

NAMES = [name for kind in ("http", "https", "all", "no") for name in (f"{kind}_proxy", f"{kind.upper()}_PROXY")]
API = "https://example.zendesk.com/sc"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*NAMES, "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "url", "proxy", "way"),
    [
        ({}, API, None, "directly"),
        ({"HTTPS_PROXY": "http://proxy:3128"}, API, "http://proxy:3128", "through the proxy proxy:3128 (HTTPS_PROXY)"),
        ({"https_proxy": "proxy:3128"}, API, "http://proxy:3128", "through the proxy proxy:3128 (https_proxy)"),
        ({"ALL_PROXY": "http://proxy"}, API, "http://proxy", "through the proxy proxy (ALL_PROXY)"),
        (
            {"HTTPS_PROXY": "http://me:secret@proxy:3128/"},
            API,
            "http://me:secret@proxy:3128/",
            "through the proxy proxy:3128 (HTTPS_PROXY)",
        ),
        ({"HTTP_PROXY": "http://proxy:3128"}, API, None, "directly"),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "zendesk.com"}, API, None, "directly"),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, API, None, "directly"),
        ({"HTTP_PROXY": "http://proxy:3128"}, "http://127.0.0.1:8090", None, "directly"),
        ({"HTTP_PROXY": "http://proxy:3128"}, "http://localhost:8090", None, "directly"),
        ({"HTTP_PROXY": "http://proxy:3128"}, "http://[::1]:8090", None, "directly"),
        ({"HTTPS_PROXY": ""}, API, None, "directly"),
    ],
)
def test_which_way(
    environment: dict[str, str], url: str, proxy: str | None, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (proxy_for(url), route_to(url)) == (proxy, way)


@pytest.mark.parametrize("proxy", ["socks5://me:secret@proxy:1080", "http://", "http://proxy:port", "https://proxy"])
def test_a_proxy_that_can_not_be_used(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ValueError, match="HTTPS_PROXY: write it like") as refusal:
        proxy_for(API)
    assert "secret" not in str(refusal.value)
    assert route_to(API) == str(refusal.value)


@asynccontextmanager
async def proxied(answer: bytes, to: int = 0) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A proxy that answers CONNECT, and then passes on to a port; with the heads of what it was asked."""
    heads: list[bytes] = []

    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        if to:
            behind, there = await asyncio.open_connection("127.0.0.1", to)
            await asyncio.gather(passed(reader, there), passed(behind, writer))
        else:
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heads


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
async def test_through_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It carries TLS, which it can't read: it learns the address and its own password, and never the API's key.

    The certificate is one that SSL_CERT_FILE trusts.
    """
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    await make_certificate(key, certificate, "api.example.com")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await request_from(reader)
        got.append(head)
        writer.write(ACCEPTED)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server, proxied(b"HTTP/1.1 200 OK\r\n\r\n", server.sockets[0].getsockname()[1]) as (port, heads):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:pass@127.0.0.1:{port}")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with SunshineClient("https://api.example.com", APP, KEY, transport=AiohttpTransport(1)) as client:
            await client.release_control(CONVERSATION)
    (connect,), (request,) = heads, got
    assert connect.startswith(b"CONNECT api.example.com:443 ")
    assert b"Proxy-Authorization: Basic bWU6cGFzcw==" in connect
    secret = request.lower().partition(b"authorization: ")[2].partition(b"\r\n")[0]
    assert secret
    assert secret not in connect.lower()


@pytest.mark.parametrize("status", [b"407 Proxy Authentication Required", b"502 Bad Gateway", b"403 Forbidden"])
async def test_a_proxy_that_refuses(status: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent: the call may be made again."""
    async with proxied(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n") as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        async with SunshineClient("https://api.example.com", APP, KEY, transport=AiohttpTransport(1)) as client:
            with pytest.raises(NotSent, match=f"the proxy answers {status[:3].decode()}"):
                await client.release_control(CONVERSATION)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("HTTPS_PROXY", "http://127.0.0.1:1", "onnect"),
        ("HTTPS_PROXY", "socks5://proxy", "HTTPS_PROXY: write it like"),
        ("SSL_CERT_FILE", "/nowhere/certificates.pem", "SSL_CERT_FILE can't be used"),
    ],
)
async def test_a_way_that_is_not_there(name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    async with SunshineClient("https://api.example.com", APP, KEY, transport=AiohttpTransport(1)) as client:
        with pytest.raises(NotSent, match=says):
            await client.release_control(CONVERSATION)
