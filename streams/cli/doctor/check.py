"""One line of `unimargin doctor`."""

from enum import StrEnum

import msgspec


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    """Works, or could not be found out; a person should look."""
    FAIL = "FAIL"
    """Breaks a promise of the pipeline, or stops it."""


class Check(msgspec.Struct, frozen=True):
    """What was looked at, what was found, and what to do about it ("" where all is well)."""

    check: str
    status: Status
    found: str
    action: str = ""


def ok(check: str, found: str) -> Check:
    """All is well."""
    return Check(check, Status.OK, found)


def warn(check: str, found: str, action: str) -> Check:
    """A person should look."""
    return Check(check, Status.WARN, found, action)


def failed(check: str, found: str, action: str) -> Check:
    """A promise is broken."""
    return Check(check, Status.FAIL, found, action)
