"""The page of the board over HTTP. It takes no key, for it tells nothing; what it shows it asks of the API, with the key of who looks."""

from http import HTTPStatus
from typing import Any

from litestar import Request, Response, get
from litestar.response import Redirect

from streams.desk.api_door import OPEN
from streams.desk.board.page_files import INDEX, page_files
from streams.desk.problem_details import missing

HEADERS = {
    # what the page may load, run and ask: its own files and this API, and nothing written into the page itself
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # a browser asks whether it is still so, and gets an answer without a body
    "cache-control": "no-cache",
    "vary": "accept-encoding",
}

_FILES = page_files()


@get("/", opt={OPEN: True}, include_in_schema=False)
async def find_board() -> Redirect:
    """Where the board is."""
    return _to_board()


@get(["/board", "/board/{file:path}"], opt={OPEN: True}, include_in_schema=False)
async def serve_board(request: Request[Any, Any, Any], file: str = "") -> Response[Any]:
    """A file of the page."""
    if request.scope["raw_path"].endswith(b"/board"):  # the page names its files from where it is
        return _to_board()
    found = _FILES.get(file.strip("/") or INDEX)
    if found is None:
        raise missing("no-file", "the board has no such file")
    headers = {**HEADERS, "etag": found.tag}
    if request.headers.get("if-none-match") == found.tag:
        return Response(None, status_code=HTTPStatus.NOT_MODIFIED.value, headers=headers)
    packed = found.packed if "gzip" in request.headers.get("accept-encoding", "") else None
    if packed is not None:
        headers["content-encoding"] = "gzip"
    return Response(packed or found.body, media_type=found.media_type, headers=headers)


def _to_board() -> Redirect:
    # by its last part alone: a proxy may have put the API below a path of its own
    return Redirect("board/", status_code=HTTPStatus.TEMPORARY_REDIRECT.value)
