"""The pure model of the platform: no I/O, no clock, no randomness. Time is an argument.

Its layers, from the bottom; each has its own file and knows only the layers below:

    Account         records, history, routing of events
    Control         passControl, releaseControl, offerControl, acceptControl
    Messages        messages, and the API to post and read them
    Workspace       tickets and agents
    Sessions        end users: create, write, tap, end, remove, merge
    UserCalls, ConversationCalls, ParticipantCalls, ClientCalls, Attachments, UserMessages
                    the rest of the API for clients, one layer per resource
    Configuration   (beside Control…UserMessages) settings, integrations, webhooks,
                    switchboards
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

    Operations return what the caller sees. Events for integrations wait in `drain()`; the
    truth is in `history`. API operations raise `ApiError`. People's operations raise
    `NotPossibleError` if there is no button for them.
    """

    def set_mode(self, mode: Literal["release", "pass"]) -> None:
        """Change *Conversation control*, and the agent workspace's `next` accordingly."""
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
    """Create a typical account: the bot is the default responder, agents are its `next`.

    Args:
        switches: the undocumented behaviour; in pass mode the agent workspace's `next` is
            the bot.
        ids: creates new ids.
        bot: the name of the bot's switchboard integration.
        untouched: keep Zendesk's defaults: the agent workspace's `next` is answerBot, and
            the bot has none.
        message_limit: messages per conversation.
        model: the class to create; a replay has one that follows a tape.
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
