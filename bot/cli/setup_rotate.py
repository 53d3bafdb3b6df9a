"""`setup --rotate`: changes the webhook's secret or the bot's own API key, one step at each run."""

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
from bot.account.application import LOOKS, NotApplied, make
from bot.account.env_file import EnvFileError, read_env, write_env
from bot.account.examination import ask_target
from bot.account.plan import Change, NoPlan, Ours, Wishes, find_ours
from bot.account.reading import Account, Webhook
from bot.account.rotation import Ask, Remember, next_step
from bot.account.values import key_values
from bot.app import WEBHOOK_PATH
from bot.cli.problems import refuse
from bot.cli.setup_view import SetupView
from bot.sunshine import Credentials, SunshineClient, SunshineError, Unclear

PROBES = 5
"""Questions to the webhook's target: behind it may be several processes, and each has to know the secret."""

MOST_STEPS = 20
_SECRETS = "SUNSHINE_WEBHOOK_SECRET"
_KEY = "SUNSHINE_KEY"


class Rotated(StrEnum):
    """What is rotated."""

    WEBHOOK = "webhook"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Rotation:
    """A single run of `setup --rotate`.

    Attributes:
        what: what is rotated.
        client: with the app-scoped key.
        client_with: makes a client with another key.
        wishes: which integration is the bot's.
        env_file: where the settings are kept.
        dry_run: show the next step, and change nothing.
        yes: a person has agreed beforehand.
    """

    what: Rotated
    client: SunshineClient
    client_with: Callable[[Credentials], SunshineClient]
    wishes: Wishes
    env_file: Path
    app_id: str
    view: SetupView
    dry_run: bool
    yes: bool

    async def run(self, account: Account) -> None:
        """Take all steps that need no restart of the bot first.

        Raises:
            Exit: 1 if it did not get on, 2 if it can't begin.
        """
        try:
            if self.what is Rotated.WEBHOOK:
                await self._webhook(account)
            else:
                await self._key(account)
        except (NoPlan, EnvFileError) as error:
            refuse([str(error)])
        except NotApplied as error:
            self._stop(f"{str(error)[:1].upper()}{str(error)[1:]}.")
        except SunshineError as error:
            self._stop(f"The platform did not answer as usual: {error}.")

    # -- the webhook's secret --------------------------------------------------------------------------------------

    async def _webhook(self, account: Account) -> None:
        got_on, accepted = False, ""
        for _ in range(MOST_STEPS):
            found = next_step(account, self._ours(account), self._known)
            step = found.then if isinstance(found, Ask) else found
            if self.dry_run:
                self._show_next(f"write {_SECRETS}" if isinstance(step, Remember) else step.sentence)
                return
            if isinstance(found, Ask) and found.webhook.id != accepted:
                if got_on:  # the bot can't have been restarted since
                    self._restart_next(f"the webhook secrets that {self.env_file} holds now")
                    return
                await self._check_accepted(found.webhook)
                accepted = found.webhook.id
            got_on = True
            if isinstance(step, Remember):
                self._write({_SECRETS: ",".join(step.secrets)})
                if len(step.secrets) == 1:
                    self._finished("The platform no longer uses the webhook's old secret.")
                    terminal.say("Restart the bot when it suits you: until then it still accepts the old secret.")
                    return
                continue
            account = await make(self.client, step, partial(self._shows, step))
            self.view.done(step.sentence)
        raise NotApplied("somebody else is changing the account at the same time")

    @property
    def _known(self) -> tuple[str, ...]:
        """The webhook secrets in the file, or else in the environment."""
        setting = read_env(self.env_file).get(_SECRETS) or os.environ.get(_SECRETS, "")
        return tuple(secret for part in setting.split(",") if (secret := part.strip()))

    def _shows(self, made: Change, account: Account) -> bool:
        following = next_step(account, self._ours(account), self._known)
        step = following.then if isinstance(following, Ask) else following
        return not isinstance(step, Change) or step.sentence != made.sentence

    async def _check_accepted(self, webhook: Webhook) -> None:
        """End the command unless the running bot takes what comes with this webhook's secret."""
        for _ in range(PROBES):
            target = await ask_target(webhook, self.app_id, WEBHOOK_PATH)
            if target.with_key == 401:
                self._stop(
                    f"The bot at {webhook.target} does not know all webhook secrets of {self.env_file}: restart all of "
                    "its processes with them."
                )
            if target.with_key is None:
                why = target.problem or f"it answers {target.without_key} to a delivery without a secret"
                terminal.say(f"The bot at {webhook.target} can't be asked: {why}.")
                self._agree(f"Has every process of the bot been restarted since {self.env_file} was written?")
                return

    # -- the bot's own key -----------------------------------------------------------------------------------------

    async def _key(self, account: Account) -> None:
        found = self._ours(account).integration
        if found is None:
            raise NoPlan("the bot is not set up in this account: run `switchboard-bot setup` first")
        integration_id = found.id
        present = read_env(self.env_file)
        mine = own_key.key_in(present if present.get(f"{_KEY}_ID") else os.environ)
        if mine is None or not await self._works(mine, integration_id):
            raise NoPlan(
                f"{_KEY}_ID, {_KEY}_SECRET: this is no key that works: run `switchboard-bot setup`, without --rotate"
            )
        keys = own_key.standing(await self.client.list_integration_keys(integration_id), mine.key_id)
        if keys.old:
            await self._end_key(integration_id, mine, keys.old)
        else:
            await self._begin_key(integration_id, mine, keys.unused)

    async def _begin_key(self, integration_id: str, mine: Credentials, unused: Mapping[str, str]) -> None:
        """Make a new key, try it, and write it into the settings."""
        name = own_key.name_in_place_of(mine.key_id)
        made = next((Credentials(id_, secret) for id_, secret in unused.items() if secret), None)
        if self.dry_run:
            self._show_next(f"make an API key of the integration in place of {mine.key_id}, and write it")
            return
        for id_ in unused if made is None else ():
            was = f"The key {id_} was made in place of {mine.key_id}"
            self._agree(f"{was}, and {self.env_file} does not hold its secret. Delete it?")
            await self._delete_key(integration_id, id_)
        if made is None:
            made = await self.client.create_integration_key(integration_id, name)
            self.view.done(f"make the API key {made.key_id} of the integration, in place of {mine.key_id}")
        if not await self._works(made, integration_id, looks=len(LOOKS)):
            raise NotApplied(f"the platform has made the key {made.key_id}, and does not take it")
        try:
            self._write(key_values(_KEY, made))
        except EnvFileError as error:
            self._stop(f"{error}. The secret of the new key {made.key_id} is lost.")
        self._restart_next(f"the key that {self.env_file} holds now")

    async def _end_key(self, integration_id: str, mine: Credentials, old: str) -> None:
        """Delete the old key, once the bot uses the new one."""
        sentence = f"delete the API key {old}"
        if self.dry_run:
            self._show_next(f"{sentence}, once the bot uses {mine.key_id}")
            return
        if os.environ.get(f"{_KEY}_ID", mine.key_id) != mine.key_id:
            raise NoPlan(f"{_KEY}_ID: the environment still names another key than {self.env_file}: change it first")
        self._agree(f"Has every process of the bot been restarted with the key {mine.key_id}?")
        await self._delete_key(integration_id, old)
        self._finished("The bot has a new key, and the old one no longer works.")

    async def _works(self, key: Credentials, integration_id: str, looks: int = 1) -> bool:
        async with self.client_with(key) as client:
            for pause in LOOKS[:looks]:
                await asyncio.sleep(pause.total_seconds())
                if await own_key.works(client, integration_id):
                    return True
        return False

    async def _delete_key(self, integration_id: str, key_id: str) -> None:
        """Delete a key; an unclear answer is settled by reading."""
        sentence = f"delete the API key {key_id}"
        try:
            await self.client.delete_integration_key(integration_id, key_id)
        except Unclear as error:
            if any(key.get("id") == key_id for key in await self.client.list_integration_keys(integration_id)):
                raise NotApplied(f"could not {sentence}: {error}") from None
        self.view.done(sentence)

    # -- what both need --------------------------------------------------------------------------------------------

    def _ours(self, account: Account) -> Ours:
        if not self.wishes.me:
            raise NoPlan("SUNSHINE_SWITCHBOARD_INTEGRATION is not set: run `switchboard-bot setup` first")
        return find_ours(account, self.wishes)

    def _write(self, values: Mapping[str, str]) -> None:
        write_env(self.env_file, values)
        self.view.written(values)
        for name in values:
            if name in os.environ:
                self.view.note(f"{name} is set in the environment as well, which counts for more: change it there")

    def _agree(self, question: str) -> None:
        """End the command unless a person agrees."""
        if self.yes:
            return
        if not terminal.can_ask():
            refuse([f"Not a terminal: pass --yes to confirm. {question}"])
        if not terminal.agreed(question):
            self._stop("Nothing was changed in this step.")

    def _show_next(self, sentence: str) -> None:
        terminal.say(f"Next: {sentence}.")
        self.view.end(was_dry=True)

    def _restart_next(self, settings: str) -> None:
        terminal.say()
        terminal.say(("Now restart all processes of the bot", "bold"), f", with {settings}.")
        terminal.say(f"Then run `switchboard-bot setup --rotate {self.what}` again: the rotation is not finished.")

    def _finished(self, text: str) -> None:
        terminal.say()
        terminal.say(("The rotation is finished.", "bold green"), f" {text}")

    def _stop(self, why: str) -> NoReturn:
        terminal.say(why, err=True)
        terminal.say(
            f"What is done stays. Run `switchboard-bot setup --rotate {self.what}` again: it goes on from there.",
            err=True,
        )
        raise typer.Exit(1)
