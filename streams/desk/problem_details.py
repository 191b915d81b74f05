"""How the API says no: RFC 9457 problem details, for every status and from every place an error can come from."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec

from engine.analytics.hypothetical import HypotheticalError
from streams.answers.account_read import UnknownAccount
from streams.config.problem import Problem
from streams.config.settings import SettingsError

MEDIA_TYPE = "application/problem+json"
_KIND = "urn:unimargin:problem:"

_log = structlog.get_logger()


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why there is no answer."""

    type: str
    """Which kind of problem: `urn:unimargin:problem:NAME`; programs compare this."""
    title: str
    status: int
    detail: str = ""
    """For people: what to do about this one."""
    errors: tuple[str, ...] = ()
    """Of a request that breaks several rules: each."""


class Refused(HTTPException):
    """The API says no in words of its own."""

    def __init__(
        self, status: HTTPStatus, kind: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """`kind` is the last word of the problem's type."""
        super().__init__(detail=detail, status_code=status.value, headers=dict(headers or {}))
        self.kind = kind


def unavailable(detail: str, retry_after_s: int = 1) -> Refused:
    """Nothing is wrong with the question; it can be answered later."""
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, {"Retry-After": str(retry_after_s)})


def mistaken(detail: str) -> Refused:
    """The question cannot be meant."""
    return Refused(HTTPStatus.BAD_REQUEST, "mistake", detail)


def missing(kind: str, detail: str) -> Refused:
    """What was asked for does not exist."""
    return Refused(HTTPStatus.NOT_FOUND, kind, detail)


def problem_of(_: Request[Any, Any, Any], error: Exception) -> Response[ProblemDetails]:
    """The response to any exception that a handler, the validation or the routing raised."""
    match error:
        case Refused():
            return _response(error.status_code, error.kind, error.detail, headers=error.headers)
        case HTTPException():
            status = HTTPStatus(error.status_code)
            kind = status.phrase.lower().replace(" ", "-")
            detail = error.detail if status < HTTPStatus.INTERNAL_SERVER_ERROR else "see the log of the API"
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                _log.error("api_failed", error=repr(error))
            return _response(status, kind, detail, errors=_errors(error), headers=error.headers)
        case UnknownAccount():
            return _response(HTTPStatus.NOT_FOUND, "unknown-account", str(error))
        case SettingsError() | HypotheticalError():
            return _response(HTTPStatus.BAD_REQUEST, "mistake", as_fields(str(error)))
        case Problem():
            return _response(HTTPStatus.SERVICE_UNAVAILABLE, "unanswerable", str(error))
        case _:
            _log.error("api_failed", exc_info=error)
            return _response(
                HTTPStatus.INTERNAL_SERVER_ERROR, "internal-server-error", "see the log of the API"
            )


def as_fields(words: str) -> str:
    """Answers tell mistakes in the words of the command line; what is an option there is a field here."""
    return re.sub(r"--([a-z][a-z-]*)", lambda found: found[1].replace("-", "_"), words)


def responses(*statuses: HTTPStatus) -> dict[int, ResponseSpec]:
    """What the schema says of a route that may refuse with these, beside what every route may."""
    every = {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    }
    return {
        status.value: ResponseSpec(
            ProblemDetails,
            description=status.phrase,
            media_type=MEDIA_TYPE,
            generate_examples=False,
        )
        for status in sorted(every | set(statuses))
    }


def _errors(error: HTTPException) -> tuple[str, ...]:
    """What validation found, one a field; never the values, which may be anything."""
    found = error.extra if isinstance(error.extra, list) else []
    return tuple(f"{it.get('key', '')}: {it.get('message', '')}".lstrip(": ") for it in found)


def _response(
    status: int,
    kind: str,
    detail: str,
    *,
    errors: tuple[str, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response[ProblemDetails]:
    title = HTTPStatus(status).phrase
    content = ProblemDetails(type=f"{_KIND}{kind}", title=title, status=status, detail=detail, errors=errors)
    return Response(content, status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))
