"""A naive bot for the demo, which answers but never releases control."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bot.flows.triage import CHOICES
from bot.sandbox.sandbox import Sandbox
from bot.sunshine import Credentials, SunshineClient

GREETING = "Hello! I am a naive bot. What can I do for you?"
QUESTION = "What is your order number?"


class NaiveBot:
    """Answers users over the sandbox's API; pass `receive` to the sandbox as `post`."""

    def __init__(self) -> None:
        self._client: SunshineClient | None = None

    def connect(self, sandbox: Sandbox) -> None:
        """Connect to a started sandbox."""
        key = sandbox.integration_key
        self._client = SunshineClient(
            sandbox.base_url,
            sandbox.app_id,
            Credentials(key.id, key.secret),
        )
        sandbox.connect("http://naive.invalid/webhook")

    async def close(self) -> None:
        """Close the connections to the API."""
        if self._client:
            await self._client.aclose()

    async def receive(self, _: str, __: Mapping[str, str], body: bytes) -> int:
        """Handle a webhook delivery; return the status of the answer."""
        for event in json.loads(body)["events"]:
            if event["type"] == "conversation:message" and event["payload"]["message"]["author"]["type"] == "user":
                await self._answer(event["payload"])
        return 200

    async def _answer(self, payload: Mapping[str, Any]) -> None:
        text = payload["message"]["content"].get("text", "")
        content: dict[str, Any] = {"type": "text", "text": QUESTION}
        if text not in [choice.text for choice in CHOICES]:
            actions = [{"type": "reply", "text": choice.text, "payload": choice.payload} for choice in CHOICES]
            content = {"type": "text", "text": GREETING, "actions": actions}
        if self._client:
            await self._client.post_message(payload["conversation"]["id"], content)
