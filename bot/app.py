"""The composition root: assembles, starts and stops the parts of a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web
from pydantic import SecretStr

from bot.account.account_watch import AccountWatch
from bot.api import add_api, carries
from bot.clock import Clock, SystemClock
from bot.console.render import HOME as CONSOLE_PATH
from bot.console.site import Console, closed_console
from bot.database_watch import DatabaseWatch
from bot.engine.context import AFTERMATH, LEASE, Context
from bot.engine.delivery import Clients
from bot.engine.retention import Retention
from bot.engine.worker import Worker
from bot.flows.catalogue import Catalogue
from bot.flows.error_report import describe_error, raised_signal
from bot.flows.inspection import inspected
from bot.flows.resources import LifespanError, opened
from bot.health import add_health, add_metrics, add_no_metrics
from bot.listening import Listener, raise_descriptor_limit
from bot.loop_thread import Handler, LoopThread
from bot.loop_watch import LoopWatch
from bot.observability import ApiKey, Metrics, Watch, log_signal, loop_error_handler, traces_if_wanted
from bot.observability.switchboard_check import SwitchboardCheck
from bot.recording import Recorder
from bot.settings import FlowMismatch, LogErrors, Settings, SettingsError
from bot.signals import Level, Observe, Signal
from bot.store import Database, Unavailable, open_store
from bot.store.interface import Store
from bot.store.owners import new_owner
from bot.store.url import is_postgres
from bot.sunshine import AiohttpTransport, Credentials, SunshineClient
from bot.tape import TapeError
from bot.troubles import What
from webhooks.inbox import GroupCommit, NewEvent
from webhooks.intake import Intake
from webhooks.security import Secrets
from webhooks.web import is_address, web_handler, wrong_address_handler

T = TypeVar("T")

Wake = Callable[[Iterable[str | None]], None]

WEBHOOK_PATH = "/webhooks/sunshine"
TRACES_TIMEOUT = 2.0  # seconds, at shutdown
# Web and worker in one process: only orders of the command line send no wake-up.
POLL_ALONE = timedelta(seconds=2)
# Other processes may receive webhooks for the same database.
POLL_APART = timedelta(milliseconds=500)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that run in a process."""

    web: bool = True
    worker: bool = True


@dataclass(frozen=True, slots=True)
class WorkerHandle:
    """The thread-safe interface of a worker.

    Attributes:
        wake: wakes the worker for conversations with new events.
        is_stuck: returns whether code has blocked its event loop for long.
    """

    wake: Wake = lambda _: None
    is_stuck: Callable[[], bool] = lambda: False


_NO_WORKER = WorkerHandle()


@dataclass(frozen=True, slots=True)
class Running:
    """The running bot. `port` is None without a web part."""

    store: Store
    port: int | None


def catalogue_of(settings: Settings) -> Catalogue:
    """Load the flows of the settings. Raises `SettingsError`."""
    catalogue, problems = inspected(*settings.named_flows)
    if problems:
        raise SettingsError(problems)
    return catalogue


