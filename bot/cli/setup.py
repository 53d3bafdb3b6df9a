"""`setup`: makes or mends what the bot needs in an account, and writes the settings that follow into `.env`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from bot import terminal
from bot.account import own_key
from bot.account.application import NotApplied, apply
from bot.account.env_file import EnvFileError, only_one, read_env, write_env
from bot.account.examination import READ_ATTEMPTS
from bot.account.plan import Change, NoPlan, Wishes, find_ours, plan
from bot.account.reading import Account, read_account
from bot.account.requirements import APP_KEYS, INTEGRATIONS
from bot.account.values import Access, account_values, first_values, key_values, missing
from bot.app import WEBHOOK_PATH
from bot.cli.answers import Answers
from bot.cli.problems import refuse
from bot.cli.setup_rotate import Rotated, Rotation
from bot.cli.setup_view import OWN_KEY, SetupView
from bot.observability import configure_logs
from bot.settings import ControlMode, EnvFile
from bot.sunshine import AiohttpTransport, Credentials, Gone, NotOurs, SunshineClient, SunshineError, Unauthorized


@dataclass(frozen=True, slots=True)
class Order:
    """What the command was told."""

    env_file: Path
    wishes: Wishes
    access: Access
    keep_app_key: bool
    integration_key: bool
    dry_run: bool
    yes: bool
    rotate: Rotated | None


def setup(
    public_url: Annotated[
        str, typer.Option(help="Where the platform reaches the bot: https://bot.example.com. Else it stays as it is.")
    ] = "",
    mode: Annotated[
        ControlMode | None, typer.Option(help="The account's Conversation control (else CONTROL_MODE, or it asks).")
    ] = None,
    base_url: Annotated[str, typer.Option(help="https://<subdomain>.zendesk.com/sc (else SUNSHINE_BASE_URL).")] = "",
    app_id: Annotated[str, typer.Option(help="The app's id (else SUNSHINE_APP_ID).")] = "",
    name: Annotated[
        str, typer.Option(help="What the bot's integration is called where it is made.")
    ] = "switchboard-bot",
    default_responder: Annotated[
        bool, typer.Option("--default-responder", help="Let the bot answer first in every new conversation.")
    ] = False,
    integration_key: Annotated[
        bool, typer.Option(help="Make an API key of the integration where none that works is set.")
    ] = True,
    keep_app_key: Annotated[
        bool, typer.Option(help="Write the app-scoped key into the file as well, for what others hold after an end.")
    ] = True,
    rotate: Annotated[
        Rotated | None,
        typer.Option(
            help="Change the webhook's secret or the bot's own key: a step at each run, until it is finished."
        ),
    ] = None,
    env_file: Annotated[Path | None, typer.Option(help="Where the settings are kept.", show_default=".env")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Agree to changes of what others have made.")] = False,
) -> None:
    """Set an account up for the bot, or mend it. Exit 1: not agreed to, or not finished; 2: it can't begin.

    The app-scoped key comes from SUNSHINE_APP_KEY_ID and SUNSHINE_APP_KEY_SECRET, or it asks for it.
    """
    configure_logs("console", "ERROR")  # what is tried again is no line of its own
    env_file = env_file or EnvFile.path
    try:
        with only_one(env_file):
            answers = Answers(read_env(env_file), os.environ)
            access = answers.access(base_url, app_id, mode)
            target = answers.target(public_url, WEBHOOK_PATH, access.base_url)
            wishes = Wishes(access.mode, target, answers.me, name, default_responder)
            order = Order(env_file, wishes, access, keep_app_key, integration_key, dry_run, yes, rotate)
            asyncio.run(_Setup(order, SetupView(env_file)).run())
    except EnvFileError as error:
        refuse([str(error)])
    except ValueError as error:
        refuse([f"--name: {error}"])


class _Setup:
    """One run of the command."""

    def __init__(self, order: Order, view: SetupView) -> None:
        self._order = order
        self._view = view
        self._present = read_env(order.env_file)

    async def run(self) -> None:
        """Read, plan, ask, change, write."""
        order, access = self._order, self._order.access
        self._view.title(access.app_id, access.base_url, access.mode)
        async with self._client(access.app_key) as client:
            account = await self._read(client)
            if order.rotate:
                await self._rotation(client, order.rotate).run(account)
                return
            try:
                changes = plan(account, order.wishes)
                makes_key = await self._needs_key(account)
                self._show(account, changes, makes_key=makes_key)
                if not order.dry_run:
                    self._agree(changes)
                    self._write(first_values(access, keep_app_key=order.keep_app_key))
                    account = await self._apply(client, account, changes)
                    await self._finish(client, account, makes_key=makes_key)
            except NoPlan as error:
                refuse([str(error)])
            except SunshineError as error:
                self._fail(f"the platform did not answer as usual: {error}")
        self._tell_what_is_left(account)

    def _rotation(self, client: SunshineClient, what: Rotated) -> Rotation:
        order = self._order
        app_id, dry_run, yes = order.access.app_id, order.dry_run, order.yes
        return Rotation(what, client, self._client, order.wishes, order.env_file, app_id, self._view, dry_run, yes)

    def _client(self, key: Credentials) -> SunshineClient:
        access = self._order.access
        network = AiohttpTransport()
        return SunshineClient(access.base_url, access.app_id, key, transport=network, read_attempts=READ_ATTEMPTS)

    async def _read(self, client: SunshineClient) -> Account:
        key = "SUNSHINE_APP_KEY_ID, SUNSHINE_APP_KEY_SECRET"
        try:
            return await read_account(client)
        except Unauthorized:
            refuse([f"{key}: the platform does not know this key, or its secret is wrong: {APP_KEYS}"])
        except NotOurs:
            refuse([f"{key}: this key may not read the account; it takes an app-scoped one (app_…): {APP_KEYS}"])
        except Gone:
            refuse([f"SUNSHINE_APP_ID: there is no app {self._order.access.app_id} that the key can see: {APP_KEYS}"])
        except SunshineError as error:
            refuse([f"SUNSHINE_BASE_URL: the account can't be read: {error}"])

    async def _needs_key(self, account: Account) -> bool:
        """Is there no key of the integration that works?"""
        if not self._order.integration_key:
            return False
        found = find_ours(account, self._order.wishes).integration
        key = own_key.key_in({**self._present, **os.environ})
        if found is None or key is None:
            return True
        async with self._client(key) as client:
            return not await own_key.works(client, found.id)

    def _show(self, account: Account, changes: tuple[Change, ...], *, makes_key: bool) -> None:
        ours = find_ours(account, self._order.wishes)
        values = first_values(self._order.access, keep_app_key=self._order.keep_app_key)
        names = {*missing(values | account_values(ours, self._present), self._present)}
        if ours.member is None:
            names.add("SUNSHINE_SWITCHBOARD_INTEGRATION")
        if ours.webhook is None:
            names.add("SUNSHINE_WEBHOOK_SECRET")
        if makes_key:
            names |= {"SUNSHINE_KEY_ID", "SUNSHINE_KEY_SECRET"}
        self._view.plan(changes, names, makes_key=makes_key)

    def _agree(self, changes: tuple[Change, ...]) -> None:
        theirs = [change.sentence for change in changes if change.touches_others]
        if not theirs or self._order.yes:
            return
        if not Answers.can_ask():
            refuse([f"--yes: agree to what others have made or chosen being changed: {'; '.join(theirs)}"])
        if not terminal.agreed("Change what somebody else has made or chosen?"):
            terminal.say("Nothing was changed.")
            raise typer.Exit(1)

    async def _apply(self, client: SunshineClient, account: Account, changes: tuple[Change, ...]) -> Account:
        agreed = {change.sentence for change in changes}
        try:
            return await apply(
                client, account, self._order.wishes, agreed=agreed, done=lambda change: self._view.done(change.sentence)
            )
        except NotApplied as error:
            self._fail(str(error))

    async def _finish(self, client: SunshineClient, account: Account, *, makes_key: bool) -> None:
        """Write what the changes have brought. The key comes last: nothing else is known just once."""
        ours = find_ours(account, self._order.wishes)
        self._write(account_values(ours, self._present))
        if makes_key and ours.integration:
            made = await own_key.find_or_make(client, ours.integration.id)
            self._view.done(OWN_KEY)
            try:
                self._write(key_values("SUNSHINE_KEY", made.key))
            except EnvFileError as error:
                self._fail(f"{error}. Delete the API key {made.key.key_id}, whose secret is lost: {INTEGRATIONS}")
            if made.others:
                others = ", ".join(made.others)
                self._view.note(f"the integration has older keys ({others}): delete those not in use: {INTEGRATIONS}")

    def _write(self, values: Mapping[str, str]) -> None:
        if changed := missing(values, self._present):
            write_env(self._order.env_file, changed)
            self._present |= changed
            self._view.written(changed)

    def _tell_what_is_left(self, account: Account) -> None:
        self._view.left(account, self._order.access.mode)
        if not self._order.dry_run:
            for name, value in self._present.items():
                if name.startswith(("SUNSHINE_", "CONTROL_MODE")) and os.environ.get(name, value) != value:
                    self._view.note(f"{name} has another value in the environment, which counts for more: change it")
            if not self._order.integration_key and own_key.key_in({**self._present, **os.environ}) is None:
                self._view.note("SUNSHINE_KEY_ID and SUNSHINE_KEY_SECRET are not set: the bot should have its own key")
        self._view.end(was_dry=self._order.dry_run)

    def _fail(self, why: str) -> NoReturn:
        terminal.say(f"{why[:1].upper()}{why[1:]}", err=True)
        terminal.say("What is done stays. Run `switchboard-bot setup` again: it goes on from there.", err=True)
        raise typer.Exit(1)
