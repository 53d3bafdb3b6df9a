"""An account that is kept in a file is the same account after a restart."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox import ANSWERS, BOT, WORKSPACE, Caller, Sandbox, Switches
from bot.sandbox.attachments import Upload
from bot.sandbox.records import Ids
from bot.sandbox.state_file import StateFile, StateFileError

APP = Caller("app_key", "app")


def made(path: Path, salt: int = 1) -> tuple[Sandbox, StateFile]:
    """An account, and the file that keeps it."""
    ids = Ids(salt)
    sandbox = Sandbox(switches=Switches(mode="pass"), ids=ids)
    return sandbox, StateFile(path, sandbox, ids)


def lived_in(sandbox: Sandbox) -> None:
    """Let there be one of everything."""
    board, now = sandbox.switchboard, sandbox.clock.now
    user = board.create_user("Sam")
    ann = board.register_user({"externalId": "ann", "profile": {"surname": "Lee"}, "metadata": {"vip": True}})["user"]
    conversation = board.create_conversation(user, now=now())
    board.user_says(conversation.id, "hello", now=now())
    board.pass_control(conversation.id, APP, WORKSPACE, now(), {"a": 1})
    board.agent_says(conversation.id, "hi", now())
    board.offer_control(conversation.id, APP, ANSWERS, now())
    board.user_ends(conversation.id, now=now())
    body = {"type": "sdkGroup", "participants": [{"userId": ann["id"], "subscribeSDKClient": True}]}
    group = board.start_conversation({**body, "displayName": "Order"}, now())["conversation"]["id"]
    reading = {"author": {"type": "user", "userId": ann["id"]}, "type": "conversation:read"}
    board.take_activity(group, reading, now())
    board.take_activity(group, {**reading, "author": {"type": "business"}}, now())
    board.upload(Upload("a.bin", "x/y", random.Random(1).randbytes(1000)), {"access": "public"}, "http://x")  # noqa: S311
    channel = board.create_integration({"type": "twilio", "accountSid": "AC"})["integration"]["id"]
    match = {"type": "twilio", "integrationId": channel, "phoneNumber": "1"}
    target = {"conversationId": group}
    link = {"matchCriteria": match, "confirmation": {"type": "prompt"}, "target": target}
    board.create_client(board.find_user("ann"), link, now())
    sandbox.connect("http://127.0.0.1:1/")
    sandbox.keys.create_key(
        board.get_integration(board.member(BOT).integration_id)["integration"], {"displayName": "k"}
    )
    board.update_app({"settings": {"echoPostback": True}})


def test_everything_comes_back(tmp_path: Path) -> None:
    """A restart keeps all that an account is, whatever the new one was made with; and no id is given twice."""
    path = tmp_path / "account.json"
    before, file = made(path)
    lived_in(before)
    file.write()

    after, again = made(path, salt=2)
    assert again.restore()

    assert again.state() == file.state()
    assert after.switchboard.history.conversations() == before.switchboard.history.conversations()


async def test_kept_while_it_lives(tmp_path: Path) -> None:
    """What an API request or a person changes is in the file soon after, and at the end everything is."""
    path = tmp_path / "account.json"
    sandbox, file = made(path)
    keeping = asyncio.create_task(file.keep())
    await asyncio.sleep(0)
    user = sandbox.switchboard.create_user("Sam")
    sandbox.switchboard.create_conversation(user, now=sandbox.clock.now())
    sandbox.switchboard.create_user("Tom")
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping

    after, again = made(path)
    again.restore()

    assert [one.name for one in after.switchboard.users.values()] == ["Sam", "Tom"]
    assert len(after.switchboard.conversations) == 1


def test_no_file_yet(tmp_path: Path) -> None:
    """Where there is no file, the account is a new one."""
    assert made(tmp_path / "account.json")[1].restore() is False


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2]", b'{"version": 2}', b"\xff\xfe"])
def test_another_file(tmp_path: Path, content: bytes) -> None:
    """A file that is something else is told, and left as it is."""
    path = tmp_path / "account.json"
    path.write_bytes(content)

    with pytest.raises(StateFileError, match="is not the state"):
        made(path)[1].restore()

    assert path.read_bytes() == content


def test_no_place_to_write(tmp_path: Path) -> None:
    """A folder that is not there is told in a sentence."""
    _, file = made(tmp_path / "none" / "account.json")

    with pytest.raises(StateFileError, match="can't be written: No such file or directory"):
        file.write()


def test_a_death_within_a_write(tmp_path: Path, monkeypatch: Any) -> None:
    """Whoever dies while writing leaves the old file whole."""
    path = tmp_path / "account.json"
    sandbox, file = made(path)
    file.write()
    before = path.read_bytes()
    sandbox.switchboard.create_user("Sam")

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        file.write()

    assert path.read_bytes() == before
