"""What operators see of a database and ask of it. Only the interface is used, but for the query plans at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from store_samples import (
    DUTY,
    ENDED,
    LEASE,
    MINUTE,
    NOW,
    PROOF,
    SECOND,
    event,
    everything,
    held,
    opened,
    rows,
    say,
)

from bot.control.commands import Release
from bot.control.history import Moment, MomentKind
from bot.control.state import Conversation, Holder, Integration, Key, Opening, OpeningKind, Purpose, Run, RunStatus, Who
from bot.store import Change, Database, Done, JournalEntry, LeaseLost, SqliteStore, UnsafeState, Work
from bot.store.operator_queries import list_query
from bot.store.operators import HISTORY_LIMIT, LARGEST_SHOWN, Access, Listing, Place, Standing
from webhooks.contacts import MAX_LENGTH, Contact, ContactKind
from webhooks.inbox import NewEvent

OTHER = Conversation("", holder=Holder(Who.OTHER, Integration("sw_1", "zd-agentWorkspace")))
OWED = Conversation("", holder=Holder(Who.BOT), duty=DUTY, idle_at=NOW + MINUTE)
OPEN = Conversation("", holder=Holder(Who.OTHER), ended=ENDED)
CLOSED = Conversation("", holder=Holder(Who.NOBODY), ended=replace(ENDED, proof=PROOF))
FAILED = Moment(NOW, MomentKind.FAILED, "flow failed: ValueError")

pytestmark = pytest.mark.usefixtures("engine")  # each test runs on SQLite and on PostgreSQL


@pytest.fixture
async def store(engine: str) -> AsyncIterator[Database]:
    """An empty database."""
    async with opened() as store:
        yield store


async def work_on(store: Database, conversation_id: str, after: timedelta = timedelta(0)) -> Work:
    """Claim one conversation, which an event makes known."""
    await store.receive([event(f"wake-{conversation_id}-{after}", conversation_id, after=after)])
    works = await store.claim(owner="w1", now=NOW + after, lease=LEASE, limit=100)
    return next(work for work in works if work.lease.conversation_id == conversation_id)


async def put(
    store: Database, conversation_id: str, state: Conversation, after: timedelta = timedelta(0), **change: object
) -> None:
    """Bring a conversation into a state, `after` NOW, with all its events handled."""
    work = await work_on(store, conversation_id, after)
    done = Change(replace(state, id=conversation_id), handled=[each.id for each in work.events], release=True)
    for name, value in change.items():
        setattr(done, name, value)
    await store.save(work.lease, done, NOW + after)


async def listed(store: Database, standing: Standing = Standing.ALL, **listing: object) -> list[str]:
    """The ids in one page."""
    asked = Listing(standing, NOW + 10 * MINUTE)
    for name, value in listing.items():
        asked = replace(asked, **{name: value})  # type: ignore[arg-type]
    page = await store.conversations(asked)
    return [each.state.id for each in page.conversations]


class TestListing:
    """Conversations by how they stand."""

    async def test_nothing(self, store: Database) -> None:
        """Where there is nothing, every list is empty, and there is no next page."""
        for standing in Standing:
            page = await store.conversations(Listing(standing, NOW))
            assert (list(page.conversations), page.next) == ([], None)

    async def test_standings(self, store: Database) -> None:
        """Each list holds what it says."""
        await put(store, "other", OTHER)
        await put(store, "held", held(), SECOND)
        await put(store, "owed", replace(OWED, duty=replace(DUTY, since=NOW + 9.5 * MINUTE)), 2 * SECOND)
        await put(store, "late", OWED, 3 * SECOND)
        await put(store, "open", OPEN, 4 * SECOND)
        await put(store, "closed", CLOSED, 5 * SECOND)
        await put(store, "failed", OTHER, 6 * SECOND, history=[FAILED])
        await put(store, "odd", replace(OTHER, mismatch_reported=True), 7 * SECOND)
        assert {standing: await listed(store, standing) for standing in Standing} == {
            Standing.ALL: ["odd", "failed", "closed", "open", "late", "owed", "held", "other"],
            Standing.HELD: ["held", "owed", "late"],
            Standing.OWED: ["late", "owed"],
            Standing.OVERDUE: ["late"],
            Standing.OPEN: ["open"],
            Standing.ENDED: ["open", "closed"],
            Standing.FAILED: ["failed"],
            Standing.MISMATCH: ["odd"],
        }

    async def test_row(self, store: Database) -> None:
        """A row has the state, and the times that are not in it."""
        await put(store, "c1", OTHER)
        await put(store, "c1", held(), MINUTE)
        await put(store, "c1", held(), 2 * MINUTE, history=[FAILED])
        (row,) = (await store.conversations(Listing(Standing.HELD, NOW))).conversations
        assert row.state == held("c1")
        assert (row.created_at, row.held_since, row.since) == (NOW, NOW + MINUTE, NOW + MINUTE)
        assert (row.updated_at, row.failed_at) == (NOW + 2 * MINUTE, NOW + 2 * MINUTE)

    async def test_held_again(self, store: Database) -> None:
        """Who held it before and holds it again holds it since then."""
        await put(store, "c1", held())
        await put(store, "c1", OTHER, MINUTE)
        assert await listed(store, Standing.HELD) == []
        await put(store, "c1", held(), 2 * MINUTE)
        (row,) = (await store.conversations(Listing(Standing.HELD, NOW))).conversations
        assert row.held_since == NOW + 2 * MINUTE

    async def test_set_aside_counts_as_failed(self, store: Database) -> None:
        """An event that was set aside makes its conversation one of the failed."""
        await put(store, "c1", OTHER, handled=[], set_aside=[("wake-c1-0:00:00", "wrong")])
        assert await listed(store, Standing.FAILED) == ["c1"]

    @pytest.mark.parametrize("standing", list(Standing))
    async def test_pages(self, store: Database, standing: Standing) -> None:
        """Page after page shows each conversation once, also those with the same time."""
        state = replace(OWED, ended=ENDED, mismatch_reported=True)
        for number in range(7):
            await put(store, f"c{number}", state, history=[FAILED])
        seen, place = [], None
        for _ in range(3):
            page = await store.conversations(Listing(standing, NOW + 10 * MINUTE, after=place, limit=3))
            seen += [each.state.id for each in page.conversations]
            place = page.next
        assert place is None
        assert seen == sorted(seen, reverse=standing.newest_first)
        assert len(seen) == 7

    async def test_age(self, store: Database) -> None:
        """Only what has been so since a time or longer."""
        await put(store, "old", OTHER)
        await put(store, "new", OTHER, MINUTE)
        assert await listed(store, until=NOW) == ["old"]
        assert await listed(store, until=NOW + MINUTE) == ["new", "old"]
        await put(store, "late", OWED, 2 * MINUTE)
        assert await listed(store, Standing.OVERDUE, until=NOW - SECOND) == []

    async def test_search(self, store: Database) -> None:
        """By the beginning of the id, whatever the standing; nothing in the text is a pattern."""
        for id_ in ("ab1", "ab2", "b1", "a%", "a_x", "é1"):
            await put(store, id_, OTHER)
        assert await listed(store, Standing.HELD, search="ab") == ["ab1", "ab2"]
        assert await listed(store, search="a%") == ["a%"]
        assert await listed(store, search="a_") == ["a_x"]
        assert await listed(store, search="ab1") == ["ab1"]
        assert await listed(store, search="é") == ["é1"]
        page = await store.conversations(Listing(Standing.ALL, NOW, search="ab", limit=1))
        assert page.next == Place("ab1")
        assert await listed(store, search="ab", after=page.next) == ["ab2"]

    async def test_search_for_people(self, store: Database) -> None:
        """By the beginning of a name or one of its words, an address, an id or a ticket, in capitals or not."""
        ada = {
            Contact(ContactKind.NAME, "Ada  Lovelace"),
            Contact(ContactKind.EMAIL, "Ada@Example.com"),
            Contact(ContactKind.EXTERNAL_ID, "CRM-77"),
            Contact(ContactKind.TICKET, "12345"),
        }
        await put(store, "c1", OTHER, users={"user-1"}, contacts=ada)
        await put(store, "c2", OTHER, users={"user-2"}, contacts={Contact(ContactKind.NAME, "Éva ada%")})
        for text in ("ada lovelace", "Lovelace", "LOVE", "ada@example.com", "crm-77", "12345", "#12345", "user-1"):
            assert await listed(store, search=text) == ["c1"], text
        assert await listed(store, search="ada") == await listed(store, search="user-") == ["c1", "c2"]
        assert await listed(store, search="éva") == await listed(store, search="ada%") == ["c2"]
        assert await listed(store, search="velace") == await listed(store, search="%") == []
        page = await store.conversations(Listing(Standing.ALL, NOW, search="ada", limit=1))
        assert page.next == Place("c1")
        assert await listed(store, search="ada", after=page.next) == ["c2"]

    async def test_who(self, store: Database) -> None:
        """A row names the person, by the newest name, else by the next best; a timeline tells all of it."""
        await put(store, "c1", OTHER, users={"u"}, contacts={Contact(ContactKind.EMAIL, "ada@example.com")})
        await put(store, "c2", OTHER)
        found = (await store.conversations(Listing(Standing.ALL, NOW))).conversations
        assert {one.state.id: one.who for one in found} == {"c1": "ada@example.com", "c2": ""}
        for after, name in enumerate(("Ada Byron", "Ada Lovelace"), 1):
            await put(store, "c1", OTHER, after * SECOND, contacts={Contact(ContactKind.NAME, name)})
        timeline = await store.timeline("c1")
        assert timeline
        assert timeline.listed.who == "Ada Lovelace"
        assert timeline.listed.contacts[ContactKind.EMAIL] == "ada@example.com"
        assert await listed(store, search="byron") == ["c1"], "an older name finds as well"

    async def test_odd_names(self, store: Database) -> None:
        """Whatever a name has in it, it is stored, cut to what is useful."""
        long = "x y " * 1000
        odd = {Contact(ContactKind.NAME, text) for text in ("\0null", "\ud800half", long[:MAX_LENGTH], "a\nb")}
        await put(store, "c1", OTHER, contacts=odd)
        assert await listed(store, search="?null") == await listed(store, search="a b") == ["c1"]

    async def test_forgotten(self, store: Database) -> None:
        """With its conversation, and with a person who was removed before."""
        ada = {Contact(ContactKind.NAME, "Ada")}
        await put(store, "c1", OTHER, users={"u"}, contacts=ada)
        await put(store, "c1", Conversation("c1"), SECOND, forget=True, users={"u"})
        await store.remember_removal("u2", NOW)
        with suppress(LeaseLost):  # it begins anew
            await put(store, "c2", OTHER, users={"u2"}, contacts=ada)
        assert await listed(store, search="ada") == []
        assert all(not one.who for one in (await store.conversations(Listing(Standing.ALL, NOW))).conversations)


class TestTimeline:
    """All about one conversation."""

    async def test_unknown(self, store: Database) -> None:
        """Nothing is known, also where only an event waits."""
        await store.receive([event("e1", "c1")])
        assert await store.timeline("c1") is None

    async def test_everything(self, store: Database) -> None:
        """Every part is there, oldest first."""
        began = Moment(NOW, MomentKind.HOLDER, "the bot is active", Who.BOT, NOW)
        proven = Moment(NOW + SECOND, MomentKind.PROVEN, "a read showed nobody")
        run = Run(
            1,
            Purpose.OPENING,
            Opening(OpeningKind.MESSAGE),
            NOW,
            RunStatus.WAITING,
            NOW,
            NOW + MINUTE,
            wants_input=True,
        )
        entries = [JournalEntry(1, 0, "say", "", {"a": [1]}), JournalEntry(1, 1, "ask", "name")]
        release = Done("c1.2", "accepted", 0, Release("c1.2", Key.INTEGRATION), NOW)
        work = await work_on(store, "c1")
        await store.receive([event("e2", "c1", body=b"not an event")])
        first = Change(
            replace(held(), run=run, duty=DUTY),
            handled=["wake-c1-0:00:00"],
            add=[say("c1.1"), say("c1.3")],
            journal=entries,
            history=[began],
        )
        await store.save(work.lease, first, NOW)
        second = Change(
            replace(held(), run=run),
            set_aside=[("e2", "the event is not JSON")],
            done=[Done("c1.1", "said"), release],
            closed_duties=[(DUTY, PROOF)],
            history=[proven],
            release=True,
        )
        await store.save(work.lease, second, NOW + SECOND)
        found = await store.timeline("c1")
        assert found is not None
        assert found.listed.state == second.state
        assert [(one.id, one.status, one.handled_at, one.reason, one.body) for one in found.events] == [
            ("wake-c1-0:00:00", "handled", NOW, None, b"{}"),
            ("e2", "set_aside", None, "the event is not JSON", b"not an event"),
        ]
        assert [(one.id, one.kind, one.outcome, one.finished_at) for one in found.effects] == [
            ("c1.1", "say", "said", NOW + SECOND),
            ("c1.3", "say", None, None),
            ("c1.2", "release", "accepted", NOW + SECOND),
        ]
        assert found.effects[0].effect == say("c1.1")
        assert found.effects[2].effect == release.call
        assert [(one.duty, one.proof) for one in found.duties] == [(DUTY, PROOF)]
        assert list(found.moments) == [began, proven]
        assert list(found.journal) == entries
        assert found.older is None

    async def test_runs_at_work(self, store: Database) -> None:
        """They are listed by flow, version and id, each with its whole journal, page after page, and are counted."""
        run = Run(1, Purpose.OPENING, Opening(OpeningKind.MESSAGE), NOW, RunStatus.WAITING, NOW, NOW + MINUTE)
        for id_, flow, version in (("c3", "order", 1), ("c1", "order", 2), ("c2", "order", 1), ("c4", "", 1)):
            work = await work_on(store, id_)
            steps = [JournalEntry(1, 0, "began", flow, {}, at=NOW), JournalEntry(1, 1, "ask", "", {"a": "x" * 70_000})]
            state = replace(held(id_), run=replace(run, flow=flow, version=version))
            await store.save(work.lease, Change(state, journal=steps, release=True), NOW)
        rests = await work_on(store, "c5")
        await store.save(rests.lease, Change(held("c5"), release=True), NOW)
        found = await store.runs_at_work(3)
        found += await store.runs_at_work(3, found[-1])
        assert [(one.flow, one.version, one.state.id) for one in found] == [
            ("", 1, "c4"),
            ("order", 1, "c2"),
            ("order", 1, "c3"),
            ("order", 2, "c1"),
        ]
        assert await store.runs_at_work(3, found[-1]) == []
        assert [entry.kind for entry in found[1].journal] == ["began", "ask"]
        assert found[1].journal[1].data == {"a": "x" * 70_000}
        assert found[1].journal[0].at == NOW
        assert (await store.counts(NOW)).flows == {("", 1): 1, ("order", 1): 2, ("order", 2): 1}
        assert await listed(store, search="order") == ["c1", "c2", "c3"]
        page = await store.conversations(Listing(Standing.ALL, NOW, search="order", limit=1))
        assert await listed(store, search="order", after=page.next) == ["c2", "c3"]
        assert await listed(store, search="ord") == []

    async def test_cut(self, store: Database) -> None:
        """Of much, the newest is shown, and that there is more."""
        for number in range(5):
            await put(
                store,
                "c1",
                OTHER,
                number * SECOND,
                history=[Moment(NOW + number * SECOND, MomentKind.REPORT, str(number))],
            )
        found = await store.timeline("c1", 2)
        assert found is not None
        assert found.older
        assert [one.text for one in found.moments] == ["3", "4"]
        assert [one.id for one in found.events] == ["wake-c1-0:00:03", "wake-c1-0:00:04"]

    async def test_stretch_after_stretch(self, store: Database) -> None:
        """Each row is in one stretch, and the parts of a stretch reach equally far back, however unlike they are."""
        for number in range(7):
            often = [Moment(NOW + number * SECOND, MomentKind.REPORT, f"{number}.{n}") for n in range(3)]
            await put(store, "c1", OTHER, number * SECOND, history=often)
        found, stretches = await store.timeline("c1", 4), []
        while found and found.older:
            stretches.append(found)
            found = await store.timeline("c1", 4, found.older)
        assert found
        stretches.append(found)
        moments = [one.text for stretch in reversed(stretches) for one in stretch.moments]
        assert moments == [f"{number}.{n}" for number in range(7) for n in range(3)]
        events = [one.id for stretch in reversed(stretches) for one in stretch.events]
        assert events == [f"wake-c1-0:00:0{number}" for number in range(7)]
        for newer, older in pairwise(stretches):
            newest = max([one.received_at for one in older.events] + [one.at for one in older.moments])
            oldest = min([one.received_at for one in newer.events] + [one.at for one in newer.moments])
            assert newest <= oldest

    async def test_large_bodies_are_not_read(self, store: Database) -> None:
        """Of what is larger than any message of the platform, only the size is told."""
        await put(store, "c1", OTHER)
        sizes = (LARGEST_SHOWN, LARGEST_SHOWN + 1)
        await store.receive([event(f"e{size}", "c1", body=b"x" * size) for size in sizes])
        found = await store.timeline("c1")
        assert found
        assert [(len(one.body), one.size) for one in found.events[1:]] == [(sizes[0], sizes[0]), (0, sizes[1])]

    async def test_history_is_bounded(self, store: Database) -> None:
        """Of a conversation that never ends, the oldest moments go."""
        many = [Moment(NOW, MomentKind.REPORT, str(number)) for number in range(HISTORY_LIMIT)]
        await put(store, "c1", OTHER, history=many)
        await put(store, "c1", OTHER, SECOND, history=[Moment(NOW, MomentKind.REPORT, "last")])
        found = await store.timeline("c1", 2 * HISTORY_LIMIT)
        assert found is not None
        assert [one.text for one in found.moments] == [*(str(number) for number in range(1, HISTORY_LIMIT)), "last"]

    async def test_history_only_with_the_state(self, store: Database) -> None:
        """A change that can't be stored leaves no trace in the history."""
        work = await work_on(store, "c1")
        unsafe = Conversation("c1", holder=Holder(Who.BOT))
        with pytest.raises(UnsafeState):
            await store.save(work.lease, Change(unsafe, history=[FAILED]), NOW)
        found = await store.timeline("c1")
        assert found is not None
        assert not found.moments
        assert found.listed.failed_at is None


