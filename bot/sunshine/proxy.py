"""Proxies and trusted certificates, from the environment.

The usual variables apply: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, in upper or lower
case, and SSL_CERT_FILE. This machine itself is never reached through a proxy.
"""

from __future__ import annotations

import os
import ssl
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import httpx2

from bot.loopback import is_loopback


def proxy_for(url: str) -> str | None:
    """Return the proxy for a URL, which may contain a password; None if there is none.

    Raises:
        ValueError: the proxy is invalid. The message does not quote it.
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
        _ = found.port  # raises ValueError if it is not a number
        usable = found.scheme == "http" and bool(found.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{_named(parts.scheme)}: write it like http://proxy.example.com:3128")
    return proxy


def route_to(url: str) -> str:
    """Describe how a URL is reached, without the credentials of a proxy."""
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
    """Return the trusted certificates: SSL_CERT_FILE, else the system's. Raises `OSError`."""
    if file := os.environ.get("SSL_CERT_FILE"):
        return ssl.create_default_context(cafile=file)
    return httpx2.create_ssl_context(trust_env=False)


def _named(scheme: str) -> str:
    """Return the variable that names the proxy."""
    names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    return next((name for name in names if os.environ.get(name)), names[1])
