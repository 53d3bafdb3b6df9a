"""Detects switchboard misconfiguration from events: a wrong id, or nobody ever active."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bot.troubles import Troubles, What
from webhooks.inbox import NewEvent

MIN_MESSAGES: Final = 5
"""Messages without an active integration after which this counts as misconfiguration."""

_MESSAGE: Final = "conversation:message"
_SETTING: Final = "SUNSHINE_SWITCHBOARD_INTEGRATION"
_NOBODY: Final = "nobody is active"


class SwitchboardCheck:
    """Checks the active integration of incoming messages until it is the bot once.

    Args:
        me: id or name of the bot's switchboard integration in the settings.
        troubles: receives each misconfiguration once.
    """

    def __init__(self, me: str, troubles: Troubles) -> None:
        self._me = me
        self._troubles = troubles
        self._is_ok = False
        self._any_active = False
        self._none_active = 0  # messages
        self._reported: set[str] = set()

    def look(self, events: Sequence[NewEvent]) -> None:
        """Check stored events."""
        if self._is_ok:
            return
        for event in events:
            if event.type == _MESSAGE and not self._is_ok:
                self._check(_active_in(event.body))

    def _check(self, active: Mapping[str, Any] | None) -> None:
        if active is None:
            self._none_active += 1
            if self._none_active >= MIN_MESSAGES and not self._any_active:
                problem = f"nobody was active in any of the first {MIN_MESSAGES} messages"
                todo = "Run `switchboard-bot setup` to enable the switchboard."
                self._fail(_NOBODY, problem, todo)
            return
        self._any_active = True
        self._clear(_NOBODY)
        if self._me in (active.get("id"), active.get("name")):
            self._is_ok = True
            self._clear(_SETTING)
        elif active.get("integrationId") == self._me:
            name = active.get("name") or active.get("id")
            problem = f"{_SETTING} is the id of an integration, not of a switchboard integration"
            self._fail(_SETTING, problem, f"Set {_SETTING} to {name}, and restart the bot.")

    def _fail(self, where: str, problem: str, todo: str) -> None:
        if where not in self._reported:
            self._reported.add(where)
            self._troubles.failed(What.SWITCHBOARD, problem, todo, where=where)

    def _clear(self, where: str) -> None:
        if where in self._reported:
            self._troubles.works(What.SWITCHBOARD, where)


def _active_in(body: bytes) -> Mapping[str, Any] | None:
    """Return the active integration in an event; None if nobody is, {} if it is unknown."""
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
