"""The pages over HTTP: static files, a JSON API, a stream of changes."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import web
from aiohttp_sse import EventSourceResponse

from bot.console.forms import host_name
from bot.listening import Listener
from bot.sandbox.errors import ApiError, NotPossibleError
from bot.sandbox.pages import actions, screens
from bot.sandbox.pages.bot_view import BotPart, BotView
from bot.sandbox.records import Json

if TYPE_CHECKING:
    from bot.sandbox.sandbox import Sandbox

LARGEST_BODY = 64 * 1024
NOTIFY_INTERVAL = 0.05  # seconds between two change events
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_STATIC = {
    "style.css": "text/css",
    "common.js": "text/javascript",
    "chat.js": "text/javascript",
    "agent.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Pages:
    """Serves the user's page at `/`, the agent's at `/agent`, an API at `/api`.

    Args:
        sandbox: the sandbox to act on.
        bot: the bot next to it; None if it runs elsewhere.
        host: the address to listen on.
        port: 0 for any free port.
        first_user: the name of the first user.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        bot: BotPart | None,
        host: str,
        port: int,
        first_user: str = "Sam",
    ) -> None:
        self._sandbox = sandbox
        self._bot = bot
        self._host = host
        self._port = port
        board = sandbox.switchboard
        known = next((user for user in board.users.values() if user.name == first_user), None)
        self._first_user = known or board.create_user(first_user)
        self._listener: Listener | None = None
        self._version = 0
        self._change = asyncio.Event()
        sandbox.observers.append(lambda _: self.changed())
        sandbox.switchboard.on_typing = self.changed

    @property
    def port(self) -> int:
        """The port, after the start."""
        return self._port

    def changed(self) -> None:
        """Make all open pages refresh."""
        self._version += 1
        self._change.set()
        self._change = asyncio.Event()

    async def start(self) -> None:
        """Start listening. Raises `OSError`."""
        app = web.Application(client_max_size=LARGEST_BODY, middlewares=[self._guard])
        app.router.add_get("/", self._page("chat.html"))
        app.router.add_get("/agent", self._page("agent.html"))
        app.router.add_get("/console", self._to_console)
        app.router.add_get("/static/{name}", self._static)
        app.router.add_get("/api/state", self._state)
        app.router.add_get("/api/changes", self._changes)
        app.router.add_post("/api/mode", self._set_mode)
        app.router.add_post("/api/bot", self._set_bot)
        app.router.add_post("/api/users", self._new_user)
        app.router.add_get("/api/users/{user}", self._user)
        app.router.add_post("/api/users/{user}/conversations", self._new_conversation)
        app.router.add_get("/api/desk", self._desk)
        app.router.add_get("/api/conversations/{id}", self._conversation)
        app.router.add_post("/api/conversations/{id}/{who}/{act}", self._act)
        self._listener = Listener(app, self._host, self._port, shutdown_timeout=0.1)
        await self._listener.start()
        self._port = self._listener.port

    async def stop(self) -> None:
        """Stop listening, and close the open streams."""
        if self._listener is not None:
            await self._listener.stop()
            self._listener = None

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse requests from other sites, and report errors as JSON."""
        try:
            if not _is_known_host(host_name(request)) or not _is_from_here(request):
                return _problem(
                    403,
                    "This page works only on the machine that runs it, not from other sites.",
                )
            response = await handler(request)
        except actions.BadRequestError as error:
            response = _problem(400, str(error))
        except NotPossibleError as error:
            response = _problem(409, str(error))
        except ApiError as error:
            response = _problem(409, error.title)
        except web.HTTPException as error:
            response = _problem(error.status, error.reason)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    def _page(self, name: str) -> Handler:
        async def show(_: web.Request) -> web.Response:
            return web.Response(body=_read(name), content_type="text/html", charset="utf-8")

        return show

    async def _static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in _STATIC:
            raise web.HTTPNotFound
        return web.Response(body=_read(name), content_type=_STATIC[name], charset="utf-8")

    async def _to_console(self, request: web.Request) -> web.Response:
        """Redirect to the console, or to `?conversation=` there, with a sign-in cookie."""
        console = self._here().console()
        conversation_id = request.query.get("conversation")
        below = f"/conversations/{quote(conversation_id, safe='')}" if conversation_id else ""
        to = request.url.with_port(console.port).with_path(console.path + below, encoded=True)
        response = web.Response(status=303, headers={"Location": str(to)})
        if console.cookie is not None:
            name, value = console.cookie
            response.set_cookie(name, value, path=console.path, httponly=True, samesite="Strict")
        return response

    async def _state(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "account": self._sandbox.switches.mode,
                "bot": self._bot.mode if self._bot else None,
                "running": self._bot.is_running if self._bot else None,
                "firstUser": self._first_user.id,
            }
        )

    async def _changes(self, request: web.Request) -> web.StreamResponse:
        """Send server-sent events: a number that grows with each change."""
        response = EventSourceResponse(headers=HEADERS)
        with suppress(ConnectionError):  # the page is gone
            await response.prepare(request)
            async with response:
                await self._tell_changes(response)
        return response

    async def _tell_changes(self, response: EventSourceResponse) -> None:
        told = -1
        while response.is_connected():
            change = self._change
            if told == self._version:
                await change.wait()
            told = self._version
            await response.send(str(told))
            await asyncio.sleep(NOTIFY_INTERVAL)

    async def _set_mode(self, request: web.Request) -> web.Response:
        """Set `{"account"?: mode, "bot"?: mode}`: Conversation control and CONTROL_MODE."""
        body = await _body(request)
        account = body.get("account", self._sandbox.switches.mode)
        bot = body.get("bot", self._bot.mode if self._bot else account)
        if account not in ("release", "pass") or bot not in ("release", "pass"):
            raise actions.BadRequestError("A control mode must be release or pass.")
        self._sandbox.switchboard.set_mode(account)
        self.changed()
        if self._bot and bot != self._bot.mode:
            await self._bot.set_mode(bot)
        self.changed()
        return web.json_response({})

    async def _set_bot(self, request: web.Request) -> web.Response:
        """Stop or start the bot: `{"running": false}`."""
        running = (await _body(request)).get("running")
        if not isinstance(running, bool):
            raise actions.BadRequestError("running must be true or false.")
        bot = self._here()
        await (bot.start() if running else bot.stop())
        self.changed()
        return web.json_response({})

    def _here(self) -> BotPart:
        if self._bot is None:
            raise NotPossibleError("The bot runs elsewhere: start, stop and inspect it there.")
        return self._bot

    async def _new_user(self, request: web.Request) -> web.Response:
        return web.json_response(actions.new_user(self._sandbox, await _body(request)), status=201)

    async def _user(self, request: web.Request) -> web.Response:
        return web.json_response(screens.user_list(self._sandbox, request.match_info["user"]))

    async def _new_conversation(self, request: web.Request) -> web.Response:
        await _body(request)
        return web.json_response(
            actions.new_conversation(self._sandbox, request.match_info["user"]),
            status=201,
        )

    async def _desk(self, _: web.Request) -> web.Response:
        return web.json_response(screens.desk_list(self._sandbox))

    async def _conversation(self, request: web.Request) -> web.Response:
        conversation_id = request.match_info["id"]
        reader = "agent" if request.query.get("as") == "agent" else "user"
        known = await self._bot.view(conversation_id) if self._bot else BotView(can_tell=False)
        return web.json_response(
            screens.conversation(self._sandbox, conversation_id, known, reader),
        )

    async def _act(self, request: web.Request) -> web.Response:
        act = actions.ACTIONS.get(request.match_info["who"], {}).get(request.match_info["act"])
        if act is None:
            raise web.HTTPNotFound
        act(self._sandbox, request.match_info["id"], await _body(request))
        return web.json_response({})


async def _body(request: web.Request) -> Json:
    try:
        body: Any = json.loads(await request.read() or b"{}")
    except ValueError:
        raise actions.BadRequestError("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise actions.BadRequestError("The body must be a JSON object.")
    return body


def _is_from_here(request: web.Request) -> bool:
    """Whether a change comes from our own pages, or from no browser at all."""
    if request.method in ("GET", "HEAD"):
        return True
    origin = request.headers.get("Origin")
    return request.content_type == "application/json" and origin in (
        None,
        f"http://{request.host}",
    )


def _is_known_host(name: str) -> bool:
    """Whether the host is an IP address or localhost, and so not another site."""
    try:
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _problem(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)


def _read(name: str) -> bytes:
    return files("bot.sandbox.pages").joinpath("static", name).read_bytes()
