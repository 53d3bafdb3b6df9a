"""A proxy that gives each transaction another connection to PostgreSQL, as PgBouncer does: for tests.

It takes no settings at the start of a connection, passes statements on as they are, and hears no notifications.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

_SSL, _CANCEL = 80877103, 80877102
_TAKEN = {"user", "database", "client_encoding", "application_name"}
_CONNECTIONS = 3

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def pooling_proxy(host: str, port: int, user: str, database: str) -> AsyncIterator[int]:
    """A proxy in front of a server; gives its port on 127.0.0.1."""
    proxy = _Proxy()
    for _ in range(_CONNECTIONS):
        await proxy.connect(host, port, {"user": user, "database": database})
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])
        proxy.close()


class _Proxy:
    def __init__(self) -> None:
        self._free: asyncio.Queue[Streams] = asyncio.Queue()
        self._greeting = b""
        self._clients: set[asyncio.Task[None]] = set()

    async def connect(self, host: str, port: int, settings: Mapping[str, str]) -> None:
        """Open one more connection to the server."""
        reader, writer = await asyncio.open_connection(host, port)
        words = b"".join(f"{name}\0{value}\0".encode() for name, value in settings.items()) + b"\0"
        writer.write(struct.pack("!II", len(words) + 8, 196608) + words)
        self._greeting = b""
        kind = b""
        while kind != b"Z":
            kind, message = await _message(reader)
            self._greeting += message
        self._free.put_nowait((reader, writer))

    def close(self) -> None:
        """End all connections."""
        for client in self._clients:
            client.cancel()
        while not self._free.empty():
            self._free.get_nowait()[1].close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it goes."""
        task = asyncio.current_task()
        assert task
        self._clients.add(task)
        try:
            if await self._greets(reader, writer):
                while await self._transaction(reader, writer):
                    pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._clients.discard(task)
            writer.close()

    async def _greets(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        size, code = struct.unpack("!II", await reader.readexactly(8))
        if code == _SSL:
            writer.write(b"N")
            size, code = struct.unpack("!II", await reader.readexactly(8))
        words = (await reader.readexactly(size - 8)).split(b"\0")
        names = {name.decode() for name in words[:-2:2]}
        if code == _CANCEL:
            return False
        if odd := names - _TAKEN:
            fields = f"SFATAL\0C08P01\0Munsupported startup parameter: {min(odd)}\0\0".encode()
            writer.write(b"E" + struct.pack("!I", len(fields) + 4) + fields)
            await writer.drain()
            return False
        writer.write(self._greeting)
        return True

    async def _transaction(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Pass one transaction on; False if the client has said good-bye."""
        kind, message = await _message(reader)
        if kind == b"X":
            return False
        server = await self._free.get()
        waiting = 0
        back = asyncio.create_task(self._back(server[0], writer))
        try:
            while True:
                server[1].write(message)
                waiting += kind in (b"Q", b"S")
                forth = asyncio.create_task(_message(reader))
                while not forth.done():
                    await asyncio.wait({forth, back}, return_when=asyncio.FIRST_COMPLETED)
                    if back.done():
                        waiting -= 1
                        if back.result() == b"I" and not waiting and not forth.done():
                            forth.cancel()
                            with suppress(asyncio.CancelledError):
                                await forth
                            return True
                        back = asyncio.create_task(self._back(server[0], writer))
                kind, message = forth.result()
        finally:
            back.cancel()
            self._free.put_nowait(server)

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Pass answers back until the server is ready again; how it stands then: I is outside of a transaction."""
        while True:
            kind, message = await _message(reader)
            writer.write(message)
            if kind == b"Z":
                return message[5:6]


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    size = struct.unpack("!I", head[1:])[0]
    return head[:1], head + await reader.readexactly(size - 4)
