"""Problem reports. The edge logs nothing itself: its owner supplies a report function."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import Literal

Report = Callable[[str, Literal["warning", "error"], Mapping[str, object]], None]
"""Called with a stable name in snake_case, a level, and details. Must not raise."""


def ignore(_: str, __: Literal["warning", "error"], ___: Mapping[str, object]) -> None:
    """Ignore a report."""


def type_and_place(error: Exception) -> dict[str, object]:
    """Return an exception's type and place, without its message, which may quote an event."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return {"error": type(error).__name__, "place": f"{frame.filename}:{frame.lineno}"}
