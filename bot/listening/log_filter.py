"""A log filter for aiohttp's errors: drops invalid HTTP, and samples recurring errors."""

from __future__ import annotations

import logging
import traceback

from aiohttp.http_exceptions import HttpProcessingError

from bot.log_sampling import Occurrences, count_to_log


class SamplingFilter(logging.Filter):
    """Passes the 1st, 2nd, 4th, 8th, … record of a kind, and none about invalid HTTP."""

    def __init__(self) -> None:
        super().__init__()
        self._counts = Occurrences()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            return False
        frames = traceback.extract_tb(error.__traceback__) if error else []
        place = (frames[-1].filename, frames[-1].lineno) if frames else None
        return bool(count_to_log(self._counts, (record.msg, type(error), place)))
