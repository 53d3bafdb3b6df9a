"""All settings in one class, read from the environment and `.env`, and validated at start."""

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
_INTEGRATION = "int_"  # prefix of the ids of integrations' keys (docs/platform.md, 6)
MAX_DURATION = timedelta(days=365)  # avoids overflow when added to the current time
MIN_TOKEN_LENGTH = 12
MIN_WEBHOOK_SECRET_LENGTH = 16
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, None: 1}


class SettingsError(Exception):
    """The settings are invalid. `problems` has one line per problem, with the fix."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _duration(value: Any) -> Any:
    """Parse a duration: `15m`, `90s`, `1h`, `500ms`, or `0`."""
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value.strip())
    if found is None:
        raise ValueError("give a duration like 90s, 15m or 1h")
    if found["unit"] is None and float(found["number"]):
        number = found["number"]
        raise ValueError(f"a duration needs a unit: write {number}s or {number}m")
    seconds = float(found["number"]) * _SECONDS[found["unit"]]
    if seconds > MAX_DURATION.total_seconds():
        raise ValueError(f"give a duration of at most {MAX_DURATION.days}d")
    return timedelta(seconds=seconds)


def _names(value: Any) -> Any:
    """Parse a comma-separated list."""
    if not isinstance(value, str):
        return value
    return [name for part in value.split(",") if (name := tidy(part))]


def tidy(value: str) -> str:
    """Strip what copying adds to a value: white space and quotation marks."""
    value = value.strip()
    quoted = len(value) > 1 and value[0] in "\"'`" and value[0] == value[-1]
    return value[1:-1].strip() if quoted else value


IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(value: Any) -> Any:
    """Parse a comma-separated list of addresses and networks; ignores host bits."""
    found = []
    for name in _names(value):
        try:
            network = ipaddress.ip_network(str(name), strict=False)
        except ValueError:
            hint = "give addresses or networks of your reverse proxies"
            example = "10.0.0.0/8,192.0.2.7"
            raise ValueError(f"{_shown(name)}{hint}, such as {example}") from None
        if network.prefixlen == 0:
            raise ValueError(f"{network} includes every address: anyone could forge theirs")
        found.append(network)
    return found


Duration = Annotated[timedelta, BeforeValidator(_duration)]


Required = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class ControlMode(StrEnum):
    """The account's Conversation control setting."""

    RELEASE = "release"
    PASS = "pass"


class LogFormat(StrEnum):
    """The format of logs: JSON for machines, coloured text for people."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The lowest level that is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def _names_a_service(value: str) -> bool:
    """Return whether Kubernetes set the value: METRICS_PORT=tcp://… for a service `metrics`."""
    return value.startswith(("tcp://", "udp://"))


_FOREIGN = {
    "host": lambda value: value == socket.gethostname(),  # as some shells set it
    "port": _names_a_service,
    "metrics_port": _names_a_service,
}
"""Settings whose names other software uses too: detects its values, which count as unset."""


class LogErrors(StrEnum):
    """The detail of logged flow errors: only the places, or also message and traceback."""

    PLACES = "places"
    FULL = "full"


class FlowMismatch(StrEnum):
    """The handling of a run whose journal no longer fits its flow's code."""

    HAND_OVER = "hand_over"
    RESTART = "restart"