@asynccontextmanager
async def running(
    settings: Settings,
    parts: Parts = Parts(),
    *,
    clock: Clock | None = None,
    hooks: Sequence[Observe] = (log_signal,),
    metrics: Metrics | None = None,
    checks_account: bool = False,
) -> AsyncIterator[Running]:
    """Run the bot until the context exits; then shut it down in order.

    Args:
        settings: every setting.
        parts: what runs in this process.
        clock: None: the machine's.
        hooks: get every signal.
        metrics: count every signal; None: new ones.
        checks_account: look beside everything else whether the account is as the bot needs it, and tell what is not.

    Raises:
        SettingsError: a flow does not exist, or the tape can't be written.
        StoreError: the database can't be used.
    """
    clock = clock or SystemClock()
    catalogue = catalogue_of(settings)
    traces = traces_if_wanted(clock)
    watch = Watch(metrics or Metrics(), traces, hooks)
    watch.metrics.know_flows(flow.name for flow in catalogue.all)
    observe = watch.on_signal
    on_loop_error = loop_error_handler(observe)
    asyncio.get_running_loop().set_exception_handler(on_loop_error)
    raise_descriptor_limit()
    async with AsyncExitStack() as stack:
        if traces:
            stack.push_async_callback(_stop_traces, traces.stop)
        store = open_store(settings.database_url, observe)
        await store.start()
        stack.push_async_callback(store.stop)
        worker, listening, run = _NO_WORKER, stack, _here
        if parts.worker:
            worker = await _start_worker(stack, settings, parts, store, catalogue, clock, watch)
            # Listen on another thread: a flow that blocks this one must not block intake.
            thread, listening = _new_thread(stack, on_loop_error)
            run = thread.run
        start = _start_listening(
            listening,
            settings,
            parts,
            store,
            worker,
            clock,
            watch,
            catalogue.flows,
        )
        port = await run(start)
        fields: dict[str, object] = {"web": parts.web, "worker": parts.worker, "port": port}
        if parts.web:
            is_on = bool(settings.console_token.get_secret_value())
            fields["console"] = CONSOLE_PATH if is_on else "off: set CONSOLE_TOKEN to enable it"
        observe(Signal("started", fields=fields))
        if checks_account:
            account = AccountWatch(settings, watch.troubles, clock, alone=not parts.worker)
            await run(_begin(listening, account.run(), "account watch"))
        try:
            yield Running(store, port)
        finally:
            observe(Signal("stopping"))


