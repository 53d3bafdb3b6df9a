"""Authentication: signing in and out, the session of each request, and the headers of every answer."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from aiohttp import web

from bot.clock import Clock
from bot.console.attempts import SLOWEST, Attempts, pause
from bot.console.client_address import IpNetwork, client_address
from bot.console.forms import check_printable, is_local, read_form
from bot.console.render import HOME, Templates
from bot.console.sessions import LASTS, Session, Sessions
from bot.signals import Level, Observe, Signal
from bot.store import StoreError
from bot.store.operators import Access

if TYPE_CHECKING:
    from bot.store import Database

SESSION, FORM = "switchboard_console", "switchboard_console_form"
MOST_WAITING = 20  # answers to wrong tokens that are held back at the same time
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
SIGNED_IN = web.RequestKey("signed_in", Session)
_OPEN = (f"{HOME}/sign-in", f"{HOME}/static/")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Sleep = Callable[[float], Awaitable[None]]


def who(operator: str) -> str:
    """Whom the audit log names."""
    return f"console ({operator})" if operator else "console"


class Doors:
    """Signing in and out.

    Args:
        token: CONSOLE_TOKEN; not empty.
        sleep: holds an answer back for so many seconds.
        trusted: the networks of reverse proxies whose X-Forwarded-For is believed.
    """

    def __init__(
        self,
        token: str,
        store: Database,
        clock: Clock,
        templates: Templates,
        observe: Observe,
        sleep: Sleep = asyncio.sleep,
        trusted: Sequence[IpNetwork] = (),
    ) -> None:
        self._sessions = Sessions(token)
        self._attempts = Attempts()
        self._sleep = sleep
        self._waiting = 0
        self._store = store
        self._clock = clock
        self._templates = templates
        self._observe = observe
        self._trusted = tuple(trusted)

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let signed-in operators and our own forms through; show errors as pages."""
        try:
            response = await self._guarded(request, handler)
        except web.HTTPException as error:
            response = self._answer(request, error)
        except StoreError as error:
            why = f": {error}" if SIGNED_IN in request else "."  # it may name a host or a role
            response = self.problem(request, 503, f"The database can't be used just now{why}")
        except Exception as error:  # noqa: BLE001 - show no traceback
            self.tell_failed(error)
            response = self.problem(request, 500, "This page could not be shown. See the bot's log.")
        if not response.prepared:
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
        return response

    def problem(self, request: web.Request, status: int, text: str) -> web.Response:
        """A page that says what is wrong."""
        signed_in, csrf = SIGNED_IN in request, self.csrf(request)
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
        """Check the token. The right one always passes; the answer to wrong ones is held back ever longer."""
        form = await read_form(request)
        now = self._clock.now()
        address = client_address(request.remote, request.headers.getall("X-Forwarded-For", ()), self._trusted)
        if not self._sessions.is_form_token(form.get("csrf", ""), request.cookies.get(FORM, "")):
            problem = "This page was too old, or your browser sent no cookie. Please try again."
            hint = "" if is_local(request) else " Browsers send cookies over https only, but for this machine's own."
            return self._sign_in_page(request, problem + hint, 403)
        operator = self._sessions.operator_of(form.get("token", "").strip())
        if operator is None:
            return await self._refuse(request, address)
        await self._store.audit(Access(now, who(operator), "sign in", detail=address))
        told = {"operator": operator} if operator else {}
        self._observe(Signal("console_sign_in", fields={"address": address, **told}))
        response = web.Response(status=303, headers={"Location": HOME})
        self._set_cookie(request, response, SESSION, self._sessions.begin(now, operator))
        response.del_cookie(FORM, path=HOME)
        return response

    async def _refuse(self, request: web.Request, address: str) -> web.Response:
        tries = self._attempts.failed(address, self._clock.now())
        if tries.bit_count() == 1:
            fields = {"address": address, "tries": tries}
            self._observe(Signal("console_sign_in_refused", Level.WARNING, fields=fields))
        seconds = pause(tries)
        if seconds and self._waiting >= MOST_WAITING:
            page = self._sign_in_page(request, "That is not the token, and too many wrong ones came lately.", 429)
            page.headers["Retry-After"] = f"{SLOWEST:g}"
            return page
        if seconds:
            self._waiting += 1
            try:
                await self._sleep(seconds)
            finally:
                self._waiting -= 1
        return self._sign_in_page(request, "That is not the token.", 401)

    async def sign_out(self, request: web.Request) -> web.Response:
        """End the session here, for whoever may hold a copy of its cookie, and take the cookie away."""
        session = request[SIGNED_IN]
        await self._store.end_session(session.id, session.end, self._clock.now())
        response = web.Response(status=303, headers={"Location": f"{HOME}/sign-in"})
        response.del_cookie(SESSION, path=HOME)
        return response

    async def is_over(self, session: Session) -> bool:
        """Tell whether a session has ended, by itself or because somebody signed out."""
        return session.end <= self._clock.now() or await self._store.is_session_ended(session.id)

    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        check_printable(request)
        cookie = request.cookies.get(SESSION, "")
        session = self._sessions.find(cookie, self._clock.now())
        if request.path.startswith(_OPEN):
            return await handler(request)
        if session is None or await self._store.is_session_ended(session.id):
            if request.method == "GET" and "text/event-stream" not in request.headers.get("Accept", ""):
                raise web.HTTPSeeOther(f"{HOME}/sign-in")
            raise web.HTTPUnauthorized(text="You are not signed in, or not any more.")
        request[SIGNED_IN] = session
        if request.method not in ("GET", "HEAD"):
            form = await read_form(request)
            if not self._sessions.is_form_token(form.get("csrf", ""), cookie):
                raise web.HTTPForbidden(text="This form does not come from your session: go back, reload, try again.")
        return await handler(request)

    def _sign_in_page(self, request: web.Request, problem: str = "", status: int = 200) -> web.Response:
        cookie = request.cookies.get(FORM) or secrets.token_urlsafe(16)
        html = self._templates.render("sign_in.html", csrf=self._sessions.form_token(cookie), problem=problem)
        response = web.Response(text=html, status=status, content_type="text/html")
        self._set_cookie(request, response, FORM, cookie)
        return response

    def _set_cookie(self, request: web.Request, response: web.Response, name: str, value: str) -> None:
        response.set_cookie(
            name,
            value,
            path=HOME,
            max_age=int(LASTS.total_seconds()),
            httponly=True,
            samesite="Strict",
            secure=request.secure or not is_local(request),
        )
