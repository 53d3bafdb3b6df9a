"""A program of the tests that dies early is told of, wherever its standard error goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from bot_program import launched


async def test_death_before_readiness_is_told_with_its_words(tmp_path: Path) -> None:
    """Standard error is a pipe."""
    program = await launched("serve", tmp_path, {})
    with pytest.raises(pytest.fail.Exception, match=r"ended with 2: SUNSHINE_BASE_URL: is not set"):
        await program.until_ready()


@pytest.mark.long
async def test_death_before_readiness_is_told_where_errors_go_to_a_file(tmp_path: Path) -> None:
    """Nothing can be read from it here: the exit code is told."""
    with (tmp_path / "errors").open("wb") as errors:
        program = await launched("serve", tmp_path, {}, errors)
    with pytest.raises(pytest.fail.Exception, match="ended with 2: see its standard error"):
        await program.until_ready()
    assert program.errors == b""
    assert b"SUNSHINE_BASE_URL" in (tmp_path / "errors").read_bytes()
