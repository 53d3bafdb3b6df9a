"""Every setting, in one class: read from the environment and from `.env`, checked before anything starts."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Iterable
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from dotenv import dotenv_values
from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bot.control.modes import DEFAULT_PASS_TO, Mode, mode_named
from bot.control.policy import Policy
from bot.sunshine import Credentials, check_account_url
from bot.sunshine.addresses import segment

_DURATION = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>ms|s|m|h|d)?")
_KEY_PROBLEM = "api_key"
_INTEGRATION = "int_"  # what the id of an integration's key begins with (docs/platform.md, 6)
LONGEST = timedelta(days=365)  # added to the time of day, much more would have no date
SHORTEST_TOKEN = 12
SHORTEST_WEBHOOK_SECRET = 16
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, None: 1}


class SettingsProblem(Exception):
    """The settings can't be used; `problems` has one line each, which says how to mend it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _duration(value: Any) -> Any:
    """`15m`, `90s`, `1h`, `500ms`, or `0`."""
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value.strip())
    if found is None:
        raise ValueError("give a duration like 90s, 15m or 1h")
    if found["unit"] is None and float(found["number"]):
        raise ValueError(f"a duration needs a unit: write {found['number']}s or {found['number']}m")
    seconds = float(found["number"]) * _SECONDS[found["unit"]]
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"give a duration of at most {LONGEST.days}d")
    return timedelta(seconds=seconds)


def _names(value: Any) -> Any:
    """A comma-separated list."""
    if not isinstance(value, str):
        return value
    return [name for part in value.split(",") if (name := tidy(part))]


def tidy(value: str) -> str:
    """A value without what copying adds: spaces and line ends around it, and quotation marks."""
    value = value.strip()
    quoted = len(value) > 1 and value[0] in "\"'`" and value[0] == value[-1]
    return value[1:-1].strip() if quoted else value


IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(value: Any) -> Any:
    """A comma-separated list of addresses and networks; an address with bits beyond its network's counts as in it."""
    found = []
    for name in _names(value):
        try:
            network = ipaddress.ip_network(str(name), strict=False)
        except ValueError:
            raise ValueError(
                f"{_shown(name)}give addresses or networks of your reverse proxies, such as 10.0.0.0/8,192.0.2.7"
            ) from None
        if network.prefixlen == 0:
            raise ValueError(f"{network} is every address: then anybody could claim to be anybody")
        found.append(network)
    return found


Duration = Annotated[timedelta, BeforeValidator(_duration)]


Required = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class ControlMode(StrEnum):
    """The account's Conversation control setting."""

    RELEASE = "release"
    PASS = "pass"


class LogFormat(StrEnum):
    """How logs look: JSON for machines, coloured text for people."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least level that is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def _names_a_service(value: str) -> bool:
    """Kubernetes sets METRICS_PORT=tcp://… where there is a service called `metrics`."""
    return value.startswith(("tcp://", "udp://"))


_FOREIGN = {
    "host": lambda value: value == socket.gethostname(),  # as some shells set it
    "port": _names_a_service,
    "metrics_port": _names_a_service,
}
"""Settings whose names others use too, and how their values are told from ours: they count as not set."""


class LogErrors(StrEnum):
    """What is logged of an error that a flow raises: where it was, or all of it, with what it says."""

    PLACES = "places"
    FULL = "full"


class FlowMismatch(StrEnum):
    """What becomes of a run whose journal no longer fits the code of its flow."""

    HAND_OVER = "hand_over"
    RESTART = "restart"