class TestSessions:
    """Sessions of the console that were signed out."""

    async def test_ended(self, store: Database) -> None:
        """They are known to all that share the database, until they would have ended by themselves."""
        assert not await store.is_session_ended("s1")
        for _ in range(2):
            await store.end_session("s1", NOW + MINUTE, NOW)
        assert await store.is_session_ended("s1")
        assert not await store.is_session_ended("s2")
        await store.end_session("s2", NOW + 2 * MINUTE, NOW + MINUTE)
        assert not await store.is_session_ended("s1")
        assert await store.is_session_ended("s2")


class TestSetAside:
    """Events that could not be understood."""

    async def _set_aside(self, store: Database) -> None:
        await store.receive([event(f"e{number}", "c1") for number in range(3)] + [event("a1", None)])
        for id_ in ("e0", "e2", "a1"):
            await store.set_aside(id_, f"{id_} is wrong")

    async def test_listed(self, store: Database) -> None:
        """The newest first, page by page."""
        await self._set_aside(store)
        newest, second = await store.set_aside_events(2)
        assert [(one.id, one.conversation_id, one.reason) for one in (newest, second)] == [
            ("a1", None, "a1 is wrong"),
            ("e2", "c1", "e2 is wrong"),
        ]
        assert [one.id for one in await store.set_aside_events(2, before=second.seq)] == ["e0"]

    async def test_retry(self, store: Database) -> None:
        """It is taken up again, once."""
        await self._set_aside(store)
        again = await store.retry("e2")
        assert again == event("e2", "c1")
        assert await store.retry("e2") is None
        (work,) = await store.claim(owner="w1", now=NOW, lease=LEASE, limit=10)
        assert [one.id for one in work.events] == ["e1", "e2"]
        assert [one.id for one in await store.set_aside_events()] == ["a1", "e0"]
        assert await store.retry("a1") == event("a1", None)
        assert [one.id for one in await store.app_events(10)] == ["a1"]

    async def test_nothing_to_retry(self, store: Database) -> None:
        """Neither what is not there, nor what was not set aside."""
        await store.receive([event("e1")])
        assert await store.retry("e1") is None
        assert await store.retry("none") is None

    async def test_erased(self, store: Database) -> None:
        """Of an erased conversation there is nothing to take up."""
        await put(store, "c1", OTHER, handled=[], set_aside=[("wake-c1-0:00:00", "wrong")])
        work = await work_on(store, "c1", SECOND)
        await store.save(work.lease, Change(replace(work.state, gone=True), forget=True), NOW)
        assert await store.retry("wake-c1-0:00:00") is None


