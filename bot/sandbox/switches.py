"""The platform's unknowns as switches; the guarantee must hold in every position."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal


def _switch(*positions: object) -> Any:
    """A field; its default is the first position, the best documented reading."""
    return field(default=positions[0], metadata={"positions": positions})


@dataclass(frozen=True, slots=True)
class Switches:
    """This copy's behaviour where Zendesk's documents leave it open.

    Sections refer to docs/platform.md.

    Attributes:
        mode: the account's *Conversation control* setting (section 3).
        deliver_standby_events: the setting of the bot's switchboard integration (1).
        event_to_releaser: the integration that released or lost control hears that event.
        end_order: the order of the system message and the move of control at the end of a
            session: the user's end, a closed ticket or a transfer to e-mail.
        end_message: how webhooks show system messages. `activity`: completely.
            `subtype_only`: the author's subtype is `activity`, but `activity` is missing
            (the API has it). `lost`: the user's end has no webhook.
        end_control_event: whether the webhook for the move of control after the user's
            end arrives.
        end_author: the author type of the message for the user's end.
        end_source: the source type of that message.
        end_reason: `reason` in the control event after the user's end.
        end_while_bot_active_in_pass: where control goes if a bot holds it at the user's
            end in pass mode.
        pass_without_next: where control goes if the platform passes it but there is no
            `next`.
        agent_end_in_pass: what happens in pass mode when an agent ends the session.
        created_at_present: events have `createdAt`.
        extra_keys: payloads have keys that are missing from the published schemas.
        snapshot_in_first_message: the event that triggers the silent default assignment
            already names the new active integration.
        release_clears_pending: a release also withdraws an offer.
        business_message_assigns: a business message counts as activity, so that it
            assigns the default responder if nobody is active.
        system_message_assigns: so does a system message (an end, a closed ticket).
        agent_writes_while_bot_active_takes_control: an agent's message activates the
            agent workspace.
        agent_message_subtype: agents' messages have the author subtype `agent`.
        reopen_allowed: the user may write after the end (normally not, because
            `disableConversationReopen` is required).
        unknown_target: how passControl and offerControl answer to an unknown target.
        next_of: whose `next` passControl uses with an integration key. (With an app key
            it is always the active integration's.)
        repeated_pass_event: passing to the active integration sends a webhook.
        repeated_release_event: releasing a conversation without a holder sends a webhook.
        merge_active: who is active in a conversation after another was merged into it.
        user_removal_tells_conversations: removing a user sends `conversation:remove` for
            each conversation.
    """

    mode: Literal["release", "pass"] = _switch("release", "pass")
    deliver_standby_events: bool = _switch(True, False)
    event_to_releaser: bool = _switch(True, False)
    end_order: Literal["message_first", "control_first"] = _switch("message_first", "control_first")
    end_message: Literal["activity", "subtype_only", "lost"] = _switch(
        "activity",
        "subtype_only",
        "lost",
    )
    end_control_event: Literal["sent", "lost"] = _switch("sent", "lost")
    end_author: Literal["business", "user"] = _switch("business", "user")
    end_source: Literal["web", "zd:agentWorkspace", "system"] = _switch(
        "web",
        "zd:agentWorkspace",
        "system",
    )
    end_reason: str | None = _switch(None, "ticketClosed", "endedByUser")
    end_while_bot_active_in_pass: Literal["stays", "next", "released"] = _switch(
        "stays",
        "next",
        "released",
    )
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
    merge_active: Literal["surviving", "discarded", "default"] = _switch(
        "surviving",
        "discarded",
        "default",
    )
    user_removal_tells_conversations: bool = _switch(True, False)

    @classmethod
    def positions(cls) -> Mapping[str, tuple[Any, ...]]:
        """The positions of each switch by name, default first."""
        return {switch.name: switch.metadata["positions"] for switch in fields(cls)}

    @classmethod
    def draw(cls, rng: random.Random, **fixed: Any) -> Switches:
        """Draw random positions, reproducible from `rng`; `fixed` switches are kept.

        The number of draws doesn't depend on `fixed`, so fixing one switch does not move
        the others.
        """
        drawn = {name: rng.choice(positions) for name, positions in cls.positions().items()}
        return cls(**{**drawn, **fixed})
