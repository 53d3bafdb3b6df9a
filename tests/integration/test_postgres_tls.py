"""A PostgreSQL that wants TLS and a password, as those of providers do: what goes wrong has a sentence of its own."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from bot_program import free_port
from postgres_server import SUPERUSER, NoServer, PostgresServer

from bot.store import StoreError, Unavailable, current_problem, migrate

PASSWORD = "se cret/1"
ENCODED = "se%20cret%2F1"
SSL_REQUEST = bytes.fromhex("00000008 04d2162f")

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody but its maker has signed; the key is beside it."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)  # noqa: S603
    return folder / "cert.pem"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """The server, without TLS: not all builds have it."""
    try:
        server = PostgresServer(port=free_port())
    except NoServer as error:
        pytest.skip(str(error))
    server.query("CREATE DATABASE bot")
    server.demand(PASSWORD)
    yield server
    server.remove()


@asynccontextmanager
async def tls(certificate: Path, port: int) -> AsyncIterator[int]:
    """TLS in front of a server, as providers have it; gives its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            if await reader.readexactly(8) != SSL_REQUEST:
                writer.close()
                return
            writer.write(b"S")
            await writer.start_tls(context)
            behind, there = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_passed(reader, there), _passed(behind, writer))

    proxy = await asyncio.start_server(served, "127.0.0.1", 0)
    async with proxy:
        yield int(proxy.sockets[0].getsockname()[1])


async def _passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


def _url(port: int, options: str = "", password: str = ENCODED, host: str = "127.0.0.1", user: str = SUPERUSER) -> str:
    return f"postgresql://{user}:{password}@{host}:{port}/bot{options}"


@needs_openssl
@pytest.mark.parametrize(
    "options",
    [
        "",
        "?sslmode=require&channel_binding=require",
        "?ssl=true&connect_timeout=5",
        "?sslmode=verify-full&sslrootcert={}",
    ],
)
async def test_it_is_used(server: PostgresServer, certificate: Path, options: str) -> None:
    async with tls(certificate, server.port) as port:
        url = _url(port, options.format(certificate))
        await asyncio.to_thread(migrate, url)
        assert await asyncio.to_thread(current_problem, url) is None


def test_the_first_of_two_hosts_is_away(server: PostgresServer) -> None:
    url = _url(server.port, host=f"127.0.0.1:{free_port()},127.0.0.1")
    migrate(url)
    assert current_problem(url) is None


@needs_openssl
@pytest.mark.parametrize("options", ["?sslmode=verify-full", "?sslrootcert=system"])
async def test_a_certificate_of_nobodys(server: PostgresServer, certificate: Path, options: str) -> None:
    async with tls(certificate, server.port) as port:
        with pytest.raises(Unavailable, match="certificate is not trusted"):
            await asyncio.to_thread(migrate, _url(port, options))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"password": "wrong-cret"}, "refuses the password"),
        ({"password": "se%cret"}, "refuses the password"),
        ({"user": "stranger"}, "refuses this user"),
        ({"options": "?sslmode=require"}, "speaks no TLS"),
        ({"options": "?timezone=Nowhere"}, "refuses an option of DATABASE_URL: .*TimeZone"),
        ({"options": "?client_encoding=nonsense"}, "refuses an option of DATABASE_URL: .*client_encoding"),
        ({"options": "?options=-c%20nonsense"}, "refuses an option of DATABASE_URL: .*nonsense"),
        ({"options": "?role=nobody"}, "refuses an option of DATABASE_URL: .*nobody"),
        ({"options": "?options=-c%20no_such%3D1"}, "refuses an option of DATABASE_URL: .*no_such"),
    ],
)
def test_what_goes_wrong(server: PostgresServer, wrong: dict[str, str], says: str) -> None:
    with pytest.raises(StoreError, match=says) as refusal:
        migrate(_url(server.port, **wrong))
    assert "cret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("place", "says"), [("127.0.0.1:9", "nothing listens there"), ("nowhere.invalid", "no host has this name")]
)
def test_nobody_there(place: str, says: str) -> None:
    with pytest.raises(Unavailable, match=says):
        migrate(f"postgresql://me:secret@{place}/bot")
