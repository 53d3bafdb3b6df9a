"""Release by hand: predicts for an operator what the rules will do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bot.control.policy import Policy
from bot.control.state import Conversation, Holder, Who


class Consequence(StrEnum):
    """Effect of a release by hand."""

    RELEASE = "release"  # release what the bot holds
    LOOK = "look"  # read who is active; after an end, release what is still held
    TAKE = "take"  # take a live conversation from another, once confirmed
    NOTHING = "nothing"  # nothing can be done


@dataclass(frozen=True, slots=True)
class Prospect:
    """Predicted result of asking for a release now.

    Attributes:
        consequence: the effect in one word.
        words: explanation for the operator, in whole sentences.
        against: id of the integration that would lose control (`TAKE` only); the
            operator must name it to confirm.
    """

    consequence: Consequence
    words: str
    against: str | None = None


def prospect(state: Conversation, policy: Policy) -> Prospect:
    """Predict what a release by hand does, from all that is known now.

    Control is never taken from an agent unless the operator confirms it.
    """
    holder, ended = state.holder, state.ended is not None and not state.ended.proof
    if state.gone:
        return Prospect(Consequence.NOTHING, "The conversation has been removed from the platform.")
    match holder.who:
        case Who.BOT:
            words = "The bot holds control. It stops its flow, drops what it has not said yet, and releases control."
            return Prospect(Consequence.RELEASE, words)
        case Who.UNKNOWN if policy.integration_key:
            words = (
                "It is not known who holds control. The bot releases it; the platform refuses that if it is another's."
            )
            return Prospect(Consequence.RELEASE, words)
        case Who.OTHER:
            return _while_another_holds(holder, policy, ended=ended)
        case _:
            known = "Nobody holds control" if holder.who is Who.NOBODY else "It is not known who holds control"
            words = f"{known}. The bot reads who is active, and does what its rules then say."
            return Prospect(Consequence.LOOK, words)


def _while_another_holds(holder: Holder, policy: Policy, *, ended: bool) -> Prospect:
    """Predict a release by hand while another integration holds control."""
    if ended:
        then = "releases it with the app key" if policy.app_key else "can't release it: that takes an app key"
        words = f"The user has ended the conversation, and {holder} holds control. The bot reads at once who is active"
        return Prospect(Consequence.LOOK, f"{words}. If it is still {holder}, the bot {then}.")
    if not policy.app_key:
        words = f"{holder} holds control. The bot can't release what others hold: that takes an app key"
        return Prospect(
            Consequence.NOTHING,
            f"{words} (SUNSHINE_APP_KEY_ID and SUNSHINE_APP_KEY_SECRET).",
        )
    words = (
        f"{holder} holds control, and the user has not ended the conversation: an agent may be talking with "
        f"them right now. If you confirm, the bot reads who is active and, if it is still {holder}, takes "
        "control away from them and releases it."
    )
    return Prospect(Consequence.TAKE, words, holder.integration.id if holder.integration else None)
