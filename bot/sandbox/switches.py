"""Every unknown of the platform as a switch: the bot has to keep its guarantee in each position of each of them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal


def _switch(*positions: object) -> Any:
    """A field that stands in the first of its positions, the most documented reading, unless told otherwise."""
    return field(default=positions[0], metadata={"positions": positions})


@dataclass(frozen=True, slots=True)
class Switches:
    """How this copy of the platform behaves where Zendesk's documents leave it open (sections of docs/platform.md).

    Attributes:
        mode: the account's *Conversation control* setting (section 3).
        deliver_standby_events: what the bot's switchboard integration is created with (section 1).
        event_to_releaser: does the integration that released or lost control hear that event?
        end_order: which comes first when a session ends, the system message or the move of control? Holds for the
            user's end, a closed ticket and a transfer to e-mail.
        end_message: how the webhook shows system messages. `activity`: complete. `subtype_only`: the author's subtype
            is `activity`, but `activity` itself is left out (the API has it). `lost`: no webhook for the user's end.
        end_control_event: does the webhook of the move of control after the user's end arrive?
        end_author: the author type of the message that tells the user's end.
        end_source: the source type of that message.
        end_reason: `reason` on the control event of a session that the user ended.
        end_while_bot_active_in_pass: where control goes when the user ends while a bot holds it in pass mode.
        pass_without_next: where control goes when the platform has to pass it, but the active one has no `next`.
        agent_end_in_pass: what happens in pass mode when an agent ends the session.
        created_at_present: do events carry `createdAt`?
        extra_keys: do payloads carry keys that are not in the published schemas?
        snapshot_in_first_message: does the event that triggers the silent default assignment already name the new
            active one?
        release_clears_pending: does a release also withdraw an offer?
        business_message_assigns: does a business message in a conversation without an active one count as activity,
            so that the default responder is assigned?
        system_message_assigns: does a system message (an end, a closed ticket) count as activity in the same way?
        agent_writes_while_bot_active_takes_control: does the agent workspace become active by an agent's message?
        agent_message_subtype: do the agents' messages carry the author subtype `agent`?
        reopen_allowed: may the user write after the end? (`disableConversationReopen` is required, so: no.)
        unknown_target: how passControl and offerControl answer to a target that does not exist.
        next_of: whose `next` an integration key's passControl to `next` means. (An app key's always means the active
            one's.)
        repeated_pass_event: is passing control to the one that is active already told by a webhook?
        repeated_release_event: is releasing a conversation that nobody holds told by a webhook?
        merge_active: who is active in a conversation that another one was merged into.
        user_removal_tells_conversations: does removing a user send `conversation:remove` for each conversation?
    """

    mode: Literal["release", "pass"] = _switch("release", "pass")
    deliver_standby_events: bool = _switch(True, False)
    event_to_releaser: bool = _switch(True, False)
    end_order: Literal["message_first", "control_first"] = _switch("message_first", "control_first")
    end_message: Literal["activity", "subtype_only", "lost"] = _switch("activity", "subtype_only", "lost")
    end_control_event: Literal["sent", "lost"] = _switch("sent", "lost")
    end_author: Literal["business", "user"] = _switch("business", "user")
    end_source: Literal["web", "zd:agentWorkspace", "system"] = _switch("web", "zd:agentWorkspace", "system")
    end_reason: str | None = _switch(None, "ticketClosed", "endedByUser")
    end_while_bot_active_in_pass: Literal["stays", "next", "released"] = _switch("stays", "next", "released")
    pass_without_next: Literal["stays", "released"] = _switch("stays", "released")
    agent_end_in_pass: Literal["passed", "released"] = _switch("passed", "released")
    created_at_present: bool = _switch(True, False)
    extra_keys: bool = _switch(True, False)
    snapshot_in_first_message: bool = _switch(True, False)
    release_clears_pending: bool = _switch(True, False)
    business_message_assigns: bool = _switch(False, True)
    system_message_assigns: bool = _switch(False, True)
    agent_writes_while_bot_active_takes_control: bool = _switch(False, True)
    agent_message_subtype: bool = _switch(True, False)
    reopen_allowed: bool = _switch(False, True)
    unknown_target: Literal["failure_event", "refused"] = _switch("failure_event", "refused")
    next_of: Literal["active", "caller"] = _switch("active", "caller")
    repeated_pass_event: bool = _switch(False, True)
    repeated_release_event: bool = _switch(False, True)
    merge_active: Literal["surviving", "discarded", "default"] = _switch("surviving", "discarded", "default")
    user_removal_tells_conversations: bool = _switch(True, False)

    @classmethod
    def positions(cls) -> Mapping[str, tuple[Any, ...]]:
        """The positions of each switch by its name, the default first."""
        return {switch.name: switch.metadata["positions"] for switch in fields(cls)}

    @classmethod
    def draw(cls, rng: random.Random, **fixed: Any) -> Switches:
        """Random positions, reproducible from `rng`; the switches in `fixed` stay as they are given.

        The same draws are made whatever is fixed, so that fixing one switch does not move the others.
        """
        drawn = {name: rng.choice(positions) for name, positions in cls.positions().items()}
        return cls(**{**drawn, **fixed})
