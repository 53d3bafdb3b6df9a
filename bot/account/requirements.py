"""The bot's requirements for an account, and the Admin Center paths of manual settings."""

from __future__ import annotations

from typing import Final

TRIGGERS: Final = (
    "conversation:create",
    "conversation:join",
    "conversation:leave",
    "conversation:message",
    "conversation:postback",
    "conversation:referral",
    "conversation:remove",
    "switchboard:acceptControl",
    "switchboard:acceptControl:failure",
    "switchboard:offerControl",
    "switchboard:offerControl:failure",
    "switchboard:passControl",
    "switchboard:passControl:failure",
    "switchboard:releaseControl",
    "user:merge",
    "user:remove",
)
"""The webhook triggers that the bot needs: control, messages, and removals.

Left out are `conversation:read`, `:typing`, `:message:delivery:…`, `client:…` and
`user:update`. They are frequent, and no decision depends on them. They do no harm if enabled.
"""

MAX_WEBHOOKS: Final = 10
"""Maximum number of webhooks per app (docs/platform.md, 4)."""

MAX_MEMBERS: Final = 10
"""Maximum number of switchboard integrations (docs/platform.md, 1)."""

_MESSAGING: Final = "Admin Center > Channels > Messaging and social > Messaging > Manage settings"

CONVERSATION_CONTROL: Final = f"{_MESSAGING} > Conversation control"
MULTI_CONVERSATIONS: Final = f"{_MESSAGING} > Web Widget and Mobile SDKs > Multi-conversations (can't be undone)"
ENDING_SESSIONS: Final = f"{_MESSAGING} > Advanced > Ending sessions: let end users end them"
REOPENING: Final = f"{_MESSAGING}: turn off reopening of conversations by end users"
ADD_WIDGET: Final = "Admin Center > Channels > Messaging and social > Messaging > Add channel > Web Widget"
RESPONDERS: Final = "Admin Center > Channels > Messaging and social > Messaging > the channel > its responder"
APP_KEYS: Final = "Admin Center > Apps and integrations > APIs > Conversations API"
INTEGRATIONS: Final = "Admin Center > Apps and integrations > Integrations > Conversations integrations"
