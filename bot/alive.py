"""`python -m bot.alive`: health check for containers; exit 0 if `/healthz` answers 200.

`serve` and `web` answer on PORT, `worker` on METRICS_PORT.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException

TIMEOUT = 2.0  # seconds


def is_alive(environment: Mapping[str, str]) -> bool:
    """Return whether the bot answers 200 on one of the ports."""
    ports = (environment.get("PORT") or "8080", environment.get("METRICS_PORT") or "")
    return any(_answers(int(port)) for port in ports if port.strip().isdecimal())


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    raise SystemExit(0 if is_alive(os.environ) else 1)
