"""`SunshineClient`, the client of the Sunshine Conversations API v2: what the bot does in a conversation.

The set-up calls are in `bot.sunshine.configuration`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import httpx2

from bot.clock import Clock, SystemClock
from bot.sunshine.addresses import segment
from bot.sunshine.calls import Caller, Late, Observer, Timeouts
from bot.sunshine.configuration import ConfigurationCalls
from bot.sunshine.credentials import BasicAuth, Credentials
from bot.sunshine.readings import ConversationSnapshot, MessagePage, to_page, to_snapshot
from bot.sunshine.replies import Reply

BUSINESS = {"type": "business"}
"""The author of all that the bot says."""


class SunshineClient(ConfigurationCalls):
    """Calls the API with one key. Use it as `async with`, or call `aclose` at the end.

    Every method raises `SunshineError`, whose branches tell whether the action happened; nothing of the HTTP
    library shows. A cancellation passes through; the action that it hits may have happened.

    Args:
        base_url: `https://SUBDOMAIN.zendesk.com/sc` or the address of an older app; https, but on this machine.
        app_id: the app.
        credentials: the API key.
        transport: what carries the requests, for fakes and the simulation; None: the network.
        timeouts: how long a call may take.
        read_attempts: how often a read is tried, with growing, jittered pauses and heeding Retry-After. 1 where
            the caller has its own schedule. Whatever changes something is never tried twice.
        clock: dates the answers.
        observe: is told of every try (`Call`), for metrics and logs; must not raise.
        on_late: is told the action of a call that has had no answer for `LATE` seconds, while it waits on.

    Raises:
        ValueError: the base URL, the app id or the key can't be used, with the reason.
    """

    def __init__(
        self,
        base_url: str,
        app_id: str,
        credentials: Credentials,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        timeouts: Timeouts | None = None,
        read_attempts: int = 1,
        clock: Clock | None = None,
        observe: Observer | None = None,
        on_late: Late | None = None,
    ) -> None:
        segment(app_id)
        clock = clock or SystemClock()
        caller = Caller(
            base_url,
            auth=BasicAuth(credentials),
            clock=clock,
            transport=transport,
            timeouts=timeouts or Timeouts(),
            read_attempts=read_attempts,
            observe=observe,
            on_late=on_late,
        )
        super().__init__(caller, app_id)

    async def __aenter__(self) -> Self:
        """The client itself; connections are made when they are needed."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections. What is called afterwards fails as `NotSent`."""
        await self._caller.aclose()

    async def release_control(self, conversation_id: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Empty the active place. Returning means accepted, which is no proof.

        With an integration key `NotOurs` says that it is not the active one; an app key takes control
        from anybody (docs/platform.md, 2).
        """
        await self._control("release_control", conversation_id, "releaseControl", metadata=metadata)

    async def pass_control(self, conversation_id: str, to: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Make `to` active: the id, name or type of a switchboard integration, or `next`. No proof either."""
        await self._control("pass_control", conversation_id, "passControl", to=to, metadata=metadata)

    async def get_conversation(self, conversation_id: str) -> ConversationSnapshot:
        """Read who is active and who is pending."""
        action = "get_conversation"
        return to_snapshot(action, await self._caller.read(action, *self._path(conversation_id)))

    async def list_messages(self, conversation_id: str, before: str | None = None) -> MessagePage:
        """Read a page of up to 100 messages: the newest ones, or those before the cursor `before`."""
        action = "list_messages"
        params = None if before is None else {"page[before]": before}
        reply = await self._caller.read(action, *self._path(conversation_id), "messages", params=params)
        return to_page(action, reply)

    async def post_message(
        self, conversation_id: str, content: Mapping[str, Any], metadata: Mapping[str, Any] | None = None
    ) -> str | None:
        """Say something for the business.

        Args:
            conversation_id: where.
            content: the API's message content, such as `{"type": "text", "text": …}`.
            metadata: comes back with the message; the only way to recognise it after an unclear answer
                (docs/platform.md, 5).

        Returns:
            The id of the (first) message made; None where the platform took it without telling an id.
        """
        body = _with_metadata({"author": BUSINESS, "content": content}, metadata)
        match (await self._post("post_message", conversation_id, "messages", body)).body:
            case {"messages": [{"id": str(message_id)}, *_]}:
                return message_id
            case _:
                return None

    async def post_activity(self, conversation_id: str, activity: Literal["typing:start", "typing:stop"]) -> None:
        """Show that the business is typing, or no longer."""
        body = {"author": BUSINESS, "type": activity}
        await self._post("post_activity", conversation_id, "activity", body)

    async def _control(
        self,
        action: str,
        conversation_id: str,
        verb: str,
        *,
        to: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        body: dict[str, Any] = {} if to is None else {"switchboardIntegration": to}
        await self._post(action, conversation_id, verb, _with_metadata(body, metadata))

    async def _post(self, action: str, conversation_id: str, verb: str, body: Mapping[str, Any]) -> Reply:
        return await self._caller.write(action, "POST", *self._path(conversation_id), verb, body=body)

    def _path(self, conversation_id: str) -> tuple[str, ...]:
        return self._app_id, "conversations", conversation_id


def _with_metadata(body: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {**body, "metadata": metadata} if metadata else body