class Settings(BaseSettings):
    """The bot's settings; each field is the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", hide_input_in_errors=True
    )

    sunshine_base_url: Required
    sunshine_app_id: Required
    sunshine_key_id: str = ""
    sunshine_key_secret: SecretStr = SecretStr("")
    sunshine_app_key_id: str = ""
    sunshine_app_key_secret: SecretStr = SecretStr("")
    sunshine_switchboard_integration: Required
    sunshine_webhook_secret: Annotated[list[SecretStr], NoDecode, BeforeValidator(_names)]
    control_mode: ControlMode
    pass_to: str = DEFAULT_PASS_TO
    database_url: str = "sqlite:///switchboard-bot.db"
    host: str = "0.0.0.0"  # noqa: S104 - the platform posts to it from outside
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    metrics_token: SecretStr = SecretStr("")
    api_token: SecretStr = SecretStr("")
    flows: Annotated[list[str], NoDecode, BeforeValidator(_names)] = [
        "bot.flows.triage",
        "bot.flows.survey",
        "bot.flows.assistant",
    ]
    opening_flow: str = ""
    closing_flow: str = ""
    flow_mismatch: FlowMismatch = FlowMismatch.HAND_OVER
    flow_mismatch_text: Annotated[str, StringConstraints(max_length=4096)] = ""
    flow_idle_timeout: Duration = timedelta(minutes=15)
    closing_timeout: Duration = timedelta(minutes=10)
    release_grace: Duration = timedelta(seconds=15)
    worker_concurrency: Annotated[int, Field(ge=1, le=10_000)] = 100
    retention_days: Annotated[int, Field(ge=1)] = 30
    console_token: SecretStr = SecretStr("")
    trusted_proxies: Annotated[list[IpNetwork], NoDecode, BeforeValidator(_networks)] = []
    log_format: LogFormat = LogFormat.JSON
    log_level: LogLevel = LogLevel.INFO
    log_errors: LogErrors = LogErrors.PLACES
    record_tape: str = ""

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, value: Any, info: ValidationInfo) -> Any:
        """As it was meant: copying adds to a value, and some have only one sensible case."""
        if not isinstance(value, str):
            return value
        value, name = tidy(value), str(info.field_name)
        if name in ("control_mode", "log_format", "log_errors", "flow_mismatch"):
            return value.lower()
        if name == "log_level":
            return value.upper()
        is_foreign = name in _FOREIGN and _FOREIGN[name](value)
        return cls.model_fields[name].default if is_foreign else value

    @field_validator("sunshine_base_url")
    @classmethod
    def _https(cls, value: str) -> str:
        try:
            return check_account_url(value)
        except ValueError as error:
            raise ValueError(str(error).replace(f" {value!r}", "")) from None  # it may be a key in the wrong place

    @field_validator("sunshine_app_id")
    @classmethod
    def _in_addresses(cls, value: str) -> str:
        segment(value)
        return value

    @field_validator("pass_to")
    @classmethod
    def _some_target(cls, value: str) -> str:
        return value.strip() or DEFAULT_PASS_TO

    @field_validator("sunshine_webhook_secret")
    @classmethod
    def _some_secret(cls, value: list[SecretStr]) -> list[SecretStr]:
        if not value:
            raise ValueError("give the webhook's secret")
        if any(len(secret.get_secret_value()) < SHORTEST_WEBHOOK_SECRET for secret in value):
            raise ValueError(
                f"a secret of fewer than {SHORTEST_WEBHOOK_SECRET} characters can be guessed. Delete the webhook and "
                "run `switchboard-bot setup`, which makes one with a long secret; to choose one: openssl rand -hex 32"
            )
        return value

    @field_validator("console_token", "metrics_token", "api_token")
    @classmethod
    def _long(cls, value: SecretStr) -> SecretStr:
        token = value.get_secret_value().strip()
        if token and len(token) < SHORTEST_TOKEN:
            raise ValueError(f"give at least {SHORTEST_TOKEN} random characters")
        named = [part.strip().partition(":") for part in token.split(",")] if ":" in token else []
        if len({name for name, _, _ in named}) < len(named):
            raise ValueError("each operator's name stands there once: ada:token,grace:token")
        if named and any(len(own) < SHORTEST_TOKEN for _, colon, own in named if colon):
            raise ValueError(
                f"each operator's token has at least {SHORTEST_TOKEN} random characters: ada:token,grace:token"
            )
        return SecretStr(token)

    @field_validator("flow_idle_timeout", "closing_timeout")
    @classmethod
    def _positive(cls, value: timedelta) -> timedelta:
        if value < timedelta(seconds=1):
            raise ValueError("give at least 1s")
        return value

    @field_validator("sunshine_key_secret", "sunshine_app_key_secret")
    @classmethod
    def _keys(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        """Each key is whole, and there is one. Checked with the fields, so that it is told beside their problems."""
        name = str(info.field_name).removesuffix("_secret")
        key_id, secret = info.data.get(f"{name}_id", ""), value.get_secret_value()
        setting = f"{name.upper()}_ID and {name.upper()}_SECRET"
        if bool(key_id) != bool(secret):
            raise _key_problem(f"{setting}: give both or neither")
        if key_id:
            try:
                Credentials(key_id, secret)
            except ValueError as error:
                raise _key_problem(f"{setting}: {error}") from None
            if name == "sunshine_app_key" and key_id.startswith(_INTEGRATION):
                raise _key_problem(f"{setting}: this is an integration's key; give an app-scoped one (app_…), or none")
        elif name == "sunshine_app_key" and "sunshine_key_secret" in info.data and not info.data.get("sunshine_key_id"):
            raise _key_problem("SUNSHINE_KEY_ID and SUNSHINE_KEY_SECRET: give the integration's API key (int_…)")
        return value

    @property
    def has_integration_key(self) -> bool:
        """Is SUNSHINE_KEY an integration's key? Only with such a key does the platform refuse what is not ours."""
        return self.sunshine_key_id.startswith(_INTEGRATION)

    @property
    def has_app_key(self) -> bool:
        """Is there a key that can release what others hold, in its own setting or in place of the integration's?

        Every key but an integration's counts as one (`app_`, and the account's `act_` and `svc_`, which may do more):
        nothing stops it, so it acts only after a read, and moves control from others only after an end.
        """
        return self.sunshine_app_key_id != "" or (self.sunshine_key_id != "" and not self.has_integration_key)

    @property
    def named_flows(self) -> tuple[list[str], str, str, frozenset[str]]:
        """FLOWS, OPENING_FLOW, CLOSING_FLOW and the names of all that are set, for `bot.flows.inspection.inspected`."""
        return self.flows, self.opening_flow, self.closing_flow, frozenset(self.model_fields_set)

    @property
    def mode(self) -> Mode:
        """The control mode with its target."""
        return mode_named(self.control_mode.value, self.pass_to)

    @property
    def policy(self) -> Policy:
        """What the rules of control are told."""
        return Policy(
            me=self.sunshine_switchboard_integration,
            mode=self.mode,
            opens=bool(self.opening_flow),
            closes=bool(self.closing_flow),
            integration_key=self.has_integration_key,
            app_key=self.has_app_key,
            grace=self.release_grace,
            idle=self.flow_idle_timeout,
            closing=self.closing_timeout,
        )


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment and `.env`.

    Raises:
        SettingsProblem: one line a problem, without values.
    """
    try:
        return Settings(**{"_env_file": EnvFile.path, **overrides})
    except ValidationError as error:
        raise SettingsProblem([*(_line(dict(problem)) for problem in error.errors()), *unknown_names()]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsProblem([_unreadable(error)]) from None


def usable_settings(**overrides: Any) -> tuple[Settings, dict[str, str]]:
    """The settings as far as they can be used, for those who look into what is wrong.

    Returns:
        The settings, with a stand-in for each one that can't be used, and what is wrong with those: by the setting's
        name in small letters (`env_file` for the whole file), one line each, as `load_settings` tells it.
    """
    problems: dict[str, str] = {}
    given = {"_env_file": EnvFile.path, **overrides}
    while True:
        try:
            return Settings(**given), problems
        except ValidationError as error:
            for problem in map(dict, error.errors()):
                line = _line(problem)
                for name in _concerned(problem, line):
                    problems[name] = line
                    given[name] = _STAND_INS.get(name, Settings.model_fields[name].default)
        except (OSError, UnicodeDecodeError) as error:
            problems["env_file"] = _unreadable(error)
            given["_env_file"] = None


class EnvFile:
    """The file of settings that is read beside the environment; `--env-file` names another one."""

    path = Path(".env")


def unknown_names(env_file: Path | None = None) -> list[str]:
    """A line for each name that looks like one of the settings and is none, in the environment and in `.env`.

    Args:
        env_file: in place of `.env`.
    """
    try:
        in_file = {name.upper() for name in dotenv_values(env_file or EnvFile.path, encoding="utf-8")}
    except (OSError, UnicodeDecodeError):
        in_file = set()
    return [*_unknown(sorted(in_file | {name.upper() for name in os.environ}))]


def _unknown(names: Iterable[str]) -> Iterable[str]:
    known = [name.upper() for name in Settings.model_fields]
    for name in names:
        if name in known:
            continue
        if near := get_close_matches(name, known, 1, 0.9):
            yield f"{name} is no setting: write {near[0]}"
        elif name.startswith("SUNSHINE_"):
            yield f"{name} is no setting: leave it out, or look for its name in docs/reference.md"


def _unreadable(error: OSError | UnicodeDecodeError) -> str:
    why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
    return f"The file of settings (.env) can't be read: {why}"


def _concerned(problem: dict[str, Any], line: str) -> tuple[str, ...]:
    """The settings that a problem is about. That of a key shows at a field, but is about its id and its secret."""
    if problem["type"] != _KEY_PROBLEM:
        return (str(problem["loc"][0]),)
    key = "sunshine_app_key" if line.startswith("SUNSHINE_APP_KEY") else "sunshine_key"
    return f"{key}_id", f"{key}_secret"


_STAND_INS: dict[str, Any] = {
    "sunshine_base_url": "http://127.0.0.1",
    "sunshine_app_id": "unknown",
    "sunshine_key_id": "int_unknown",
    "sunshine_key_secret": "unknown",
    "sunshine_switchboard_integration": "unknown",
    "sunshine_webhook_secret": ["unknown webhook secret"],
    "control_mode": "release",
}


def _line(problem: dict[str, Any]) -> str:
    where = str(problem["loc"][0]).upper() if problem["loc"] else ""
    if problem["type"] in ("missing", "string_too_short"):
        return f"{where}: is not set. {_HINTS.get(where, 'Set it in the environment or in .env.')}"
    if problem["type"] == _KEY_PROBLEM:
        return str(problem["msg"])
    if where.lower() in _CHOICES:
        return f"{where}: {_shown(problem.get('input'))}write {_CHOICES[where.lower()]}"
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}"


_CHOICES = {
    "control_mode": " or ".join(ControlMode),
    "log_format": " or ".join(LogFormat),
    "log_level": "one of " + ", ".join(LogLevel),
    "log_errors": " or ".join(LogErrors),
    "flow_mismatch": " or ".join(FlowMismatch),
    "port": "a whole number from 0 to 65535",
    "metrics_port": "a whole number from 0 to 65535",
    "worker_concurrency": "a whole number from 1 to 10000",
    "retention_days": "a whole number, and at least 1",
}
"""What may be written, of settings that have no other kind of problem."""


def _shown(value: Any) -> str:
    """A wrong value for people, unless it may be a key in the wrong place."""
    return f"{value} is not understood; " if re.fullmatch(r"[A-Za-z0-9_.+-]{1,12}", str(value)) else ""


def _key_problem(line: str) -> PydanticCustomError:
    """A problem of two settings together; its text is the whole line."""
    return PydanticCustomError(_KEY_PROBLEM, "{line}", {"line": line})


_HINTS = {
    "SUNSHINE_BASE_URL": "Set it to https://<subdomain>.zendesk.com/sc",
    "SUNSHINE_APP_ID": "Admin Center > Apps and integrations > APIs > Conversations API shows it.",
    "SUNSHINE_SWITCHBOARD_INTEGRATION": "Set it to the id or name of the bot's switchboard integration.",
    "SUNSHINE_WEBHOOK_SECRET": "Set it to the secret that the webhook was made with.",
    "CONTROL_MODE": "Set it to 'release' or 'pass', as in Admin Center > Channels > Messaging and social "
    "> Messaging > Manage settings > Conversation control.",
}
