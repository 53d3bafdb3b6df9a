"""`setup`: create or repair the bot's objects in an account, and write the settings to `.env`."""

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
from bot.account.application import NotAppliedError, apply
from bot.account.env_file import EnvFileError, only_one, read_env, write_env
from bot.account.examination import READ_ATTEMPTS
from bot.account.plan import Change, DesiredSetup, NoPlanError, find_ours, plan
from bot.account.reading import Account, read_account
from bot.account.requirements import APP_KEYS, INTEGRATIONS
from bot.account.values import Access, account_values, first_values, key_values, missing
from bot.app import WEBHOOK_PATH
from bot.cli.problems import refuse
from bot.cli.setup_inputs import SetupInputs
from bot.cli.setup_rotate import Rotated, Rotation
from bot.cli.setup_view import OWN_KEY, SetupView
from bot.observability import configure_logs
from bot.settings import ControlMode, EnvFile
from bot.sunshine import AiohttpTransport, Credentials, Gone, NotOurs, SunshineClient, SunshineError, Unauthorized


@dataclass(frozen=True, slots=True)
class Options:
    """The command's options and inputs."""

    env_file: Path
    desired: DesiredSetup
    access: Access
    keep_app_key: bool
    integration_key: bool
    dry_run: bool
    yes: bool
    rotate: Rotated | None


def setup(
    public_url: Annotated[
        str,
        typer.Option(help="The bot's URL, such as https://bot.example.com (default: unchanged)."),
    ] = "",
    mode: Annotated[
        ControlMode | None,
        typer.Option(help="The account's Conversation control setting (default: CONTROL_MODE, or a prompt)."),
    ] = None,
    base_url: Annotated[
        str,
        typer.Option(help="https://<subdomain>.zendesk.com/sc (default: SUNSHINE_BASE_URL)."),
    ] = "",
    app_id: Annotated[str, typer.Option(help="The app's id (default: SUNSHINE_APP_ID).")] = "",
    name: Annotated[
        str,
        typer.Option(help="The name for a new integration."),
    ] = "switchboard-bot",
    default_responder: Annotated[
        bool,
        typer.Option(
            "--default-responder",
            help="Let the bot answer first in every new conversation.",
        ),
    ] = False,
    integration_key: Annotated[
        bool,
        typer.Option(help="Create an integration API key unless a working one is set."),
    ] = True,
    keep_app_key: Annotated[
        bool,
        typer.Option(
            help="Write the app-scoped key to the file. It releases ended conversations that others still hold."
        ),
    ] = True,
    rotate: Annotated[
        Rotated | None,
        typer.Option(help="Rotate the webhook's secret or the bot's key, one step per run."),
    ] = None,
    env_file: Annotated[
        Path | None,
        typer.Option(help="The settings file.", show_default=".env"),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the plan without changing anything."),
    ] = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Allow changes to objects this bot didn't create."),
    ] = False,
) -> None:
    """Set up an account for the bot, or repair its set-up.

    Reads the app-scoped key from SUNSHINE_APP_KEY_ID and SUNSHINE_APP_KEY_SECRET, or prompts
    for it. Exit 1: not confirmed or not finished; 2: can't start.
    """
    configure_logs("console", "ERROR")  # don't log retries
    env_file = env_file or EnvFile.path
    try:
        with only_one(env_file):
            inputs = SetupInputs(read_env(env_file), os.environ)
            access = inputs.access(base_url, app_id, mode)
            target = inputs.target(public_url, WEBHOOK_PATH, access.base_url)
            desired = DesiredSetup(access.mode, target, inputs.me, name, default_responder)
            options = Options(
                env_file,
                desired,
                access,
                keep_app_key,
                integration_key,
                dry_run,
                yes,
                rotate,
            )
            asyncio.run(_Setup(options, SetupView(env_file)).run())
    except EnvFileError as error:
        refuse([str(error)])
    except ValueError as error:
        refuse([f"--name: {error}"])


