"""What a person has to tell `setup`: from options, the environment, the settings file, or by asking."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from bot import terminal
from bot.account.checks_webhook import is_hidden
from bot.account.requirements import APP_KEYS, CONVERSATION_CONTROL
from bot.account.values import Access
from bot.cli.problems import refuse
from bot.settings import ControlMode
from bot.sunshine import Credentials, Scope, check_base_url
from bot.sunshine.addresses import segment


class Answers:
    """Looks for answers; what is in the environment counts for more than what is in the file.

    Args:
        file: the settings that the file holds.
        environment: the process's.
    """

    def __init__(self, file: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self._file = file
        self._environment = environment

    @staticmethod
    def can_ask() -> bool:
        """Is there a person at a terminal?"""
        return terminal.can_ask()

    @property
    def me(self) -> str:
        """SUNSHINE_SWITCHBOARD_INTEGRATION, "" if it is not set."""
        return self._known("SUNSHINE_SWITCHBOARD_INTEGRATION")

    def access(self, base_url: str, app_id: str, mode: ControlMode | None) -> Access:
        """What is needed to begin. Ends the command where something is missing and nobody can be asked, or is wrong."""
        asked = {
            "SUNSHINE_BASE_URL": (base_url, "The account's address, https://<subdomain>.zendesk.com/sc"),
            "SUNSHINE_APP_ID": (app_id, f"The app's id ({APP_KEYS})"),
            "SUNSHINE_APP_KEY_ID": ("", f"The id of an app-scoped key, app_… ({APP_KEYS})"),
            "SUNSHINE_APP_KEY_SECRET": ("", "Its secret"),
            "CONTROL_MODE": (mode.value if mode else "", f"release or pass, as in {CONVERSATION_CONTROL}"),
        }
        found = {name: given or self._known(name) for name, (given, _) in asked.items()}
        if not self.can_ask() and (lacking := [name for name, value in found.items() if not value]):
            refuse([f"{name}: is not set. {asked[name][1]}" for name in lacking])
        for name, value in found.items():
            if not value:
                found[name] = terminal.ask(asked[name][1], hidden=name.endswith("SECRET"))
        return _checked(found)

    def target(self, public_url: str, path: str, base_url: str) -> str:
        """The webhook's URL; "" to leave it where it is. Ends the command where it can't be one."""
        if not public_url and not self.me and self.can_ask():
            public_url = terminal.ask("Where the platform reaches the bot, such as https://bot.example.com")
        if not public_url:
            return ""
        target = public_url.rstrip("/").removesuffix(path) + path
        try:
            parts = urlsplit(target)
            usable = parts.scheme in ("https", "http") and parts.hostname and not (parts.query or parts.fragment)
        except ValueError:
            usable = False
        if not usable:
            refuse([f"--public-url: {public_url} is no URL such as https://bot.example.com"])
        if is_hidden(target, base_url):
            refuse([f"--public-url: {public_url} is an address that the platform can't reach from outside"])
        if parts.scheme == "http" and urlsplit(base_url).scheme == "https":
            refuse([f"--public-url: {public_url} has to begin with https://, or anybody on the way reads along"])
        return target

    def _known(self, name: str) -> str:
        return (self._environment.get(name) or self._file.get(name) or "").strip()


def _checked(found: Mapping[str, str]) -> Access:
    problems = []
    base_url, key, mode = "", None, None
    try:
        base_url = check_base_url(found["SUNSHINE_BASE_URL"])
    except ValueError as error:
        problems.append(f"SUNSHINE_BASE_URL: {error}")
    try:
        segment(found["SUNSHINE_APP_ID"])
    except ValueError as error:
        problems.append(f"SUNSHINE_APP_ID: {error}")
    try:
        key = Credentials(found["SUNSHINE_APP_KEY_ID"], found["SUNSHINE_APP_KEY_SECRET"])
        if key.scope is Scope.INTEGRATION:
            problems.append(
                f"SUNSHINE_APP_KEY_ID: it takes an app-scoped key (app_…), not an integration's: {APP_KEYS}"
            )
    except ValueError as error:
        problems.append(f"SUNSHINE_APP_KEY_ID, SUNSHINE_APP_KEY_SECRET: {error}")
    try:
        mode = ControlMode(found["CONTROL_MODE"].lower())
    except ValueError:
        problems.append(f"CONTROL_MODE: it is release or pass, as in {CONVERSATION_CONTROL}")
    if problems or key is None or mode is None:
        refuse(problems)
    return Access(base_url, found["SUNSHINE_APP_ID"], key, mode)
