"""Where requests may go: a base URL that keys are safe with, and paths in which an id stays an id."""

from __future__ import annotations

from urllib.parse import quote

import httpx2

from bot.loopback import is_loopback

_EXPECTED = "https://SUBDOMAIN.zendesk.com/sc"
_PLACEHOLDERS = frozenset({"subdomain", "your-subdomain", "your_subdomain", "yoursubdomain", "mysubdomain"})
_RESERVED = (".example", ".example.com", ".example.net", ".example.org", ".invalid", ".test")  # RFC 2606


def check_base_url(base_url: str) -> str:
    """Return the base URL without a slash at its end.

    Raises:
        ValueError: it is no URL, or one that keys must not be sent to: https is required, but on this machine.
    """
    try:
        url = httpx2.URL(base_url.strip())
        url.host.encode("idna")  # the resolver will, and has no clear error for it
    except (httpx2.InvalidURL, UnicodeError):
        raise ValueError("the base URL is not a URL; expected https://SUBDOMAIN.zendesk.com/sc") from None
    if url.userinfo or url.query or url.fragment:
        raise ValueError("the base URL holds more than scheme, host and path; keys belong into their own settings")
    if not url.host or url.scheme not in ("https", "http") or not _is_port(url.port):
        raise ValueError(
            f"the base URL {base_url!r} has no usable scheme, host or port; expected https://SUBDOMAIN.zendesk.com/sc"
        )
    if url.scheme != "https" and not is_loopback(url.host):
        raise ValueError(
            f"the base URL {base_url!r} must begin with https://; plain http would show the API key "
            "to everybody on the way (it is allowed for this machine only: localhost, 127.0.0.1, ::1)"
        )
    return str(url).rstrip("/")


def check_account_url(base_url: str) -> str:
    """Return the base URL of an account, as `check_base_url` does.

    Raises:
        ValueError: the same, or it can't be one: a placeholder, or Zendesk's without the API's path.
    """
    checked = check_base_url(base_url)
    url = httpx2.URL(checked)
    label, _, domain = url.host.lower().partition(".")
    if label in _PLACEHOLDERS or url.host.endswith(_RESERVED) or f".{url.host}" in _RESERVED:
        raise ValueError(f"the base URL {base_url!r} is a placeholder; put your own subdomain into {_EXPECTED}")
    if (domain == "zendesk.com" or domain.endswith(".zendesk.com")) and url.path.rstrip("/") != "/sc":
        raise ValueError(f"the base URL {base_url!r} has another path than the API's, /sc; expected {_EXPECTED}")
    return checked


def segment(part: str) -> str:
    """Quote one part of a path, so that an id from outside can't name anything but one thing in its place.

    Raises:
        ValueError: it can't be quoted: empty, a dot or two (clients and servers resolve them), or no Unicode.
    """
    if part in ("", ".", ".."):
        raise ValueError(f"{part!r} can't be a part of an address")
    return quote(part, safe="")


def _is_port(port: int | None) -> bool:
    return port is None or 0 < port < 65536
