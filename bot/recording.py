"""Recording: accepted deliveries are appended to a tape, by a thread of its own that intake never waits for."""

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
"""Deliveries that may wait to be written; with more, the newest are left out of the tape (and counted)."""


class Recorder:
    """Appends deliveries to a tape. Neither a slow nor a full disk ever reaches the caller.

    Args:
        path: the tape; made if it is not there, readable by this user alone, since it holds what people said.
        observe: gets `tape_incomplete`, from any thread.
        waiting_limit: deliveries that may wait to be written.

    Attributes:
        lost: deliveries that are not on the tape, because too many waited or the file could not be written.
    """

    def __init__(self, path: Path, observe: Observe = silent, waiting_limit: int = WAITING_LIMIT) -> None:
        self.lost = 0
        self._path = path
        self._observe = observe
        self._waiting: queue.Queue[tuple[datetime, bytes] | None] = queue.Queue(waiting_limit)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin. Raises `TapeError` if the file can't be written."""
        try:
            self._append(b"")
        except OSError as error:
            raise TapeError(self._path, None, f"it can't be written: {error.strerror or error}") from None
        self._thread = threading.Thread(target=self._write, name="tape recorder", daemon=True)
        self._thread.start()

    def take(self, at: datetime, body: bytes) -> None:
        """Record a delivery that came at `at`. Never blocks, never raises."""
        try:
            self._waiting.put_nowait((at, body))
        except queue.Full:
            self._lose(1, "too many deliveries wait to be written")

    def stop(self, patience: float = 5.0) -> None:
        """Write what waits, for at most `patience` seconds, and end."""
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
            except Exception as error:  # noqa: BLE001 - recording must never end the bot, nor its own thread
                self._lose(1, f"{type(error).__name__}: {error}")

    def _append(self, line: bytes) -> None:
        """Append a whole line in one write: several processes may append to the same tape."""
        data = gzip.compress(line) if line and self._path.suffix == ".gz" else line
        with open_private(self._path, append=True) as file:
            while data:
                data = data[file.write(data) :]

    def _lose(self, count: int, why: str) -> None:
        self.lost += count
        if self.lost.bit_count() == 1:  # the 1st, 2nd, 4th, 8th, …: told, but never a flood
            fields: dict[str, object] = {"lost": self.lost, "tape": str(self._path), "reason": why}
            self._observe(Signal("tape_incomplete", Level.WARNING, fields=fields))
