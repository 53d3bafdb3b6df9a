"""What the bot needs of an account, and where in Admin Center a person changes what no API does."""

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
"""What the webhook has to tell: who is active, what people say, and whose data must go.

Not asked for: `conversation:read`, `:typing` and `:message:delivery:…`, `client:…`, `user:update`. They come many to a
message, tell nothing that the bot decides on, and would only be stored. They do no harm where they are on.
"""

MOST_WEBHOOKS: Final = 10
"""Of an app (docs/platform.md, 4)."""

MOST_MEMBERS: Final = 10
"""Switchboard integrations of a switchboard (docs/platform.md, 1)."""

_MESSAGING: Final = "Admin Center > Channels > Messaging and social > Messaging > Manage settings"

CONVERSATION_CONTROL: Final = f"{_MESSAGING} > Conversation control"
MULTI_CONVERSATIONS: Final = f"{_MESSAGING} > Web Widget and Mobile SDKs > Multi-conversations (it can't be taken back)"
ENDING_SESSIONS: Final = f"{_MESSAGING} > Advanced > Ending sessions: let end users end them"
REOPENING: Final = f"{_MESSAGING}: turn off that end users can reopen conversations"
ADD_WIDGET: Final = "Admin Center > Channels > Messaging and social > Messaging > Add channel > Web Widget"
RESPONDERS: Final = "Admin Center > Channels > Messaging and social > Messaging > the channel > its responder"
APP_KEYS: Final = "Admin Center > Apps and integrations > APIs > Conversations API"
INTEGRATIONS: Final = "Admin Center > Apps and integrations > Integrations > Conversations integrations"
