"""`SunshineClient`, the client for the Sunshine Conversations API v2.

This module has the calls for conversations; those for set-up are in `configuration`.
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
"""The author of the bot's messages."""


class SunshineClient(ConfigurationCalls):
    """Calls the API with one key. Use it with `async with`, or call `aclose` at the end.

    Every method raises `SunshineError`, whose subclasses say whether the action happened.
    Exceptions of the HTTP library never escape. Cancellation passes through; the cancelled
    action may have happened.

    Args:
        base_url: `https://SUBDOMAIN.zendesk.com/sc`, or the URL of an older app. Must be https,
            except on this machine.
        app_id: the app's id.
        credentials: the API key.
        transport: sends the requests, for fakes and the simulation; None for the network.
        timeouts: the timeouts of a call.
        read_attempts: number of attempts for reads, with jittered backoff and Retry-After. Use
            1 if the caller has its own schedule. Writes are never retried.
        clock: dates the answers.
        observe: called with every attempt (`Call`), for metrics and logs; must not raise.
        on_late: called with the action of a call without an answer for `LATE` seconds.

    Raises:
        ValueError: the base URL, the app id or the key is invalid.
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
        """Return the client. It connects on demand."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the client."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections. Later calls raise `NotSent`."""
        await self._caller.aclose()

    async def release_control(
        self,
        conversation_id: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Release control, so that nobody is active. Returning means accepted, not proven.

        With an integration key, `NotOurs` means that the integration is not active. An app key
        takes control from anyone (docs/platform.md, 2).
        """
        verb = "releaseControl"
        await self._control("release_control", conversation_id, verb, metadata=metadata)

    async def pass_control(
        self,
        conversation_id: str,
        to: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Make `to` active: a switchboard integration's id, name or type, or `next`.

        Returning means accepted, not proven.
        """
        verb = "passControl"
        await self._control("pass_control", conversation_id, verb, to=to, metadata=metadata)

    async def get_conversation(self, conversation_id: str) -> ConversationSnapshot:
        """Read the active and the pending integration."""
        action = "get_conversation"
        reply = await self._caller.read(action, *self._path(conversation_id))
        return to_snapshot(action, reply)

    async def list_messages(self, conversation_id: str, before: str | None = None) -> MessagePage:
        """Read up to 100 messages: the newest ones, or those before the cursor `before`."""
        action = "list_messages"
        params = None if before is None else {"page[before]": before}
        path = (*self._path(conversation_id), "messages")
        reply = await self._caller.read(action, *path, params=params)
        return to_page(action, reply)

    async def post_message(
        self,
        conversation_id: str,
        content: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
    ) -> str | None:
        """Send a message from the business.

        Args:
            conversation_id: the conversation's id.
            content: the API's message content, such as `{"type": "text", "text": …}`.
            metadata: returned with the message: the only way to recognise it after an
                ambiguous answer (docs/platform.md, 5).

        Returns:
            The id of the (first) message; None if the platform returned no id.
        """
        body = _with_metadata({"author": BUSINESS, "content": content}, metadata)
        match (await self._post("post_message", conversation_id, "messages", body)).body:
            case {"messages": [{"id": str(message_id)}, *_]}:
                return message_id
            case _:
                return None

    async def post_activity(
        self,
        conversation_id: str,
        activity: Literal["typing:start", "typing:stop"],
    ) -> None:
        """Show or hide the typing indicator."""
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

    async def _post(
        self,
        action: str,
        conversation_id: str,
        verb: str,
        body: Mapping[str, Any],
    ) -> Reply:
        path = (*self._path(conversation_id), verb)
        return await self._caller.write(action, "POST", *path, body=body)

    def _path(self, conversation_id: str) -> tuple[str, ...]:
        return self._app_id, "conversations", conversation_id


def _with_metadata(
    body: Mapping[str, Any],
    metadata: Mapping[str, Any] | None,
) -> Mapping[str, Any]:
    return {**body, "metadata": metadata} if metadata else body
