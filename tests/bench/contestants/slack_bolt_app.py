"""slack-bolt's aiohttp webhook handler with one listener that does nothing: it checks the signature, stores nothing."""

from __future__ import annotations

import os

from aiohttp import web
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult


async def _authorize(**_: object) -> AuthorizeResult:
    """Without it, each event would ask Slack whose token this is."""
    return AuthorizeResult(enterprise_id=None, team_id="T1", bot_token="xoxb-1", bot_id="B0", bot_user_id="U0")


def made() -> web.Application:
    """The application, as bolt makes it."""
    bolt = AsyncApp(signing_secret=os.environ["SECRET"], authorize=_authorize)

    @bolt.event("message")
    async def heard() -> None:
        """Nothing."""

    app: web.Application = bolt.web_app(path="/slack/events")
    return app


if __name__ == "__main__":
    web.run_app(made(), host="127.0.0.1", port=int(os.environ["PORT"]), print=None, access_log=None)
