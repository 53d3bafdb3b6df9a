"""What the outcome of an API call says about key, app, API and rate limit. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bot.sunshine import LATE, Call
from bot.troubles import Troubles, What

APP_NOT_FOUND = "app"  # what the code of a 404 begins with if the app itself is unknown
CONTROL = frozenset({"release_control", "pass_control"})
"""Calls whose 403 says that an integration's key has no control of the conversation: the key is fine."""

_DOCTOR = "`switchboard-bot doctor` says which"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The key that calls are made with.

    Attributes:
        setting: the name of its setting, without `_ID`.
        app_scoped: a key that may act in any conversation of the app.
    """

    setting: str
    app_scoped: bool = False


def note_call(troubles: Troubles, call: Call, key: ApiKey) -> None:
    """Note what a call has shown. A call that was cancelled shows nothing."""
    what = trouble_of(call, key)
    if what is not None:
        where = key.setting if what is What.KEY else ""
        troubles.failed(what, _problem(what, call, key), _todo(what, key), where=where, status=call.status)
    if call.status is None or what is What.API:
        return
    troubles.works(What.API)
    if call.status < 300:
        troubles.works(What.RATE_LIMIT)
        troubles.works(What.APP)
        troubles.works(What.KEY, key.setting)


def note_late(troubles: Troubles, action: str, key: ApiKey) -> None:
    """Note that a call has had no answer for `LATE` seconds; what becomes of it is noted by `note_call`."""
    troubles.failed(What.API, f"{action}: no answer for {LATE:g} s", _todo(What.API, key))


def trouble_of(call: Call, key: ApiKey) -> What | None:
    """The kind of trouble that a call has met; None if it went well, or failed by what it asked for."""
    match call.status:
        case 401:
            return What.KEY
        case 403 if key.app_scoped or call.action not in CONTROL:
            return What.KEY
        case 404 if call.code.startswith(APP_NOT_FOUND):
            return What.APP
        case 429:
            return What.RATE_LIMIT
        case int(status) if 400 <= status < 500 and status != 408:
            return None
        case _:  # no answer, 5xx, a redirect, or a 200 that is no JSON
            return What.API if call.problem else None


def _problem(what: What, call: Call, key: ApiKey) -> str:
    if what is What.KEY:
        return f"the platform refuses {key.setting}: {call.problem}"
    return call.problem


def _todo(what: What, key: ApiKey) -> str:
    match what:
        case What.KEY:
            name = f"{key.setting}_ID and {key.setting}_SECRET"
            return f"Set {name} to a key that exists (`switchboard-bot setup` makes one), and restart the bot."
        case What.APP:
            return "Set SUNSHINE_APP_ID to the app's id, and restart the bot."
        case What.RATE_LIMIT:
            return "Nothing yet: the bot waits and tries again. If it lasts, ask Zendesk for a higher limit."
        case _:
            return f"Can this machine reach SUNSHINE_BASE_URL, and is it right? Is the platform up? {_DOCTOR}."