async def _here(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the caller's loop."""
    return await work


async def _begin(stack: AsyncExitStack, work: Coroutine[Any, Any, None], name: str) -> None:
    """Start a background task on the stack's loop."""
    _run_beside(stack, work, name)


def _new_thread(stack: AsyncExitStack, on_error: Handler) -> tuple[LoopThread, AsyncExitStack]:
    """Return a thread with an event loop and a stack that exits on it. The stack owns both."""
    thread, there = LoopThread("listener", on_error), AsyncExitStack()
    thread.start()
    stack.push_async_callback(thread.stop)
    stack.push_async_callback(lambda: thread.run(there.aclose()))
    return thread, there


async def _start_listening(
    stack: AsyncExitStack,
    settings: Settings,
    parts: Parts,
    store: Database,
    worker: WorkerHandle,
    clock: Clock,
    watch: Watch,
    flows: Collection[str],
) -> int | None:
    """Start listeners and the database watch on the caller's loop. Return the port, if any."""
    if parts.worker:
        store = await _for_this_loop(stack, store)
    _run_beside(stack, DatabaseWatch(store, watch.troubles).run(), "database watch")
    if parts.web:
        return await _start_web(stack, settings, store, worker, clock, watch, flows)
    return await _listen_for_metrics(stack, settings, store, worker, clock, watch)


async def _for_this_loop(stack: AsyncExitStack, store: Database) -> Database:
    """Return the database for use on this loop."""
    ours = store.for_another_loop()
    if ours is not store:
        await ours.start()
        stack.push_async_callback(ours.stop)
    return ours


async def _stop_traces(stop: Callable[[], None]) -> None:
    """Send the last spans, unless the collector is slow."""
    with suppress(TimeoutError):
        async with asyncio.timeout(TRACES_TIMEOUT):
            await asyncio.to_thread(stop)


async def _start_worker(
    stack: AsyncExitStack,
    settings: Settings,
    parts: Parts,
    store: Store,
    catalogue: Catalogue,
    clock: Clock,
    watch: Watch,
) -> WorkerHandle:
    clients = await _clients(stack, settings, watch)
    observe = watch.on_signal
    policy = catalogue.applied_to(settings.policy)
    owner, troubles = new_owner(), watch.troubles
    is_full = settings.log_errors is LogErrors.FULL
    resources = await stack.enter_async_context(_resources(catalogue, observe, is_full=is_full))
    context = Context(
        store,
        clients,
        policy,
        catalogue,
        clock,
        owner,
        observe,
        lease=LEASE,
        troubles=troubles,
        raised=lambda raised: observe(raised_signal(raised, is_full=is_full)),
        full_errors=is_full,
        restarts=settings.flow_mismatch is FlowMismatch.RESTART,
        mismatch_text=settings.flow_mismatch_text,
        resources=resources,
    )
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
    loop_watch = LoopWatch(watch.troubles)
    loop_watch.start()
    stack.push_async_callback(loop_watch.stop)
    return WorkerHandle(_from_any_thread(worker.wake), loop_watch.is_stuck)


def _from_any_thread(wake: Wake) -> Wake:
    """Make `wake` callable from other threads."""
    loop = asyncio.get_running_loop()

    def wake_there(conversation_ids: Iterable[str | None]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(wake, list(conversation_ids))

    return wake_there


@asynccontextmanager
async def _resources(catalogue: Catalogue, observe: Observe, *, is_full: bool) -> AsyncIterator[Any]:
    """Open the flows' lifespan while the worker runs. Raises `SettingsError`."""

    def failed(error: Exception) -> None:
        fields = {"error": describe_error(error, is_full=is_full)}
        observe(Signal("lifespan_failed", Level.WARNING, fields=fields))

    async with AsyncExitStack() as stack:
        try:
            resources = await stack.enter_async_context(opened(catalogue.handlers.lifespan, failed))
        except LifespanError as error:
            cause = describe_error(error.__cause__ or error, is_full=is_full)
            raise SettingsError([f"FLOWS: the lifespan {error} failed: {cause}"]) from error
        yield resources


def _run_beside(stack: AsyncExitStack, work: Coroutine[Any, Any, None], name: str) -> None:
    """Run a background task until the stack exits; then cancel it."""
    task = asyncio.get_running_loop().create_task(work, name=name)

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(stop)


async def _clients(stack: AsyncExitStack, settings: Settings, watch: Watch) -> Clients:
    made: dict[bool, SunshineClient] = {}
    for key, key_id, secret in keys_of(settings):
        client = SunshineClient(
            settings.sunshine_base_url,
            settings.sunshine_app_id,
            Credentials(key_id, secret.get_secret_value()),
            transport=AiohttpTransport(settings.worker_concurrency),
            observe=watch.calls_with(key),
            on_late=watch.late_with(key),
        )
        made[key.app_scoped] = await stack.enter_async_context(client)
    return Clients(made.get(False), made.get(True))


def keys_of(settings: Settings) -> list[tuple[ApiKey, str, SecretStr]]:
    """Return the configured API keys: at most one of the integration, and one of the app.

    Returns:
        Each key with its id and secret.
    """
    keys = []
    own = settings.sunshine_key_id, settings.sunshine_key_secret
    app = settings.sunshine_app_key_id, settings.sunshine_app_key_secret
    if settings.has_integration_key:
        keys.append((ApiKey("SUNSHINE_KEY"), *own))
    if settings.sunshine_app_key_id:
        keys.append((ApiKey("SUNSHINE_APP_KEY", app_scoped=True), *app))
    elif settings.has_app_key:
        keys.append((ApiKey("SUNSHINE_KEY", app_scoped=True), *own))
    return keys


async def _start_web(
    stack: AsyncExitStack,
    settings: Settings,
    store: Database,
    worker: WorkerHandle,
    clock: Clock,
    watch: Watch,
    flows: Collection[str],
) -> int:
    switchboard_check = SwitchboardCheck(settings.sunshine_switchboard_integration, watch.troubles)

    def on_stored(events: Sequence[NewEvent]) -> None:
        worker.wake(dict.fromkeys(event.conversation_id for event in events))
        watch.on_stored(events)
        switchboard_check.look(events)

    inbox = GroupCommit(
        watch.stored(store.receive),
        on_stored=on_stored,
        unavailable=(Unavailable, OSError),
        report=watch.on_report,
    )
    stack.push_async_callback(inbox.stop)
    accepted = Secrets([secret.get_secret_value() for secret in settings.sunshine_webhook_secret])
    intake = Intake(
        inbox,
        accepted,
        clock.now,
        watch.on_receipt,
        settings.sunshine_app_id,
        partial(watch.troubles.lasts, What.DATABASE),
        _start_recorder(stack, settings, watch.on_signal).take if settings.record_tape else None,
        watch.on_report,
    )
    app = web.Application()
    receive = web_handler(intake)
    app.router.add_post(WEBHOOK_PATH, receive)
    add_health(app, store, inbox, watch.on_signal, watch.troubles, worker.is_stuck)
    if token := settings.metrics_token.get_secret_value():
        add_metrics(app, store, clock, watch.metrics, token)
    else:
        add_no_metrics(app)
        await _listen_for_metrics(stack, settings, store, worker, clock, watch)
    api_token = settings.api_token.get_secret_value()
    add_api(app, store, clock, api_token, worker.wake, watch.on_signal, flows)
    _add_console(app, settings, store, worker, clock, watch)
    app.router.add_route("*", "/{path:.*}", wrong_address_handler(intake, WEBHOOK_PATH, receive))

    def is_trusted(asked: web.BaseRequest) -> bool:
        return intake.has_key(asked.headers) or (api_token != "" and carries(asked, api_token))

    return await _listen(stack, settings.host, settings.port, app, watch, is_trusted)


async def _listen(
    stack: AsyncExitStack,
    host: str,
    port: int,
    app: web.Application,
    watch: Watch,
    is_trusted: Callable[[web.BaseRequest], bool] = lambda _: False,
) -> int:
    """Serve an application, and return the port. Raises `OSError`."""
    listener = Listener(
        app,
        host,
        port,
        inflates=lambda request: is_address(request.path, WEBHOOK_PATH),
        is_trusted=is_trusted,
        on_cut=watch.on_cut,
    )
    await listener.start()
    stack.push_async_callback(listener.stop)
    return listener.port


async def _listen_for_metrics(
    stack: AsyncExitStack,
    settings: Settings,
    store: Store,
    worker: WorkerHandle,
    clock: Clock,
    watch: Watch,
) -> int | None:
    """Serve health and metrics on METRICS_PORT, if set."""
    if settings.metrics_port is None:
        return None
    app = web.Application()
    add_health(app, store, None, watch.on_signal, watch.troubles, worker.is_stuck)
    add_metrics(app, store, clock, watch.metrics, settings.metrics_token.get_secret_value())
    try:
        return await _listen(stack, settings.host, settings.metrics_port, app, watch)
    except OSError as error:
        where = f"{settings.host}:{settings.metrics_port}"
        raise SettingsError([f"METRICS_PORT: can't listen on {where}: {error.strerror}"]) from None


def _add_console(
    app: web.Application,
    settings: Settings,
    store: Database,
    worker: WorkerHandle,
    clock: Clock,
    watch: Watch,
) -> None:
    token = settings.console_token.get_secret_value()
    if not token:
        app.add_subapp(CONSOLE_PATH, closed_console())
        return
    console = Console(
        token,
        store,
        settings.policy,
        clock,
        observe=watch.on_signal,
        wake=worker.wake,
        troubles=watch.troubles.lasting,
        trusted=settings.trusted_proxies,
    )
    app.add_subapp(CONSOLE_PATH, console.application())


def _start_recorder(stack: AsyncExitStack, settings: Settings, observe: Observe) -> Recorder:
    recorder = Recorder(Path(settings.record_tape), observe)
    try:
        recorder.start()
    except TapeError as error:
        raise SettingsError([f"RECORD_TAPE: {error}"]) from None
    stack.push_async_callback(asyncio.to_thread, recorder.stop)
    return recorder
