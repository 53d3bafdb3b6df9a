"""Pages on which a person is the end user or the agent of a sandbox, and sees what the switchboard does.

`Pages` is the server. What it shows is made in `screens` (what is on the screen) and `words` (what the switchboard did,
in sentences); what people do goes through `acts`. In the browser there is plain JavaScript (`static`), built by nobody.
"""

from bot.sandbox.pages.about_bot import BotPart, BotView, Console, Note
from bot.sandbox.pages.server import Pages

__all__ = ["BotPart", "BotView", "Console", "Note", "Pages"]
