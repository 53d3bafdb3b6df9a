"""The pure model of the platform, put together: no I/O, no clock, no randomness. Time is an argument.

Its layers, from the bottom, each in a file of its own and each knowing only the ones below:

    Account         what exists, the history, who hears which event
    Control         who is active; passControl, releaseControl, offerControl, acceptControl
    Messages        what is said, and the API to say and read it
    Workspace       tickets and agents
    Sessions        the end users: create, say, tap, end, remove, merge
    UserCalls, ConversationCalls, ParticipantCalls, ClientCalls, Attachments, UserMessages
                    the rest of the API that a client of the platform sees, one resource a layer
    Configuration   (beside Control…UserMessages) settings, integrations, webhooks, switchboards
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from bot.sandbox.configuration import Configuration
from bot.sandbox.records import (
    AGENT_WORKSPACE,
    ANSWER_BOT,
    CUSTOM,
    IdSource,
    SwitchboardIntegration,
)
from bot.sandbox.switches import Switches
from bot.sandbox.user_messages import UserMessages

BOT = "switchboard-bot"
WORKSPACE = "zd-agentWorkspace"
ANSWERS = "zd-answerBot"


class Switchboard(UserMessages, Configuration):
    """One app of the platform.

    Operations return what the caller sees. What integrations hear of it waits in `drain()`; what is true about it is in
    `history`. API operations raise `ApiError`; people's operations raise `NotPossibleError` where there is no button.
    """

    def set_mode(self, mode: Literal["release", "pass"]) -> None:
        """Somebody changes *Conversation control* in Admin Center, and the agent workspace's `next` with it."""
        self.switches = replace(self.switches, mode=mode)
        ids = {member.name: member.id for member in self.members.values()}
        workspace, after = ids.get(WORKSPACE), ids.get(BOT if mode == "pass" else ANSWERS)
        if workspace and after:
            self.members[workspace] = replace(self.members[workspace], next_id=after)


def standard_switchboard(
    switches: Switches,
    ids: IdSource,
    *,
    bot: str = BOT,
    untouched: bool = False,
    message_limit: int = 30_000,
    model: type[Switchboard] = Switchboard,
) -> Switchboard:
    """An account as the bot's users have it: the bot answers first, agents come next, answerBot is there too.

    Args:
        switches: how the platform behaves; in pass mode the agent workspace's `next` is the bot.
        ids: makes new ids.
        bot: the name of the bot's switchboard integration.
        untouched: leave the agent workspace's `next` as Zendesk sets it (answerBot), and the bot's unset.
        message_limit: how many messages a conversation holds.
        model: what to make; a replay has one that follows a tape.
    """
    bot_id, workspace_id, answers_id = ids(), ids(), ids()
    to_bot = switches.mode == "pass" and not untouched
    members = (
        SwitchboardIntegration(
            bot_id,
            bot,
            ids(),
            CUSTOM,
            next_id=None if untouched else workspace_id,
            deliver_standby_events=switches.deliver_standby_events,
        ),
        SwitchboardIntegration(
            workspace_id,
            WORKSPACE,
            ids(),
            AGENT_WORKSPACE,
            next_id=bot_id if to_bot else answers_id,
        ),
        SwitchboardIntegration(answers_id, ANSWERS, ids(), ANSWER_BOT, next_id=workspace_id),
    )
    return model(ids(), members, switches, ids, default=bot, message_limit=message_limit)
