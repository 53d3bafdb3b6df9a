"""The composition root: which parts run in which process, how they start and how they stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from bot.clock import Clock, SystemClock
from bot.console.render import HOME as CONSOLE_PATH
from bot.console.site import Console, closed_console
from bot.engine.context import AFTERMATH, LEASE, Context
from bot.engine.delivery import Clients
from bot.engine.retention import Retention
from bot.engine.worker import Worker
from bot.flows.catalogue import Catalogue, UnknownFlow, load_catalogue
from bot.health import add_health
from bot.observability import Metrics, Watch, log_signal, tell_loop_errors, traces_if_wanted
from bot.replay.recording import Recorder, RecordingIntake
from bot.replay.tape import TapeError
from bot.settings import Settings, SettingsProblem
from bot.signals import Observe, Signal
from bot.store import Database, Unavailable, open_store
from bot.store.interface import Store
from bot.store.owners import new_owner
from bot.store.url import is_postgres
from bot.sunshine import AiohttpTransport, Credentials, SunshineClient
from webhooks.inbox import GroupCommit, NewEvent
from webhooks.intake import Intake, web_handler
from webhooks.security import Secrets

WEBHOOK_PATH = "/webhooks/sunshine"
TRACES_PATIENCE = 2.0  # seconds, at the end
POLL_ALONE = timedelta(seconds=2)  # web and worker in one process: all but what the command line asks wakes it
POLL_APART = timedelta(milliseconds=500)  # another process may take webhooks for the same database


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs in this process."""

    web: bool = True
    worker: bool = True


@dataclass(frozen=True, slots=True)
class Running:
    """The bot, up and running; `port` is None where no web part runs."""

    store: Store
    port: int | None


def catalogue_of(settings: Settings) -> Catalogue:
    """The flows of the settings. Raises `SettingsProblem`."""
    try:
        return load_catalogue(settings.flows, settings.opening_flow, settings.closing_flow)
    except UnknownFlow as error:
        raise SettingsProblem([str(error)]) from None


@asynccontextmanager
async def running(
    settings: Settings,
    parts: Parts = Parts(),
    *,
    clock: Clock | None = None,
    hooks: Sequence[Observe] = (log_signal,),
) -> AsyncIterator[Running]:
    """The bot of these settings, from start to an orderly stop.

    Raises:
        SettingsProblem: flows that are not there, or a tape that can't be written.
        StoreError: the database can't be used.
    """
    clock = clock or SystemClock()
    catalogue = catalogue_of(settings)
    traces = traces_if_wanted(clock)
    watch = Watch(Metrics(), traces, hooks)
    observe = watch.on_signal
    asyncio.get_running_loop().set_exception_handler(tell_loop_errors(observe))
    async with AsyncExitStack() as stack:
        if traces:
            stack.push_async_callback(_stop_traces, traces.stop)
        store = open_store(settings.database_url)
        await store.start()
        stack.push_async_callback(store.stop)
        worker: Worker | None = None
        if parts.worker:
            worker = await _start_worker(stack, settings, parts, store, catalogue, clock, watch)
        if parts.web:
            port: int | None = await _start_web(stack, settings, store, worker, clock, watch)
        else:
            port = await _show_worker(stack, settings, store, clock, watch.metrics)
        fields: dict[str, object] = {"web": parts.web, "worker": parts.worker, "port": port}
        if parts.web:
            on = bool(settings.console_token.get_secret_value())
            fields["console"] = CONSOLE_PATH if on else "off: set CONSOLE_TOKEN to have it"
        observe(Signal("started", fields=fields))
        try:
            yield Running(store, port)
        finally:
            observe(Signal("stopping"))


async def _stop_traces(stop: Callable[[], None]) -> None:
    """Send the last spans, if the collector takes them soon."""
    with suppress(TimeoutError):
        async with asyncio.timeout(TRACES_PATIENCE):
            await asyncio.to_thread(stop)


async def _start_worker(
    stack: AsyncExitStack,
    settings: Settings,
    parts: Parts,
    store: Store,
    catalogue: Catalogue,
    clock: Clock,
    watch: Watch,
) -> Worker:
    clients = await _clients(stack, settings, watch)
    observe = watch.on_signal
    policy = catalogue.applied_to(settings.policy)
    context = Context(store, clients, policy, catalogue, clock, new_owner(), observe, lease=LEASE)
    if left := await store.join(clock.now() + AFTERMATH):
        observe(Signal("left_by_dead_worker", fields={"conversations": left}))
    alone = parts.web and not is_postgres(settings.database_url)
    worker = Worker(context, settings.worker_concurrency, POLL_ALONE if alone else POLL_APART)
    store.listen(worker.wake)
    task = asyncio.get_running_loop().create_task(worker.run(), name="worker")

    async def stop() -> None:
        worker.stop()
        await task

    stack.push_async_callback(stop)
    retention = Retention(store, clock, observe, timedelta(days=settings.retention_days))
    _run_beside(stack, retention.run(), "retention")
    return worker


