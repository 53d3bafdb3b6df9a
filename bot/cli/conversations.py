"""`conversations list`, `show`, `release`, `retry`: what the bot holds and owes, and how one conversation went."""

from __future__ import annotations

import asyncio
import getpass
import secrets
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, NoReturn

import typer

from bot import terminal
from bot.cli.database import with_database
from bot.cli.listing import head_of, plain, row_of, set_aside_of, table_of, timeline_of
from bot.cli.problems import duration_or_refuse, refuse, settings_or_refuse
from bot.clock import SystemClock
from bot.console.lines import lines_of
from bot.control.by_hand import Consequence, Prospect, prospect
from bot.engine.orders import release_order
from bot.store import Database
from bot.store.operators import Access, Listing, Standing, Timeline

app = typer.Typer(
    help="What the bot holds and owes, one conversation's timeline, release by hand.", add_completion=False
)

NOT_DONE = 3
_WAIT_STEP = 0.25  # seconds
_AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
_Id = Annotated[str, typer.Argument(metavar="ID", help="The conversation's id.")]


@app.callback(invoke_without_command=True)
def conversations(context: typer.Context, as_json: _AsJson = False) -> None:
    """What the bot holds and owes, one conversation's timeline, release by hand."""
    if context.invoked_subcommand is None:
        list_conversations(as_json=as_json)


