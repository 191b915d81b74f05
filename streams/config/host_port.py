"""Hosts and ports as people write them.

Where a host is meant a login may stand by mistake: half of one, or one whose `:` and `@` are written %3A and %40. So a host is what names
and addresses are made of and nothing else, and no error repeats the text.
"""

import re
from ipaddress import IPv6Address
from urllib.parse import urlsplit

Address = tuple[str, int]
"""Host and port; an IPv6 address without its brackets."""

_FORM = re.compile(r"(?:\[(?P<address>[^\]]*)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[1-9][0-9]{0,4}))?")
_PORT_MAX = 65535
_HTTP_PORT = 80
"""Any would do: whether a host is one does not hang on it."""


def read_host_port(text: str, usual_port: int | None = None) -> Address:
    """Read `host:port`; an IPv6 address stands in brackets, and the port may be left out where there is a usual one.

    Raises ValueError, with no word of the text.
    """
    read = _FORM.fullmatch(text)
    port = int(read["port"]) if read and read["port"] else usual_port
    if read is None or port is None or port > _PORT_MAX:
        raise ValueError("it is not host:port")
    return read["name"] or _ipv6(read["address"]), port


def http_fault(url: str, *, login_allowed: bool) -> str | None:
    """What is wrong with the address of an HTTP server, with no word of it, or None."""
    if not url.startswith(("https://", "http://")):
        return "it is no http(s) address"
    try:
        parts = urlsplit(url)
        login, at, named = parts.netloc.rpartition("@")
        read_host_port(named, _HTTP_PORT)
    except ValueError:
        return "its host is none"
    if "@" in login or (at and not login_allowed):
        return "a login has no place in it"
    return None


def _ipv6(text: str) -> str:
    try:
        IPv6Address(text)
    except ValueError:
        raise ValueError("what stands in brackets is no IPv6 address") from None
    return text
