"""What `setup` is told about the bot's public URL."""

from __future__ import annotations

import pytest
import typer

from bot.cli.setup_inputs import SetupInputs

PATH = "/webhooks/sunshine"
ACME = "https://acme.zendesk.com/sc"
ANSWERS = SetupInputs({"SUNSHINE_SWITCHBOARD_INTEGRATION": "file"}, {})


@pytest.mark.parametrize(
    ("public_url", "target"),
    [
        ("https://bot.example.com", f"https://bot.example.com{PATH}"),
        ("https://bot.example.com/", f"https://bot.example.com{PATH}"),
        ("https://bot.example.com/b/", f"https://bot.example.com/b{PATH}"),
        (f"https://bot.example.com{PATH}", f"https://bot.example.com{PATH}"),
        ("", ""),
    ],
)
def test_a_public_url_becomes_the_webhook_s(public_url: str, target: str) -> None:
    """With the path at which the bot takes deliveries, once."""
    assert ANSWERS.target(public_url, PATH, ACME) == target


@pytest.mark.parametrize(
    ("public_url", "says"),
    [
        ("bot.example.com", "is not a URL"),
        ("ftp://bot.example.com", "is not a URL"),
        ("https://[bot", "is not a URL"),
        ("https://bot.example.com?a=b", "is not a URL"),
        ("http://bot.example.com", "must begin with https://"),
        ("https://localhost:8080", "can't be reached from the internet"),
        ("https://10.0.0.1", "can't be reached from the internet"),
    ],
)
def test_a_public_url_that_can_t_be_one(public_url: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and code 2."""
    with pytest.raises(typer.Exit) as ended:
        ANSWERS.target(public_url, PATH, ACME)
    assert ended.value.exit_code == 2
    assert says in capsys.readouterr().err


def test_a_sandbox_may_be_on_this_machine() -> None:
    """There, plain http will do."""
    assert ANSWERS.target("http://127.0.0.1:8080", PATH, "http://127.0.0.1:9/sc") == f"http://127.0.0.1:8080{PATH}"


def test_the_environment_counts_for_more_than_the_file() -> None:
    """As for the bot itself."""
    name = "SUNSHINE_SWITCHBOARD_INTEGRATION"
    assert SetupInputs({name: "file"}, {name: "environment"}).me == "environment"
    assert SetupInputs({name: "file"}, {name: ""}).me == "file"
