"""Notices settings of the switchboard that let the bot wait for ever: another id than ours, or nobody ever active."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bot.troubles import Troubles, What
from webhooks.inbox import NewEvent

MESSAGES: Final = 5
"""Messages in which nobody was active, until that is no chance."""

_MESSAGE: Final = "conversation:message"
_SETTING: Final = "SUNSHINE_SWITCHBOARD_INTEGRATION"
_NOBODY: Final = "nobody is active"


class Mixups:
    """Looks at who is active when messages come in. Once that was the bot, all is well, and it looks no more.

    Args:
        me: id or name of the bot's switchboard integration, as the settings have it.
        troubles: is told of a mix-up, once.
    """

    def __init__(self, me: str, troubles: Troubles) -> None:
        self._me = me
        self._troubles = troubles
        self._is_well = False
        self._anybody = False
        self._without_anybody = 0
        self._told: set[str] = set()

    def look(self, events: Sequence[NewEvent]) -> None:
        """Look at events that were stored."""
        if self._is_well:
            return
        for event in events:
            if event.type == _MESSAGE and not self._is_well:
                self._take(_active_in(event.body))

    def _take(self, active: Mapping[str, Any] | None) -> None:
        if active is None:
            self._without_anybody += 1
            if self._without_anybody >= MESSAGES and not self._anybody:
                problem = f"messages come in, but nobody was active in any of the first {MESSAGES}"
                self._tell(_NOBODY, problem, "Run `switchboard-bot setup`: it enables the switchboard.")
            return
        self._anybody = True
        self._end(_NOBODY)
        if self._me in (active.get("id"), active.get("name")):
            self._is_well = True
            self._end(_SETTING)
        elif active.get("integrationId") == self._me:
            name = active.get("name") or active.get("id")
            problem = f"{_SETTING} is the id of an integration, and not of a switchboard integration"
            self._tell(_SETTING, problem, f"Set {_SETTING} to {name}, and restart the bot.")

    def _tell(self, where: str, problem: str, todo: str) -> None:
        if where not in self._told:
            self._told.add(where)
            self._troubles.failed(What.SWITCHBOARD, problem, todo, where=where)

    def _end(self, where: str) -> None:
        if where in self._told:
            self._troubles.works(What.SWITCHBOARD, where)


def _active_in(body: bytes) -> Mapping[str, Any] | None:
    """Who is active, as an event shows it; None: nobody."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    match event:
        case {"payload": {"conversation": {"activeSwitchboardIntegration": {**active}}}}:
            return {str(name): value for name, value in active.items()}
        case {"payload": {"conversation": dict()}}:
            return None
        case _:
            return {}
