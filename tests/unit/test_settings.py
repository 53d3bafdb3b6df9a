"""Settings: read from the environment and `.env`, and refused with one line a problem that shows no value."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tiers import some

from bot.control.modes import PassControl, ReleaseControl
from bot.settings import LogFormat, Settings, SettingsError, load_settings, unknown_names, usable_settings

COMPLETE = {
    "SUNSHINE_BASE_URL": "https://example.zendesk.com/sc",
    "SUNSHINE_APP_ID": "5f1e",
    "SUNSHINE_KEY_ID": "int_1",
    "SUNSHINE_KEY_SECRET": "key-secret",
    "SUNSHINE_SWITCHBOARD_INTEGRATION": "my-bot",
    "SUNSHINE_WEBHOOK_SECRET": "the-webhooks-secret",
    "CONTROL_MODE": "release",
}
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of the machine, and no `.env` of the developer."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Load the settings of a complete environment with changes; None unsets."""

    def loaded(**changes: str | None) -> Settings:
        for name, value in {**COMPLETE, **changes}.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        return load_settings()

    return loaded


@pytest.fixture
def problems(load: Any) -> Any:
    """The problems of a complete environment with changes."""

    def found(**changes: str | None) -> list[str]:
        with pytest.raises(SettingsError) as caught:
            load(**changes)
        return caught.value.problems

    return found


def test_what_is_not_set_has_the_documented_default(load: Any) -> None:
    """Those of the table in docs/reference.md."""
    settings = load()
    assert (settings.host, settings.port) == ("0.0.0.0", 8080)  # noqa: S104 - the default
    assert settings.database_url == "sqlite:///switchboard-bot.db"
    assert settings.flows == ["bot.flows.triage", "bot.flows.survey", "bot.flows.assistant"]
    assert (settings.opening_flow, settings.closing_flow) == ("", "")
    assert settings.flow_idle_timeout == timedelta(minutes=15)
    assert settings.closing_timeout == timedelta(minutes=10)
    assert settings.release_grace == timedelta(seconds=15)
    assert settings.retention_days == 30
    assert settings.pass_to == "zd-agentWorkspace"
    assert settings.log_format is LogFormat.JSON


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("1h", 3600),
        ("2d", 172800),
        ("1500ms", 1.5),
        ("1.5m", 90),
        (" 15 m ", 900),
    ],
)
def test_durations(text: str, seconds: float, load: Any) -> None:
    """A number and a unit."""
    assert load(FLOW_IDLE_TIMEOUT=text).flow_idle_timeout == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "soon", "-5s", "1h30m", "5 weeks", "m", "1e3", "inf", "nan", "366d", "9" * 400 + "d"]
)
@pytest.mark.parametrize("name", ["FLOW_IDLE_TIMEOUT", "CLOSING_TIMEOUT", "RELEASE_GRACE"])
def test_what_is_no_duration_is_one_line(text: str, name: str, problems: Any) -> None:
    """With the name of the setting."""
    (line,) = problems(**{name: text})
    assert line.startswith(f"{name}: ")
    assert "duration" in line


@pytest.mark.parametrize("text", ["15", "90", "1.5"])
def test_a_duration_without_a_unit_says_what_to_write(text: str, problems: Any) -> None:
    """Minutes were meant by some, and seconds by others."""
    assert problems(FLOW_IDLE_TIMEOUT=text) == [f"FLOW_IDLE_TIMEOUT: a duration needs a unit: write {text}s or {text}m"]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("CONTROL_MODE", " Pass\n", "pass"),
        ("CONTROL_MODE", "'release'", "release"),
        ("FLOW_MISMATCH", "Restart ", "restart"),
        ("FLOW_MISMATCH_TEXT", " One moment, please. ", "One moment, please."),
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("LOG_FORMAT", '"JSON"', "json"),
        ("PORT", " 9090 ", 9090),
        ("SUNSHINE_APP_ID", '"5f1e"', "5f1e"),
        ("SUNSHINE_KEY_ID", " int_1\r\n", "int_1"),
        ("DATABASE_URL", "'sqlite:///a.db'", "sqlite:///a.db"),
        ("OPENING_FLOW", "`triage`", "triage"),
        ("FLOW_IDLE_TIMEOUT", '"15m"', timedelta(minutes=15)),
        ("SUNSHINE_BASE_URL", "“https://example.zendesk.com/sc", None),
    ],
)
def test_what_copying_adds_is_forgiven(name: str, text: str, value: Any, load: Any, problems: Any) -> None:
    """Spaces, quotation marks, the end of a line, and case where there is one meaning; no more than that."""
    if value is None:
        assert problems(**{name: text})
    else:
        assert getattr(load(**{name: text}), name.lower()) == value


