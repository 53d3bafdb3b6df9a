"""Checks of webhook, database and flows: can the bot receive and store events?"""

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
    """Check the webhook, its target, triggers and secret."""
    found = facts.webhook
    yield from _rotation(facts, found)
    if found is not None:
        yield _only_one(facts, found)
        yield from _target(facts, found)
        yield _triggers(found)
        yield from _secret(facts, found)
    elif isinstance(facts.account, Account):
        is_custom = facts.me and facts.me.type == CUSTOM
        mine = facts.account.custom(facts.me.integration_id) if facts.me and is_custom else None
        if mine is not None and not _reliefs(facts):
            what = "the bot's integration has none: the bot gets no events"
            yield wrong("webhook", what, SETUP)
    elif facts.own == ():
        what = "the integration of SUNSHINE_KEY has none: the bot gets no events"
        yield wrong("webhook", what, SETUP)


def machine(facts: Facts) -> Iterator[Finding]:
    """Check the database, the flows, and the running bot."""
    if facts.database:
        what, run, command = facts.database.partition(": run ")
        todo = f"Run {command}" if run else "Fix this, or set DATABASE_URL to another database"
        yield wrong("database", what.removeprefix("DATABASE_URL: "), f"{todo}.")
    elif "database_url" not in facts.problems:
        yield ok("database", "writable, with this version's schema")
    if facts.flows:
        todo = "Set FLOWS, OPENING_FLOW and CLOSING_FLOW to match your modules."
        yield wrong("flows", facts.flows, todo)
    elif "flows" not in facts.problems:
        opening = facts.settings.opening_flow or "none"
        closing = facts.settings.closing_flow or "none"
        if not facts.opens:
            done = _done_without_flow(facts.settings)
            what = f"no opening flow: every conversation is {done} at once, without a message"
            todo = "Set OPENING_FLOW to one of your flows, and FLOWS to its module."
            yield warn("flows", what, todo)
        else:
            yield ok("flows", f"all can be imported; opening: {opening}, closing: {closing}")
    yield from _waiting(facts)
    yield from _running(facts)


def _waiting(facts: Facts) -> Iterator[Finding]:
    """Check whether the waiting conversations could continue with the current flows."""
    name, number = "waiting_flows", len(facts.unfit)
    if number:
        what = f"{number} of {facts.waiting} waiting conversations don't fit the flows; the first is {facts.unfit[0]}"
        is_restart = facts.settings.flow_mismatch is FlowMismatch.RESTART
        result = "restarted" if is_restart else "handed over"
        todo = f"Run `switchboard-bot flows check` and fix the flows, or these are {result}."
        yield warn(name, what, todo)
    elif facts.waiting:
        yield ok(name, f"all {facts.waiting} waiting conversations fit the flows")
    elif facts.has_lifespan:
        hint = "`switchboard-bot flows check` checks them; it opens the flows' @lifespan"
        yield ok(name, f"not checked: {hint}")


def _running(facts: Facts) -> Iterator[Finding]:
    name = "running_bot"
    if facts.troubles is None:
        return
    if not facts.troubles:
        yield ok(name, "running on this machine, without ongoing troubles")
        return
    kinds = ", ".join(what.replace("_", " ") for what in facts.troubles)
    what = f"ongoing troubles: {kinds}"
    todo = "See trouble_began in its log, or the console, for what to do."
    act = set(facts.troubles) & MUST_ACT
    yield wrong(name, what, todo) if act else warn(name, what, todo)


def _done_without_flow(settings: Settings) -> str:
    if settings.control_mode is ControlMode.PASS:
        return f"passed to {settings.pass_to}"
    return "released"


def _rotation(facts: Facts, found: Webhook | None) -> Iterator[Finding]:
    """Check for an unfinished rotation of the webhook's secret."""
    if reliefs := _reliefs(facts):
        name = "webhook_rotation"
        todo = "Run `switchboard-bot setup --rotate webhook` to continue."
        what = f"not finished: {', '.join(reliefs)} also gets every event"
        if found is None:
            yield wrong(name, f"{what}, and the webhook itself has not been recreated", todo)
        else:
            yield warn(name, what, todo)


