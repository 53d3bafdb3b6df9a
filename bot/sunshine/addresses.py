"""Validates base URLs, and quotes path segments."""

from __future__ import annotations

from urllib.parse import quote

import httpx2

from bot.loopback import is_loopback

_EXPECTED = "https://SUBDOMAIN.zendesk.com/sc"
_PLACEHOLDERS = frozenset({"subdomain", "your-subdomain", "your_subdomain", "yoursubdomain", "mysubdomain"})
_RESERVED = (".example", ".example.com", ".example.net", ".example.org", ".invalid", ".test")  # RFC 2606


def check_base_url(base_url: str) -> str:
    """Return the base URL without a trailing slash.

    Raises:
        ValueError: not a URL, or not safe for keys. Must be https, except on this machine.
    """
    try:
        url = httpx2.URL(base_url.strip())
        url.host.encode("idna")  # as the resolver does, but with a clear error
    except (httpx2.InvalidURL, UnicodeError):
        raise ValueError(f"the base URL is not a URL; expected {_EXPECTED}") from None
    if url.userinfo or url.query or url.fragment:
        raise ValueError("the base URL has more than scheme, host and path; keys belong in their own settings")
    if not url.host or url.scheme not in ("https", "http") or not _is_port(url.port):
        raise ValueError(f"the base URL {base_url!r} has no valid scheme, host or port; expected {_EXPECTED}")
    if url.scheme != "https" and not is_loopback(url.host):
        raise ValueError(
            f"the base URL {base_url!r} must begin with https://; plain http would expose the API "
            "key in transit (it is allowed only for this machine: localhost, 127.0.0.1, ::1)"
        )
    return str(url).rstrip("/")


def check_account_url(base_url: str) -> str:
    """Return the base URL of an account without a trailing slash.

    Raises:
        ValueError: as `check_base_url`; also for placeholders, and for Zendesk without `/sc`.
    """
    checked = check_base_url(base_url)
    url = httpx2.URL(checked)
    label, _, domain = url.host.lower().partition(".")
    if label in _PLACEHOLDERS or url.host.endswith(_RESERVED) or f".{url.host}" in _RESERVED:
        raise ValueError(f"the base URL {base_url!r} is a placeholder; put your own subdomain in {_EXPECTED}")
    is_zendesk = domain == "zendesk.com" or domain.endswith(".zendesk.com")
    if is_zendesk and url.path.rstrip("/") != "/sc":
        raise ValueError(f"the base URL {base_url!r} lacks the API's path, /sc; expected {_EXPECTED}")
    return checked


def segment(part: str) -> str:
    """Quote a path segment, so that an untrusted id can't change the path.

    Raises:
        ValueError: empty, "." or ".." (clients and servers resolve these), or not Unicode.
    """
    if part in ("", ".", ".."):
        raise ValueError(f"{part!r} is not a valid path segment")
    return quote(part, safe="")


def _is_port(port: int | None) -> bool:
    return port is None or 0 < port < 65536