def test_copied_secrets_are_what_was_meant(load: Any) -> None:
    settings = load(SUNSHINE_KEY_SECRET=' "key-secret"\n', SUNSHINE_WEBHOOK_SECRET=f"'{LONG}', \"{OTHER}\"\n")
    assert settings.sunshine_key_secret.get_secret_value() == "key-secret"
    assert [secret.get_secret_value() for secret in settings.sunshine_webhook_secret] == [LONG, OTHER]


@pytest.mark.parametrize(
    ("name", "text"),
    [("METRICS_PORT", "tcp://10.0.0.7:9090"), ("PORT", "tcp://10.0.0.7:80"), ("HOST", socket.gethostname())],
)
def test_what_a_platform_sets_for_its_own_ends_counts_as_not_set(name: str, text: str, load: Any) -> None:
    """Kubernetes names services that way, and some shells the machine."""
    assert getattr(load(**{name: text}), name.lower()) == Settings.model_fields[name.lower()].default


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("SUNSHINE_KEY_SECRT", "SUNSHINE_KEY_SECRT is not a setting: write SUNSHINE_KEY_SECRET"),
        ("sunshine_appid", "SUNSHINE_APPID is not a setting: write SUNSHINE_APP_ID"),
        ("CLOSNG_FLOW", "CLOSNG_FLOW is not a setting: write CLOSING_FLOW"),
        ("LOGLEVEL", "LOGLEVEL is not a setting: write LOG_LEVEL"),
        ("SUNSHINE_REGION", "SUNSHINE_REGION is not a setting: remove it"),
        ("FLOWERS", None),
        ("DATABASE", None),
        ("HOSTNAME", None),
    ],
)
@pytest.mark.parametrize("place", ["environment", "file"])
def test_a_mistyped_name_is_told(
    name: str, line: str | None, place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the right one; other programs' names are not."""
    if place == "file":
        (tmp_path / ".env").write_text(f"{name}=1\n")
    else:
        monkeypatch.setenv(name, "1")
    told = [found for found in unknown_names() if found.startswith(name.upper())]
    assert [found.startswith(line) for found in told] == [True] if line else told == []


def test_a_mistyped_name_stands_beside_what_is_missing(problems: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUNSHINE_APPID", "5f1e")
    missing, mistyped = problems(SUNSHINE_APP_ID=None)
    assert missing.startswith("SUNSHINE_APP_ID: is not set. ")
    assert mistyped == "SUNSHINE_APPID is not a setting: write SUNSHINE_APP_ID"


@pytest.mark.parametrize(
    ("name", "fine"), [("FLOW_IDLE_TIMEOUT", False), ("CLOSING_TIMEOUT", False), ("RELEASE_GRACE", True)]
)
def test_only_the_grace_may_be_nothing(name: str, fine: bool, load: Any, problems: Any) -> None:
    """A flow needs some time."""
    if fine:
        assert load(**{name: "0"}).release_grace == timedelta(0)
    else:
        assert problems(**{name: "0"}) == [f"{name}: give at least 1s"]


LONG, OTHER = "a-secret-of-some-length", "another-secret-of-some-length"


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        (LONG, [LONG]),
        (f"{LONG},{OTHER}", [LONG, OTHER]),
        (f" {LONG} , {OTHER} ,", [LONG, OTHER]),
        (f"{LONG},{OTHER},{'x' * 16}", [LONG, OTHER, "x" * 16]),
    ],
)
def test_several_webhook_secrets_are_separated_by_commas(text: str, secrets: list[str], load: Any) -> None:
    """While they are being rotated."""
    settings = load(SUNSHINE_WEBHOOK_SECRET=text)
    assert [secret.get_secret_value() for secret in settings.sunshine_webhook_secret] == secrets


