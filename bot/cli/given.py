"""Settings for commands that need no whole account: what is set in the environment or in `.env`, else nothing."""

from __future__ import annotations

from typing import Any

from pydantic import field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.settings import EnvFile, Settings, tidy


class Given(BaseSettings):
    """Some of the settings, none of them required, and none of them checked."""

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
        """The webhook's secrets: several while rotating."""
        return [secret for part in self.sunshine_webhook_secret.split(",") if (secret := part.strip())]
