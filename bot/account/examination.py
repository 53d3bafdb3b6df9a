"""Finds out all that `doctor` judges: asks the platform, the webhook's target and the database.

Changes nothing; in the database it writes a row and removes it.
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
from bot.sunshine.way import way_to
from bot.troubles import What

T = TypeVar("T")

_ANY_ADDRESS: Final = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound

LATELY: Final = timedelta(days=1)
PATIENCE: Final = 10.0  # seconds for each answer that is no call of the API
READ_ATTEMPTS: Final = 3
OWN: Final = "me"
"""How an integration's key names its own integration."""


async def examine(
    settings: Settings, problems: Mapping[str, str], *, webhook_path: str, clock: Clock, unknown: Sequence[str] = ()
) -> Facts:
    """Find out all that can be found out with these settings. Raises nothing that a person could mend.

    Args:
        settings: with stand-ins where they are not usable.
        problems: what is wrong with settings, by the name of the setting in small letters.
        webhook_path: the path at which the bot takes deliveries.
        clock: this machine's.
        unknown: names that are nearly those of settings.
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
    has_lifespan = catalogue.handlers.lifespan is not None  # what it opens is not doctor's to open
    if not (database or flows or has_lifespan or {"database_url", "flows"} & problems.keys()):
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
    settings: Settings, problems: Mapping[str, str], clock: Clock, attempts: int = READ_ATTEMPTS
) -> tuple[Platform | None, Account | SunshineError | None, tuple[Webhook, ...] | SunshineError | None]:
    """Find out what `Facts` calls `platform`, `account` and `own`. `attempts`: how often to try each read."""
    platform, account, own = None, None, None
    if "sunshine_base_url" not in problems:
        platform = await _ask_platform(settings, clock)
    if platform and not platform.problem and "sunshine_app_id" not in problems:
        account = await _account(settings, attempts)
        own = await _own_webhooks(settings, problems, account, attempts)
    return platform, account, own


def client_of(settings: Settings, key_id: str, secret: str, attempts: int = READ_ATTEMPTS) -> SunshineClient:
    """A client that is patient with reads."""
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


async def _keys(settings: Settings, account: Account | SunshineError | None) -> tuple[Resource, ...] | None:
    """The keys of the bot's integration; None where they can't be read, which is no finding of its own."""
    me = member_of(account, settings)
    if me is None or me.type != CUSTOM:
        return None
    async with client_of(settings, *_app_key(settings)) as client:
        found = await _or_error(client.list_integration_keys(me.integration_id))
    return None if isinstance(found, SunshineError) else found


async def _own_webhooks(
    settings: Settings, problems: Mapping[str, str], account: Account | SunshineError | None, attempts: int
) -> tuple[Webhook, ...] | SunshineError | None:
    if not settings.has_integration_key or {"sunshine_key_id", "sunshine_key_secret"} & problems.keys():
        return None
    me = member_of(account, settings)
    secret = settings.sunshine_key_secret.get_secret_value()
    async with client_of(settings, settings.sunshine_key_id, secret, attempts) as client:
        return await _or_error(read_webhooks(client, me.integration_id if me and me.type == CUSTOM else OWN))


async def _or_error(call: Awaitable[T]) -> T | SunshineError:
    try:
        return await call
    except SunshineError as error:
        return error


async def _ask_platform(settings: Settings, clock: Clock) -> Platform:
    """Ask for the app without a key: an API refuses that in its own words, and tells the time."""
    way = way_to(settings.sunshine_base_url)
    async with _http() as http:
        asked = clock.now()
        try:
            answer = await http.get(f"{settings.sunshine_base_url}/v2/apps/{settings.sunshine_app_id}")
        except (httpx2.HTTPError, OSError) as error:
            return Platform(problem=f"no answer ({_why(error)}), {way}", way=way)
    middle = asked + (clock.now() - asked) / 2
    ahead = None
    with suppress(TypeError, ValueError, IndexError, OverflowError):
        ahead = _ahead(parsedate_to_datetime(answer.headers.get("date", "")), middle)
    if answer.status_code != 401 and not _is_refusal(answer.content):
        return Platform(f"it answers {answer.status_code}, and not as the Conversations API does", ahead, way)
    return Platform("", ahead, way)


def _ahead(platform: datetime, ours: datetime) -> timedelta:
    """How much our clock is ahead; a Date has lost its fraction, which is on average half a second."""
    date = platform.replace(tzinfo=UTC) if platform.tzinfo is None else platform
    return ours - date - timedelta(seconds=0.5)


def _is_refusal(content: bytes) -> bool:
    try:
        body: Any = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and isinstance(body.get("errors"), list)


async def ask_target(webhook: Webhook, app_id: str, path: str) -> Target:
    """Post an empty delivery without and with the secret, as the platform would: it holds no event.

    A secret goes nowhere over plain http, but on this machine.
    """
    empty = {"app": {"id": app_id}, "webhook": {"id": webhook.id, "version": "v2"}, "events": []}
    health = with_key = None
    async with _http() as http:
        try:
            without_key = (await http.post(webhook.target, json=empty)).status_code
            if urlsplit(webhook.target).path.endswith(path):
                health = (await http.get(webhook.target.removesuffix(path) + "/healthz")).status_code
            if without_key == 401 and webhook.secret and _is_private_way(webhook.target):
                headers = {"X-API-Key": webhook.secret}
                with_key = (await http.post(webhook.target, json=empty, headers=headers)).status_code
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            return Target(problem=_why(error))
    return Target("", health, without_key, with_key)


def _is_private_way(target: str) -> bool:
    parts = urlsplit(target)
    return parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")


def _http() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=AiohttpTransport(), timeout=PATIENCE, follow_redirects=False, trust_env=False)


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


async def _ask_database(database_url: str, now: datetime) -> tuple[str, tuple[datetime, ...]]:
    """What is wrong with it; and else when the platform lately acted as in the other control mode."""
    try:
        async with asyncio.timeout(PATIENCE):
            store = open_store(database_url)
            await store.start()
            try:
                await store.ping()
                page = await store.conversations(Listing(Standing.MISMATCH, now))
                await store.probe()  # reads work on a full disk, too
            finally:
                await store.stop()
    except (StoreError, ValueError) as error:
        return str(error), ()
    except TimeoutError:
        return f"no answer from the database in {PATIENCE:g} s", ()
    return "", tuple(one.since for one in page.conversations if now - one.since < LATELY)


async def ask_running(settings: Settings) -> tuple[What, ...] | None:
    """What lasts in the bot that runs on this machine, by its metrics; None where they are off, or it does not run."""
    token = settings.metrics_token.get_secret_value()
    port = settings.metrics_port or (settings.port if token else 0)
    if not port:
        return None
    host = "127.0.0.1" if settings.host in _ANY_ADDRESS else settings.host
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with _http() as http:
        try:
            answer = await http.get(f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics", headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError):
            return None
    if answer.status_code != 200:
        return None
    return tuple(what for what in What if f'switchboard_trouble{{what="{what}"}} 1.0\n' in answer.text)


def _look_at_flows(settings: Settings) -> tuple[Catalogue, str]:
    """The flows, and what is wrong with them; empty if nothing is."""
    catalogue, problems = inspected(*settings.named_flows)
    return catalogue, "; ".join(problems)


async def play_waiting(database_url: str, catalogue: Catalogue) -> tuple[int, tuple[str, ...]]:
    """How many journals of waiting runs were played against the flows, as far as time allows, and which don't fit."""
    played, unfit = 0, []
    with suppress(TimeoutError, StoreError):
        async with asyncio.timeout(PATIENCE):
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
