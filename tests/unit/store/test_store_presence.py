"""Who is alone on a SQLite file, and what becomes of the leases of those who died."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from store_samples import LEASE, MINUTE, NOW, SECOND, claim, event, opened

from bot.store import LeaseLost, SqliteStore, Unavailable, migrate
from bot.store.sqlite.presence import Presence

SOON = NOW + 5 * SECOND

A_WORKER_THAT_DIES = """
import asyncio, os, signal, sys
sys.path[:0] = sys.argv[2:]
from store_samples import NOW, claim, event
from bot.store import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    await store.start()
    assert await store.join(NOW) == 0
    await store.receive([event("e1")])
    (work,) = await claim(store, owner="dead")
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@asynccontextmanager
async def on_file(path: Path) -> AsyncIterator[SqliteStore]:
    """A store on a file, as a process has it."""
    store = SqliteStore(path)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty database."""
    migrate(f"sqlite:///{tmp_path}/bot.db")
    return tmp_path / "bot.db"


async def test_the_first_worker_cuts_the_leases_of_the_dead(path: Path) -> None:
    """They run out at the given time, and then the conversation is claimed again under a higher epoch."""
    async with on_file(path) as dead:
        await dead.receive([event("e1")])
        (old,) = await claim(dead, owner="dead")
    async with on_file(path) as store:
        assert await store.join(SOON) == 1
        assert await claim(store, at=SOON - SECOND) == []
        assert await store.next_due(NOW) == SOON
        (work,) = await claim(store, at=SOON)
        assert work.lease.epoch == old.lease.epoch + 1
        with pytest.raises(LeaseLost):
            await store.renew(old.lease, NOW + MINUTE)


async def test_no_lease_gets_longer(path: Path) -> None:
    """One that runs out before that is left alone."""
    async with on_file(path) as dead:
        await dead.receive([event("e1")])
        await claim(dead, owner="dead")
    async with on_file(path) as store:
        assert await store.join(NOW + LEASE + SECOND) == 0
        assert len(await claim(store, at=NOW + LEASE)) == 1


async def test_a_worker_that_lives_keeps_its_leases(path: Path) -> None:
    """As long as anybody is present, nobody is alone; the last one to leave opens the way."""
    async with AsyncExitStack() as first:
        one = await first.enter_async_context(on_file(path))
        assert await one.join(SOON) == 0
        await one.receive([event("e1")])
        (work,) = await claim(one, owner="one")
        async with on_file(path) as two:
            assert await two.join(SOON) == 0
        async with on_file(path) as three:
            assert await three.join(SOON) == 0
            assert (await one.renew(work.lease, NOW + MINUTE)).until == NOW + MINUTE
            await first.aclose()
            async with on_file(path) as four:
                assert await four.join(SOON) == 0
        async with on_file(path) as five:
            assert await five.join(SOON) == 1


async def test_a_web_process_is_nobody(path: Path) -> None:
    """A store that no worker has joined with keeps no lease alive."""
    async with on_file(path) as web, on_file(path) as store:
        await web.receive([event("e1")])
        await claim(web, owner="dead")
        assert await store.join(SOON) == 1


async def test_two_that_start_at_once_are_not_both_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second waits until the first has let others in, and is not alone."""
    first, second = Presence(str(path)), Presence(str(path))
    assert first.enter()
    waits = threading.Event()
    monkeypatch.setattr("bot.store.sqlite.presence.time.sleep", lambda _: waits.set())
    entering = asyncio.create_task(asyncio.to_thread(second.enter))
    assert await asyncio.to_thread(waits.wait, 30)
    assert not entering.done()
    await asyncio.to_thread(first.share)
    assert await entering is False
    first.leave()
    second.leave()
    third = Presence(str(path))
    assert third.enter()
    third.leave()


async def test_another_name_of_the_file_is_the_same_file(path: Path) -> None:
    """Through a link one meets the others."""
    link = path.with_name("link.db")
    link.symlink_to(path)
    one, two = Presence(str(path)), Presence(str(link))
    assert one.enter()
    one.share()
    assert not two.enter()
    one.leave()
    two.leave()


async def test_kill_9_takes_the_lock_away(path: Path) -> None:
    """The kernel does it, whatever the process was doing."""
    here = Path(__file__).parent
    command = [sys.executable, "-c", A_WORKER_THAT_DIES, str(path), str(here), str(here.parents[1])]
    assert (await asyncio.to_thread(subprocess.run, command, check=False)).returncode == -9
    async with on_file(path) as store:
        assert await store.join(SOON) == 1


async def test_where_there_can_be_no_lock_no_worker_starts() -> None:
    """One that the others can't see would lose its leases to them."""
    with pytest.raises(Unavailable, match="may this user write there"):
        Presence("/no/such/folder/bot.db").enter()


async def test_in_memory_nobody_else_can_be() -> None:
    """Nothing is locked, and nothing is cut."""
    async with opened() as store:
        await store.receive([event("e1")])
        await claim(store)
        assert await store.join(SOON) == 0
