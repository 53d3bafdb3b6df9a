"""Records accepted deliveries on a tape, in a thread that intake never waits for."""

from __future__ import annotations

import gzip
import queue
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.private_files import open_private
from bot.signals import Level, Observe, Signal, silent
from bot.tape import TapedDelivery, TapeError, tape_line
from webhooks import wire

WAITING_LIMIT = 10_000
"""Maximum number of deliveries waiting to be written; more are counted but not recorded."""


class Recorder:
    """Appends deliveries to a tape. A slow or full disk never affects the caller.

    Args:
        path: the tape; created if missing, readable only by this user, since it contains
            people's words.
        observe: gets `tape_incomplete`, from any thread.
        waiting_limit: maximum number of deliveries waiting to be written.

    Attributes:
        lost: number of deliveries missing on the tape, because too many were waiting or
            the file could not be written.
    """

    def __init__(self, path: Path, observe: Observe = silent, waiting_limit: int = WAITING_LIMIT) -> None:
        self.lost = 0
        self._path = path
        self._observe = observe
        self._waiting: queue.Queue[tuple[datetime, bytes] | None] = queue.Queue(waiting_limit)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start recording. Raises `TapeError` if the file can't be written."""
        try:
            self._append(b"")
        except OSError as error:
            raise TapeError(
                self._path,
                None,
                f"can't be written: {error.strerror or error}",
            ) from None
        self._thread = threading.Thread(target=self._write, name="tape recorder", daemon=True)
        self._thread.start()

    def take(self, at: datetime, body: bytes) -> None:
        """Record a delivery received at `at`. Never blocks or raises."""
        try:
            self._waiting.put_nowait((at, body))
        except queue.Full:
            self._lose(1, "too many deliveries are waiting to be written")

    def stop(self, patience: float = 5.0) -> None:
        """Write the waiting deliveries, for at most `patience` seconds, and stop."""
        if self._thread is None:
            return
        try:
            self._waiting.put(None, timeout=patience)
        except queue.Full:
            return
        self._thread.join(patience)
        self._thread = None

    def _write(self) -> None:
        while (taken := self._waiting.get()) is not None:
            try:
                body: Any = wire.read_json(taken[1])
                self._append(tape_line(TapedDelivery(taken[0], body)))
            except Exception as error:  # noqa: BLE001 - recording must never stop the bot or this thread
                self._lose(1, f"{type(error).__name__}: {error}")

    def _append(self, line: bytes) -> None:
        """Append a line in one write, since several processes may share the tape."""
        data = gzip.compress(line) if line and self._path.suffix == ".gz" else line
        with open_private(self._path, append=True) as file:
            while data:
                data = data[file.write(data) :]

    def _lose(self, count: int, why: str) -> None:
        self.lost += count
        if self.lost.bit_count() == 1:  # the 1st, 2nd, 4th, 8th, …: told, but never a flood
            fields: dict[str, object] = {"lost": self.lost, "tape": str(self._path), "reason": why}
            self._observe(Signal("tape_incomplete", Level.WARNING, fields=fields))
