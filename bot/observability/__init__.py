"""Logs, metrics and traces: hooks on the signals of the running bot."""

from __future__ import annotations

from bot.observability.api_troubles import ApiKey
from bot.observability.logs import both, configure_logs, log_from, log_signal, loop_error_handler
from bot.observability.metrics import Metrics
from bot.observability.watch import Watch, traces_if_wanted

__all__ = [
    "ApiKey",
    "Metrics",
    "Watch",
    "both",
    "configure_logs",
    "log_from",
    "log_signal",
    "loop_error_handler",
    "traces_if_wanted",
]
