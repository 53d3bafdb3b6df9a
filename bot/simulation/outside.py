"""Distorts what the bot hears: wrong clocks, missing parts, repeated messages.

The platform's model and the checks use the truth; the distortion happens on the way.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import httpx2

from bot.sandbox.records import iso

_OFFSETS = (0.0, 0.0, 0.004, 0.6, 2.0, 45.0, 7200.0, 40_000.0)  # seconds
_AGENT_WORKSPACE = "zd:agentWorkspace"
_ACTIVE = "activeSwitchboardIntegration"


@dataclass(frozen=True, slots=True)
class Outside:
    """The distortions on the way to the bot.

    Attributes:
        platform: seconds by which the platform's clock is ahead of the bot's; may be
            negative.
        users, agents: the same for the clocks of users and agents, relative to the
            platform's.
        half_told: how events show the active integration: "name" for its name only,
            "nothing" for an empty object, "" for all of it.
        twice: events also come with a second id.
        platform_dates_ends: the platform's clock dates an end, instead of the user's.
    """

    platform: float = 0.0
    users: float = 0.0
    agents: float = 0.0
    half_told: str = ""
    twice: bool = False
    platform_dates_ends: bool = False

    @staticmethod
    def draw(seed: int) -> Outside:
        """Draw a run's distortions; half of the runs have none.

        Uses a generator of its own, so that older seeds keep their meaning.
        """
        rng = random.Random(f"outside {seed}")  # noqa: S311 - must be repeatable
        if rng.random() < 0.5:
            return Outside()
        platform, users, agents = (rng.choice(_OFFSETS) * rng.choice((1, -1)) for _ in range(3))
        half_told = rng.choice(("", "", "", "", "name", "nothing"))
        twice, platform_dates_ends = rng.random() < 0.2, rng.random() < 0.5
        return Outside(platform, users, agents, half_told, twice, platform_dates_ends)

    def smaller(self) -> Iterator[Outside]:
        """Yield variants with one distortion removed."""
        for field in fields(self):
            right: Any = field.default
            if getattr(self, field.name) != right:
                yield replace(self, **{field.name: right})

    def delivered(self, body: bytes) -> bytes:
        """Return a delivery as the bot receives it."""
        if self == Outside():
            return body
        delivery = json.loads(body)
        told = [self._told(event) for event in delivery["events"]]
        again = [{**event, "id": f"{event['id']}-again"} for event in told] if self.twice else []
        return json.dumps({**delivery, "events": told + again}).encode()

    def answered(self, response: httpx2.Response) -> httpx2.Response:
        """Return an API response as the bot receives it: its date and message times."""
        if self == Outside():
            return response
        headers = dict(response.headers)
        if date := headers.get("date"):
            ahead = timedelta(seconds=self.platform)
            headers["date"] = format_datetime(parsedate_to_datetime(date) + ahead, usegmt=True)
        body = json.loads(response.content) if response.content else None
        if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
            return httpx2.Response(
                response.status_code,
                headers=headers,
                content=response.content,
                request=response.request,
            )
        body["messages"] = [self._dated(told, told, "received") for told in body["messages"]]
        headers.pop("content-length", None)
        return httpx2.Response(
            response.status_code,
            headers=headers,
            json=body,
            request=response.request,
        )

    def _told(self, event: dict[str, Any]) -> dict[str, Any]:
        payload = dict(event["payload"])
        message = payload.get("message") or {}
        if "received" in message:
            payload["message"] = self._dated(message, message, "received")
        conversation = payload.get("conversation")
        if self.half_told and isinstance(conversation, dict) and (active := conversation.get(_ACTIVE)):
            told = {"name": active["name"]} if self.half_told == "name" else {}
            payload["conversation"] = {**conversation, _ACTIVE: told}
        doer = {"author": {"type": "user"}} if event["type"] == "conversation:postback" else message
        return self._dated({**event, "payload": payload}, doer, "createdAt")

    def _dated(self, thing: dict[str, Any], doer: dict[str, Any], key: str) -> dict[str, Any]:
        """Return the thing with the time on the clock of its author."""
        if not thing.get(key):
            return thing
        ahead = timedelta(seconds=self.platform + self._ahead_of_platform(doer))
        return {**thing, key: iso(datetime.fromisoformat(thing[key]) + ahead)}

    def _ahead_of_platform(self, message: dict[str, Any]) -> float:
        if (message.get("source") or {}).get("type") == _AGENT_WORKSPACE:
            return self.agents
        is_end = message.get("activity") and not self.platform_dates_ends
        by_user = (message.get("author") or {}).get("type") == "user"
        return self.users if by_user or is_end else 0.0
