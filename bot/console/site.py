"""The console over HTTP: what is held and owed, how a conversation went, release by hand."""

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
from bot.console.client_address import IpNetwork
from bot.console.doors import HEADERS, SIGNED_IN, Doors, Sleep, who
from bot.console.forms import read_form
from bot.console.live import Crowded, Live, Shown
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

LONGEST_STREAM = timedelta(hours=1)
LONGEST_ID = 255
LATELY = timedelta(days=1)
MOST_MISMATCHES = 20
STRETCH = 100  # events, effects, duties, and moments of a conversation on one page
CHECK_EVERY = 5.0  # seconds until an open page notices that its session was signed out

T = TypeVar("T")

_DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)


@dataclass(frozen=True, slots=True)
class View:
    """What a page shows: one conversation, or a page of a listing."""

    conversation_id: str = ""
    standing: Standing = Standing.ALL
    search: str = ""
    older: str = ""
    after: str = ""

    @property
    def query(self) -> str:
        """As an address has it."""
        parts = {"filter": self.standing.value, "q": self.search, "older": self.older, "after": self.after}
        return urlencode({name: value for name, value in parts.items() if value and (name, value) != ("filter", "all")})


class Console:
    """The operator's pages, to be added to an application below `HOME`.

    Args:
        wake: lets the workers of this process know of conversations in which something waits.
        troubles: what lasts, of all that has failed in this process.
        sleep: holds back the answer to a wrong token for so many seconds.
        trusted: the networks of reverse proxies whose X-Forwarded-For is believed.
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
        self._doors = Doors(token, store, clock, self._templates, observe, sleep, trusted)
        self._live: Live[View] = Live(self._look, failed=self._doors.tell_failed)

    def application(self) -> web.Application:
        """The pages, as an application of their own."""
        app = web.Application(middlewares=[self._doors.guard])
        router = app.router
        router.add_get("", self._overview)
        router.add_get("/", self._overview)
        router.add_get("/sign-in", self._doors.show_sign_in)
        router.add_post("/sign-in", self._doors.sign_in)
        router.add_post("/sign-out", self._doors.sign_out)
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

    # -- looking -----------------------------------------------------------------------------------------------------

    async def _overview(self, request: web.Request) -> web.Response:
        view = _view_of(request)
        if view.search:
            await self._note(request, "search", None)  # not for what: the entry outlives a person's erasure
        over = await self._look_over(view)
        return await self._page(request, "overview.html", view=view, live=view.query, overview=over)

    async def _conversation(self, request: web.Request) -> web.Response:
        before = _read(request, "before", read_older)
        found = await self._timeline(request, STRETCH, before or NEWEST)
        await self._note(request, "view", found.listed.state.id)
        live, asked = urlencode({"conversation": found.listed.state.id}), "asked" in request.query
        values: dict[str, Any] = {"live": "" if before else live, "asked": asked, "is_newest": before is None}
        return await self._page(request, "conversation.html", told=found, **values, **self._about(found))

    async def _set_aside(self, request: web.Request) -> web.Response:
        events = await self._store.set_aside_events(51, _read(request, "before", read_number))
        return await self._page(request, "set_aside.html", events=events[:50], more=len(events) > 50)

    async def _audit(self, request: web.Request) -> web.Response:
        return await self._page(request, "audit.html", entries=await self._store.audit_log(200))

    async def _static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in STATIC:
            raise web.HTTPNotFound(text="There is no such file.")
        return web.Response(
            body=static(name), content_type=STATIC[name], charset="utf-8", headers={"Cache-Control": "max-age=60"}
        )

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: the changing part of a page, as JSON text, whenever something in it has changed."""
        view = _view_of(request)
        if view.conversation_id:
            await self._note(request, "watch", view.conversation_id)
        lasts = min(request[SIGNED_IN].end - self._clock.now(), LONGEST_STREAM)
        try:
            with self._live.following(view) as changes:
                return await self._stream(request, changes, lasts.total_seconds())
        except Crowded:
            raise web.HTTPServiceUnavailable(text="Too many pages are open.") from None

    async def _stream(self, request: web.Request, changes: AsyncIterator[str], seconds: float) -> web.StreamResponse:
        response = EventSourceResponse(headers=HEADERS)
        if request.transport is None:  # the page is gone
            return response
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(seconds) as limit:
                watch = asyncio.create_task(self._end_with_session(request[SIGNED_IN], limit))
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
        """End a stream once somebody has signed out, in whatever process."""
        while True:
            await asyncio.sleep(CHECK_EVERY)
            with suppress(StoreError):  # then nothing new is shown either
                if await self._doors.is_over(session):
                    limit.reschedule(asyncio.get_running_loop().time())
                    return

    async def _look(self, view: View) -> Shown:
        if not view.conversation_id:
            over = await self._look_over(view)
            return Shown(over.mark, partial(self._templates.render, "_overview.html", overview=over, view=view))
        found = await self._store.timeline(view.conversation_id, STRETCH)
        if found is None:
            return Shown("removed", partial(self._templates.render, "_removed.html"))
        values = self._about(found) | {"is_newest": True}
        mark = await asyncio.to_thread(lambda: hash(repr(found)))
        return Shown(mark, lambda: self._templates.render("_conversation.html", **values, **_told(found)))

    async def _look_over(self, view: View) -> Overview:
        now = self._clock.now()
        until = now - _DURATION.validate_python(view.older) if view.older else None
        after = read_place(view.after) if view.after else None
        listing = Listing(view.standing, now, until, view.search, after)
        mismatches = await self._mismatches(now)
        page = await self._store.conversations(listing)
        counts = await self._store.counts(now)
        query = replace(view, after="").query
        return Overview(now, counts, self._policy.mode, mismatches, page, self._troubles(), query)

    async def _mismatches(self, now: datetime) -> Page:
        """Conversations in which the platform has lately acted as in the other control mode, the newest first."""
        listing = Listing(Standing.MISMATCH, now, limit=MOST_MISMATCHES)
        page = await self._store.conversations(listing)
        return replace(page, conversations=[one for one in page.conversations if now - one.since < LATELY])

    def _about(self, found: Timeline) -> dict[str, Any]:
        """What the pages of one conversation are told."""
        state = found.listed.state
        foreseen = prospect(state, self._policy)
        return {"listed": found.listed, "state": state, "now": self._clock.now(), "foreseen": foreseen}

    # -- acting ------------------------------------------------------------------------------------------------------

    async def _ask_release(self, request: web.Request) -> web.Response:
        about = self._about(await self._timeline(request, 1))
        return await self._page(request, "release.html", order_id=secrets.token_hex(8), problem="", **about)

    async def _release(self, request: web.Request) -> web.Response:
        """The operator has confirmed what the page foretold. If that is not what would happen now, it asks anew."""
        form, found = await read_form(request), await self._timeline(request, 1)
        state = found.listed.state
        foreseen = prospect(state, self._policy)
        confirmed, against = form.get("outcome") == foreseen.consequence, form.get("against", "") or None
        taking = foreseen.consequence is Consequence.TAKE
        problem = ""
        if foreseen.consequence is Consequence.NOTHING or not confirmed or (taking and against != foreseen.against):
            problem = "Things have changed since you were asked. This is how they stand now."
        elif taking and form.get("sure") != "yes":
            problem = "Confirm that control is to be taken from whoever has it, or leave it to them."
        if problem:
            about, again = self._about(found), secrets.token_hex(8)
            return await self._page(request, "release.html", 409, order_id=again, problem=problem, **about)
        order_id, now = form.get("order", "")[:64] or secrets.token_hex(8), self._clock.now()
        order = release_order(
            state.id, by=who(request[SIGNED_IN].operator), now=now, order_id=order_id, against=foreseen.against
        )
        await self._note(request, "release", state.id, foreseen.consequence.value)
        await self._store.order(order)
        self._observe(Signal("release_by_hand", Level.WARNING, state.id, {"outcome": foreseen.consequence.value}))
        self._wake([state.id])
        raise web.HTTPSeeOther(f"{address(state.id)}?asked=1")

    async def _retry(self, request: web.Request) -> web.Response:
        event_id = (await read_form(request)).get("event", "")
        event = await self._store.retry(event_id)
        if event is None:
            raise web.HTTPNotFound(text="This event is not set aside any more.")
        await self._note(request, "retry", event.conversation_id, event.id)
        self._wake([event.conversation_id])
        raise web.HTTPSeeOther(f"{HOME}/set-aside")

    # -- what they share ---------------------------------------------------------------------------------------------

    async def _timeline(self, request: web.Request, limit: int, before: Before = NEWEST) -> Timeline:
        found = await self._store.timeline(request.match_info["id"], limit, before)
        if found is None:
            raise web.HTTPNotFound(text="Nothing is known of this conversation. It may have been removed or purged.")
        return found

    async def _note(self, request: web.Request, action: str, conversation_id: str | None, detail: str = "") -> None:
        await self._store.audit(
            Access(self._clock.now(), who(request[SIGNED_IN].operator), action, conversation_id, detail)
        )

    async def _page(
        self, request: web.Request, name: str, status: int = 200, *, told: Timeline | None = None, **values: Any
    ) -> web.Response:
        """A whole page, made on another thread: a long timeline takes tens of milliseconds, and webhooks can't wait."""
        csrf = self._doors.csrf(request)

        def render() -> str:
            return self._templates.render(name, csrf=csrf, signed_in=True, **values, **(_told(told) if told else {}))

        return web.Response(text=await asyncio.to_thread(render), status=status, content_type="text/html")


