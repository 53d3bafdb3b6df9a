"""Who may come in: signing in and out, the session of each request, and the headers of every answer."""

from __future__ import annotations

import math
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING

from aiohttp import web

from bot.clock import Clock
from bot.console.attempts import Attempts
from bot.console.render import HOME, Templates
from bot.console.sessions import LASTS, Sessions
from bot.signals import Level, Observe, Signal
from bot.store import StoreError
from bot.store.operators import Access

if TYPE_CHECKING:
    from bot.store import Database

SESSION, FORM = "switchboard_console", "switchboard_console_form"
WHO = "console"
LARGEST_FORM = 16 * 1024  # bytes
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
SESSION_END = web.RequestKey("session_end", datetime)
_OPEN = (f"{HOME}/sign-in", f"{HOME}/static/")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Doors:
    """Signing in and out.

    Args:
        token: CONSOLE_TOKEN; not empty.
    """

    def __init__(self, token: str, store: Database, clock: Clock, templates: Templates, observe: Observe) -> None:
        self._sessions = Sessions(token)
        self._attempts = Attempts()
        self._store = store
        self._clock = clock
        self._templates = templates
        self._observe = observe

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let through who is signed in, and of forms only our own; say what is wrong as a page."""
        try:
            response = await self._guarded(request, handler)
        except web.HTTPException as error:
            response = self._answer(request, error)
        except StoreError as error:
            response = self.problem(request, 503, f"The database can't be used just now: {error}")
        except Exception as error:  # noqa: BLE001 - a page that fails is told like everything else, and shows no traceback
            self.tell_failed(error)
            response = self.problem(request, 500, "The console has failed over this page. The bot's log says so, too.")
        if not response.prepared:
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
        return response

    def problem(self, request: web.Request, status: int, text: str) -> web.Response:
        """A page that says what is wrong."""
        signed_in, csrf = SESSION_END in request, self.csrf(request)
        html = self._templates.render("problem.html", status=status, text=text, csrf=csrf, signed_in=signed_in)
        return web.Response(text=html, status=status, content_type="text/html")

    def tell_failed(self, error: Exception) -> None:
        """Log that a page can't be shown; the kind of the error alone, since its text may quote somebody."""
        self._observe(Signal("console_failed", Level.ERROR, fields={"error": type(error).__name__}))

    def _answer(self, request: web.Request, error: web.HTTPException) -> web.Response:
        if error.status < 400:
            return web.Response(status=error.status, headers={"Location": error.headers["Location"]})
        return self.problem(request, error.status, error.text or error.reason)

    def csrf(self, request: web.Request) -> str:
        """What a form of this session carries along."""
        return self._sessions.form_token(request.cookies.get(SESSION, ""))

    async def show_sign_in(self, request: web.Request) -> web.Response:
        """The sign-in page."""
        return self._sign_in_page(request)

    async def sign_in(self, request: web.Request) -> web.Response:
        """Check the token. Who has tried too often has to wait, whatever they give now."""
        form = await request.post()  # before the count is looked at: many attempts may be under way
        now, address = self._clock.now(), request.remote or "unknown"
        if wait := self._attempts.wait(address, now):
            seconds = math.ceil(wait.total_seconds())
            page = self._sign_in_page(request, f"Too many attempts. Try again in {seconds} seconds.", 429)
            page.headers["Retry-After"] = str(seconds)
            return page
        if not self._sessions.is_form_token(str(form.get("csrf", "")), request.cookies.get(FORM, "")):
            return self._sign_in_page(request, "This page was too old, or cookies are off. Please try again.", 403)
        if not self._sessions.is_token(str(form.get("token", "")).strip()):
            self._attempts.failed(address, now)
            self._observe(Signal("console_sign_in_refused", Level.WARNING, fields={"address": address}))
            return self._sign_in_page(request, "That is not the token.", 401)
        await self._store.audit(Access(now, WHO, "sign in", detail=address))
        self._observe(Signal("console_sign_in", fields={"address": address}))
        response = web.Response(status=303, headers={"Location": HOME})
        self._set_cookie(request, response, SESSION, self._sessions.begin(now))
        response.del_cookie(FORM, path=HOME)
        return response

    async def sign_out(self, _: web.Request) -> web.Response:
        """Take the session's cookie away."""
        response = web.Response(status=303, headers={"Location": f"{HOME}/sign-in"})
        response.del_cookie(SESSION, path=HOME)
        return response

    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if (request.content_length or 0) > LARGEST_FORM:
            raise web.HTTPRequestEntityTooLarge(LARGEST_FORM, text="That is too large for a form of the console.")
        cookie = request.cookies.get(SESSION, "")
        end = self._sessions.end_of(cookie, self._clock.now())
        if end:
            request[SESSION_END] = end
        if request.path.startswith(_OPEN):
            return await handler(request)
        if end is None:
            if request.method == "GET" and "text/event-stream" not in request.headers.get("Accept", ""):
                raise web.HTTPSeeOther(f"{HOME}/sign-in")
            raise web.HTTPUnauthorized(text="You are not signed in, or not any more.")
        if request.method not in ("GET", "HEAD"):
            form = await request.post()
            if not self._sessions.is_form_token(str(form.get("csrf", "")), cookie):
                raise web.HTTPForbidden(text="This form does not come from your session: go back, reload, try again.")
        return await handler(request)

    def _sign_in_page(self, request: web.Request, problem: str = "", status: int = 200) -> web.Response:
        cookie = request.cookies.get(FORM) or secrets.token_urlsafe(16)
        html = self._templates.render("sign_in.html", csrf=self._sessions.form_token(cookie), problem=problem)
        response = web.Response(text=html, status=status, content_type="text/html")
        self._set_cookie(request, response, FORM, cookie)
        return response

    def _set_cookie(self, request: web.Request, response: web.Response, name: str, value: str) -> None:
        forwarded = request.headers.get("X-Forwarded-Proto", "").split(",")[0].strip()
        response.set_cookie(
            name,
            value,
            path=HOME,
            max_age=int(LASTS.total_seconds()),
            httponly=True,
            samesite="Strict",
            secure=request.secure or forwarded == "https",
        )