@pytest.mark.parametrize("text", ["short", "x" * 15, f"{LONG},short", "short," + LONG])
def test_a_short_webhook_secret_is_a_problem(text: str, problems: Any) -> None:
    """It can be guessed; the line says how to get a better one, and does not quote it."""
    (problem,) = problems(SUNSHINE_WEBHOOK_SECRET=text)
    assert problem.startswith("SUNSHINE_WEBHOOK_SECRET: a secret of fewer than 16 characters can be guessed.")
    assert "openssl rand -hex 32" in problem
    assert "short," not in problem


@pytest.mark.parametrize("text", ["", " ", ",", " , ,"])
def test_no_webhook_secret_at_all_is_a_problem(text: str, problems: Any) -> None:
    """Anybody could deliver."""
    assert problems(SUNSHINE_WEBHOOK_SECRET=text) == ["SUNSHINE_WEBHOOK_SECRET: give the webhook's secret"]


@pytest.mark.parametrize(
    ("key", "app_key", "integration", "app"),
    [
        ("int_1", None, True, False),
        ("int_1", "app_1", True, True),
        ("app_1", None, False, True),
        ("act_1", None, False, True),
        ("svc_1", None, False, True),
        ("5f1e", None, False, True),
        ("act_1", "app_1", False, True),
        (None, "app_1", False, True),
    ],
)
def test_the_keys_scope_decides_what_it_is_used_for(
    key: str | None, app_key: str | None, integration: bool, app: bool, load: Any
) -> None:
    """Any other key may stand in the place of the integration's; only an `int_` key is refused what is not ours."""
    settings = load(
        SUNSHINE_KEY_ID=key,
        SUNSHINE_KEY_SECRET=key and "secret",
        SUNSHINE_APP_KEY_ID=app_key,
        SUNSHINE_APP_KEY_SECRET=app_key and "secret",
    )
    assert (settings.has_integration_key, settings.has_app_key) == (integration, app)
    assert (settings.policy.integration_key, settings.policy.app_key) == (integration, app)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"SUNSHINE_KEY_ID": None, "SUNSHINE_KEY_SECRET": None}, "SUNSHINE_KEY_ID and SUNSHINE_KEY_SECRET: give the"),
        ({"SUNSHINE_KEY_SECRET": None}, "SUNSHINE_KEY_ID and SUNSHINE_KEY_SECRET: give both or neither"),
        ({"SUNSHINE_KEY_ID": ""}, "SUNSHINE_KEY_ID and SUNSHINE_KEY_SECRET: give both or neither"),
        ({"SUNSHINE_APP_KEY_ID": "app_1"}, "SUNSHINE_APP_KEY_ID and SUNSHINE_APP_KEY_SECRET: give both or neither"),
        (
            {"SUNSHINE_APP_KEY_ID": "int_2", "SUNSHINE_APP_KEY_SECRET": "secret"},
            "SUNSHINE_APP_KEY_ID and SUNSHINE_APP_KEY_SECRET: this is an integration's key; give an app-scoped one",
        ),
        (
            {"SUNSHINE_KEY_ID": "int_1:x"},
            "SUNSHINE_KEY_ID and SUNSHINE_KEY_SECRET: an API key's id contains no colon",
        ),
        ({"SUNSHINE_APP_ID": ""}, "SUNSHINE_APP_ID: is not set. "),
        ({"SUNSHINE_APP_ID": ".."}, "SUNSHINE_APP_ID: "),
        ({"SUNSHINE_BASE_URL": " "}, "SUNSHINE_BASE_URL: is not set. "),
        ({"SUNSHINE_BASE_URL": "http://example.com/sc"}, "SUNSHINE_BASE_URL: the base URL must begin with https://"),
        ({"SUNSHINE_BASE_URL": "example.com"}, "SUNSHINE_BASE_URL: "),
        ({"SUNSHINE_SWITCHBOARD_INTEGRATION": None}, "SUNSHINE_SWITCHBOARD_INTEGRATION: is not set. "),
        ({"CONTROL_MODE": "both"}, "CONTROL_MODE: both is not valid; write release or pass"),
        ({"FLOW_MISMATCH": "ignore"}, "FLOW_MISMATCH: ignore is not valid; write hand_over or restart"),
        ({"FLOW_MISMATCH_TEXT": "x" * 4097}, "FLOW_MISMATCH_TEXT: String should have at most 4096 characters"),
        ({"CONTROL_MODE": None}, "CONTROL_MODE: is not set. Set it to 'release' or 'pass'"),
        ({"PORT": "abc"}, "PORT: abc is not valid; write a whole number from 0 to 65535"),
        ({"PORT": "70000"}, "PORT: 70000 is not valid; write a whole number from 0 to 65535"),
        ({"WORKER_CONCURRENCY": "0"}, "WORKER_CONCURRENCY: 0 is not valid; write a whole number from 1 to 10000"),
        ({"RETENTION_DAYS": "0"}, "RETENTION_DAYS: 0 is not valid; write a whole number of at least 1"),
        ({"CONSOLE_TOKEN": "short"}, "CONSOLE_TOKEN: give at least 12 random characters"),
        (
            {"CONSOLE_TOKEN": "ada:long-enough-token,grace:short"},
            "CONSOLE_TOKEN: each operator's token must have at least",
        ),
        (
            {"CONSOLE_TOKEN": "ada:long-enough-token,ada:long-enough-other"},
            "CONSOLE_TOKEN: each operator's name must occur",
        ),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL: LOUD is not valid; write one of DEBUG, INFO, WARNING, ERROR"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT: xml is not valid; write json or console"),
    ],
)
def test_a_problem_is_one_line_that_names_its_setting(changes: dict[str, str | None], line: str, problems: Any) -> None:
    """And says how to mend it."""
    (found,) = problems(**changes)
    assert found.startswith(line)
    assert "\n" not in found


