"""Gathers the facts for `doctor` from the platform, the webhook's target and the database.

Changes nothing, except that it writes a row to the database and deletes it again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx2

from bot.account.checks_webhook import is_hidden
from bot.account.facts import Facts, Platform, Target, member_of, webhook_of
from bot.account.reading import CUSTOM, Account, Webhook, read_account, read_webhooks
from bot.clock import Clock
from bot.engine.journal_check import all_at_work, misfit
from bot.flows.catalogue import Catalogue
from bot.flows.inspection import inspected
from bot.settings import Settings
from bot.store import StoreError, open_store
from bot.store.operators import Listing, Standing
from bot.sunshine import AiohttpTransport, Credentials, Resource, SunshineClient, SunshineError
from bot.sunshine.proxy import route_to
from bot.troubles import What

T = TypeVar("T")

OwnWebhooks = tuple[Webhook, ...] | SunshineError | None

_ANY_ADDRESS: Final = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound

MISMATCH_WINDOW: Final = timedelta(days=1)
ANSWER_TIMEOUT: Final = 10.0  # seconds; API calls have their own
READ_ATTEMPTS: Final = 3
OWN: Final = "me"
"""The id by which an integration's key refers to its own integration."""


async def examine(
    settings: Settings,
    problems: Mapping[str, str],
    *,
    webhook_path: str,
    clock: Clock,
    unknown: Sequence[str] = (),
) -> Facts:
    """Gather all facts that these settings give access to. Errors become facts.

    Args:
        settings: the settings, with placeholders for unusable ones.
        problems: error messages by name of the setting, in lower case.
        webhook_path: the path where the bot receives deliveries.
        clock: this machine's clock.
        unknown: messages about misspelt setting names.
    """
    platform, account, own = await examine_account(settings, problems, clock)
    keys = await _keys(settings, account)
    found = webhook_of(account, own, member_of(account, settings))
    target = None
    if found and not is_hidden(found.target, settings.sunshine_base_url):
        target = await ask_target(found, settings.sunshine_app_id, webhook_path)
    database = ""
    mismatched: tuple[datetime, ...] = ()
    if "database_url" not in problems:
        database, mismatched = await _ask_database(settings.database_url, clock.now())
    catalogue, flows = (Catalogue(), "") if "flows" in problems else _look_at_flows(settings)
    waiting: int = 0
    unfit: tuple[str, ...] = ()
    # Never open a lifespan here: it may have effects.
    has_lifespan = catalogue.handlers.lifespan is not None
    is_broken = database or flows or {"database_url", "flows"} & problems.keys()
    if not (is_broken or has_lifespan):
        waiting, unfit = await play_waiting(settings.database_url, catalogue)
    return Facts(
        settings,
        webhook_path,
        problems,
        platform,
        account,
        own,
        keys,
        target,
        database=database,
        mismatched=mismatched,
        flows=flows,
        opens="flows" in problems or (catalogue.opens and not flows),
        waiting=waiting,
        unfit=unfit,
        has_lifespan=has_lifespan,
        unknown=tuple(unknown),
        troubles=await ask_running(settings),
    )


async def examine_account(
    settings: Settings,
    problems: Mapping[str, str],
    clock: Clock,
    attempts: int = READ_ATTEMPTS,
) -> tuple[Platform | None, Account | SunshineError | None, OwnWebhooks]:
    """Return `platform`, `account` and `own` of `Facts`. Tries each read `attempts` times."""
    platform, account, own = None, None, None
    if "sunshine_base_url" not in problems:
        platform = await _ask_platform(settings, clock)
    if platform and not platform.problem and "sunshine_app_id" not in problems:
        account = await _account(settings, attempts)
        own = await _own_webhooks(settings, problems, account, attempts)
    return platform, account, own


def client_of(
    settings: Settings,
    key_id: str,
    secret: str,
    attempts: int = READ_ATTEMPTS,
) -> SunshineClient:
    """Return a client with this key."""
    return SunshineClient(
        settings.sunshine_base_url,
        settings.sunshine_app_id,
        Credentials(key_id, secret),
        transport=AiohttpTransport(),
        read_attempts=attempts,
    )


async def _account(settings: Settings, attempts: int) -> Account | SunshineError | None:
    if not settings.has_app_key:
        return None
    async with client_of(settings, *_app_key(settings), attempts) as client:
        return await _or_error(read_account(client))


def _app_key(settings: Settings) -> tuple[str, str]:
    if settings.sunshine_app_key_id:
        return settings.sunshine_app_key_id, settings.sunshine_app_key_secret.get_secret_value()
    return settings.sunshine_key_id, settings.sunshine_key_secret.get_secret_value()


async def _keys(
    settings: Settings,
    account: Account | SunshineError | None,
) -> tuple[Resource, ...] | None:
    """Return the keys of the bot's integration; None if they can't be read."""
    me = member_of(account, settings)
    if me is None or me.type != CUSTOM:
        return None
    async with client_of(settings, *_app_key(settings)) as client:
        found = await _or_error(client.list_integration_keys(me.integration_id))
    return None if isinstance(found, SunshineError) else found


