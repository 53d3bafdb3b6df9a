"""The inputs of `setup`: from options, the environment, the settings file, or prompts."""

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


class SetupInputs:
    """Looks up the inputs. The environment takes precedence over the file.

    Args:
        file: the settings in the file.
        environment: the environment variables of the process.
    """

    def __init__(self, file: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self._file = file
        self._environment = environment

    @staticmethod
    def can_ask() -> bool:
        """Return whether a person can be prompted."""
        return terminal.can_ask()

    @property
    def me(self) -> str:
        """SUNSHINE_SWITCHBOARD_INTEGRATION; "" if it is not set."""
        return self._known("SUNSHINE_SWITCHBOARD_INTEGRATION")

    def access(self, base_url: str, app_id: str, mode: ControlMode | None) -> Access:
        """Return the account access, prompting for missing values.

        Exits with code 2 if a value is invalid, or missing without a terminal to prompt at.
        """
        asked = {
            "SUNSHINE_BASE_URL": (base_url, "The account's URL, https://<subdomain>.zendesk.com/sc"),
            "SUNSHINE_APP_ID": (app_id, f"The app's id ({APP_KEYS})"),
            "SUNSHINE_APP_KEY_ID": ("", f"The id of an app-scoped key, app_… ({APP_KEYS})"),
            "SUNSHINE_APP_KEY_SECRET": ("", "Its secret"),
            "CONTROL_MODE": (
                mode.value if mode else "",
                f"release or pass, as in {CONVERSATION_CONTROL}",
            ),
        }
        found = {name: given or self._known(name) for name, (given, _) in asked.items()}
        absent = [name for name, value in found.items() if not value]
        if absent and not self.can_ask():
            refuse([f"{name}: is not set. {asked[name][1]}" for name in absent])
        for name, value in found.items():
            if not value:
                found[name] = terminal.ask(asked[name][1], hidden=name.endswith("SECRET"))
        return _checked(found)

    def target(self, public_url: str, path: str, base_url: str) -> str:
        """Return the webhook's URL; "" leaves it unchanged. Exits with code 2 if invalid."""
        if not public_url and not self.me and self.can_ask():
            public_url = terminal.ask("The bot's public URL, such as https://bot.example.com")
        if not public_url:
            return ""
        target = public_url.rstrip("/").removesuffix(path) + path
        try:
            parts = urlsplit(target)
            is_http = parts.scheme in ("https", "http") and parts.hostname
            usable = is_http and not (parts.query or parts.fragment)
        except ValueError:
            usable = False
        if not usable:
            refuse([f"--public-url: {public_url} is not a URL like https://bot.example.com"])
        if is_hidden(target, base_url):
            refuse([f"--public-url: {public_url} can't be reached from the internet"])
        if parts.scheme == "http" and urlsplit(base_url).scheme == "https":
            refuse([f"--public-url: {public_url} must begin with https://, to be private in transit"])
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
            problems.append(f"SUNSHINE_APP_KEY_ID: must be an app-scoped key (app_…), not an integration's: {APP_KEYS}")
    except ValueError as error:
        problems.append(f"SUNSHINE_APP_KEY_ID, SUNSHINE_APP_KEY_SECRET: {error}")
    try:
        mode = ControlMode(found["CONTROL_MODE"].lower())
    except ValueError:
        problems.append(f"CONTROL_MODE: must be release or pass, as in {CONVERSATION_CONTROL}")
    if problems or key is None or mode is None:
        refuse(problems)
    return Access(base_url, found["SUNSHINE_APP_ID"], key, mode)
