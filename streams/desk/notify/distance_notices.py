"""What is told of an account that comes near to a line of the ladder, or leaves its neighbourhood."""

from decimal import Decimal

import msgspec

from streams.desk.notify.desk_notices import Notice, Urgency
from streams.desk.notify.notify_rules import RuleLine

NEAR, LEFT = "account.near_line.opened", "account.near_line.resolved"


class NearLine(msgspec.Struct, frozen=True, kw_only=True):
    """A pool and its line, as it was found. Of it no event was published: it is computed from Redis."""

    account: str
    position: str | None
    """Of the isolated position whose pool it is; None for the shared one."""
    line: RuleLine
    within_percent: Decimal
    distance: Decimal | None
    """The least move of the whole market, up or down, that brings the pool to the line, as a fraction; 0 where it is there. None: no move does."""
    equity: Decimal
    collateral_value: Decimal
    maintenance_margin: Decimal
    currency: str
    policy_digest: str
    evaluated_at_ns: int


def near_notice(found: NearLine, rule: str, since_ns: int) -> Notice:
    """It came near."""
    return _notice(found, rule, since_ns, NEAR, f"{_distance(found)} from its {found.line.value} line")


def left_notice(found: NearLine, rule: str, since_ns: int) -> Notice:
    """It is near no more."""
    return _notice(
        found,
        rule,
        since_ns,
        LEFT,
        f"{found.within_percent:f} % or more from its {found.line.value} line again",
    )


def _notice(found: NearLine, rule: str, since_ns: int, kind: str, words: str) -> Notice:
    episode = f"near/{rule}/{found.account}/{found.position or ''}/{since_ns}"
    position = f" ({found.position})" if found.position else ""
    resolved = kind == LEFT
    name = f"{episode}/{'left' if resolved else 'near'}"
    return Notice(
        id=name,
        change=name,
        rule=rule,
        types={kind: 1},
        subject=found.account,
        episode_id=episode,
        resolved=resolved,
        urgency=Urgency.INFO if resolved else Urgency.WARNING,
        time_ns=found.evaluated_at_ns,
        summary=(
            f"{found.account}{position}: {words}, equity {found.equity:f}, maintenance {found.maintenance_margin:f} "
            f"{found.currency}"
        ),
        events=(msgspec.Raw(msgspec.json.encode({"type": kind, **msgspec.structs.asdict(found)})),),
        event_ids=(name,),
    )


def _distance(found: NearLine) -> str:
    return "beyond any move" if found.distance is None else f"{found.distance * 100:.2f} %"
