"""Keeps what strangers send out of the log, and what keeps failing from filling it."""

from __future__ import annotations

import logging
import traceback

from aiohttp.http_exceptions import HttpProcessingError

from bot.rarely import Told, worth_telling


class Complaints(logging.Filter):
    """Passes the 1st, 2nd, 4th, 8th, … record of a kind; none about a request that is not HTTP."""

    def __init__(self) -> None:
        super().__init__()
        self._told = Told()

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide whether a record goes to the log."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            return False
        frames = traceback.extract_tb(error.__traceback__) if error else []
        place = (frames[-1].filename, frames[-1].lineno) if frames else None
        return bool(worth_telling(self._told, (record.msg, type(error), place)))