def closed_console() -> web.Application:
    """What is there in the console's place where no CONSOLE_TOKEN is set: a hint."""
    templates = Templates()

    async def hint(request: web.Request) -> web.Response:
        if request.path.startswith(f"{HOME}/static/") and request.match_info["rest"].removeprefix("static/") in STATIC:
            name = request.match_info["rest"].removeprefix("static/")
            return web.Response(body=static(name), content_type=STATIC[name], charset="utf-8", headers=HEADERS)
        html = templates.render("off.html")
        return web.Response(text=html, status=404, content_type="text/html", headers=HEADERS)

    app = web.Application()
    app.router.add_get("", hint)
    app.router.add_get("/{rest:.*}", hint)
    return app


def _told(found: Timeline) -> dict[str, Any]:
    """The timeline itself, for a template."""
    return {"found": found, "stretches": stretches(found)}


def _read(request: web.Request, name: str, read: Callable[[str], T]) -> T | None:
    """Read a place in a list from the address; None where there is none. Raises `HTTPBadRequest` for an odd one."""
    given = request.query.get(name)
    try:
        return read(given) if given else None
    except ValueError:
        raise web.HTTPBadRequest(text="There is no such place in this list.") from None


def _view_of(request: web.Request) -> View:
    """The view that an address names. Raises `HTTPBadRequest` for one that can't be."""
    query = request.query
    if "conversation" in query:
        return View(query["conversation"][:LONGEST_ID])
    try:
        standing = Standing(query.get("filter", Standing.ALL))
        if query.get("after"):
            read_place(query["after"])
    except (ValueError, OverflowError):
        raise web.HTTPBadRequest(text="There is no such list of conversations.") from None
    older = query.get("older", "")
    if older not in AGES:
        raise web.HTTPBadRequest(text="There is no such age to choose.")
    return View("", standing, query.get("q", "").strip()[:LONGEST_ID], older, query.get("after", ""))
