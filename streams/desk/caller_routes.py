"""Who asks: what a page needs to know of its key before it offers anything."""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, get

from streams.desk.account_routes import DeskPart
from streams.desk.answer_envelope import Answer
from streams.desk.api_keys import ApiCaller, ApiRole
from streams.desk.book_course import BAND_NAMES
from streams.desk.problem_details import missing, responses
from streams.desk.recorded_day import DayReport


class CallerReport(msgspec.Struct, frozen=True, kw_only=True):
    """The caller as the door knows it, and what this process can do for it."""

    name: str
    """Of its key; on record where it is an operator's."""
    role: ApiRole
    operator_topic: bool
    """Whether operators' commands are sent at all."""
    fund_topic: bool
    """Whether it is known what the insurance fund has."""
    currency: str
    """In which amounts of accounts are."""
    bands: tuple[str, ...]
    """From best to worst."""
    recorded: bool
    """Whether this is a recorded day: `at` of a question says which moment of it."""


@get("/day", responses=responses(HTTPStatus.NOT_FOUND))
async def show_day(desk: DeskPart) -> Answer[DayReport]:
    """The moments of the recorded day that is shown; any question may ask of one by `at`, its time."""
    if desk.recorded is None:
        raise missing("no-recorded-day", "this API shows what is now, and no recorded day")
    return desk.of_all(desk.recorded.report())


@get("/caller", responses=responses())
async def show_caller(request: Request[ApiCaller, Any, Any], desk: DeskPart) -> Answer[CallerReport]:
    """Who asks, by its key, and what may be asked."""
    caller = request.user
    return desk.of_all(
        CallerReport(
            name=caller.name,
            role=caller.role,
            operator_topic=desk.settings.operator_topic_enabled,
            fund_topic=desk.settings.fund_topic_enabled,
            currency=desk.policy.account_currency,
            bands=BAND_NAMES,
            recorded=desk.recorded is not None,
        )
    )
