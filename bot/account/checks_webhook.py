"""Do events reach the bot, and can it keep them? Webhook, database, flows."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from bot.account.checks_account import SETUP
from bot.account.facts import Facts, Target
from bot.account.findings import Finding, ok, warn, wrong
from bot.account.plan import is_relief
from bot.account.reading import CUSTOM, Account, Webhook
from bot.account.requirements import INTEGRATIONS, TRIGGERS
from bot.account.rotation import reliefs
from bot.settings import ControlMode, FlowMismatch, Settings
from bot.troubles import MUST_ACT


def webhook(facts: Facts) -> Iterator[Finding]:
    """The webhook, its target, triggers and secret."""
    found = facts.webhook
    yield from _rotation(facts, found)
    if found is not None:
        yield _only_one(facts, found)
        yield from _target(facts, found)
        yield _triggers(found)
        yield from _secret(facts, found)
    elif isinstance(facts.account, Account):
        mine = facts.account.custom(facts.me.integration_id) if facts.me and facts.me.type == CUSTOM else None
        if mine is not None and not _reliefs(facts):
            yield wrong("webhook", "the bot's integration has none: no event ever reaches the bot", SETUP)
    elif facts.own == ():
        yield wrong("webhook", "the integration of SUNSHINE_KEY has none: no event ever reaches the bot", SETUP)


def machine(facts: Facts) -> Iterator[Finding]:
    """What the bot needs here."""
    if facts.database:
        what, run, todo = facts.database.partition(": run ")
        mend = f"Run {todo}" if run else "Mend that, or set DATABASE_URL to another one"
        yield wrong("database", what.removeprefix("DATABASE_URL: "), f"{mend}.")
    elif "database_url" not in facts.problems:
        yield ok("database", "it can be written to, and is at this version's schema")
    if facts.flows:
        yield wrong("flows", facts.flows, "Set FLOWS, OPENING_FLOW and CLOSING_FLOW to what your modules hold.")
    elif "flows" not in facts.problems:
        opening, closing = facts.settings.opening_flow or "none", facts.settings.closing_flow or "none"
        if not facts.opens:
            what = f"no flow serves users: every conversation is {_handed_on(facts.settings)} at once, without a word"
            yield warn("flows", what, "Set OPENING_FLOW to a flow of yours, and FLOWS to its module.")
        else:
            yield ok("flows", f"all of them can be imported; opening: {opening}, closing: {closing}")
    yield from _waiting(facts)
    yield from _running(facts)


def _waiting(facts: Facts) -> Iterator[Finding]:
    """Would those who wait in a flow go on with the flows at hand?"""
    name, number = "waiting_flows", len(facts.unfit)
    if number:
        what = f"{number} of {facts.waiting} waiting conversations don't fit the flows; the first is {facts.unfit[0]}"
        becomes = "begun anew" if facts.settings.flow_mismatch is FlowMismatch.RESTART else "handed over"
        yield warn(name, what, f"Run `switchboard-bot flows check` and mend the flows, or these are {becomes}.")
    elif facts.waiting:
        yield ok(name, f"all {facts.waiting} conversations that wait in a flow fit the flows")
    elif facts.has_lifespan:
        yield ok(name, "not looked at: `switchboard-bot flows check` does it, and opens the flows' @lifespan for it")


def _running(facts: Facts) -> Iterator[Finding]:
    name = "running_bot"
    if facts.troubles is None:
        return
    if not facts.troubles:
        yield ok(name, "it runs here, and has no trouble that lasts")
        return
    what = f"it has trouble with: {', '.join(what.replace('_', ' ') for what in facts.troubles)}"
    todo = "Look for trouble_began in its log, or at the console: each says what to do."
    act = set(facts.troubles) & MUST_ACT
    yield wrong(name, what, todo) if act else warn(name, what, todo)


def _handed_on(settings: Settings) -> str:
    return f"passed to {settings.pass_to}" if settings.control_mode is ControlMode.PASS else "released"


def _rotation(facts: Facts, found: Webhook | None) -> Iterator[Finding]:
    """Was a rotation of the webhook's secret begun and not finished?"""
    if reliefs := _reliefs(facts):
        name, todo = "webhook_rotation", "Run `switchboard-bot setup --rotate webhook`: it goes on from there."
        what = f"it is not finished: {', '.join(reliefs)} hears every event as well"
        if found is None:
            yield wrong(name, f"{what}, and the webhook itself is still to be made anew", todo)
        else:
            yield warn(name, what, todo)


