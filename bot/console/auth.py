"""Authentication: sign-in, sign-out, the session of each request, and security headers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from aiohttp import web

from bot.clock import Clock
from bot.console.attempts import MAX_DELAY, Attempts, delay
from bot.console.client_address import IpNetwork, client_address
from bot.console.forms import check_printable, is_local, read_form
from bot.console.render import HOME, Templates
from bot.console.sessions import LIFETIME, Session, Sessions
from bot.signals import Level, Observe, Signal
from bot.store import StoreError
from bot.store.operators import Access

if TYPE_CHECKING:
    from bot.store import Database

SESSION, FORM = "switchboard_console", "switchboard_console_form"
MAX_DELAYED = 20  # delayed answers to wrong tokens at the same time
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


def audit_name(operator: str) -> str:
    """Return the name of an operator for the audit log."""
    return f"console ({operator})" if operator else "console"


class Auth:
    """Signs operators in and out, and guards all other pages.

    Args:
        token: CONSOLE_TOKEN; not empty.
        store: stores ended sessions, and the audit log.
        clock: the clock for sessions.
        templates: renders the pages.
        observe: receives sign-ins and failures.
        sleep: delays an answer by a number of seconds.
        trusted: the networks of reverse proxies whose X-Forwarded-For is trusted.
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
        self._delayed = 0
        self._store = store
        self._clock = clock
        self._templates = templates
        self._observe = observe
        self._trusted = tuple(trusted)

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Require a session, and check forms; render errors as pages."""
        try:
            response = await self._guarded(request, handler)
        except web.HTTPException as error:
            response = self._page_for(request, error)
        except StoreError as error:
            # Only for operators: the message may name a host or a role.
            why = f": {error}" if SIGNED_IN in request else "."
            response = self.problem(request, 503, f"The database can't be used now{why}")
        except Exception as error:  # noqa: BLE001 - show no traceback
            self.log_page_error(error)
            text = "This page could not be shown. See the bot's log."
            response = self.problem(request, 500, text)
        if not response.prepared:
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
        return response

    def problem(self, request: web.Request, status: int, text: str) -> web.Response:
        """Return an error page."""
        html = self._templates.render(
            "problem.html",
            status=status,
            text=text,
            csrf=self.csrf(request),
            signed_in=SIGNED_IN in request,
        )
        return web.Response(text=html, status=status, content_type="text/html")

    def log_page_error(self, error: Exception) -> None:
        """Log that a page failed. Only the type of the error: its message may quote users."""
        fields = {"error": type(error).__name__}
        self._observe(Signal("console_failed", Level.ERROR, fields=fields))

    def _page_for(self, request: web.Request, error: web.HTTPException) -> web.Response:
        if error.status < 400:
            headers = {"Location": error.headers["Location"]}
            return web.Response(status=error.status, headers=headers)
        return self.problem(request, error.status, error.text or error.reason)

    def csrf(self, request: web.Request) -> str:
        """Return the CSRF token for forms of this session."""
        return self._sessions.form_token(request.cookies.get(SESSION, ""))

    async def show_sign_in(self, request: web.Request) -> web.Response:
        """Return the sign-in page."""
        return self._sign_in_page(request)

    async def sign_in(self, request: web.Request) -> web.Response:
        """Check the token. Accepts the right one at once, and delays answers to wrong ones."""
        form = await read_form(request)
        now = self._clock.now()
        forwarded = request.headers.getall("X-Forwarded-For", ())
        address = client_address(request.remote, forwarded, self._trusted)
        if not self._sessions.is_form_token(form.get("csrf", ""), request.cookies.get(FORM, "")):
            problem = "This page expired, or your browser sent no cookie. Please try again."
            hint = " Except on this machine, browsers send cookies only over https."
            return self._sign_in_page(request, problem + ("" if is_local(request) else hint), 403)
        operator = self._sessions.operator_of(form.get("token", "").strip())
        if operator is None:
            return await self._refuse(request, address)
        # Write the audit log first: no session without an entry.
        await self._store.audit(Access(now, audit_name(operator), "sign in", detail=address))
        named = {"operator": operator} if operator else {}
        self._observe(Signal("console_sign_in", fields={"address": address, **named}))
        response = web.Response(status=303, headers={"Location": HOME})
        self._set_cookie(request, response, SESSION, self._sessions.begin(now, operator))
        response.del_cookie(FORM, path=HOME)
        return response

    async def _refuse(self, request: web.Request, address: str) -> web.Response:
        tries = self._attempts.failed(address, self._clock.now())
        if tries.bit_count() == 1:
            fields = {"address": address, "tries": tries}
            self._observe(Signal("console_sign_in_refused", Level.WARNING, fields=fields))
        seconds = delay(tries)
        if seconds and self._delayed >= MAX_DELAYED:
            text = "This token is wrong, and there were too many wrong ones. Try again later."
            page = self._sign_in_page(request, text, 429)
            page.headers["Retry-After"] = f"{MAX_DELAY:g}"
            return page
        if seconds:
            self._delayed += 1
            try:
                await self._sleep(seconds)
            finally:
                self._delayed -= 1
        return self._sign_in_page(request, "This token is wrong.", 401)

    async def sign_out(self, request: web.Request) -> web.Response:
        """End the session on the server, so that copies of its cookie fail; delete the cookie."""
        session = request[SIGNED_IN]
        await self._store.end_session(session.id, session.end, self._clock.now())
        response = web.Response(status=303, headers={"Location": f"{HOME}/sign-in"})
        response.del_cookie(SESSION, path=HOME)
        return response

    async def is_over(self, session: Session) -> bool:
        """Return whether a session has expired or was signed out."""
        has_expired = session.end <= self._clock.now()
        return has_expired or await self._store.is_session_ended(session.id)

    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        check_printable(request)
        cookie = request.cookies.get(SESSION, "")
        session = self._sessions.find(cookie, self._clock.now())
        if request.path.startswith(_OPEN):
            return await handler(request)
        if session is None or await self._store.is_session_ended(session.id):
            is_stream = "text/event-stream" in request.headers.get("Accept", "")
            if request.method == "GET" and not is_stream:
                raise web.HTTPSeeOther(f"{HOME}/sign-in")
            raise web.HTTPUnauthorized(text="You are not signed in.")
        request[SIGNED_IN] = session
        if request.method not in ("GET", "HEAD"):
            form = await read_form(request)
            if not self._sessions.is_form_token(form.get("csrf", ""), cookie):
                text = "This form is not from your session. Go back, reload, and try again."
                raise web.HTTPForbidden(text=text)
        return await handler(request)

    def _sign_in_page(
        self,
        request: web.Request,
        problem: str = "",
        status: int = 200,
    ) -> web.Response:
        cookie = request.cookies.get(FORM) or secrets.token_urlsafe(16)
        csrf = self._sessions.form_token(cookie)
        html = self._templates.render("sign_in.html", csrf=csrf, problem=problem)
        response = web.Response(text=html, status=status, content_type="text/html")
        self._set_cookie(request, response, FORM, cookie)
        return response

    def _set_cookie(
        self,
        request: web.Request,
        response: web.Response,
        name: str,
        value: str,
    ) -> None:
        response.set_cookie(
            name,
            value,
            path=HOME,
            max_age=int(LIFETIME.total_seconds()),
            httponly=True,
            samesite="Strict",
            secure=request.secure or not is_local(request),
        )
