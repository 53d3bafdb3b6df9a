"""Posts tapes to a running service, such as staging; by default only on this machine."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from bot.loopback import is_loopback
from bot.tape import read_tape
from webhooks import wire
from webhooks.security import API_KEY_HEADER

PATH = "/webhooks/sunshine"
_ANSWER_TIMEOUT = 20.0  # seconds


class AgainstError(ValueError):
    """The tapes can't be posted there; the text says what to change."""


@dataclass(slots=True)
class Posted:
    """The number of deliveries, and of each answer ("no answer" if there was none)."""

    deliveries: int = 0
    answers: Counter[str] = field(default_factory=Counter)

    @property
    def refused(self) -> bool:
        """Whether any delivery was not accepted."""
        return any(not answer.startswith("2") for answer in self.answers)

    @property
    def in_words(self) -> str:
        """For example `200: 12, 503: 1`."""
        return ", ".join(f"{answer}: {count}" for answer, count in sorted(self.answers.items())) or "none"


async def post_tapes(
    paths: Sequence[Path],
    url: str,
    secret: str,
    speed: float,
    *,
    yes_really: bool,
    app_id: str = "",
) -> Posted:
    """Post tapes, one after the other, each delivery at its time.

    Args:
        paths: the tapes.
        url: the service; without a path, the standard path is used.
        secret: the webhook's secret.
        speed: 2 is twice as fast as on the tape; 0 does not wait.
        yes_really: allow another machine.
        app_id: put this app into the deliveries, so that the service accepts them; "":
            keep the tape's.

    Raises:
        AgainstError: posting there is not allowed.
        TapeError: a tape can't be used.
    """
    target = _target(url, secret, yes_really=yes_really)
    posted = Posted()
    async with httpx2.AsyncClient(trust_env=False, timeout=_ANSWER_TIMEOUT) as client:
        for path in paths:
            first, began = None, time.monotonic()
            for delivery in read_tape(path):
                first = first or delivery.at
                due = began + (delivery.at - first).total_seconds() / speed if speed else began
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                posted.answers[await _post(client, target, secret, _as_of(app_id, delivery.body))] += 1
                posted.deliveries += 1
    return posted


def _as_of(app_id: str, body: Mapping[str, object]) -> bytes:
    return wire.write_json({**body, "app": {"id": app_id}} if app_id else body)


async def _post(client: httpx2.AsyncClient, target: str, secret: str, body: bytes) -> str:
    headers = {API_KEY_HEADER: secret, "Content-Type": "application/json"}
    try:
        return str((await client.post(target, content=body, headers=headers)).status_code)
    except httpx2.HTTPError:
        return "no answer"


def _target(url: str, secret: str, *, yes_really: bool) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AgainstError(f"--against: {url!r} is not a URL like http://127.0.0.1:8080")
    if not (is_loopback(parts.hostname) or yes_really):
        raise AgainstError(
            f"--against: {parts.hostname} is another machine, and deliveries posted there act on real "
            "conversations: add --yes-really to confirm",
        )
    if not secret:
        raise AgainstError(
            "SUNSHINE_WEBHOOK_SECRET: is not set. Set it to the secret that the service accepts",
        )
    return url if parts.path.strip("/") else url.rstrip("/") + PATH
