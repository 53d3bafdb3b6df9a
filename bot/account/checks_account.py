"""Checks of the account: the feature "end users can end sessions", channels, switchboard."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from typing import Final

from bot.account import requirements as admin_center
from bot.account.facts import Facts
from bot.account.findings import Finding, ok, warn, wrong
from bot.account.reading import CUSTOM, WEB, Account, Board, Member
from bot.settings import ControlMode

SETUP: Final = "Run `switchboard-bot setup`."
NEXT: Final = "next"


def feature(facts: Facts) -> Iterator[Finding]:
    """Check the requirements and limits of the feature."""
    if isinstance(facts.account, Account):
        yield from app_settings(facts.account)
        yield from _channels(facts.account)
    if "control_mode" not in facts.problems:
        yield _control_mode(facts)


def _control_mode(facts: Facts) -> Finding:
    mode = facts.settings.control_mode
    if facts.mismatched:
        last = f"{max(facts.mismatched).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        what = (
            f"{mode.value}, but the platform acted as in the other mode "
            f"(conversations: {len(facts.mismatched)}, last at {last})"
        )
        todo = (
            f"Compare CONTROL_MODE with {admin_center.CONVERSATION_CONTROL}. This warning "
            "expires one day after the last case."
        )
        return warn("control_mode", what, todo)
    what = f"{mode.value}: when the user ends, {_PLATFORM_DOES[mode]}"
    note = f"no API shows the account's setting: see {admin_center.CONVERSATION_CONTROL}"
    return ok("control_mode", f"{what} ({note})")


_PLATFORM_DOES: Final = {
    ControlMode.RELEASE: "the platform releases control by itself",
    ControlMode.PASS: "the platform passes control, and the recipient must release it",
}


def app_settings(account: Account) -> Iterator[Finding]:
    """Check the three settings that the feature requires."""
    for name, key, on, off, where in (
        (
            "multi_conversations",
            "multiConvoEnabled",
            "users may have several conversations",
            "users can't have several conversations, and so can't end any",
            admin_center.MULTI_CONVERSATIONS,
        ),
        (
            "end_session",
            "endSessionEnabled",
            "users can end them (the widget offers no other channels, and no legacy CSAT afterwards)",
            "users can't end conversations",
            admin_center.ENDING_SESSIONS,
        ),
        (
            "reopening",
            "disableConversationReopen",
            "an ended conversation stays ended",
            "users can reopen an ended conversation",
            admin_center.REOPENING,
        ),
    ):
        if account.settings.get(key) is True:
            yield ok(name, on)
        else:
            yield wrong(name, off, f"{where}.")


def _channels(account: Account) -> Iterator[Finding]:
    widgets = [channel for channel in account.channels if channel.type == WEB]
    others = [f"{c.type} ({c.name})" if c.name else c.type for c in account.channels if c.type != WEB]
    if widgets:
        yield ok("web_widget", "exists" if len(widgets) == 1 else f"there are {len(widgets)}")
    else:
        what = "no web widget exists: users can end conversations only there"
        yield wrong("web_widget", what, f"{admin_center.ADD_WIDGET}.")
    if others:
        what = f"users of {', '.join(sorted(others))} can't end conversations"
        todo = "No action needed: conversations there close with their ticket, or when the bot is done."
        yield warn("other_channels", what, todo)
    else:
        yield ok("other_channels", "no channels where users can't end conversations")


def switchboard(facts: Facts) -> Iterator[Finding]:
    """Check the switchboard, the bot's place on it, and its neighbours."""
    if not isinstance(facts.account, Account):
        return
    board = facts.account.board
    if board is None:
        yield wrong("switchboard", "the app has none: nobody can be active", SETUP)
        return
    if board.enabled:
        yield ok("switchboard", "enabled")
    else:
        yield wrong("switchboard", "not enabled: nobody can be active", SETUP)
    if "sunshine_switchboard_integration" in facts.problems:
        return
    me = facts.me
    if me is None or me.type != CUSTOM or facts.account.custom(me.integration_id) is None:
        yield _not_on_it(facts, facts.account, board, me)
        return
    yield ok("switchboard_integration", f"{me.name} is on the switchboard")
    for part in (_standby, _default_responder, _next, _pass_to, _handback):
        yield from part(facts, board, me)