def _reliefs(facts: Facts) -> list[str]:
    return [one.name for one in reliefs(facts.account, facts.me)] if isinstance(facts.account, Account) else []


def _only_one(facts: Facts, found: Webhook) -> Finding:
    name = "webhook"
    if isinstance(facts.account, Account):
        others = [
            custom.name or custom.id
            for custom in facts.account.posting_to(found.target)
            if all(one.id != found.id for one in custom.webhooks) and not is_relief(custom)
        ]
        if others:
            what = f"{', '.join(others)} posts to {found.target} as well: events come twice, and with another secret"
            return warn(name, what, f"Delete the one that is not needed: {INTEGRATIONS}.")
    return ok(name, f"there is one, to {found.target}")


def _target(facts: Facts, found: Webhook) -> Iterator[Finding]:
    name, at = "webhook_target", facts.target
    start = "Start the bot (`switchboard-bot serve`) where the webhook points, or run"
    todo = f"{start} `switchboard-bot setup --public-url …`."
    if is_hidden(found.target, facts.settings.sunshine_base_url):
        what = f"{found.target} is an address of this machine or its network, which the platform can't reach"
        yield wrong(name, what, "Run `switchboard-bot setup --public-url https://…`.")
    elif at is None:
        return
    elif at.problem:
        yield wrong(name, f"nothing answers at {found.target}: {at.problem}", todo)
    elif at.without_key == 401:
        if at.with_key in (200, 401, None):
            yield ok(name, "it answers, and refuses what comes without the secret")
        else:
            yield wrong(name, f"it answers {at.with_key} to deliveries", "Look at the bot's log, and at /readyz.")
    else:
        yield wrong(name, _not_the_bot(found, at, facts.webhook_path), todo)


def _not_the_bot(found: Webhook, at: Target, path: str) -> str:
    if not urlsplit(found.target).path.endswith(path):
        return f"{found.target} answers {at.without_key} to deliveries: the bot takes them at {path}"
    health = "" if at.health in (200, None) else f" (and {at.health} at /healthz)"
    return f"{found.target} answers {at.without_key} to a delivery without a secret{health}: is this the bot?"


def _triggers(found: Webhook) -> Finding:
    missing = [trigger for trigger in TRIGGERS if trigger not in found.triggers]
    if missing:
        what = f"the webhook is not told of {', '.join(missing)}"
        return wrong("webhook_triggers", what, SETUP)
    return ok("webhook_triggers", f"all {len(TRIGGERS)} that the bot needs are on")


def _secret(facts: Facts, found: Webhook) -> Iterator[Finding]:
    name = "webhook_secret"
    if "sunshine_webhook_secret" in facts.problems:
        return
    known = [secret.get_secret_value() for secret in facts.settings.sunshine_webhook_secret]
    if not found.secret:
        what = "the platform does not show the webhook's secret, so it could not be compared"
        yield warn(name, what, f"Compare SUNSHINE_WEBHOOK_SECRET with it: {INTEGRATIONS}.")
    elif found.secret not in known:
        what = "SUNSHINE_WEBHOOK_SECRET is not the webhook's: the bot would refuse every delivery"
        yield wrong(name, what, f"{SETUP[:-1]}, and restart the bot.")
    elif facts.target is not None and facts.target.without_key == 401 and facts.target.with_key == 401:
        what = "the settings have the webhook's secret, but the running bot refuses it"
        yield wrong(name, what, "Restart the bot: it was started with another secret.")
    else:
        yield ok(name, "the bot knows it" + (f", and {len(known) - 1} more" if len(known) > 1 else ""))


def is_hidden(target: str, base_url: str) -> bool:
    """Does a target lie where the platform of that base URL can't reach it? (A sandbox on this machine can.)"""
    return not _is_private(base_url) and _is_private(target)


def _is_private(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    return not address.is_global