class TestOrders:
    """What operators ask of a conversation waits beside its events."""

    ORDER = NewEvent("o1", "c1", "operator:release", b'{"by": "ann"}', NOW + SECOND)

    async def test_waits(self, store: Database) -> None:
        """It is claimed like an event, and marked; what comes over the wire is not, whatever it says of itself."""
        await put(store, "c1", held())
        assert await store.order(self.ORDER)
        await store.receive([replace(self.ORDER, id="wire")])
        assert await store.next_due(NOW) == NOW
        (work,) = await store.claim(owner="w1", now=NOW, lease=LEASE, limit=10)
        assert [(one.id, one.body, one.by_operator) for one in work.events] == [
            ("o1", self.ORDER.body, True),
            ("wire", self.ORDER.body, False),
        ]
        assert [one.by_operator for one in await store.fetch(work.lease)] == [True, False]

    async def test_once(self, store: Database) -> None:
        """The same order a second time is none."""
        await put(store, "c1", held())
        assert not await store.is_ordered("o1")
        assert await store.order(self.ORDER)
        assert not await store.order(self.ORDER)
        assert await store.is_ordered("o1")

    async def test_unknown_conversation(self, store: Database) -> None:
        """An order makes no conversation; nor does it wake one that is gone."""
        assert not await store.order(self.ORDER)
        await put(store, "c1", Conversation("c1", gone=True))
        assert not await store.order(self.ORDER)
        assert await store.next_due(NOW) is None


