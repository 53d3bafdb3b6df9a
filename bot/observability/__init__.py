"""What can be seen of a running bot: hooks on the signals of its parts, and nothing else."""

from __future__ import annotations

from bot.observability.api_troubles import ApiKey
from bot.observability.logs import both, configure_logs, log_from, log_signal, tell_loop_errors
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
    "tell_loop_errors",
    "traces_if_wanted",
]
