"""Deliberate bugs, and the proof that the simulation finds each of them: `python tests/simulation/mutants.py`.

A check that finds no planted bug is worth nothing. Each mutant is one replacement in one file, made in a copy of the
program; then worlds are played against it until one breaks.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 2000


@dataclass(frozen=True)
class Mutant:
    """A planted bug: in `file`, the one place that reads `old` reads `new`."""

    name: str
    file: str
    old: str
    new: str


MUTANTS = (
    Mutant(
        "act again without a read after an unclear answer",
        "bot/control/duties.py",
        "        case Answer.UNCLEAR | Answer.GONE:\n            failures += 1\n",
        "        case Answer.UNCLEAR | Answer.GONE:\n            failures += 1\n            stage = Stage.ACT\n",
    ),
    Mutant(
        "treat a 200 as proof",
        "bot/control/duties.py",
        "    stage, due = Stage.CHECK, draft.now\n",
        "    if fact.answer is Answer.ACCEPTED and what is not What.READ_FOR_DUTY:\n"
        '        draft.close_duty("accepted")\n        return\n'
        "    stage, due = Stage.CHECK, draft.now\n",
    ),
    Mutant(
        "acknowledge before the commit",
        "webhooks/inbox.py",
        "        error = await delivery.outcome\n        if error is not None:\n",
        "        error = None\n        if error is not None:\n",
    ),
    Mutant(
        "load nothing that was said before the turn",
        "bot/store/rows.py",
        "    return [*([opening] if opening else []), *(given.event_id for given in state.inputs)]\n",
        "    return []\n",
    ),
    Mutant(
        "acknowledge what could not be stored",
        "webhooks/inbox.py",
        '            raise NotStored(f"the store failed: {type(error).__name__}") from error\n',
        "            return\n",
    ),
    Mutant(
        "forget the fencing token",
        "bot/store/sqlite_save.py",
        "    if stored is None or stored[0] != lease.epoch:\n",
        "    if stored is None:\n",
    ),
    Mutant(
        "ignore the end that a business author tells",
        "webhooks/messages.py",
        "        return self.activity is not None and self.activity.type == _ENDED_BY_USER\n",
        "        told = self.activity is not None and self.activity.type == _ENDED_BY_USER\n"
        "        return told and self.author.is_user\n",
    ),
    Mutant(
        "ignore a system message without its activity",
        "bot/control/reading.py",
        "        return (EndSuspected(at),)\n",
        "        return ()\n",
    ),
    Mutant(
        "let a closing flow go on for ever",
        "bot/control/draft.py",
        "self.policy.closing if closing else self.policy.idle",
        "self.policy.closing * 10_000 if closing else self.policy.idle",
    ),
    Mutant(
        "let an older fact move the holder",
        "bot/control/draft.py",
        "        if old.since and at < old.since:\n            return False\n",
        "",
    ),
    Mutant(
        "mark events handled before they have taken effect",
        "bot/store/sqlite_claim.py",
        "    outbox = _outbox(connection, ids, at)\n",
        "    outbox = _outbox(connection, ids, at)\n"
        "    which = 'conversation_id IN (SELECT value FROM json_each(?))'\n"
        "    connection.execute(f\"UPDATE inbox SET status = 'handled' WHERE {which}\", (ids,))\n",
    ),
    Mutant(
        "send again without looking for the message first",
        "bot/engine/delivery.py",
        "            if item.maybe_done:\n",
        "            if item.maybe_done and False:\n",
    ),
    Mutant(
        "leave the effect id out of a message",
        "bot/engine/delivery.py",
        "            metadata = {**say.metadata, EFFECT_KEY: say.effect_id}\n",
        '            metadata = {**say.metadata, EFFECT_KEY: ""}\n',
    ),
    Mutant(
        "try a release once and never again",
        "bot/control/duties.py",
        "    draft.set_duty(stage=Stage.CHECK, attempts=duty.attempts + 1)\n",
        "    draft.set_duty(stage=Stage.CHECK, attempts=duty.attempts + 1)\n    if duty.attempts:\n        return\n",
    ),
    Mutant(
        "never look again at what others hold",
        "bot/control/obligations.py",
        "return None if state.ended else backoff(state.watches + 1, state.id, WATCH_FIRST, WATCH_CAP)",
        "return None",
    ),
    Mutant(
        "keep what was removed",
        "bot/engine/session.py",
        "                self._change.forget = True\n",
        "                pass\n",
    ),
    Mutant(
        "speak whoever holds control",
        "bot/control/state.py",
        "        if self.gone or self.holder.who is not Who.BOT:\n            return False\n",
        "        if self.gone:\n            return False\n",
    ),
    Mutant(
        "ignore what only a read can tell",
        "bot/control/rules.py",
        "            draft.doubt()\n",
        "            pass\n",
    ),
    Mutant(
        "use the app key without a read",
        "bot/control/draft.py",
        "        guarded = action is Action.RELEASE and self.policy.integration_key\n",
        "        guarded = action is Action.RELEASE\n",
    ),
    Mutant(
        "hold control without a flow for ever",
        "bot/control/obligations.py",
        "        draft.set(idle_at=draft.now + draft.policy.idle)\n",
        "        draft.set(idle_at=draft.now + draft.policy.idle * 10_000)\n",
    ),
    Mutant(
        "close a conversation twice",
        "bot/control/obligations.py",
        "        if to_be_closed and draft.policy.closes and state.closing_run is None:\n",
        "        if to_be_closed and draft.policy.closes:\n",
    ),
    Mutant(
        "lose the journal",
        "bot/engine/session.py",
        "        self._change.journal.extend(entries)\n",
        "        self._change.journal.extend(entries[:0])\n",
    ),
    Mutant(
        "let a word answer twice",
        "bot/flows/turn.py",
        "        for entry in self._entries:\n            self._used.update(_used_by(entry))\n",
        "",
    ),
    Mutant(
        "take nothing over from the dead",
        "bot/store/sqlite_claim.py",
        "    at, until = to_micros(now), now + lease\n",
        "    at, until = to_micros(now), now + lease * 10_000\n",
    ),
    Mutant(
        "forget to look after an end",
        "bot/control/obligations.py",
        "    if draft.now >= ended.check_at:\n",
        "    if draft.now >= ended.check_at and state.holder.who is Who.BOT:\n",
    ),
    Mutant(
        "take what a message shows for proof",
        "bot/control/draft.py",
        "        new = Holder(self.who(active), active, at, certain, how)\n",
        "        new = Holder(self.who(active), active, at, True, how)\n",
    ),
    Mutant(
        "ignore that the user wrote after the end",
        "bot/control/rules.py",
        "    if ended is None or spoken.at <= ended.at:\n",
        "    if True:\n",
    ),
    Mutant(
        "deliver the newest effect first",
        "bot/engine/session.py",
        "        first = next(ahead, None) or next(others, None)\n",
        "        first = next(ahead, None) or next(reversed(list(others)), None)\n",
    ),
    Mutant(
        "take a refusal after the end for proof",
        "bot/control/duties.py",
        "    if draft.state.ended:\n        again = ",
        "    if False:\n        again = ",
    ),
    Mutant(
        "pass again and again where it is declined",
        "bot/control/duties.py",
        "    if duty and duty.action is Action.PASS and duty.refusals >= PASS_ATTEMPTS:\n",
        "    if False:\n",
    ),
    Mutant(
        "take what others hold without an operator's confirmation",
        "bot/control/rules.py",
        "    elif foreseen.against and foreseen.against == fact.against:\n",
        "    elif foreseen.against:\n",
    ),
    Mutant(
        "take by hand without a read",
        "bot/control/duties.py",
        "    draft.set_duty(stage=Stage.CHECK, key=Key.APP, next_attempt=draft.now, against=holder_id)\n",
        "    draft.set_duty(stage=Stage.ACT, key=Key.APP, next_attempt=draft.now, against=holder_id)\n",
    ),
)


def planted(mutant: Mutant, folder: Path) -> Path:
    """Make a copy of the program with the bug in it. Raises ValueError unless there is just one place for it."""
    for package in ("bot", "webhooks"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / mutant.file
    text = file.read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: {mutant.file} holds its place {text.count(mutant.old)} times")
    file.write_text(text.replace(mutant.old, mutant.new))
    return folder


def hunt(mutant: Mutant, seeds: int = SEEDS, timeout: float = 900) -> str | None:
    """Play worlds against a mutant.

    Returns:
        The first breach that shows it, or None: the simulation is blind to it, or does not end in time (seconds).

    Raises:
        RuntimeError: the simulation did not run, which proves nothing.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = planted(mutant, Path(name))
        command = [
            sys.executable,
            "-m",
            "bot",
            "simulate",
            "--seeds",
            str(seeds),
            "--processes",
            "1",
            "--first-failure",
        ]
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        try:
            done = subprocess.run(  # noqa: S603 - our own program
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            return None
        if done.returncode == 0:
            return None
        for line in done.stdout.splitlines():
            if line.startswith("seed"):
                return line
        raise RuntimeError(f"{mutant.name}: the simulation itself failed: {done.stderr.strip()[-300:]}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Hunt all mutants, or those whose name holds a word; exit 1 if one lives."""
    parser = argparse.ArgumentParser(description="Show that the simulation finds every planted bug.")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="worlds for each bug, at most")
    parser.add_argument("--only", default="", help="only the bugs whose name holds this")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.name]
    began = time.monotonic()
    alive = 0
    with ThreadPoolExecutor(options.processes) as pool:
        for mutant, found in zip(chosen, pool.map(lambda m: hunt(m, options.seeds), chosen), strict=True):
            alive += found is None
            print(f"{'ALIVE' if found is None else 'found'}  {mutant.name}: {found or 'nothing'}")  # noqa: T201
    print(f"{len(chosen) - alive} of {len(chosen)} found in {time.monotonic() - began:.0f} s")  # noqa: T201
    return 1 if alive else 0


if __name__ == "__main__":
    raise SystemExit(main())
