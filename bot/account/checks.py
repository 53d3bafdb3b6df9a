"""From facts to findings, all of them, in the order in which a person mends them. Pure."""

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
    """Every requirement and limitation, one finding each, in sections.

    What can't be judged because of something else that is wrong gives no finding of its own.
    """
    return {title: list(part(facts)) for title, part in SECTIONS.items()}
