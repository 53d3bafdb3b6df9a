"""What can be seen of a running bot: hooks on the signals of its parts, and nothing else."""

from __future__ import annotations

from bot.observability.logs import both, configure_logs, log_signal, tell_loop_errors
from bot.observability.metrics import Metrics

__all__ = ["Metrics", "both", "configure_logs", "log_signal", "tell_loop_errors"]
