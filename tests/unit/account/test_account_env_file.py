"""`.env`: what is not ours stays as it is, a value is read back the same, and nobody else can read it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from bot.account.env_file import EnvFileError, only_one, read_env, write_env


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where it is."""
    return tmp_path / ".env"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "A=1\nB=2\n"),
        ("# why\nX=y # z\n\n", "# why\nX=y # z\n\nA=1\nB=2\n"),
        ("X=y", "X=y\nA=1\nB=2\n"),
        ("B=old\nX=y\nA=\n", "B=2\nX=y\nA=1\n"),
        ("a=old\nX=y\n", "a=1\nX=y\nB=2\n"),
        ("A=old\nA=older\n", "A=1\nA=1\nB=2\n"),
        ("export X=y\nX2='a b'\n", "export X=y\nX2='a b'\nA=1\nB=2\n"),
    ],
)
def test_lines_stay(file: Path, before: str, after: str) -> None:
    """Comments, order, other values, and how a name is spelt."""
    file.write_text(before)
    write_env(file, {"A": "1", "B": "2"})
    assert file.read_text() == after


@pytest.mark.parametrize(
    "value",
    [
        "",
        "https://acme.zendesk.com/sc",
        "a b",
        "a#b",
        "it's",
        'say "x"',
        "back\\slash",
        "$HOME",
        "a,b",
        "=",
        " x ",
        "ä",
    ],
)
def test_a_value_is_read_back_the_same(file: Path, value: str) -> None:
    """Whatever it is."""
    write_env(file, {"A": value})
    assert read_env(file).get("A", "") == value


def test_plain_values_have_no_quotes(file: Path) -> None:
    """Docker would take them for a part of the value."""
    write_env(file, {"A": "https://acme.zendesk.com/sc", "B": "Ck1L-jz_z=="})
    assert file.read_text() == "A=https://acme.zendesk.com/sc\nB=Ck1L-jz_z==\n"


@pytest.mark.parametrize("value", ["${HOME}", "a\rb"])
def test_a_value_that_has_no_form(file: Path, value: str) -> None:
    """It is said, without the value."""
    with pytest.raises(EnvFileError, match=r"\.env: SECRET can't be read back") as raised:
        write_env(file, {"SECRET": value})
    assert value not in str(raised.value)


def test_only_its_owner_reads_it(file: Path) -> None:
    """Also where it was there before."""
    write_env(file, {"A": "1"})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    write_env(file, {"A": "2"})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in file.parent.iterdir()] == [".env"]


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    """What it points to is changed."""
    real = tmp_path / "real"
    real.write_text("X=y\n")
    file.symlink_to(real)
    write_env(file, {"A": "1"})
    assert file.is_symlink()
    assert real.read_text() == "X=y\nA=1\n"


def test_what_can_t_be_read_or_written(tmp_path: Path, file: Path) -> None:
    """One line that names the file."""
    file.write_bytes(b"A=\xff\n")
    with pytest.raises(EnvFileError, match="can't be read: it is not UTF-8"):
        read_env(file)
    with pytest.raises(EnvFileError, match="can't be written: No such file"):
        write_env(tmp_path / "none" / ".env", {"A": "1"})
    with pytest.raises(EnvFileError, match="can't be written: Is a directory"):
        write_env(tmp_path, {"A": "1"})
    assert read_env(tmp_path / "nothing") == {}


def test_one_at_a_time(file: Path, tmp_path: Path) -> None:
    """The second one is told; afterwards it may."""
    with only_one(file), pytest.raises(EnvFileError, match="another set-up is running"), only_one(file):
        pytest.fail("two at once")
    with only_one(file):
        pass
    with pytest.raises(EnvFileError, match="No such file"), only_one(tmp_path / "none" / ".env"):
        pytest.fail("there is no such folder")
