"""Names with a slash in a path: `%2F` stays a part of the name instead of dividing the path."""

from urllib.parse import quote, unquote

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

_SLASH = "\ue000"
"""Stands for a slash of a name while routes are looked for: no exchange names an account by a private character."""


def keep_slashes(app: ASGIApp) -> ASGIApp:
    """The app, which finds an escaped slash where a name has one."""

    async def kept(scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path", b"") if scope["type"] == ScopeType.HTTP else b""
        if b"%2f" in raw.lower():
            path = raw.partition(b"?")[0].decode("latin-1")
            scope["path"] = unquote(path.replace("%2f", quote(_SLASH)).replace("%2F", quote(_SLASH)))
        await app(scope, receive, send)

    return kept


def account_named(part: str) -> str:
    """The name that stands in this part of a path."""
    return part.replace(_SLASH, "/")