def _run_beside(stack: AsyncExitStack, work: Coroutine[Any, Any, None], name: str) -> None:
    """Run something until the stack is left; it is cancelled then."""
    task = asyncio.get_running_loop().create_task(work, name=name)

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(stop)


async def _clients(stack: AsyncExitStack, settings: Settings, watch: Watch) -> Clients:
    keys = {
        "integration": (settings.sunshine_key_id, settings.sunshine_key_secret)
        if settings.has_integration_key
        else None,
        "app": (settings.sunshine_app_key_id, settings.sunshine_app_key_secret) if settings.has_app_key else None,
    }
    if settings.has_app_key and not settings.sunshine_app_key_id:
        keys["app"] = (settings.sunshine_key_id, settings.sunshine_key_secret)
    made: dict[str, SunshineClient | None] = {"integration": None, "app": None}
    for name, key in keys.items():
        if key:
            client = SunshineClient(
                settings.sunshine_base_url,
                settings.sunshine_app_id,
                Credentials(key[0], key[1].get_secret_value()),
                transport=AiohttpTransport(settings.worker_concurrency),
                observe=watch.on_call,
            )
            made[name] = await stack.enter_async_context(client)
    return Clients(made["integration"], made["app"])


async def _start_web(
    stack: AsyncExitStack,
    settings: Settings,
    store: Database,
    worker: Worker | None,
    clock: Clock,
    watch: Watch,
) -> int:
    def on_stored(events: Sequence[NewEvent]) -> None:
        if worker:
            worker.wake(dict.fromkeys(event.conversation_id for event in events))
        watch.on_stored(events)

    inbox = GroupCommit(watch.metrics.timed(store.receive), on_stored=on_stored, unavailable=(Unavailable, OSError))
    stack.push_async_callback(inbox.stop)
    accepted = Secrets([secret.get_secret_value() for secret in settings.sunshine_webhook_secret])
    if settings.record_tape:
        recorder = _start_recorder(stack, settings)
        intake: Intake = RecordingIntake(inbox, accepted, clock.now, watch.metrics.on_receipt, recorder)
    else:
        intake = Intake(inbox, accepted, clock.now, watch.metrics.on_receipt)
    app = web.Application()
    app.router.add_post(WEBHOOK_PATH, web_handler(intake))
    add_health(app, store, clock, watch.metrics, inbox)
    _add_console(app, settings, store, worker, clock, watch.on_signal)
    return await _listen(stack, settings.host, settings.port, app)


async def _listen(stack: AsyncExitStack, host: str, port: int, app: web.Application) -> int:
    """Serve an application, and return the port. Raises `OSError`."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, host, port, backlog=1024)
    await site.start()
    taken: int = runner.addresses[0][1]
    return taken


async def _show_worker(
    stack: AsyncExitStack, settings: Settings, store: Store, clock: Clock, metrics: Metrics
) -> int | None:
    """Serve health and metrics of a worker that is a process of its own, if METRICS_PORT says where."""
    if settings.metrics_port is None:
        return None
    app = web.Application()
    add_health(app, store, clock, metrics, None)
    try:
        return await _listen(stack, settings.host, settings.metrics_port, app)
    except OSError as error:
        where = f"{settings.host}:{settings.metrics_port}"
        raise SettingsProblem([f"METRICS_PORT: can't listen on {where}: {error.strerror}"]) from None


def _add_console(
    app: web.Application, settings: Settings, store: Database, worker: Worker | None, clock: Clock, observe: Observe
) -> None:
    token = settings.console_token.get_secret_value()
    if not token:
        app.add_subapp(CONSOLE_PATH, closed_console())
        return
    wake = worker.wake if worker else lambda _: None
    console = Console(token, store, settings.policy, clock, observe=observe, wake=wake)
    app.add_subapp(CONSOLE_PATH, console.application())


def _start_recorder(stack: AsyncExitStack, settings: Settings) -> Recorder:
    recorder = Recorder(Path(settings.record_tape))
    try:
        recorder.start()
    except TapeError as error:
        raise SettingsProblem([f"RECORD_TAPE: {error}"]) from None
    stack.push_async_callback(asyncio.to_thread, recorder.stop)
    return recorder
