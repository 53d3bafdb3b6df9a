"""The value of the fixture `replay`: plays a tape against the project's own flows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from bot.replay.result import Result
from bot.replay.run import Setup
from bot.replay.run import replay as play_tapes


class Replay:
    """The value of the fixture `replay`: plays tapes for the tests in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def __call__(
        self,
        tape: str | Path,
        *,
        mode: str | None = None,
        flows: Sequence[str] | None = None,
        opening: str | None = None,
        closing: str | None = None,
        faults: Sequence[str] = (),
        seed: int = 0,
        until_quiet: bool = False,
        within: timedelta | None = None,
        setup: Setup | None = None,
    ) -> Result:
        """Play a tape in virtual time.

        Args:
            tape: its path, relative to the test file's folder or to pytest's folder.
            mode: the control mode; None: the mode that the tape shows.
            flows: modules with flows.
            opening: name of the opening flow.
            closing: name of the closing flow; "" for none.
            faults: faults to inject, by name (`switchboard-bot replay --help`).
            seed: the seed of the faults.
            until_quiet: play until the bot has nothing left to do anywhere.
            within: how long a conversation may stay open after its end to count as closed.
            setup: all other settings.

        Returns:
            The result: `closed`, `open_for`, `actions`, `transcript(conversation_id)`,
            `lanes`, `diverged`.

        Raises:
            TapeError: the tape can't be used.
            UnknownFlow: a flow is missing.
        """
        given = setup or Setup()
        wanted = replace(
            given,
            flows=given.flows if flows is None else tuple(flows),
            opening=given.opening if opening is None else opening,
            closing=given.closing if closing is None else closing,
            faults=tuple(faults) or given.faults,
            seed=seed or given.seed,
            until_quiet=until_quiet or given.until_quiet,
            within=given.within if within is None else within,
        )
        path = _found(Path(tape), self._folder)
        # Use a thread, because virtual time needs a loop of its own and one already runs here.
        results = await asyncio.to_thread(play_tapes, [path], wanted, (mode,) if mode else ())
        return results[0]


def _found(tape: Path, folder: Path) -> Path:
    return folder / tape if (folder / tape).exists() else tape