class _Setup:
    """A single run of the command."""

    def __init__(self, options: Options, view: SetupView) -> None:
        self._options = options
        self._view = view
        self._present = read_env(options.env_file)

    async def run(self) -> None:
        """Read the account, plan, confirm, apply the changes, write the settings."""
        options, access = self._options, self._options.access
        self._view.title(access.app_id, access.base_url, access.mode)
        async with self._client(access.app_key) as client:
            account = await self._read(client)
            if options.rotate:
                await self._rotation(client, options.rotate).run(account)
                return
            try:
                changes = plan(account, options.desired)
                makes_key = await self._needs_key(account)
                self._show(account, changes, makes_key=makes_key)
                if not options.dry_run:
                    self._confirm(changes)
                    # Write what is known before changing the account: a later run needs it.
                    self._write(first_values(access, keep_app_key=options.keep_app_key))
                    account = await self._apply(client, account, changes)
                    await self._finish(client, account, makes_key=makes_key)
            except NoPlanError as error:
                refuse([str(error)])
            except SunshineError as error:
                self._fail(f"the platform returned an error: {error}")
        self._show_remaining(account)

    def _rotation(self, client: SunshineClient, what: Rotated) -> Rotation:
        options = self._options
        return Rotation(
            what,
            client,
            self._client,
            options.desired,
            options.env_file,
            options.access.app_id,
            self._view,
            options.dry_run,
            options.yes,
        )

    def _client(self, key: Credentials) -> SunshineClient:
        access = self._options.access
        return SunshineClient(
            access.base_url,
            access.app_id,
            key,
            transport=AiohttpTransport(),
            read_attempts=READ_ATTEMPTS,
        )

    async def _read(self, client: SunshineClient) -> Account:
        key = "SUNSHINE_APP_KEY_ID, SUNSHINE_APP_KEY_SECRET"
        try:
            return await read_account(client)
        except Unauthorized:
            refuse([f"{key}: the platform rejects this key or its secret: {APP_KEYS}"])
        except NotOurs:
            reason = "this key may not read the account; use an app-scoped one (app_…)"
            refuse([f"{key}: {reason}: {APP_KEYS}"])
        except Gone:
            app_id = self._options.access.app_id
            refuse([f"SUNSHINE_APP_ID: the key can't see an app {app_id}: {APP_KEYS}"])
        except SunshineError as error:
            refuse([f"SUNSHINE_BASE_URL: the account can't be read: {error}"])

    async def _needs_key(self, account: Account) -> bool:
        """Return whether no working key of the integration is set."""
        if not self._options.integration_key:
            return False
        found = find_ours(account, self._options.desired).integration
        key = own_key.key_in({**self._present, **os.environ})
        if found is None or key is None:
            return True
        async with self._client(key) as client:
            return not await own_key.works(client, found.id)

    def _show(self, account: Account, changes: tuple[Change, ...], *, makes_key: bool) -> None:
        options = self._options
        ours = find_ours(account, options.desired)
        values = first_values(options.access, keep_app_key=options.keep_app_key)
        names = {*missing(values | account_values(ours, self._present), self._present)}
        if ours.member is None:
            names.add("SUNSHINE_SWITCHBOARD_INTEGRATION")
        if ours.webhook is None:
            names.add("SUNSHINE_WEBHOOK_SECRET")
        if makes_key:
            names |= {"SUNSHINE_KEY_ID", "SUNSHINE_KEY_SECRET"}
        self._view.plan(changes, names, makes_key=makes_key)

    def _confirm(self, changes: tuple[Change, ...]) -> None:
        theirs = [change.sentence for change in changes if change.touches_others]
        if not theirs or self._options.yes:
            return
        if not SetupInputs.can_ask():
            reason = "Not a terminal: pass --yes to change objects that others made or chose"
            refuse([f"{reason}: {'; '.join(theirs)}"])
        if not terminal.agreed("Change objects that others made or chose?"):
            terminal.say("Nothing was changed.")
            raise typer.Exit(1)

    async def _apply(
        self,
        client: SunshineClient,
        account: Account,
        changes: tuple[Change, ...],
    ) -> Account:
        agreed = {change.sentence for change in changes}
        try:
            return await apply(
                client,
                account,
                self._options.desired,
                agreed=agreed,
                done=lambda change: self._view.done(change.sentence),
            )
        except NotAppliedError as error:
            self._fail(str(error))

    async def _finish(self, client: SunshineClient, account: Account, *, makes_key: bool) -> None:
        """Write the settings that result from the changes."""
        ours = find_ours(account, self._options.desired)
        self._write(account_values(ours, self._present))
        # The key comes last: it is the only value that can't be read a second time.
        if makes_key and ours.integration:
            made = await own_key.find_or_make(client, ours.integration.id)
            self._view.done(OWN_KEY)
            try:
                self._write(key_values("SUNSHINE_KEY", made.key))
            except EnvFileError as error:
                hint = f"Delete the API key {made.key.key_id}, whose secret is lost"
                self._fail(f"{error}. {hint}: {INTEGRATIONS}")
            if made.others:
                others = ", ".join(made.others)
                text = f"the integration has older keys ({others}): delete unused ones"
                self._view.note(f"{text}: {INTEGRATIONS}")

    def _write(self, values: Mapping[str, str]) -> None:
        if changed := missing(values, self._present):
            write_env(self._options.env_file, changed)
            self._present |= changed
            self._view.written(changed)

    def _show_remaining(self, account: Account) -> None:
        self._view.left(account, self._options.access.mode)
        if not self._options.dry_run:
            for name, value in self._present.items():
                is_ours = name.startswith(("SUNSHINE_", "CONTROL_MODE"))
                if is_ours and os.environ.get(name, value) != value:
                    text = "has another value in the environment, which takes precedence"
                    self._view.note(f"{name} {text}: change it")
            key = own_key.key_in({**self._present, **os.environ})
            if not self._options.integration_key and key is None:
                text = "SUNSHINE_KEY_ID and SUNSHINE_KEY_SECRET are not set"
                self._view.note(f"{text}: the bot should have its own key")
        self._view.end(was_dry=self._options.dry_run)

    def _fail(self, why: str) -> NoReturn:
        terminal.say(f"{why[:1].upper()}{why[1:]}", err=True)
        text = "Completed steps stay. Run `switchboard-bot setup` again to continue."
        terminal.say(text, err=True)
        raise typer.Exit(1)