class Settings(BaseSettings):
    """The bot's settings. Each field is the environment variable of that name in capitals."""

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
        """Normalise a value: tidy it, and fix the case where only one makes sense."""
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
            # Don't quote the value: it may be a key in the wrong place.
            raise ValueError(str(error).replace(f" {value!r}", "")) from None

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
        lengths = [len(secret.get_secret_value()) for secret in value]
        if min(lengths) < MIN_WEBHOOK_SECRET_LENGTH:
            raise ValueError(
                f"a secret of fewer than {MIN_WEBHOOK_SECRET_LENGTH} characters can be guessed. "
                "Delete the webhook and run `switchboard-bot setup`, which creates one with a long "
                "secret; to choose one: openssl rand -hex 32"
            )
        return value

    @field_validator("console_token", "metrics_token", "api_token")
    @classmethod
    def _long(cls, value: SecretStr) -> SecretStr:
        token = value.get_secret_value().strip()
        example = "ada:token,grace:token"
        if token and len(token) < MIN_TOKEN_LENGTH:
            raise ValueError(f"give at least {MIN_TOKEN_LENGTH} random characters")
        parts = token.split(",") if ":" in token else []
        named = [part.strip().partition(":") for part in parts]
        if len({name for name, _, _ in named}) < len(named):
            raise ValueError(f"each operator's name must occur only once: {example}")
        if named and any(len(own) < MIN_TOKEN_LENGTH for _, colon, own in named if colon):
            rule = f"each operator's token must have at least {MIN_TOKEN_LENGTH} random characters"
            raise ValueError(f"{rule}: {example}")
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
        """Check that each key is complete, and that there is one.

        A field validator, so that these problems are listed along with those of other fields.
        """
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
                reason = "this is an integration's key; give an app-scoped one (app_…), or none"
                raise _key_problem(f"{setting}: {reason}")
        elif name == "sunshine_app_key":
            is_checked = "sunshine_key_secret" in info.data
            if is_checked and not info.data.get("sunshine_key_id"):
                missing = "SUNSHINE_KEY_ID and SUNSHINE_KEY_SECRET"
                raise _key_problem(f"{missing}: give the integration's API key (int_…)")
        return value

    @property
    def has_integration_key(self) -> bool:
        """Whether SUNSHINE_KEY is an integration's key, which the platform restricts."""
        return self.sunshine_key_id.startswith(_INTEGRATION)

    @property
    def has_app_key(self) -> bool:
        """Whether a key can release control that others hold, in either setting.

        This applies to every key but an integration's: `app_`, and the account's `act_` and
        `svc_`. The platform does not restrict such a key. So the bot uses it only after a read,
        and takes control from others only after an end.
        """
        is_own_unscoped = self.sunshine_key_id != "" and not self.has_integration_key
        return self.sunshine_app_key_id != "" or is_own_unscoped

    @property
    def named_flows(self) -> tuple[list[str], str, str, frozenset[str]]:
        """The arguments of `bot.flows.inspection.inspected`: flows, and names of set fields."""
        return self.flows, self.opening_flow, self.closing_flow, frozenset(self.model_fields_set)

    @property
    def mode(self) -> Mode:
        """The control mode, with its target."""
        return mode_named(self.control_mode.value, self.pass_to)

    @property
    def policy(self) -> Policy:
        """The parameters of the control rules."""
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
    """Load the settings from the environment and `.env`.

    Raises:
        SettingsError: the settings are invalid; one line per problem, without secrets.
    """
    try:
        return Settings(**{"_env_file": EnvFile.path, **overrides})
    except ValidationError as error:
        lines = [_line(dict(problem)) for problem in error.errors()]
        raise SettingsError([*lines, *unknown_names()]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([_unreadable(error)]) from None


def usable_settings(**overrides: Any) -> tuple[Settings, dict[str, str]]:
    """Load the settings, with placeholders for invalid ones. For diagnosis.

    Returns:
        The settings, and the problems of those replaced: by name in lower case (`env_file` for
        the whole file), one line each, as `load_settings` reports them.
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
                    given[name] = _PLACEHOLDERS.get(name, Settings.model_fields[name].default)
        except (OSError, UnicodeDecodeError) as error:
            problems["env_file"] = _unreadable(error)
            given["_env_file"] = None


class EnvFile:
    """The settings file, read in addition to the environment. Set by `--env-file`."""

    path = Path(".env")


def unknown_names(env_file: Path | None = None) -> list[str]:
    """Return a line for each misspelt setting in the environment and in `.env`.

    Args:
        env_file: a file to read instead of `.env`.
    """
    try:
        values = dotenv_values(env_file or EnvFile.path, encoding="utf-8")
        in_file = {name.upper() for name in values}
    except (OSError, UnicodeDecodeError):
        in_file = set()
    return [*_unknown(sorted(in_file | {name.upper() for name in os.environ}))]


def _unknown(names: Iterable[str]) -> Iterable[str]:
    known = [name.upper() for name in Settings.model_fields]
    for name in names:
        if name in known:
            continue
        if near := get_close_matches(name, known, 1, 0.9):
            yield f"{name} is not a setting: write {near[0]}"
        elif name.startswith("SUNSHINE_"):
            yield f"{name} is not a setting: remove it, or look it up in docs/reference.md"


def _unreadable(error: OSError | UnicodeDecodeError) -> str:
    why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
    return f"The settings file (.env) can't be read: {why}"


def _concerned(problem: dict[str, Any], line: str) -> tuple[str, ...]:
    """Return the settings that a problem affects: both id and secret for a key."""
    if problem["type"] != _KEY_PROBLEM:
        return (str(problem["loc"][0]),)
    key = "sunshine_app_key" if line.startswith("SUNSHINE_APP_KEY") else "sunshine_key"
    return f"{key}_id", f"{key}_secret"


_PLACEHOLDERS: dict[str, Any] = {
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
    "retention_days": "a whole number of at least 1",
}
"""The valid values of settings that have no other kind of problem."""


def _shown(value: Any) -> str:
    """Quote an invalid value, unless it may be a key in the wrong place."""
    is_harmless = re.fullmatch(r"[A-Za-z0-9_.+-]{1,12}", str(value))
    return f"{value} is not valid; " if is_harmless else ""


def _key_problem(line: str) -> PydanticCustomError:
    """Return a problem of two settings together, whose text is the whole line."""
    return PydanticCustomError(_KEY_PROBLEM, "{line}", {"line": line})


_HINTS = {
    "SUNSHINE_BASE_URL": "Set it to https://<subdomain>.zendesk.com/sc",
    "SUNSHINE_APP_ID": "See Admin Center > Apps and integrations > APIs > Conversations API.",
    "SUNSHINE_SWITCHBOARD_INTEGRATION": "Set it to the id or name of the bot's switchboard integration.",
    "SUNSHINE_WEBHOOK_SECRET": "Set it to the webhook's secret.",
    "CONTROL_MODE": "Set it to 'release' or 'pass', as in Admin Center > Channels > Messaging and social "
    "> Messaging > Manage settings > Conversation control.",
}
