"""The way to the API: directly or through a proxy, and whose certificates are trusted.

As the environment says, like other programs: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, in capitals or not, and
SSL_CERT_FILE. This machine itself is always reached directly.
"""

from __future__ import annotations

import os
import ssl
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import httpx2

from bot.loopback import is_loopback


def proxy_for(url: str) -> str | None:
    """Return the URL of the proxy for an address, which may hold a password; None where there is none.

    Raises:
        ValueError: the proxy that is named can't be used; the message repeats nothing of it.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies_environment()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or is_loopback(host) or proxy_bypass(f"{host}:{parts.port}" if parts.port else host):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        found = urlsplit(proxy)
        _ = found.port  # raises ValueError where it is no number
        usable = found.scheme == "http" and bool(found.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{_named(parts.scheme)}: write it like http://proxy.example.com:3128")
    return proxy


def way_to(url: str) -> str:
    """The way to an address in words, without user and password of a proxy."""
    try:
        proxy = proxy_for(url)
    except ValueError as error:
        return str(error)
    if proxy is None:
        return "directly"
    parts = urlsplit(proxy)
    where = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
    return f"through the proxy {where} ({_named(urlsplit(url).scheme)})"


def trusted() -> ssl.SSLContext:
    """Whose certificates are trusted: those of SSL_CERT_FILE, or else this system's. Raises `OSError`."""
    if file := os.environ.get("SSL_CERT_FILE"):
        return ssl.create_default_context(cafile=file)
    return httpx2.create_ssl_context(trust_env=False)


def _named(scheme: str) -> str:
    """The variable that names the proxy."""
    names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    return next((name for name in names if os.environ.get(name)), names[1])
