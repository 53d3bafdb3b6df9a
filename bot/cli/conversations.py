"""`conversations list`, `show`, `release`, `retry`: inspect conversations and act on them."""

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
    help="List conversations, show a timeline, release control by hand.",
    add_completion=False,
)

EXIT_NOT_DONE = 3
_POLL_SECONDS = 0.25
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Id = Annotated[str, typer.Argument(metavar="ID", help="The conversation's id.")]


@app.callback(invoke_without_command=True)
def conversations(context: typer.Context, as_json: _AsJson = False) -> None:
    """List conversations, show a timeline, release control by hand."""
    if context.invoked_subcommand is None:
        list_conversations(as_json=as_json)


@app.command("list")
def list_conversations(
    standing: Annotated[
        Standing,
        typer.Option("--filter", help="Only conversations in this state."),
    ] = Standing.ALL,
    older_than: Annotated[
        str,
        typer.Option(help="Only those in this state for at least this long (90s, 15m, 1h)."),
    ] = "",
    search: Annotated[
        str,
        typer.Option(
            help="Instead of --filter: search by name, email, external id, ticket, flow, user id or conversation id.",
        ),
    ] = "",
    limit: Annotated[
        int,
        typer.Option(min=1, max=10_000, help="Maximum number of rows."),
    ] = 50,
    as_json: _AsJson = False,
) -> None:
    """List conversations: longest in the state first; newest first for all, ended, failed."""
    now = SystemClock().now()
    until = now - duration_or_refuse("--older-than", older_than) if older_than else None
    listing = Listing(standing, now, until=until, search=search, limit=limit)
    page = with_database(lambda store: store.conversations(listing))
    if as_json:
        terminal.say_json([row_of(listed, now) for listed in page.conversations])
        return
    if not page.conversations:
        terminal.say("No conversations match.")
        return
    table_of(page.conversations, standing, now).show()
    if page.next:
        terminal.say(f"There are more: use --limit {limit * 10}.")


@app.command("show")
def show(conversation_id: _Id, as_json: _AsJson = False) -> None:
    """Show a conversation's timeline with all messages. Records this in the audit log."""
    now = SystemClock().now()

    async def look(store: Database) -> Timeline | None:
        found = await store.timeline(conversation_id)
        if found:
            await store.audit(Access(now, _who(), "view", conversation_id))
        return found

    found = with_database(look) or _refuse_unknown(conversation_id)
    lines = lines_of(found)
    if as_json:
        shown = {**row_of(found.listed, now), "timeline": [plain(asdict(line)) for line in lines]}
        terminal.say_json(shown)
        return
    terminal.say(head_of(found.listed, now))
    if found.older:
        terminal.say(("Only the newest entries are shown.", "dim"))
    timeline_of(lines).show()


@app.command("release")
def release(
    conversation_id: _Id,
    yes: Annotated[bool, typer.Option("--yes", help="Skip the confirmation.")] = False,
    take_from: Annotated[
        str,
        typer.Option(help="Confirm taking control from this active integration, by name."),
    ] = "",
    wait: Annotated[str, typer.Option(help="How long to wait for proof.")] = "15s",
) -> None:
    """Release control by hand, after showing the consequence and asking for confirmation.

    Exit 3: not proven within --wait; the bot keeps trying.
    """
    timeout = duration_or_refuse("--wait", wait)
    settings = settings_or_refuse()
    clock = SystemClock()

    async def ask(store: Database) -> tuple[str, bool]:
        found = await store.timeline(conversation_id, 1)
        state = found.listed.state if found else _refuse_unknown(conversation_id)
        foreseen = prospect(state, settings.policy)
        terminal.say(foreseen.words)
        _confirm(foreseen, str(state.holder), yes=yes, take_from=take_from)
        order = release_order(
            conversation_id,
            by=_who(),
            now=clock.now(),
            order_id=secrets.token_hex(8),
            against=foreseen.against,
        )
        # Write the audit log first: no release by hand without an entry.
        entry = Access(clock.now(), _who(), "release", conversation_id, foreseen.consequence.value)
        await store.audit(entry)
        if not await store.order(order):
            _refuse_unknown(conversation_id)
        return await _wait_for_outcome(store, conversation_id, order.id, clock.now() + timeout)

    words, is_done = with_database(ask, settings.database_url)
    terminal.say(words)
    if not is_done:
        raise typer.Exit(EXIT_NOT_DONE)


@app.command("retry")
def retry(
    event_id: Annotated[
        str,
        typer.Argument(metavar="EVENT", help="The event's id. Lists all if omitted."),
    ] = "",
    as_json: _AsJson = False,
) -> None:
    """List the events that were set aside, or retry one."""
    if not event_id:
        _list_set_aside(as_json=as_json)
        return

    async def again(store: Database) -> str | None:
        event = await store.retry(event_id)
        if event is None:
            return None
        now = SystemClock().now()
        await store.audit(Access(now, _who(), "retry", event.conversation_id, event.id))
        id_ = event.conversation_id
        where = f"conversation {id_}" if id_ else "no single conversation"
        return f"The bot will retry event {event.id} ({event.type}, {where})."

    text = with_database(again)
    if text is None:
        hint = "`switchboard-bot conversations retry` lists them"
        refuse([f"EVENT: no event {event_id!r} is set aside; {hint}"])
    terminal.say(text)


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
    """Ask for confirmation unless an option gave it. Taking control requires the holder's name."""
    if foreseen.consequence is Consequence.NOTHING:
        raise typer.Exit(1)
    if foreseen.consequence is Consequence.TAKE:
        prompt = "To confirm, type the name of the active integration"
        named = take_from or (terminal.ask(prompt) if _can_ask() else "")
        if named != holder:
            refuse([f"--take-from: not confirmed; control would be taken from {holder}"])
        return
    if yes:
        return
    if not _can_ask():
        refuse(["Not a terminal: pass --yes to confirm"])
    if not terminal.agreed("Continue?"):
        raise typer.Abort


async def _wait_for_outcome(
    store: Database,
    conversation_id: str,
    order_id: str,
    until: datetime,
) -> tuple[str, bool]:
    """Poll for the outcome of an order. Return a sentence, and whether it is done."""
    clock = SystemClock()
    while True:
        found = await store.timeline(conversation_id)
        if found is None:
            return "The conversation has been removed.", True
        order = next((event for event in found.events if event.id == order_id), None)
        taken_up = order is not None and order.status == "handled"
        state = found.listed.state
        is_settled = state.duty is None and state.pending is None and state.read_at is None
        if taken_up and is_settled:
            since = order.received_at if order else until
            proofs = [past.proof for past in found.duties if past.proof]
            recent = [proof.how for proof in proofs if proof.at >= since]
            how = recent[-1] if recent else f"{state.holder} is active, by {state.holder.how}"
            return f"Done: {how}.", True
        if clock.now() >= until:
            hint = f"Check with `switchboard-bot conversations show {conversation_id}`."
            if not taken_up:
                return f"Stored, but no worker has picked it up. Is the bot running? {hint}", False
            return f"Release in progress; the bot retries until it is proven. {hint}", False
        await asyncio.sleep(_POLL_SECONDS)


def _refuse_unknown(conversation_id: str) -> NoReturn:
    hint = (
        "`switchboard-bot conversations list --search` searches by name, email, ticket, flow or the beginning of an id"
    )
    refuse([f"ID: no conversation {conversation_id!r} is known; {hint}"])


def _who() -> str:
    try:
        return f"command line ({getpass.getuser()})"
    except (KeyError, OSError):
        return "command line"


def _can_ask() -> bool:
    return terminal.can_ask(at_a_screen=False)