@app.command("list")
def list_conversations(
    standing: Annotated[Standing, typer.Option("--filter", help="Which conversations.")] = Standing.ALL,
    older_than: Annotated[str, typer.Option(help="Only what has been so for at least so long: 90s, 15m, 1h.")] = "",
    search: Annotated[
        str, typer.Option(help="Instead: those found by name, e-mail, external id, ticket, flow, user or conversation.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    as_json: _AsJson = False,
) -> None:
    """List conversations: those that lasted longest first, or the newest first (all, ended, failed)."""
    now = SystemClock().now()
    until = now - duration_or_refuse("--older-than", older_than) if older_than else None
    listing = Listing(standing, now, until=until, search=search, limit=limit)
    page = with_database(lambda store: store.conversations(listing))
    if as_json:
        terminal.say_json([row_of(listed, now) for listed in page.conversations])
        return
    if not page.conversations:
        terminal.say("No conversation is like that.")
        return
    table_of(page.conversations, standing, now).show()
    if page.next:
        terminal.say(f"There are more: --limit {limit * 10} shows them.")


@app.command("show")
def show(conversation_id: _Id, as_json: _AsJson = False) -> None:
    """Show a conversation's timeline, with what was said. That you looked is written to the audit log."""
    now = SystemClock().now()

    async def look(store: Database) -> Timeline | None:
        found = await store.timeline(conversation_id)
        if found:
            await store.audit(Access(now, _who(), "view", conversation_id))
        return found

    found = with_database(look) or _not_known(conversation_id)
    lines = lines_of(found)
    if as_json:
        shown = {**row_of(found.listed, now), "timeline": [plain(asdict(line)) for line in lines]}
        terminal.say_json(shown)
        return
    terminal.say(head_of(found.listed, now))
    if found.older:
        terminal.say(("Only the newest is shown.", "dim"))
    timeline_of(lines).show()


@app.command("release")
def release(
    conversation_id: _Id,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    take_from: Annotated[
        str, typer.Option(help="Who holds a live conversation, by name: needed to take control from others.")
    ] = "",
    wait: Annotated[str, typer.Option(help="How long to wait for the proof.")] = "15s",
) -> None:
    """Release control by hand: says what will happen, asks, and has the bot do it. Exit 3: not done in that time."""
    patience = duration_or_refuse("--wait", wait)
    settings = settings_or_refuse()
    clock = SystemClock()

    async def ask(store: Database) -> tuple[str, bool]:
        found = await store.timeline(conversation_id, 1)
        state = found.listed.state if found else _not_known(conversation_id)
        foreseen = prospect(state, settings.policy)
        terminal.say(foreseen.words)
        _confirm(foreseen, str(state.holder), yes=yes, take_from=take_from)
        order = release_order(
            conversation_id, by=_who(), now=clock.now(), order_id=secrets.token_hex(8), against=foreseen.against
        )
        await store.audit(Access(clock.now(), _who(), "release", conversation_id, foreseen.consequence.value))
        if not await store.order(order):
            _not_known(conversation_id)
        return await _outcome(store, conversation_id, order.id, clock.now() + patience)

    words, is_done = with_database(ask, settings.database_url)
    terminal.say(words)
    if not is_done:
        raise typer.Exit(NOT_DONE)


@app.command("retry")
def retry(
    event_id: Annotated[
        str, typer.Argument(metavar="EVENT", help="The event's id; none lists what is set aside.")
    ] = "",
    as_json: _AsJson = False,
) -> None:
    """Let an event that was set aside be taken up again."""
    if not event_id:
        _list_set_aside(as_json=as_json)
        return

    async def again(store: Database) -> str | None:
        event = await store.retry(event_id)
        if event is None:
            return None
        await store.audit(Access(SystemClock().now(), _who(), "retry", event.conversation_id, event.id))
        where = f"conversation {event.conversation_id}" if event.conversation_id else "no single conversation"
        return f"The event {event.id} ({event.type}, {where}) will be taken up again."

    told = with_database(again)
    if told is None:
        refuse([f"EVENT: no event {event_id!r} is set aside; `switchboard-bot conversations retry` lists them"])
    terminal.say(told)


def _list_set_aside(*, as_json: bool) -> None:
    events = with_database(lambda store: store.set_aside_events())
    if as_json:
        terminal.say_json([plain(asdict(event)) for event in events])
        return
    if not events:
        terminal.say("No event is set aside.")
        return
    set_aside_of(events).show()


def _confirm(foreseen: Prospect, holder: str, *, yes: bool, take_from: str) -> None:
    """Ask, unless it has been answered beforehand. To take control from others one has to name them."""
    if foreseen.consequence is Consequence.NOTHING:
        raise typer.Exit(1)
    if foreseen.consequence is Consequence.TAKE:
        named = take_from or (terminal.ask("To confirm, type who holds it") if _can_ask() else "")
        if named != holder:
            refuse([f"--take-from: not confirmed; it is {holder} from whom control would be taken"])
        return
    if yes:
        return
    if not _can_ask():
        refuse(["--yes: nobody is there to be asked; give it if you are sure"])
    if not terminal.agreed("Go on?"):
        raise typer.Abort


async def _outcome(store: Database, conversation_id: str, order_id: str, until: datetime) -> tuple[str, bool]:
    """What has come of the order by then, and whether it is done."""
    clock = SystemClock()
    while True:
        found = await store.timeline(conversation_id)
        if found is None:
            return "The conversation has been removed.", True
        order = next((event for event in found.events if event.id == order_id), None)
        taken_up = order is not None and order.status == "handled"
        state = found.listed.state
        if taken_up and state.duty is None and state.pending is None and state.read_at is None:
            since = order.received_at if order else until
            proofs = [past.proof.how for past in found.duties if past.proof and past.proof.at >= since]
            how = proofs[-1] if proofs else f"active is {state.holder}, by {state.holder.how}"
            return f"Done: {how}.", True
        if clock.now() >= until:
            where = f"`switchboard-bot conversations show {conversation_id}` shows how it goes."
            if not taken_up:
                return f"The order is stored; no worker has taken it up yet. Is the bot running? {where}", False
            return f"The bot is at it; it goes on until there is proof. {where}", False
        await asyncio.sleep(_WAIT_STEP)


def _not_known(conversation_id: str) -> NoReturn:
    found = (
        "`switchboard-bot conversations list --search` finds by name, e-mail, ticket, flow or the beginning of an id"
    )
    refuse([f"ID: nothing is known of a conversation {conversation_id!r}; {found}"])


def _who() -> str:
    try:
        return f"command line ({getpass.getuser()})"
    except (KeyError, OSError):
        return "command line"


def _can_ask() -> bool:
    return terminal.can_ask(at_a_screen=False)
