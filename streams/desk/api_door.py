"""The door: who asks, how often, and whether the role allows it. Nothing of a key is kept, logged or told."""

import ipaddress
from http import HTTPStatus
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.types import ASGIApp

from streams.config.settings import Settings, SettingsError
from streams.desk.api_keys import ApiCaller, ApiKeys, ApiRole
from streams.desk.problem_details import Refused
from streams.desk.rate_limits import RateLimits

OPEN = "open"
"""Option of a route that anybody may ask: it tells nothing of any account."""
ROLE = "role"
"""Option of a route: the role that it takes; default viewer."""
LOOPBACK = ApiCaller("loopback", ApiRole.RISK)
"""Who asks from this machine without a key, where the settings allow it."""

_SCHEME = "bearer "
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")

_Connection = ASGIConnection[Any, Any, Any, Any]


class ApiDoor(AbstractAuthenticationMiddleware):
    """Knows callers by their key. Raises `Refused` with 401 or 429."""

    def __init__(self, app: ASGIApp, settings: Settings, keys: ApiKeys, limits: RateLimits) -> None:
        super().__init__(app=app, exclude_from_auth_key=OPEN, scopes=None)
        self._settings, self._keys, self._limits = settings, keys, limits

    async def authenticate_request(self, connection: _Connection) -> AuthenticationResult:
        """See Litestar's middleware."""
        header = connection.headers.get("authorization", "")
        address = connection.client.host if connection.client else ""
        per_minute = self._settings.api_requests_per_minute
        if not header and self._is_at_home(connection, address):
            self._count(f"at {address}", per_minute)
            return AuthenticationResult(user=LOOPBACK, auth=None)
        presented = header[len(_SCHEME) :].strip() if header[: len(_SCHEME)].lower() == _SCHEME else ""
        caller = self._keys.caller(presented) if presented else None
        if caller is None:
            self._count(f"at {address}", per_minute)
            raise Refused(
                HTTPStatus.UNAUTHORIZED,
                "no-key",
                "send the header `Authorization: Bearer KEY` with a key that this API knows",
                {"WWW-Authenticate": 'Bearer realm="unimargin"'},
            )
        self._count(f"key {caller.name}", caller.requests_per_minute or per_minute)
        return AuthenticationResult(user=caller, auth=None)

    def _is_at_home(self, connection: _Connection, address: str) -> bool:
        """Whether this needs no key: from this machine, to this machine by name, and passed on by nobody.

        By name, for a page from elsewhere may have its own name point here, and would read what its visitor may.
        """
        return (
            self._settings.api_open_on_loopback
            and is_loopback(address)
            and is_loopback(_host_of(connection.headers.get("host", "")))
            and not any(name in connection.headers for name in _FORWARDED)
        )

    def _count(self, caller: str, per_minute: int) -> None:
        wait_s = self._limits.wait_s(caller, per_minute)
        if wait_s:
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too-many-requests",
                f"at most {per_minute} requests a minute; the next in {wait_s} s",
                {"Retry-After": str(wait_s)},
            )


def check_role(connection: _Connection, handler: BaseRouteHandler) -> None:
    """Guard of every route: raise `Refused` with 403 where the caller's role does not allow it."""
    if handler.opt.get(OPEN):
        return
    needed = handler.opt.get(ROLE, ApiRole.VIEWER)
    caller: ApiCaller = connection.user
    if not caller.role.includes(needed):
        raise Refused(
            HTTPStatus.FORBIDDEN,
            "role",
            f"this takes the role {needed}; the key {caller.name!r} is of a {caller.role}",
        )


def check_open_door(settings: Settings, keys: ApiKeys) -> None:
    """Raise `SettingsError` for an address that nobody could or everybody would be let in at."""
    if not len(keys) and not settings.api_open_on_loopback:
        raise SettingsError(
            "UNIMARGIN_API_KEYS_FILE: there is no key, so nobody could ask; make one with `unimargin api-key`, "
            "or set UNIMARGIN_API_OPEN_ON_LOOPBACK for this machine alone"
        )
    if not len(keys) and not is_loopback(settings.api_host):
        raise SettingsError(
            f"UNIMARGIN_API_HOST {settings.api_host!r} is not loopback, so UNIMARGIN_API_KEYS_FILE has to say who may ask"
        )


def is_loopback(host: str) -> bool:
    """Whether this names this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_of(header: str) -> str:
    """The name in a Host header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]
