"""`setup --rotate`: rotate the webhook's secret or the bot's API key, one step per run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import NoReturn

import typer

from bot import terminal
from bot.account import own_key
from bot.account.application import VERIFY_PAUSES, NotAppliedError, make
from bot.account.env_file import EnvFileError, read_env, write_env
from bot.account.examination import ask_target
from bot.account.plan import Change, DesiredSetup, NoPlanError, Ours, find_ours
from bot.account.reading import Account, Webhook
from bot.account.rotation import Ask, Remember, next_step
from bot.account.values import key_values
from bot.app import WEBHOOK_PATH
from bot.cli.problems import refuse
from bot.cli.setup_view import SetupView
from bot.sunshine import Credentials, SunshineClient, SunshineError, Unclear

PROBES = 5
"""Number of probes to the webhook's target: each process behind it must know the secret."""

MAX_STEPS = 20
_SECRETS = "SUNSHINE_WEBHOOK_SECRET"
_KEY = "SUNSHINE_KEY"


class Rotated(StrEnum):
    """The secrets that can be rotated."""

    WEBHOOK = "webhook"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Rotation:
    """A single run of `setup --rotate`.

    Attributes:
        what: the secret to rotate.
        client: a client with the app-scoped key.
        client_with: creates a client with another key.
        desired: identifies the bot's integration.
        env_file: the settings file.
        app_id: the app's id.
        view: prints the progress.
        dry_run: only show the next step.
        yes: skip confirmations.
    """

    what: Rotated
    client: SunshineClient
    client_with: Callable[[Credentials], SunshineClient]
    desired: DesiredSetup
    env_file: Path
    app_id: str
    view: SetupView
    dry_run: bool
    yes: bool

    async def run(self, account: Account) -> None:
        """Take all steps that are possible without a restart of the bot.

        Raises:
            Exit: code 1 if a step failed or was not confirmed, 2 if it can't start.
        """
        try:
            if self.what is Rotated.WEBHOOK:
                await self._webhook(account)
            else:
                await self._key(account)
        except (NoPlanError, EnvFileError) as error:
            refuse([str(error)])
        except NotAppliedError as error:
            self._stop(f"{str(error)[:1].upper()}{str(error)[1:]}.")
        except SunshineError as error:
            self._stop(f"The platform returned an error: {error}.")

    # -- the webhook's secret --

    async def _webhook(self, account: Account) -> None:
        progressed, accepted = False, ""
        for _ in range(MAX_STEPS):
            found = next_step(account, self._ours(account), self._known)
            step = found.then if isinstance(found, Ask) else found
            if self.dry_run:
                if isinstance(step, Remember):
                    self._show_next(f"write {_SECRETS}")
                else:
                    self._show_next(step.sentence)
                return
            # Before the platform uses a new secret, every process of the bot must accept it.
            if isinstance(found, Ask) and found.webhook.id != accepted:
                if progressed:  # the bot can't have been restarted since
                    self._request_restart(f"the webhook secrets now in {self.env_file}")
                    return
                await self._check_accepted(found.webhook)
                accepted = found.webhook.id
            progressed = True
            if isinstance(step, Remember):
                self._write({_SECRETS: ",".join(step.secrets)})
                if len(step.secrets) == 1:
                    self._finished("The platform no longer uses the webhook's old secret.")
                    terminal.say("The bot accepts the old secret until you restart it.")
                    return
                continue
            account = await make(self.client, step, partial(self._shows, step))
            self.view.done(step.sentence)
        raise NotAppliedError("someone else is changing the account at the same time")

    @property
    def _known(self) -> tuple[str, ...]:
        """The webhook secrets in the file, else in the environment."""
        setting = read_env(self.env_file).get(_SECRETS) or os.environ.get(_SECRETS, "")
        return tuple(secret for part in setting.split(",") if (secret := part.strip()))

    def _shows(self, made: Change, account: Account) -> bool:
        following = next_step(account, self._ours(account), self._known)
        step = following.then if isinstance(following, Ask) else following
        return not isinstance(step, Change) or step.sentence != made.sentence

    async def _check_accepted(self, webhook: Webhook) -> None:
        """Exit unless the running bot accepts this webhook's secret."""
        for _ in range(PROBES):
            target = await ask_target(webhook, self.app_id, WEBHOOK_PATH)
            if target.with_key == 401:
                self._stop(
                    f"The bot at {webhook.target} does not know all webhook secrets in "
                    f"{self.env_file}: restart all its processes."
                )
            if target.with_key is None:
                answer = f"it answers {target.without_key} to a delivery without a secret"
                why = target.problem or answer
                terminal.say(f"The bot at {webhook.target} can't be checked: {why}.")
                question = "Has every process of the bot been restarted since"
                self._confirm(f"{question} {self.env_file} was written?")
                return

    # -- the bot's own key --

    async def _key(self, account: Account) -> None:
        found = self._ours(account).integration
        if found is None:
            raise NoPlanError("the bot is not set up in this account: run `switchboard-bot setup` first")
        integration_id = found.id
        present = read_env(self.env_file)
        mine = own_key.key_in(present if present.get(f"{_KEY}_ID") else os.environ)
        if mine is None or not await self._works(mine, integration_id):
            raise NoPlanError(
                f"{_KEY}_ID, {_KEY}_SECRET: this key does not work: run `switchboard-bot setup` without --rotate"
            )
        all_keys = await self.client.list_integration_keys(integration_id)
        keys = own_key.standing(all_keys, mine.key_id)
        if keys.old:
            await self._delete_old_key(integration_id, mine, keys.old)
        else:
            await self._create_new_key(integration_id, mine, keys.unused)

    async def _create_new_key(
        self,
        integration_id: str,
        mine: Credentials,
        unused: Mapping[str, str],
    ) -> None:
        """Create a new key, test it, and write it to the settings."""
        name = own_key.name_in_place_of(mine.key_id)
        made = next((Credentials(id_, secret) for id_, secret in unused.items() if secret), None)
        if self.dry_run:
            self._show_next(f"create an integration API key to replace {mine.key_id}, and write it")
            return
        for id_ in unused if made is None else ():
            was = f"The key {id_} was created to replace {mine.key_id}"
            self._confirm(f"{was}, but its secret is not in {self.env_file}. Delete it?")
            await self._delete_key(integration_id, id_)
        if made is None:
            made = await self.client.create_integration_key(integration_id, name)
            self.view.done(f"create the integration API key {made.key_id} to replace {mine.key_id}")
        if not await self._works(made, integration_id, looks=len(VERIFY_PAUSES)):
            raise NotAppliedError(f"the platform created the key {made.key_id}, but rejects it")
        try:
            self._write(key_values(_KEY, made))
        except EnvFileError as error:
            self._stop(f"{error}. The secret of the new key {made.key_id} is lost.")
        self._request_restart(f"the key now in {self.env_file}")

    async def _delete_old_key(self, integration_id: str, mine: Credentials, old: str) -> None:
        """Delete the old key once the bot uses the new one."""
        sentence = f"delete the API key {old}"
        if self.dry_run:
            self._show_next(f"{sentence}, once the bot uses {mine.key_id}")
            return
        if os.environ.get(f"{_KEY}_ID", mine.key_id) != mine.key_id:
            raise NoPlanError(f"{_KEY}_ID: the environment has a different key than {self.env_file}: change it first")
        self._confirm(f"Has every process of the bot been restarted with the key {mine.key_id}?")
        await self._delete_key(integration_id, old)
        self._finished("The bot has a new key, and the old one no longer works.")

    async def _works(self, key: Credentials, integration_id: str, looks: int = 1) -> bool:
        async with self.client_with(key) as client:
            for pause in VERIFY_PAUSES[:looks]:
                await asyncio.sleep(pause.total_seconds())
                if await own_key.works(client, integration_id):
                    return True
        return False

    async def _delete_key(self, integration_id: str, key_id: str) -> None:
        """Delete a key. After an ambiguous answer, read back whether it is gone."""
        sentence = f"delete the API key {key_id}"
        try:
            await self.client.delete_integration_key(integration_id, key_id)
        except Unclear as error:
            left = await self.client.list_integration_keys(integration_id)
            if any(key.get("id") == key_id for key in left):
                raise NotAppliedError(f"could not {sentence}: {error}") from None
        self.view.done(sentence)

    # -- shared --

    def _ours(self, account: Account) -> Ours:
        if not self.desired.me:
            hint = "run `switchboard-bot setup` first"
            raise NoPlanError(f"SUNSHINE_SWITCHBOARD_INTEGRATION is not set: {hint}")
        return find_ours(account, self.desired)

    def _write(self, values: Mapping[str, str]) -> None:
        write_env(self.env_file, values)
        self.view.written(values)
        for name in values:
            if name in os.environ:
                text = "is also set in the environment, which takes precedence"
                self.view.note(f"{name} {text}: change it there")

    def _confirm(self, question: str) -> None:
        """Exit unless a person confirms."""
        if self.yes:
            return
        if not terminal.can_ask():
            refuse([f"Not a terminal: pass --yes to confirm. {question}"])
        if not terminal.agreed(question):
            self._stop("Nothing was changed in this step.")

    def _show_next(self, sentence: str) -> None:
        terminal.say(f"Next: {sentence}.")
        self.view.end(was_dry=True)

    def _request_restart(self, settings: str) -> None:
        command = f"`switchboard-bot setup --rotate {self.what}`"
        terminal.say()
        terminal.say(("Now restart all processes of the bot", "bold"), f" with {settings}.")
        terminal.say(f"Then run {command} again: the rotation is not finished.")

    def _finished(self, text: str) -> None:
        terminal.say()
        terminal.say(("The rotation is finished.", "bold green"), f" {text}")

    def _stop(self, why: str) -> NoReturn:
        terminal.say(why, err=True)
        terminal.say(
            f"Completed steps stay. Run `switchboard-bot setup --rotate {self.what}` again to continue.",
            err=True,
        )
        raise typer.Exit(1)
