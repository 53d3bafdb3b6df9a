"""The API's attachments: upload, download without a key, and deletion with their owner."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import quote

from bot.sandbox.client_calls import ClientCalls
from bot.sandbox.errors import ApiError, bad_request
from bot.sandbox.history import Kind
from bot.sandbox.records import Attachment, Conversation, Json, Message

MAX_UPLOAD = 50_000_000
"""Maximum size of an upload, in bytes."""

_FOLDER = "/attachments/v2"
_MULTIPART = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file."""

    name: str
    media_type: str
    content: bytes


class Attachments(ClientCalls):
    """The API's attachment operations."""

    def upload(self, file: Upload, query: Mapping[str, str], base_url: str) -> Json:
        """`POST …/attachments`: with `for=message`, it is deleted with its message."""
        if query.get("access") != "public":
            raise bad_request("access must be public.")
        conversation_id = query.get("conversationId", "")
        if conversation_id:
            self._find(conversation_id)
        path = f"{_FOLDER}/{self._ids()}/{quote(file.name, safe='')}"
        for_message = query.get("for") == "message"
        self.attachments[path] = Attachment(
            path,
            file.media_type,
            file.content,
            conversation_id,
            for_message,
        )
        return {"attachment": {"mediaUrl": f"{base_url}{path}", "mediaType": file.media_type}}

    def delete_attachment(self, body: Json, base_url: str) -> None:
        """`POST …/attachments/remove`: by its `mediaUrl`."""
        url = body.get("mediaUrl")
        if not isinstance(url, str) or not url.startswith(f"{base_url}{_FOLDER}/"):
            raise bad_request(f"Unsupported media URL for attachment deletion: {url}")
        if self.attachments.pop(url.removeprefix(base_url), None) is None:
            raise ApiError(404, "not_found", "Attachment not found")

    def attachment_at(self, path: str) -> Attachment:
        """The file at a path, with or without `/sc`; else 404."""
        found = self.attachments.get(path.removeprefix("/sc"))
        if found is None:
            raise ApiError(404, "not_found", "Attachment not found")
        return found

    def delete_all_messages(self, conversation_id: str) -> None:
        """`DELETE …/messages`: all, with their attachments. Sends no webhook."""
        conversation = self._find(conversation_id)
        for message in conversation.messages:
            self._drop_attachment_of(message)
        conversation.messages.clear()

    def delete_message(self, conversation_id: str, message_id: str) -> None:
        """`DELETE …/messages/{id}`, with its attachment. Sends no webhook."""
        conversation = self._find(conversation_id)
        for message in conversation.messages:
            if message.id == message_id:
                conversation.messages.remove(message)
                self._drop_attachment_of(message)
                return
        raise ApiError(404, "not_found", "Message not found")

    def _drop_attachment_of(self, message: Message) -> None:
        url = str(message.content.get("mediaUrl", ""))
        for path, attachment in list(self.attachments.items()):
            if attachment.for_message and url.endswith(path):
                del self.attachments[path]

    def _drop(self, conversation: Conversation, kind: Kind, now: datetime, **detail: str) -> None:
        super()._drop(conversation, kind, now, **detail)
        for path, attachment in list(self.attachments.items()):
            if attachment.conversation_id == conversation.id:
                del self.attachments[path]


def is_file(path: str) -> bool:
    """Return whether this is the path of an uploaded file."""
    return path.removeprefix("/sc").startswith(f"{_FOLDER}/")


def is_upload(content_type: str) -> bool:
    """Return whether a body of this type contains a file."""
    return content_type.lower().startswith(_MULTIPART)


def read_upload(content_type: str, raw: bytes) -> Upload:
    """Read the file named `source` from a form. Raises `ApiError` 400."""
    form = BytesParser(policy=HTTP).parsebytes(
        f"Content-Type: {content_type}\r\n\r\n".encode() + raw,
    )
    for part in form.iter_parts() if is_upload(content_type) else ():
        if part.get_param("name", header="content-disposition") == "source":
            content = part.get_payload(decode=True)
            name = part.get_filename() or "file"
            guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
            given = part.get_content_type() if "content-type" in part else guessed
            return Upload(name, given, content if isinstance(content, bytes) else b"")
    raise bad_request("The form needs a file named source.")
