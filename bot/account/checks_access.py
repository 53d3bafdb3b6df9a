"""Checks of the access to the platform: settings, base URL, clock, app and keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from bot.account import own_key
from bot.account.facts import Facts
from bot.account.findings import Finding, ok, warn, wrong
from bot.account.reading import CUSTOM, Account
from bot.account.requirements import APP_KEYS, INTEGRATIONS
from bot.sunshine import Gone, NotOurs, SunshineError, Unauthorized

WRITTEN_BY_SETUP: Final = ("SUNSHINE_", "CONTROL_MODE")
CLOCK_WARNING: Final = timedelta(seconds=5)
CLOCK_ERROR: Final = timedelta(minutes=1)
"""A read is dated with the platform's time or ours, whichever is earlier: with a slow clock,
proofs look old."""


def access(facts: Facts) -> Iterator[Finding]:
    """Check settings, base URL, clock, app and keys."""
    yield from _settings(facts)
    yield from _base_url(facts)
    yield from _clock(facts)
    if facts.platform and not facts.platform.problem:
        yield from _app(facts)
        if not _has_no_app(facts):
            yield from _app_key(facts)
            yield from _integration_key(facts)


def _settings(facts: Facts) -> Iterator[Finding]:
    if not facts.problems:
        yield ok("settings", "complete")
    for line in facts.unknown:
        what, _, todo = line.rpartition(": ")
        yield warn("settings", what, f"{todo[:1].upper()}{todo[1:]}.")
    for line in dict.fromkeys(facts.problems.values()):
        what, _, hint = line.partition(". ")
        by_hand = hint or "Correct it in the environment or in .env."
        by_setup = f"Run `switchboard-bot setup`, or: {by_hand}"
        is_written = what.startswith(WRITTEN_BY_SETUP)
        yield wrong("settings", what, by_setup if is_written else by_hand)


def _base_url(facts: Facts) -> Iterator[Finding]:
    url = facts.settings.sunshine_base_url
    if facts.platform is None:
        return
    if facts.platform.problem:
        todo = "Set SUNSHINE_BASE_URL to https://<subdomain>.zendesk.com/sc, and allow this machine to reach it."
        yield wrong("base_url", f"{url}: {facts.platform.problem}", todo)
    else:
        yield ok("base_url", f"{url} is the API, reached {facts.platform.way}")


def _clock(facts: Facts) -> Iterator[Finding]:
    if facts.platform is None or facts.platform.clock_ahead is None:
        return
    ahead = facts.platform.clock_ahead
    seconds = abs(ahead).total_seconds()
    where = "ahead of" if ahead > timedelta() else "behind"
    what = f"this machine's clock is {seconds:.0f} s {where} the platform's"
    todo = "Synchronise the clock with NTP: events are ordered by time."
    if abs(ahead) > CLOCK_ERROR:
        yield wrong("clock", what, todo)
    elif abs(ahead) > CLOCK_WARNING:
        yield warn("clock", what, todo)
    else:
        yield ok("clock", "agrees with the platform's clock")


def _has_no_app(facts: Facts) -> bool:
    if isinstance(facts.account, Gone):
        return True
    own = facts.own
    return facts.account is None and isinstance(own, Gone) and own.code.startswith("app")


def _app(facts: Facts) -> Iterator[Finding]:
    if "sunshine_app_id" in facts.problems:
        return
    if _has_no_app(facts):
        what = f"the key can't see an app {facts.settings.sunshine_app_id}"
        yield wrong("app", what, f"Set SUNSHINE_APP_ID to the app's id: see {APP_KEYS}.")
    elif isinstance(facts.account, Account) or isinstance(facts.own, tuple):
        yield ok("app", f"{facts.settings.sunshine_app_id} exists")


def _app_key(facts: Facts) -> Iterator[Finding]:
    settings, name = facts.settings, "app_key"
    match facts.account:
        case None if not settings.has_app_key and "sunshine_app_key_secret" not in facts.problems:
            what = (
                "not set: the bot can't release ended conversations that others hold, and the "
                "account's settings and switchboard were not checked"
            )
            yield warn(name, what, f"Set {_APP_KEY_SETTINGS}: {APP_KEYS}.")
        case Account():
            yield ok(name, "works, and may read the account")
        case Unauthorized():
            todo = f"Set {_APP_KEY_SETTINGS} to an existing key: {APP_KEYS}."
            yield wrong(name, _REJECTED, todo)
        case NotOurs():
            todo = f"Use an app-scoped key (app_…) of the app SUNSHINE_APP_ID: {APP_KEYS}."
            yield wrong(name, "may not read this app's account", todo)
        case SunshineError() as error:
            yield wrong(name, f"the account can't be read: {error}", _TRY_AGAIN)
        case None:  # reported with the settings
            return


_APP_KEY_SETTINGS: Final = "SUNSHINE_APP_KEY_ID and SUNSHINE_APP_KEY_SECRET"
_REJECTED: Final = "the platform rejects this key or its secret"
_TRY_AGAIN: Final = "Try again: the platform returned an error."


def _integration_key(facts: Facts) -> Iterator[Finding]:
    settings, name = facts.settings, "integration_key"
    if {"sunshine_key_id", "sunshine_key_secret"} & facts.problems.keys():
        return
    if not settings.has_integration_key:
        what = "SUNSHINE_KEY_ID is app-scoped" if settings.sunshine_key_id else "not set"
        why = (
            "the platform can't refuse a late release, so an integration that takes over between "
            "a read and a release loses control"
        )
        todo = "Run `switchboard-bot setup` to create a key of the integration (int_…)."
        yield warn(name, f"{what}: {why}", todo)
        return
    match facts.own:
        case Unauthorized():
            todo = (
                "Run `switchboard-bot setup` to create a new one, or set SUNSHINE_KEY_ID and "
                f"SUNSHINE_KEY_SECRET ({INTEGRATIONS})."
            )
            yield wrong(name, _REJECTED, todo)
        case NotOurs() if facts.me and facts.me.type == CUSTOM:
            what = f"not a key of {facts.me.name}: the bot could not release anything"
            yield wrong(name, what, "Run `switchboard-bot setup` to create the right key.")
        case None | Gone() | NotOurs() | tuple():
            yield from _key_rotation(facts)
            whose = f", and belongs to {facts.me.name}" if facts.me and facts.own else ""
            yield ok(name, f"works{whose}")
        case SunshineError() as error:
            yield wrong(name, f"can't be tested: {error}", _TRY_AGAIN)


def _key_rotation(facts: Facts) -> Iterator[Finding]:
    mine = facts.settings.sunshine_key_id
    found = own_key.standing(facts.keys or (), mine)
    todo = "Run `switchboard-bot setup --rotate key` to continue."
    if found.old:
        what = f"not finished: the old key {found.old} still works, in addition to {mine}"
        yield warn("key_rotation", what, todo)
    elif found.unused:
        new = ", ".join(found.unused)
        what = f"not finished: {new} replaces {mine}, which is still in the settings"
        yield warn("key_rotation", what, todo)
