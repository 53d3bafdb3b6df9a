"""Selects the events to export, for both engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from bot.store.rows import EVENT
from bot.store.times import to_micros

State = Literal["pending", "handled", "set_aside"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events to export. Empty and None mean all. `since` is inclusive, `until` exclusive."""

    conversations: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    state: State | None = None

    def query(self, after: tuple[int, int] | None = None) -> tuple[str, list[Any]]:
        """Return SQL for rows of `seq` and `EVENT` in order of arrival, and its values.

        Args:
            after: only what comes after this time and `seq`.
        """
        # What the platform has posted. Of what was given to several conversations, the copies have the body.
        conditions: list[tuple[str, list[Any]]] = [("length(body) > 0 AND NOT by_operator", [])]
        if after:
            conditions.append(("(received_at, seq) > (CAST(? AS bigint), CAST(? AS bigint))", [*after]))
        conditions += [
            (f"received_at {sign} ?", [to_micros(at)]) for sign, at in ((">=", self.since), ("<", self.until)) if at
        ]
        if self.state:
            conditions.append(("status = ?", [self.state]))
        if self.conversations:
            conditions.append(("conversation_id IN (SELECT value FROM json_each(?))", [list(self.conversations)]))
        where = " AND ".join(condition for condition, _ in conditions)
        query = f"SELECT seq, {EVENT} FROM inbox WHERE {where} ORDER BY received_at, seq"  # noqa: S608 - only constants
        return query, [value for _, values in conditions for value in values]
