"""The sandbox's pages: be the end user or an agent, and watch the switchboard.

`Pages` is the server. `screens` renders what is on a screen, `words` describes in
sentences what the switchboard did, and `acts` carries out people's actions. The browser
runs plain JavaScript (`static`) without a build step.
"""

from bot.sandbox.pages.about_bot import BotPart, BotView, Console, Note
from bot.sandbox.pages.server import Pages

__all__ = ["BotPart", "BotView", "Console", "Note", "Pages"]