async def _own_webhooks(
    settings: Settings,
    problems: Mapping[str, str],
    account: Account | SunshineError | None,
    attempts: int,
) -> OwnWebhooks:
    is_broken = {"sunshine_key_id", "sunshine_key_secret"} & problems.keys()
    if is_broken or not settings.has_integration_key:
        return None
    me = member_of(account, settings)
    integration_id = me.integration_id if me and me.type == CUSTOM else OWN
    secret = settings.sunshine_key_secret.get_secret_value()
    async with client_of(settings, settings.sunshine_key_id, secret, attempts) as client:
        return await _or_error(read_webhooks(client, integration_id))


async def _or_error(call: Awaitable[T]) -> T | SunshineError:
    try:
        return await call
    except SunshineError as error:
        return error


async def _ask_platform(settings: Settings, clock: Clock) -> Platform:
    """Request the app without a key. The refusal identifies the API, and has the time."""
    way = route_to(settings.sunshine_base_url)
    url = f"{settings.sunshine_base_url}/v2/apps/{settings.sunshine_app_id}"
    async with _http() as http:
        asked = clock.now()
        try:
            answer = await http.get(url)
        except (httpx2.HTTPError, OSError) as error:
            return Platform(problem=f"no answer ({_why(error)}), {way}", way=way)
    middle = asked + (clock.now() - asked) / 2
    ahead = None
    with suppress(TypeError, ValueError, IndexError, OverflowError):
        ahead = _ahead(parsedate_to_datetime(answer.headers.get("date", "")), middle)
    if answer.status_code != 401 and not _is_refusal(answer.content):
        problem = f"not the Conversations API: it answers {answer.status_code}"
        return Platform(problem, ahead, way)
    return Platform("", ahead, way)


def _ahead(platform: datetime, ours: datetime) -> timedelta:
    """Return how far our clock is ahead, corrected for the Date header's lost fraction."""
    date = platform.replace(tzinfo=UTC) if platform.tzinfo is None else platform
    return ours - date - timedelta(seconds=0.5)


def _is_refusal(content: bytes) -> bool:
    try:
        body: Any = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and isinstance(body.get("errors"), list)


async def ask_target(webhook: Webhook, app_id: str, path: str) -> Target:
    """Post a delivery without events to the target, without and with the secret.

    Never sends a secret over plain http, except on this machine.
    """
    empty = {
        "app": {"id": app_id},
        "webhook": {"id": webhook.id, "version": "v2"},
        "events": [],
    }
    health = with_key = None
    async with _http() as http:
        try:
            without_key = (await http.post(webhook.target, json=empty)).status_code
            if urlsplit(webhook.target).path.endswith(path):
                url = webhook.target.removesuffix(path) + "/healthz"
                health = (await http.get(url)).status_code
            if without_key == 401 and webhook.secret and _is_confidential(webhook.target):
                headers = {"X-API-Key": webhook.secret}
                answer = await http.post(webhook.target, json=empty, headers=headers)
                with_key = answer.status_code
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            return Target(problem=_why(error))
    return Target("", health, without_key, with_key)


def _is_confidential(target: str) -> bool:
    parts = urlsplit(target)
    return parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")


def _http() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=AiohttpTransport(),
        timeout=ANSWER_TIMEOUT,
        follow_redirects=False,
        trust_env=False,
    )


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


async def _ask_database(database_url: str, now: datetime) -> tuple[str, tuple[datetime, ...]]:
    """Return the database's problem, and the times of recent control mode mismatches."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            store = open_store(database_url)
            await store.start()
            try:
                await store.ping()
                page = await store.conversations(Listing(Standing.MISMATCH, now))
                await store.probe()  # reads would work on a full disk
            finally:
                await store.stop()
    except (StoreError, ValueError) as error:
        return str(error), ()
    except TimeoutError:
        return f"no answer from the database within {ANSWER_TIMEOUT:g} s", ()
    recent = [one.since for one in page.conversations if now - one.since < MISMATCH_WINDOW]
    return "", tuple(recent)


async def ask_running(settings: Settings) -> tuple[What, ...] | None:
    """Read the ongoing troubles from the metrics of the bot on this machine.

    None if the bot is not running, or its metrics are off.
    """
    token = settings.metrics_token.get_secret_value()
    port = settings.metrics_port or (settings.port if token else 0)
    if not port:
        return None
    host = "127.0.0.1" if settings.host in _ANY_ADDRESS else settings.host
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with _http() as http:
        try:
            place = f"[{host}]" if ":" in host else host
            answer = await http.get(f"http://{place}:{port}/metrics", headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError):
            return None
    if answer.status_code != 200:
        return None
    lines = answer.text
    return tuple(what for what in What if f'switchboard_trouble{{what="{what}"}} 1.0\n' in lines)


def _look_at_flows(settings: Settings) -> tuple[Catalogue, str]:
    """Return the flows, and their problems; empty if there are none."""
    catalogue, problems = inspected(*settings.named_flows)
    return catalogue, "; ".join(problems)


async def play_waiting(database_url: str, catalogue: Catalogue) -> tuple[int, tuple[str, ...]]:
    """Replay journals of waiting runs against the flows, as many as time allows.

    Returns:
        The number of journals replayed, and a line for each that does not fit.
    """
    played, unfit = 0, []
    with suppress(TimeoutError, StoreError):
        async with asyncio.timeout(ANSWER_TIMEOUT):
            store = open_store(database_url)
            await store.start()
            try:
                async for one in all_at_work(store):
                    if problem := await misfit(catalogue, one.state.id, one.journal):
                        unfit.append(f"{one.state.id}: {problem}")
                    played += 1
            finally:
                await store.stop()
    return played, tuple(unfit)
