"""From facts to findings, all of them, in the order in which a person mends them. Pure."""

from __future__ import annotations

from bot.account.checks_access import access
from bot.account.checks_account import feature, switchboard
from bot.account.checks_webhook import machine, webhook
from bot.account.facts import Facts
from bot.account.findings import Finding


def check(facts: Facts) -> list[Finding]:
    """Every requirement and limitation, one finding each.

    What can't be judged because of something else that is wrong gives no finding of its own.
    """
    return [finding for part in (access, feature, switchboard, webhook, machine) for finding in part(facts)]
