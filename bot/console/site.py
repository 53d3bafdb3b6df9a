"""The console's pages: conversation lists, timelines, release by hand."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode

from aiohttp import web
from aiohttp_sse import EventSourceResponse
from pydantic import TypeAdapter

from bot.clock import Clock
from bot.console.auth import HEADERS, SIGNED_IN, Auth, Sleep, audit_name
from bot.console.client_address import IpNetwork
from bot.console.forms import read_form
from bot.console.live import CrowdedError, Live, Shown
from bot.console.render import (
    AGES,
    HOME,
    STATIC,
    Overview,
    Templates,
    address,
    read_number,
    read_older,
    read_place,
    static,
    stretches,
)
from bot.console.sessions import Session
from bot.control.by_hand import Consequence, prospect
from bot.control.policy import Policy
from bot.engine.orders import release_order
from bot.settings import Duration
from bot.signals import Level, Observe, Signal
from bot.store import Database, StoreError
from bot.store.operators import NEWEST, Access, Before, Listing, Page, Standing, Timeline
from bot.troubles import Trouble

MAX_STREAM = timedelta(hours=1)
MAX_ID_LENGTH = 255
MISMATCH_WINDOW = timedelta(days=1)
MAX_MISMATCHES = 20
PAGE_SIZE = 100  # of each: events, effects, duties, and moments of a timeline
SESSION_CHECK_INTERVAL = 5.0  # seconds, for open pages

T = TypeVar("T")

_DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)


@dataclass(frozen=True, slots=True)
class View:
    """The subject of a page: a conversation, or a page of a list."""

    conversation_id: str = ""
    standing: Standing = Standing.ALL
    search: str = ""
    older: str = ""
    after: str = ""

    @property
    def query(self) -> str:
        """The query string of the URL."""
        is_all = self.standing is Standing.ALL
        parts = {
            "filter": "" if is_all else self.standing.value,
            "q": self.search,
            "older": self.older,
            "after": self.after,
        }
        return urlencode({name: value for name, value in parts.items() if value})


class Console:
    """The operator's pages, to be added to an application under `HOME`.

    Args:
        token: CONSOLE_TOKEN.
        store: the database.
        policy: the parameters of the control rules.
        clock: the clock.
        observe: receives signals.
        wake: wakes the workers of this process for conversations.
        troubles: returns the ongoing troubles of this process.
        sleep: delays the answer to a wrong token.
        trusted: the networks of reverse proxies whose X-Forwarded-For is trusted.
    """

    def __init__(
        self,
        token: str,
        store: Database,
        policy: Policy,
        clock: Clock,
        *,
        observe: Observe,
        wake: Callable[[Iterable[str | None]], None] = lambda _: None,
        troubles: Callable[[], Sequence[Trouble]] = tuple,
        sleep: Sleep = asyncio.sleep,
        trusted: Sequence[IpNetwork] = (),
    ) -> None:
        self._store = store
        self._policy = policy
        self._clock = clock
        self._wake = wake
        self._troubles = troubles
        self._observe = observe
        self._templates = Templates()
        self._auth = Auth(token, store, clock, self._templates, observe, sleep, trusted)
        self._live: Live[View] = Live(self._look, failed=self._auth.log_page_error)

    def application(self) -> web.Application:
        """Return the pages as an application."""
        app = web.Application(middlewares=[self._auth.guard])
        router = app.router
        router.add_get("", self._overview)
        router.add_get("/", self._overview)
        router.add_get("/sign-in", self._auth.show_sign_in)
        router.add_post("/sign-in", self._auth.sign_in)
        router.add_post("/sign-out", self._auth.sign_out)
        router.add_get("/static/{name}", self._static)
        router.add_get("/live", self._follow)
        router.add_get("/set-aside", self._set_aside)
        router.add_post("/set-aside", self._retry)
        router.add_get("/audit", self._audit)
        router.add_get("/conversations/{id:[^/]+}", self._conversation)
        router.add_get("/conversations/{id:[^/]+}/release", self._ask_release)
        router.add_post("/conversations/{id:[^/]+}/release", self._release)

        async def close(_: web.Application) -> None:
            self._live.close()

        app.on_shutdown.append(close)
        return app

    # -- read pages --

    async def _overview(self, request: web.Request) -> web.Response:
        view = _view_of(request)
        if view.search:
            # Don't record the search text: the audit log outlives the erasure of a person.
            await self._audit_entry(request, "search", None)
        over = await self._overview_of(view)
        return await self._page(
            request,
            "overview.html",
            view=view,
            live=view.query,
            overview=over,
        )

    async def _conversation(self, request: web.Request) -> web.Response:
        before = _read(request, "before", read_older)
        found = await self._timeline(request, PAGE_SIZE, before or NEWEST)
        await self._audit_entry(request, "view", found.listed.state.id)
        live = urlencode({"conversation": found.listed.state.id})
        values: dict[str, Any] = {
            "live": "" if before else live,
            "asked": "asked" in request.query,
            "is_newest": before is None,
            **self._about(found),
        }
        return await self._page(request, "conversation.html", timeline=found, **values)

    async def _set_aside(self, request: web.Request) -> web.Response:
        before = _read(request, "before", read_number)
        events = await self._store.set_aside_events(51, before)
        more = len(events) > 50
        return await self._page(request, "set_aside.html", events=events[:50], more=more)

    async def _audit(self, request: web.Request) -> web.Response:
        entries = await self._store.audit_log(200)
        return await self._page(request, "audit.html", entries=entries)

    async def _static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in STATIC:
            raise web.HTTPNotFound(text="There is no such file.")
        return web.Response(
            body=static(name),
            content_type=STATIC[name],
            charset="utf-8",
            headers={"Cache-Control": "max-age=60"},
        )

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        """Send server-sent events: the changing part of a page, as JSON text, on each change."""
        view = _view_of(request)
        if view.conversation_id:
            await self._audit_entry(request, "watch", view.conversation_id)
        lasts = min(request[SIGNED_IN].end - self._clock.now(), MAX_STREAM)
        try:
            with self._live.following(view) as changes:
                return await self._stream(request, changes, lasts.total_seconds())
        except CrowdedError:
            raise web.HTTPServiceUnavailable(text="Too many pages are open.") from None

    async def _stream(
        self,
        request: web.Request,
        changes: AsyncIterator[str],
        seconds: float,
    ) -> web.StreamResponse:
        response = EventSourceResponse(headers=HEADERS)
        if request.transport is None:  # the page is gone
            return response
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(seconds) as limit:
                work = self._end_with_session(request[SIGNED_IN], limit)
                watch = asyncio.create_task(work)
                try:
                    await response.prepare(request)
                    async with response:
                        async for html in changes:
                            if not response.is_connected():
                                break
                            await response.send(json.dumps(html))
                finally:
                    watch.cancel()
        return response

    async def _end_with_session(self, session: Session, limit: asyncio.Timeout) -> None:
        """End a stream after sign-out in any process."""
        while True:
            await asyncio.sleep(SESSION_CHECK_INTERVAL)
            with suppress(StoreError):  # then the page shows nothing new either
                if await self._auth.is_over(session):
                    limit.reschedule(asyncio.get_running_loop().time())
                    return

    async def _look(self, view: View) -> Shown:
        if not view.conversation_id:
            over = await self._overview_of(view)
            render = partial(
                self._templates.render,
                "_overview.html",
                overview=over,
                view=view,
            )
            return Shown(over.mark, render)
        found = await self._store.timeline(view.conversation_id, PAGE_SIZE)
        if found is None:
            return Shown("removed", partial(self._templates.render, "_removed.html"))
        values = self._about(found) | {"is_newest": True}
        mark = await asyncio.to_thread(lambda: hash(repr(found)))

        def render_timeline() -> str:
            return self._templates.render(
                "_conversation.html",
                **values,
                **_timeline_values(found),
            )

        return Shown(mark, render_timeline)

    async def _overview_of(self, view: View) -> Overview:
        now = self._clock.now()
        until = now - _DURATION.validate_python(view.older) if view.older else None
        after = read_place(view.after) if view.after else None
        listing = Listing(view.standing, now, until, view.search, after)
        mismatches = await self._mismatches(now)
        page = await self._store.conversations(listing)
        counts = await self._store.counts(now)
        query = replace(view, after="").query
        return Overview(
            now,
            counts,
            self._policy.mode,
            mismatches,
            page,
            self._troubles(),
            query,
        )

    async def _mismatches(self, now: datetime) -> Page:
        """Return conversations with a recent control mode mismatch, newest first."""
        listing = Listing(Standing.MISMATCH, now, limit=MAX_MISMATCHES)
        page = await self._store.conversations(listing)
        recent = [one for one in page.conversations if now - one.since < MISMATCH_WINDOW]
        return replace(page, conversations=recent)

    def _about(self, found: Timeline) -> dict[str, Any]:
        """Return the values shared by the pages of a conversation."""
        state = found.listed.state
        return {
            "listed": found.listed,
            "state": state,
            "now": self._clock.now(),
            "foreseen": prospect(state, self._policy),
        }

    # -- actions --

    async def _ask_release(self, request: web.Request) -> web.Response:
        about = self._about(await self._timeline(request, 1))
        order_id = secrets.token_hex(8)
        return await self._page(request, "release.html", order_id=order_id, problem="", **about)

    async def _release(self, request: web.Request) -> web.Response:
        """Release after confirmation. Asks again if the confirmed consequence has changed."""
        form, found = await read_form(request), await self._timeline(request, 1)
        state = found.listed.state
        foreseen = prospect(state, self._policy)
        consequence = foreseen.consequence
        against = form.get("against", "") or None
        taking = consequence is Consequence.TAKE
        is_confirmed = form.get("outcome") == consequence
        if taking and against != foreseen.against:
            is_confirmed = False
        problem = ""
        if consequence is Consequence.NOTHING or not is_confirmed:
            problem = "The situation has changed. This is the current state."
        elif taking and form.get("sure") != "yes":
            problem = "Confirm that you want to take control from the active integration."
        if problem:
            values = self._about(found) | {
                "order_id": secrets.token_hex(8),
                "problem": problem,
            }
            return await self._page(request, "release.html", 409, **values)
        order = release_order(
            state.id,
            by=audit_name(request[SIGNED_IN].operator),
            now=self._clock.now(),
            order_id=form.get("order", "")[:64] or secrets.token_hex(8),
            against=foreseen.against,
        )
        # Write the audit log first: no release by hand without an entry.
        await self._audit_entry(request, "release", state.id, consequence.value)
        await self._store.order(order)
        fields = {"outcome": consequence.value}
        self._observe(Signal("release_by_hand", Level.WARNING, state.id, fields))
        self._wake([state.id])
        raise web.HTTPSeeOther(f"{address(state.id)}?asked=1")

    async def _retry(self, request: web.Request) -> web.Response:
        event_id = (await read_form(request)).get("event", "")
        event = await self._store.retry(event_id)
        if event is None:
            raise web.HTTPNotFound(text="This event is no longer set aside.")
        await self._audit_entry(request, "retry", event.conversation_id, event.id)
        self._wake([event.conversation_id])
        raise web.HTTPSeeOther(f"{HOME}/set-aside")

    # -- shared --

    async def _timeline(self, request: web.Request, limit: int, before: Before = NEWEST) -> Timeline:
        found = await self._store.timeline(request.match_info["id"], limit, before)
        if found is None:
            text = "This conversation is unknown. It may have been removed or purged."
            raise web.HTTPNotFound(text=text)
        return found

    async def _audit_entry(
        self,
        request: web.Request,
        action: str,
        conversation_id: str | None,
        detail: str = "",
    ) -> None:
        name = audit_name(request[SIGNED_IN].operator)
        entry = Access(self._clock.now(), name, action, conversation_id, detail)
        await self._store.audit(entry)

    async def _page(
        self,
        request: web.Request,
        name: str,
        status: int = 200,
        *,
        timeline: Timeline | None = None,
        **values: Any,
    ) -> web.Response:
        """Render a page on another thread: long timelines take tens of milliseconds."""
        csrf = self._auth.csrf(request)

        def render() -> str:
            more = _timeline_values(timeline) if timeline else {}
            return self._templates.render(name, csrf=csrf, signed_in=True, **values, **more)

        html = await asyncio.to_thread(render)
        return web.Response(text=html, status=status, content_type="text/html")


def closed_console() -> web.Application:
    """Return an application that explains how to enable the console (CONSOLE_TOKEN)."""
    templates = Templates()

    async def hint(request: web.Request) -> web.Response:
        is_static = request.path.startswith(f"{HOME}/static/")
        if is_static:
            name = request.match_info["rest"].removeprefix("static/")
            if name in STATIC:
                return web.Response(
                    body=static(name),
                    content_type=STATIC[name],
                    charset="utf-8",
                    headers=HEADERS,
                )
        html = templates.render("off.html")
        return web.Response(text=html, status=404, content_type="text/html", headers=HEADERS)

    app = web.Application()
    app.router.add_get("", hint)
    app.router.add_get("/{rest:.*}", hint)
    return app


def _timeline_values(found: Timeline) -> dict[str, Any]:
    """Return the template values of a timeline."""
    return {"found": found, "stretches": stretches(found)}


def _read(request: web.Request, name: str, read: Callable[[str], T]) -> T | None:
    """Parse a position from the query; None if absent. Raises `HTTPBadRequest` if invalid."""
    given = request.query.get(name)
    try:
        return read(given) if given else None
    except ValueError:
        raise web.HTTPBadRequest(text="This position in the list is invalid.") from None


def _view_of(request: web.Request) -> View:
    """Parse the view from the query. Raises `HTTPBadRequest` if invalid."""
    query = request.query
    if "conversation" in query:
        return View(query["conversation"][:MAX_ID_LENGTH])
    try:
        standing = Standing(query.get("filter", Standing.ALL))
        if query.get("after"):
            read_place(query["after"])
    except (ValueError, OverflowError):
        raise web.HTTPBadRequest(text="There is no such list of conversations.") from None
    older = query.get("older", "")
    if older not in AGES:
        raise web.HTTPBadRequest(text="There is no such choice of age.")
    search = query.get("q", "").strip()[:MAX_ID_LENGTH]
    return View("", standing, search, older, query.get("after", ""))
