"""The settings that commands need without an account."""

from __future__ import annotations

from typing import Any

from pydantic import field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.settings import EnvFile, Settings, tidy


class PartialSettings(BaseSettings):
    """A subset of the settings, all optional and unchecked."""

    model_config = SettingsConfigDict(env_file_encoding="utf-8", extra="ignore")

    sunshine_app_id: str = ""
    sunshine_switchboard_integration: str = ""
    sunshine_webhook_secret: str = ""
    scrub_secret: str = ""
    control_mode: str = ""
    flows: str = ",".join(Settings.model_fields["flows"].default)
    database_url: str = str(Settings.model_fields["database_url"].default)

    @field_validator("*", mode="before")
    @classmethod
    def _tidy(cls, value: Any) -> Any:
        return tidy(value) if isinstance(value, str) else value

    def __init__(self) -> None:
        super().__init__(_env_file=EnvFile.path)

    @property
    def webhook_secrets(self) -> list[str]:
        """The webhook secrets; several during a rotation."""
        parts = self.sunshine_webhook_secret.split(",")
        return [secret for part in parts if (secret := part.strip())]
