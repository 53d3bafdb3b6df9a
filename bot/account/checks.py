"""Turns facts into findings, in the order in which to fix them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from bot.account.checks_access import access
from bot.account.checks_account import feature, switchboard
from bot.account.checks_webhook import machine, webhook
from bot.account.facts import Facts
from bot.account.findings import Finding

SECTIONS: Final[Mapping[str, Callable[[Facts], Iterable[Finding]]]] = {
    "Access": access,
    "Ending conversations": feature,
    "Switchboard": switchboard,
    "Webhook": webhook,
    "This machine": machine,
}


def check(facts: Facts) -> dict[str, list[Finding]]:
    """Return one finding per requirement and limitation, in sections.

    A check that another error makes impossible yields no finding.
    """
    return {title: list(part(facts)) for title, part in SECTIONS.items()}
