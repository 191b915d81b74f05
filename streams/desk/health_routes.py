"""Whether the API can answer, for people and probes, and its metrics. None of it tells of any account, so none takes a key."""

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streams.desk.account_routes import DeskPart
from streams.desk.answer_envelope import Answer
from streams.desk.api_door import OPEN
from streams.desk.api_metrics import ApiMetrics
from streams.desk.problem_details import responses, unavailable


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the API has at hand."""

    status: str
    shards: int
    accounts: int
    unranked: int
    """Accounts that changed and have no new place in the list yet."""
    unreadable: int
    """Accounts that this version cannot read: they are in no list; asked for by name they say why."""
    copy_age_seconds: float
    stream_clients: int


@get("/health", opt={OPEN: True}, security=[{}], responses=responses())
async def show_health(desk: DeskPart) -> Answer[HealthReport]:
    """Whether everything can be answered: 200, or 503 and what is missing."""
    missing = desk.why_not_ready()
    if missing:
        raise unavailable("; ".join(f"{part}: {why}" for part, why in missing.items()))
    return desk.of_all(
        HealthReport(
            status="ready",
            shards=len(desk.copy.shards),
            accounts=desk.copy.account_count,
            unranked=desk.ranking.waiting,
            unreadable=len(desk.ranking.unreadable),
            copy_age_seconds=round(desk.copy.age_s, 3),
            stream_clients=desk.hub.listeners,
        )
    )


@get("/livez", opt={OPEN: True}, include_in_schema=False)
async def live() -> dict[str, str]:
    """200 as long as the event loop answers."""
    return {"status": "ok"}


@get("/metrics", opt={OPEN: True}, include_in_schema=False)
async def show_metrics(
    desk: DeskPart, metrics: NamedDependency[SkipValidation[ApiMetrics]]
) -> Response[bytes]:
    """The metrics of this process."""
    metrics.copy_accounts.set(desk.copy.account_count)
    metrics.copy_refresh_timestamp_seconds.set(desk.copy.refreshed_ns / 1e9)
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
