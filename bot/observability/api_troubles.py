"""Derives troubles with key, app, API or rate limit from the outcome of API calls. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bot.sunshine import LATE, Call
from bot.troubles import Troubles, What

APP_NOT_FOUND = "app"  # prefix of the error code of a 404 if the app itself is unknown
CONTROL = frozenset({"release_control", "pass_control"})
"""Calls where 403 means that an integration's key has no control. The key itself is fine."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The API key of a call.

    Attributes:
        setting: the name of its setting, without `_ID`.
        app_scoped: whether the key may act in any conversation of the app.
    """

    setting: str
    app_scoped: bool = False


def note_call(troubles: Troubles, call: Call, key: ApiKey) -> None:
    """Record the outcome of a call. Ignores cancelled calls."""
    what = trouble_of(call, key)
    if what is not None:
        where = key.setting if what is What.KEY else ""
        problem, todo = _problem(what, call, key), _todo(what, key)
        troubles.failed(what, problem, todo, where=where, status=call.status)
    if call.status is None or what is What.API:
        return
    troubles.works(What.API)
    if call.status < 300:
        troubles.works(What.RATE_LIMIT)
        troubles.works(What.APP)
        troubles.works(What.KEY, key.setting)


def note_late(troubles: Troubles, action: str, key: ApiKey) -> None:
    """Record a call without an answer for `LATE` seconds. `note_call` records its outcome."""
    troubles.failed(What.API, f"{action}: no answer for {LATE:g} s", _todo(What.API, key))


def trouble_of(call: Call, key: ApiKey) -> What | None:
    """Return the kind of trouble of a call; None for success or an error in the request."""
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
        case _:  # no answer, 5xx, a redirect, or a 200 that is not JSON
            return What.API if call.problem else None


def _problem(what: What, call: Call, key: ApiKey) -> str:
    if what is What.KEY:
        return f"the platform refuses {key.setting}: {call.problem}"
    return call.problem


def _todo(what: What, key: ApiKey) -> str:
    match what:
        case What.KEY:
            name = f"{key.setting}_ID and {key.setting}_SECRET"
            setup = "`switchboard-bot setup` creates one"
            return f"Set {name} to an existing key ({setup}), and restart the bot."
        case What.APP:
            return "Set SUNSHINE_APP_ID to the app's id, and restart the bot."
        case What.RATE_LIMIT:
            return "None yet: the bot retries. If it persists, ask Zendesk for a higher limit."
        case _:
            return (
                "Check whether this machine can reach SUNSHINE_BASE_URL, and whether the platform "
                "is up: run `switchboard-bot doctor`."
            )
