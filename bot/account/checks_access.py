"""Can the bot talk to the platform? Settings, base URL, clock, app and keys."""

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
CLOCK_WARNS: Final = timedelta(seconds=5)
CLOCK_WRONG: Final = timedelta(minutes=1)
"""A read counts from the platform's time or ours, whichever is less: a clock that is behind makes proofs look old."""


def access(facts: Facts) -> Iterator[Finding]:
    """Settings, base URL, clock, app and keys."""
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
        by_hand = hint or "Mend it in the environment or in .env."
        is_written = what.startswith(WRITTEN_BY_SETUP)
        yield wrong("settings", what, f"Run `switchboard-bot setup`, or: {by_hand}" if is_written else by_hand)


def _base_url(facts: Facts) -> Iterator[Finding]:
    url = facts.settings.sunshine_base_url
    if facts.platform is None:
        return
    if facts.platform.problem:
        todo = "Set SUNSHINE_BASE_URL to https://<subdomain>.zendesk.com/sc, and let this machine reach it."
        yield wrong("base_url", f"{url}: {facts.platform.problem}", todo)
    else:
        yield ok("base_url", f"{url} is the API, reached {facts.platform.way}")


def _clock(facts: Facts) -> Iterator[Finding]:
    if facts.platform is None or facts.platform.clock_ahead is None:
        return
    ahead = facts.platform.clock_ahead
    seconds = abs(ahead).total_seconds()
    what = f"this machine's clock is {seconds:.0f} s {'ahead of' if ahead > timedelta() else 'behind'} the platform's"
    todo = "Let the machine keep its time by NTP: what the platform tells is put in order by time."
    if abs(ahead) > CLOCK_WRONG:
        yield wrong("clock", what, todo)
    elif abs(ahead) > CLOCK_WARNS:
        yield warn("clock", what, todo)
    else:
        yield ok("clock", "it agrees with the platform's")


def _has_no_app(facts: Facts) -> bool:
    if isinstance(facts.account, Gone):
        return True
    return facts.account is None and isinstance(facts.own, Gone) and facts.own.code.startswith("app")


def _app(facts: Facts) -> Iterator[Finding]:
    if "sunshine_app_id" in facts.problems:
        return
    if _has_no_app(facts):
        what = f"there is no app {facts.settings.sunshine_app_id} that the key can see"
        yield wrong("app", what, f"Set SUNSHINE_APP_ID to the app's id: {APP_KEYS} shows it.")
    elif isinstance(facts.account, Account) or isinstance(facts.own, tuple):
        yield ok("app", f"{facts.settings.sunshine_app_id} is there")


def _app_key(facts: Facts) -> Iterator[Finding]:
    settings, name = facts.settings, "app_key"
    match facts.account:
        case None if not settings.has_app_key and "sunshine_app_key_secret" not in facts.problems:
            what = "there is none: what others hold after a user's end can't be released, and settings and "
            todo = f"Set SUNSHINE_APP_KEY_ID and SUNSHINE_APP_KEY_SECRET: {APP_KEYS}."
            yield warn(name, f"{what}switchboard of the account were not checked", todo)
        case Account():
            yield ok(name, "it works, and may read the account")
        case Unauthorized():
            todo = f"Set SUNSHINE_APP_KEY_ID and SUNSHINE_APP_KEY_SECRET to a key that exists: {APP_KEYS}."
            yield wrong(name, "the platform does not know this key, or its secret is wrong", todo)
        case NotOurs():
            todo = f"Use an app-scoped key (app_…) of the app SUNSHINE_APP_ID: {APP_KEYS}."
            yield wrong(name, "it may not read this app's account", todo)
        case SunshineError() as error:
            yield wrong(name, f"the account can't be read: {error}", "Try again; the platform did not answer as usual.")
        case None:  # the settings say why
            return


def _integration_key(facts: Facts) -> Iterator[Finding]:
    settings, name = facts.settings, "integration_key"
    if {"sunshine_key_id", "sunshine_key_secret"} & facts.problems.keys():
        return
    if not settings.has_integration_key:
        what = "SUNSHINE_KEY_ID is app-scoped" if settings.sunshine_key_id else "there is none"
        why = (
            "the platform can't refuse a late release, so whoever takes over between a read and a release loses control"
        )
        yield warn(name, f"{what}: {why}", "Run `switchboard-bot setup`: it makes a key of the integration (int_…).")
        return
    match facts.own:
        case Unauthorized():
            todo = "Run `switchboard-bot setup`, which makes a new one, or set SUNSHINE_KEY_ID and SUNSHINE_KEY_SECRET"
            yield wrong(
                name, "the platform does not know this key, or its secret is wrong", f"{todo} ({INTEGRATIONS})."
            )
        case NotOurs() if facts.me and facts.me.type == CUSTOM:
            what = f"it belongs to another integration than {facts.me.name}: the bot could release nothing"
            yield wrong(name, what, "Run `switchboard-bot setup`: it makes a key of the right one.")
        case None | Gone() | NotOurs() | tuple():
            yield from _key_rotation(facts)
            yield ok(name, "it works" + (f", and belongs to {facts.me.name}" if facts.me and facts.own else ""))
        case SunshineError() as error:
            yield wrong(name, f"it can't be tried: {error}", "Try again; the platform did not answer as usual.")


def _key_rotation(facts: Facts) -> Iterator[Finding]:
    mine = facts.settings.sunshine_key_id
    found = own_key.standing(facts.keys or (), mine)
    todo = "Run `switchboard-bot setup --rotate key`: it goes on from there."
    if found.old:
        yield warn("key_rotation", f"it is not finished: the old key {found.old} still works beside {mine}", todo)
    elif found.unused:
        what = (
            f"it is not finished: {', '.join(found.unused)} was made in place of {mine}, which the settings still name"
        )
        yield warn("key_rotation", what, todo)
