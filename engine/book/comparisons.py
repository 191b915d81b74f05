"""Accounts whose timer has run out, answered by the columns where all that it asks is whether more is missing than was said.

A pool in an episode is compared every few seconds with what was last said of it, and mostly nothing is said. The columns prove two things:
that the figures change nothing of any pool (QUIET), and between what and what each pool lacks to its exit line. The ladder's own rules
(`episode.unmoved`) then say whether anything at all between these ends, or time, may make a pool speak. If so the exact judge decides.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from engine.book import kernels
from engine.book.columns import Columns
from engine.book.encode import pools_of
from engine.events.effects import AccountRisk
from engine.events.pools import WELL
from engine.ladder import exit_line
from engine.ladder.episode import Facts, unmoved
from engine.ledger.accounts import AccountState
from engine.ledger.executions import execution_of
from engine.numbers import exact
from engine.policy import Policy


class Timed(NamedTuple):
    """An account whose timer has run out."""

    number: int
    state: AccountState
    risk: AccountRisk


def compared(
    columns: Columns, accounts: Sequence[Timed], now_ns: int, hold: int | None, policy: Policy
) -> list[AccountRisk | None]:
    """Of each account the risk record that a judgement would leave without a word, and its new bounds; None of whom only that knows.

    None of them is routed. Whoever gets None is UNJUDGED.
    """
    pools = [pools_of(it.state, it.risk) for it in accounts]
    with exact():
        lines = np.array(
            [
                float(exit_line(it.risk.pools.get(pool, WELL), policy.ladder))
                for it, names in zip(accounts, pools, strict=True)
                for pool in names
            ]
        )
    least, most = np.zeros(len(lines)), np.zeros(len(lines))
    numbers, quiet = np.array([it.number for it in accounts], np.int64), np.zeros(len(accounts), np.bool_)
    kernels.missing(columns, numbers, lines, least, most, quiet)
    ends = zip(least.tolist(), most.tolist(), strict=True)
    risks: list[AccountRisk | None] = []
    for it, names, silent in zip(accounts, pools, quiet.tolist(), strict=True):
        missing = {pool: next(ends) for pool in names}
        risk = _after(it, missing, now_ns, hold, policy) if silent else None
        if silent and risk is None:
            kernels.dismiss(columns, it.number)
        risks.append(risk)
    return risks


def _after(
    it: Timed, missing: dict[str, tuple[float, float]], now_ns: int, hold: int | None, policy: Policy
) -> AccountRisk | None:
    state, pools = it.state, {}
    for pool, before in it.risk.pools.items():
        # what is lost of a float's shortest text is far below the error that the ends allow for
        least, most = (Decimal(repr(end)) for end in missing[pool])
        execution = execution_of(state, pool)
        facts = Facts(now_ns, least, state.fills.offset, state.ledger.offset, execution, hold)
        after = unmoved(before, facts, most, policy)
        if after is None:
            return None
        pools[pool] = after
    return AccountRisk(it.risk.account, pools, it.risk.sequences)
