"""Is the account as the bot needs it? The feature "end users can end sessions", channels, and the switchboard."""

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
    """What the feature needs, and what it costs."""
    if isinstance(facts.account, Account):
        yield from app_settings(facts.account)
        yield from _channels(facts.account)
    if "control_mode" not in facts.problems:
        yield _control_mode(facts)


def _control_mode(facts: Facts) -> Finding:
    mode = facts.settings.control_mode
    if facts.mismatched:
        last = f"{max(facts.mismatched).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        what = f"{mode.value}, but the platform acted as in the other mode (conversations: {len(facts.mismatched)}, "
        todo = f"Compare CONTROL_MODE with {admin_center.CONVERSATION_CONTROL}. This goes a day after the last time."
        return warn("control_mode", f"{what}the last one at {last})", todo)
    what = f"{mode.value}: after a user's end {_PLATFORM_DOES[mode]}"
    return ok("control_mode", f"{what} (no API shows the account's: see {admin_center.CONVERSATION_CONTROL})")


_PLATFORM_DOES: Final = {
    ControlMode.RELEASE: "the platform releases control by itself",
    ControlMode.PASS: "the platform passes control on, and whoever gets it has to release it",
}


def app_settings(account: Account) -> Iterator[Finding]:
    """The three settings that the feature requires."""
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
            "users can end them (so the widget offers no other channels to go on in, and no legacy CSAT after the end)",
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
        yield ok("web_widget", "there is one" if len(widgets) == 1 else f"there are {len(widgets)}")
    else:
        what = "there is no web widget: only there can users end conversations"
        yield wrong("web_widget", what, f"{admin_center.ADD_WIDGET}.")
    if others:
        what = f"users of {', '.join(sorted(others))} can't end conversations"
        todo = "Nothing, but know it: there, a conversation closes when its ticket does, or when the bot is done."
        yield warn("other_channels", what, todo)
    else:
        yield ok("other_channels", "there are none on which users can't end conversations")


def switchboard(facts: Facts) -> Iterator[Finding]:
    """The switchboard, the bot on it, and who comes before and after."""
    if not isinstance(facts.account, Account):
        return
    board = facts.account.board
    if board is None:
        yield wrong("switchboard", "the app has none: nobody is ever active", SETUP)
        return
    if board.enabled:
        yield ok("switchboard", "it is enabled")
    else:
        yield wrong("switchboard", "it is not enabled: nobody is ever active", SETUP)
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
    todo = f"Set SUNSHINE_SWITCHBOARD_INTEGRATION to the bot's (custom ones on the switchboard: {known})"
    if me is not None and me.type != CUSTOM:
        return wrong(name, f"{me.name} is not the bot's: its type is {me.type}", f"{todo}.")
    if me is not None:
        return wrong(name, f"the integration of {me.name} does not exist any more", f"{todo}, or {_small(SETUP)}")
    if account.custom(setting) is not None:
        what = f"{setting} is the id of an integration, and not of a switchboard integration"
        return wrong(name, what, f"{todo}, or {_small(SETUP)}")
    return wrong(name, f"there is no switchboard integration {setting}", f"{todo}, or {_small(SETUP)}")


def _standby(_: Facts, __: Board, me: Member) -> Iterator[Finding]:
    if me.hears_standby:
        yield ok("standby_events", "the bot hears what happens while others are active")
    else:
        what = "the bot does not hear what happens while others are active: it would miss the users' ends"
        yield wrong("standby_events", what, SETUP)


def _default_responder(facts: Facts, board: Board, me: Member) -> Iterator[Finding]:
    name = "default_responder"
    if not board.enabled or not isinstance(facts.account, Account):
        return
    first = board.by_id(board.default_id)
    elsewhere = [c for c in facts.account.channels if c.responder and c.responder != me.name]
    feeders = [member.name for member in board.members if member.next_id == me.id and member.id != me.id]
    if first is not None and first.id == me.id:
        if not elsewhere:
            yield ok(name, "the bot answers first")
            return
        what = ", ".join(f"{channel.responder} on {channel.name or channel.type}" for channel in elsewhere)
        yield warn(
            name, f"the bot answers first, except for {what}", f"If that is not meant: {admin_center.RESPONDERS}."
        )
    elif feeders or any(channel.responder == me.name for channel in facts.account.channels):
        whose = f"; the bot gets what {', '.join(feeders)} passes on" if feeders else ""
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
        yield wrong(name, "after the bot comes the bot itself", SETUP)
    elif not is_pass:
        after = f"{following.name} comes after the bot" if following else "nobody comes after the bot"
        yield ok(name, f"{after}; it does not matter with release control")
    elif following is not None and following == board.workspace:
        yield ok(name, f"{following.name} comes after the bot")
    elif facts.settings.pass_to != NEXT or following is not None:
        after = f"{_named(following)} comes after the bot, and not the agent workspace"
        yield warn(name, after, SETUP)


def _pass_to(facts: Facts, board: Board, me: Member) -> Iterator[Finding]:
    name, setting = "pass_to", facts.settings.pass_to
    target = board.by_id(me.next_id) if setting == NEXT else board.target(setting)
    names = ", ".join(member.name for member in board.members if member.id != me.id) or "nobody else"
    if target is None:
        what = "nobody comes after the bot" if setting == NEXT else "there is no such switchboard integration"
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
        yield ok(name, "not needed: the platform releases what agents are done with")
    elif desk is None:
        yield ok(name, "there is no agent workspace on the switchboard")
    elif desk.next_id == me.id:
        yield ok(name, f"what agents are done with goes from {desk.name} to the bot")
    else:
        what = f"what agents are done with goes to {_named(board.by_id(desk.next_id))}, and never reaches the bot"
        yield wrong(name, what, SETUP)


def _named(member: Member | None) -> str:
    return "nobody" if member is None else member.name


def _small(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