class TestAudit:
    """Who looked at what."""

    async def test_log(self, store: Database) -> None:
        """The newest first, of one conversation or of all."""
        entries = [
            Access(NOW, "console", "signed in"),
            Access(NOW + SECOND, "console", "view", "c1"),
            Access(NOW + 2 * SECOND, "cli (ann)", "release", "c2", "the bot holds it"),
        ]
        for entry in entries:
            await store.audit(entry)
        assert await store.audit_log() == entries[::-1]
        assert await store.audit_log(1) == entries[2:]
        assert await store.audit_log(conversation_id="c1") == [entries[1]]

    async def test_odd_text(self, store: Database) -> None:
        """What no database takes is written in another way."""
        await store.audit(Access(NOW, "half \ud83d", "view", "c\0"))
        assert await store.audit_log() == [Access(NOW, "half ?", "view", "c?")]


class TestTables:
    """What only shows in the tables."""

    async def test_a_probe_leaves_nothing(self) -> None:
        """It shows whether a row can be written, and is no entry of the log."""
        async with opened() as store:
            await store.audit(Access(NOW, "console", "view", "c1"))
            await store.probe()
            assert len(await store.audit_log()) == 1
            assert await rows(store, "SELECT id FROM inbox") == []

    async def test_forgotten(self) -> None:
        """Erasing a conversation takes its history along; the audit log keeps that somebody looked."""
        async with opened() as store:
            await put(store, "c1", held(), history=[Moment(NOW, MomentKind.FAILED, "personal words")])
            await store.order(NewEvent("o1", "c1", "operator:release", b"personal order", NOW))
            await store.audit(Access(NOW, "console", "view", "c1"))
            work = await work_on(store, "c1", SECOND)
            await store.save(work.lease, Change(replace(work.state, gone=True), forget=True), NOW)
            assert await rows(store, "SELECT count(*) FROM history") == [(0,)]
            assert "personal" not in await everything(store)
            assert len(await store.audit_log()) == 1

    @pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
    @pytest.mark.parametrize("standing", list(Standing))
    @pytest.mark.parametrize("after", [False, True])
    async def test_bounded(self, standing: Standing, after: bool) -> None:
        """Every listing walks along an index: nothing is scanned, nothing is sorted."""
        async with opened() as store:
            query = list_query(standing, until=True, after=after)
            values = {"until": 1, "since": 1, "id": "c", "limit": 50}
            assert isinstance(store, SqliteStore)
            assert store._shared
            plan = [row[3] for row in store._shared.execute(f"EXPLAIN QUERY PLAN {query}", values)]
            index = standing.value if standing is not Standing.OVERDUE else "owed"
            assert all(f"USING INDEX conversations_{index}" in step for step in plan), plan

    async def test_unknown_kinds(self) -> None:
        """What a newer version has noted is shown as it can be; an effect or duty of unknown form does no harm."""
        async with opened() as store:
            await put(store, "c1", OWED, history=[FAILED], add=[say("c1.1")])
            await rows(store, "UPDATE history SET kind = 'new', who = 'new'")
            await rows(store, "UPDATE outbox SET kind = 'new'")
            await rows(store, "UPDATE duties SET body = '{}'")
            found = await store.timeline("c1")
            assert found is not None
            assert [(one.kind, one.who) for one in found.moments] == [(MomentKind.REPORT, None)]
            assert [one.effect for one in found.effects] == [None]
            assert not found.duties