def test_an_empty_environment_has_a_line_for_everything_that_is_required(problems: Any) -> None:
    """All at once, and not one after the other."""
    found = problems(**dict.fromkeys(COMPLETE))
    names = [line.partition(":")[0] for line in found]
    assert names == [
        "SUNSHINE_BASE_URL",
        "SUNSHINE_APP_ID",
        "SUNSHINE_KEY_ID and SUNSHINE_KEY_SECRET",
        "SUNSHINE_SWITCHBOARD_INTEGRATION",
        "SUNSHINE_WEBHOOK_SECRET",
        "CONTROL_MODE",
    ]


SECRET = "very-secret-value"


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
def test_no_value_is_ever_echoed(name: str, load: Any) -> None:
    """A key may have been pasted into any of them."""
    for value in (SECRET, f"{SECRET}:x", f"https://u:{SECRET}@example.com", f"http://{SECRET}.example/sc"):
        shown = ""
        try:
            settings = load(**{name: value})
        except SettingsError as problem:
            shown = str(problem) + repr(problem.__cause__)
        else:
            if name.endswith("SECRET") or name == "CONSOLE_TOKEN":
                shown = repr(settings)
        assert SECRET not in shown


def test_empty_flow_names_mean_none(load: Any) -> None:
    """Neither opens nor closes."""
    settings = load(OPENING_FLOW="", CLOSING_FLOW="")
    assert (settings.policy.opens, settings.policy.closes) == (False, False)


def test_an_empty_target_means_the_default(load: Any) -> None:
    """A pass to nowhere could never be done."""
    assert load(PASS_TO=" ").mode == ReleaseControl("zd-agentWorkspace")
    assert load(PASS_TO="", CONTROL_MODE="pass").mode == PassControl("zd-agentWorkspace")


def test_flows_are_separated_by_commas(load: Any) -> None:
    """One module or several."""
    assert load(FLOWS="a.b").flows == ["a.b"]
    assert load(FLOWS=" a.b , c ").flows == ["a.b", "c"]


def test_the_policy_has_what_the_rules_need(load: Any) -> None:
    """From the settings of the same names."""
    policy = load(
        CONTROL_MODE="pass",
        PASS_TO="desk",
        OPENING_FLOW="triage",
        CLOSING_FLOW="survey",
        RELEASE_GRACE="7s",
        CLOSING_TIMEOUT="3m",
    ).policy
    assert (policy.me, policy.mode) == ("my-bot", PassControl("desk"))
    assert (policy.opens, policy.closes) == (True, True)
    assert (policy.grace, policy.idle, policy.closing) == (
        timedelta(seconds=7),
        timedelta(minutes=15),
        timedelta(minutes=3),
    )


def test_dot_env_is_read_and_the_environment_wins(load: Any, tmp_path: Path) -> None:
    """`.env` in the working directory."""
    lines = (
        "# a comment",
        "PORT=9090",
        "HOST=127.0.0.1",
        "UNKNOWN=1",
        f"SUNSHINE_WEBHOOK_SECRET={LONG}",
        "",
    )
    (tmp_path / ".env").write_text("\n".join(lines))
    settings = load(HOST="127.0.0.2")
    assert (settings.port, settings.host) == (9090, "127.0.0.2")
    assert settings.sunshine_webhook_secret[0].get_secret_value() == "the-webhooks-secret"