def _reliefs(facts: Facts) -> list[str]:
    if not isinstance(facts.account, Account):
        return []
    return [one.name for one in reliefs(facts.account, facts.me)]


def _only_one(facts: Facts, found: Webhook) -> Finding:
    name = "webhook"
    if isinstance(facts.account, Account):
        others = [
            custom.name or custom.id
            for custom in facts.account.posting_to(found.target)
            if all(one.id != found.id for one in custom.webhooks) and not is_relief(custom)
        ]
        if others:
            what = f"{', '.join(others)} also posts to {found.target}: events arrive twice, with another secret"
            return warn(name, what, f"Delete the unneeded one: {INTEGRATIONS}.")
    return ok(name, f"posts to {found.target}")


def _target(facts: Facts, found: Webhook) -> Iterator[Finding]:
    name, at = "webhook_target", facts.target
    todo = (
        "Start the bot (`switchboard-bot serve`) at the webhook's target, or run "
        "`switchboard-bot setup --public-url …`."
    )
    if is_hidden(found.target, facts.settings.sunshine_base_url):
        what = f"{found.target} is a local address, which the platform can't reach"
        yield wrong(name, what, "Run `switchboard-bot setup --public-url https://…`.")
    elif at is None:
        return
    elif at.problem:
        yield wrong(name, f"no answer at {found.target}: {at.problem}", todo)
    elif at.without_key == 401:
        if at.with_key in (200, 401, None):
            yield ok(name, "answers, and refuses deliveries without the secret")
        else:
            what = f"answers {at.with_key} to deliveries"
            yield wrong(name, what, "See the bot's log, and /readyz.")
    else:
        yield wrong(name, _not_the_bot(found, at, facts.webhook_path), todo)


def _not_the_bot(found: Webhook, at: Target, path: str) -> str:
    if not urlsplit(found.target).path.endswith(path):
        answer = f"{found.target} answers {at.without_key} to deliveries"
        return f"{answer}: the bot receives them at {path}"
    health = "" if at.health in (200, None) else f" (and {at.health} at /healthz)"
    answer = f"{found.target} answers {at.without_key} to a delivery without a secret"
    return f"{answer}{health}: is this the bot?"


def _triggers(found: Webhook) -> Finding:
    missing = [trigger for trigger in TRIGGERS if trigger not in found.triggers]
    if missing:
        what = f"missing: {', '.join(missing)}"
        return wrong("webhook_triggers", what, SETUP)
    return ok("webhook_triggers", f"all {len(TRIGGERS)} required ones are on")


def _secret(facts: Facts, found: Webhook) -> Iterator[Finding]:
    name = "webhook_secret"
    if "sunshine_webhook_secret" in facts.problems:
        return
    known = [secret.get_secret_value() for secret in facts.settings.sunshine_webhook_secret]
    if not found.secret:
        what = "not checked: the platform does not show the webhook's secret"
        yield warn(name, what, f"Compare SUNSHINE_WEBHOOK_SECRET with it: {INTEGRATIONS}.")
    elif found.secret not in known:
        what = "SUNSHINE_WEBHOOK_SECRET differs from the webhook's secret: the bot would refuse every delivery"
        yield wrong(name, what, f"{SETUP[:-1]}, and restart the bot.")
    elif facts.target and facts.target.without_key == 401 and facts.target.with_key == 401:
        what = "the settings have the webhook's secret, but the running bot refuses it"
        yield wrong(name, what, "Restart the bot: it was started with another secret.")
    else:
        more = f", and {len(known) - 1} more" if len(known) > 1 else ""
        yield ok(name, f"the bot knows it{more}")


def is_hidden(target: str, base_url: str) -> bool:
    """Return whether the platform can't reach a target. A sandbox reaches local addresses."""
    return not _is_private(base_url) and _is_private(target)


def _is_private(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    return not address.is_global