def _not_on_it(facts: Facts, account: Account, board: Board, me: Member | None) -> Finding:
    name, setting = "switchboard_integration", facts.settings.sunshine_switchboard_integration
    known = ", ".join(member.name for member in board.members if member.type == CUSTOM) or "none"
    todo = f"Set SUNSHINE_SWITCHBOARD_INTEGRATION to the bot's switchboard integration (custom ones: {known})"
    if me is not None and me.type != CUSTOM:
        return wrong(name, f"{me.name} is not the bot: its type is {me.type}", f"{todo}.")
    todo = f"{todo}, or {_lower_first(SETUP)}"
    if me is not None:
        return wrong(name, f"the integration of {me.name} no longer exists", todo)
    if account.custom(setting) is not None:
        what = f"{setting} is the id of an integration, not of a switchboard integration"
        return wrong(name, what, todo)
    return wrong(name, f"there is no switchboard integration {setting}", todo)


def _standby(_: Facts, __: Board, me: Member) -> Iterator[Finding]:
    if me.hears_standby:
        yield ok("standby_events", "the bot gets events while others are active")
    else:
        what = "the bot gets no events while others are active: it would miss users' ends"
        yield wrong("standby_events", what, SETUP)


def _default_responder(facts: Facts, board: Board, me: Member) -> Iterator[Finding]:
    name = "default_responder"
    if not board.enabled or not isinstance(facts.account, Account):
        return
    first = board.by_id(board.default_id)
    channels = facts.account.channels
    elsewhere = [c for c in channels if c.responder and c.responder != me.name]
    others = [member for member in board.members if member.id != me.id]
    feeders = [member.name for member in others if member.next_id == me.id]
    if first is not None and first.id == me.id:
        if not elsewhere:
            yield ok(name, "the bot answers first")
            return
        what = ", ".join(f"{c.responder} on {c.name or c.type}" for c in elsewhere)
        todo = f"If this is not intended: {admin_center.RESPONDERS}."
        yield warn(name, f"the bot answers first, except for {what}", todo)
    elif feeders or any(channel.responder == me.name for channel in channels):
        whose = f"; {', '.join(feeders)} passes control to the bot" if feeders else ""
        yield ok(name, f"{_named(first)} answers first{whose}")
    else:
        todo = (
            "Run `switchboard-bot setup --default-responder`, or let another switchboard integration pass to the bot."
        )
        yield warn(name, f"{_named(first)} answers first, and nobody passes control to the bot", todo)


def _next(facts: Facts, board: Board, me: Member) -> Iterator[Finding]:
    if "control_mode" in facts.problems:
        return
    name, following = NEXT, board.by_id(me.next_id)
    is_pass = facts.settings.control_mode is ControlMode.PASS
    if following is not None and following.id == me.id:
        yield wrong(name, "the bot's next is the bot itself", SETUP)
    elif not is_pass:
        yield ok(name, f"the bot's next is {_named(following)}; unused with release control")
    elif following is not None and following == board.workspace:
        yield ok(name, f"the bot's next is {following.name}")
    elif facts.settings.pass_to != NEXT or following is not None:
        what = f"the bot's next is {_named(following)}, not the agent workspace"
        yield warn(name, what, SETUP)


def _pass_to(facts: Facts, board: Board, me: Member) -> Iterator[Finding]:
    name, setting = "pass_to", facts.settings.pass_to
    target = board.by_id(me.next_id) if setting == NEXT else board.target(setting)
    others = [member.name for member in board.members if member.id != me.id]
    names = ", ".join(others) or "nobody else"
    if target is None:
        unknown = "there is no such switchboard integration"
        what = "the bot has no next" if setting == NEXT else unknown
        yield wrong(name, f"PASS_TO={setting}: {what}", f"Set PASS_TO to one of: {names}.")
    elif target.id == me.id:
        yield wrong(name, f"PASS_TO={setting} is the bot itself", f"Set PASS_TO to one of: {names}.")
    else:
        yield ok(name, f"the bot hands over to {target.name}")


def _handback(facts: Facts, board: Board, me: Member) -> Iterator[Finding]:
    name, desk = "handback", board.workspace
    if "control_mode" in facts.problems:
        return
    if facts.settings.control_mode is ControlMode.RELEASE:
        yield ok(name, "not needed: the platform releases finished conversations by itself")
    elif desk is None:
        yield ok(name, "the switchboard has no agent workspace")
    elif desk.next_id == me.id:
        yield ok(name, f"{desk.name} passes finished conversations to the bot")
    else:
        to = _named(board.by_id(desk.next_id))
        what = f"{desk.name} passes finished conversations to {to}, so they never reach the bot"
        yield wrong(name, what, SETUP)


def _named(member: Member | None) -> str:
    return "nobody" if member is None else member.name


def _lower_first(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