def test_the_example_of_dot_env_asks_for_what_is_required(tmp_path: Path, problems: Any) -> None:
    """Copied and not filled in."""
    example = ROOT / ".env.example"
    (tmp_path / ".env").write_text(example.read_text(encoding="utf-8"))
    assert len(problems(**dict.fromkeys(COMPLETE))) == 6


@pytest.mark.parametrize("command", some(["serve", "worker"]))
def test_a_command_refuses_wrong_settings_with_lines_and_code_2(command: str, tmp_path: Path) -> None:
    """No traceback, nothing on standard output, and no value."""
    environment = {**COMPLETE, "CONTROL_MODE": SECRET, "PORT": SECRET, "SUNSHINE_APP_KEY_SECRET": SECRET}
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "bot", command],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == [
        "SUNSHINE_APP_KEY_ID and SUNSHINE_APP_KEY_SECRET",
        "CONTROL_MODE",
        "PORT",
    ]
    assert SECRET not in done.stderr


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, set()),
        ({"PORT": "http", "FLOW_IDLE_TIMEOUT": "soon"}, {"port", "flow_idle_timeout"}),
        ({"SUNSHINE_KEY_SECRET": None}, {"sunshine_key_id", "sunshine_key_secret"}),
        ({"SUNSHINE_APP_KEY_ID": "app_1"}, {"sunshine_app_key_id", "sunshine_app_key_secret"}),
        ({"SUNSHINE_KEY_ID": None, "SUNSHINE_KEY_SECRET": None}, {"sunshine_key_id", "sunshine_key_secret"}),
        (
            {"SUNSHINE_KEY_ID": "a:b", "SUNSHINE_APP_KEY_ID": "c:d", "SUNSHINE_APP_KEY_SECRET": "x"},
            {"sunshine_key_id", "sunshine_key_secret", "sunshine_app_key_id", "sunshine_app_key_secret"},
        ),
        (
            dict.fromkeys(COMPLETE),
            {
                "sunshine_base_url",
                "sunshine_app_id",
                "sunshine_key_id",
                "sunshine_key_secret",
                "sunshine_switchboard_integration",
                "sunshine_webhook_secret",
                "control_mode",
            },
        ),
    ],
)
def test_what_can_be_used_is_kept(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None], names: set[str]
) -> None:
    """For those who look into what is wrong: a stand-in for the rest, and a line each."""
    for name, value in {**COMPLETE, **changes}.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    settings, problems = usable_settings()
    assert set(problems) == names
    assert ("sunshine_app_id" in names) == (settings.sunshine_app_id != COMPLETE["SUNSHINE_APP_ID"])
    if names:
        with pytest.raises(SettingsError) as caught:
            load_settings()
        assert set(caught.value.problems) <= set(problems.values())


def test_a_file_that_can_t_be_read(load: Any, tmp_path: Path) -> None:
    """One line; what the environment holds can be used without it."""
    (tmp_path / ".env").write_bytes(b"PORT=9090\nX=\xff\n")
    with pytest.raises(SettingsError, match=r"\(\.env\) can't be read: it is not UTF-8"):
        load()
    settings, problems = usable_settings()
    assert set(problems) == {"env_file"}
    assert (settings.port, settings.sunshine_app_id) == (8080, COMPLETE["SUNSHINE_APP_ID"])


def test_trusted_proxies(load: Any, problems: Any) -> None:
    """Addresses and networks; none by default, and never everybody."""
    assert load().trusted_proxies == []
    named = load(TRUSTED_PROXIES=" 10.1.0.0/8, '192.0.2.7',2001:db8::/32 ").trusted_proxies
    assert [str(network) for network in named] == ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]
    (line,) = problems(TRUSTED_PROXIES="10.0.0.0/8, my-proxy")
    assert line.startswith("TRUSTED_PROXIES: my-proxy is not valid; give addresses or networks")
    (line,) = problems(TRUSTED_PROXIES="0.0.0.0/0")
    assert line == "TRUSTED_PROXIES: 0.0.0.0/0 includes every address: anyone could forge theirs"
