"""Finding the accounts that `unimargin account list` shows, without holding all of them.

Cost: every account is read at each call, and each that passes the filters is valued exactly, 0.2 to 0.4 ms an account on one core: half a
minute for 100,000. By risk, those are left unvalued that enough others are ahead of by their bands. By distance each is searched too, which
takes about 10 ms. Held at once: the risk records of a shard, the names that were counted, and `CHUNK_ACCOUNTS` rows.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from heapq import nsmallest
from typing import Any, NamedTuple

import msgspec

from engine.analytics.line_move import line_moves
from engine.events.effects import AccountRisk
from engine.ladder import SEVERITY, Band
from engine.ledger.accounts import AccountState
from engine.margin.isolated_pool import judged_isolated
from engine.margin.listed_part import listed_part
from engine.marks.mark_book import Prices
from engine.policy import Policy
from engine.position_keys import symbol_of
from streams.answers.account_report import believed, worst_band
from streams.answers.account_rows import RiskRow, comparable, risk_row
from streams.answers.shelf import open_counted_shelf
from streams.config.problem import Problem
from streams.config.settings import Settings
from streams.store.redis_access import read_state

CHUNK_ACCOUNTS = 10_000
"""Rows held while looking for the first: about 10 MB."""
UNREADABLE_NAMED_MAX = 5


class Sort(StrEnum):
    """What puts an account first."""

    RISK = "risk"
    """The worst band, then the lowest ratio."""
    RATIO = "ratio"
    SHORTFALL = "shortfall"
    EQUITY = "equity"
    DISTANCE = "distance"


class ListQuestion(NamedTuple):
    """Who is asked for."""

    sort: Sort = Sort.RISK
    band: Band | None = None
    symbol: str | None = None
    """Only who holds this contract."""
    stopped: bool = False
    """Only who is stopped."""
    limit: int = 20


class ListedAccount(RiskRow, frozen=True, kw_only=True):
    """One account in the list."""

    distance_to_call: Decimal | msgspec.UnsetType | None = msgspec.UNSET
    """Where the list is by distance: the least move of the whole market, up or down, that brings the pool to its call line, as a
    fraction; 0 for a pool that is there already, None where no move does.
    """


class AccountList(msgspec.Struct, frozen=True, kw_only=True):
    """The answer."""

    currency: str
    policy: str
    policy_digest: str
    read_at_ns: int
    sort: Sort
    total: int
    """Accounts that pass the filters."""
    in_all: int
    """Accounts of the book, whatever the filters."""
    accounts: tuple[ListedAccount, ...]
    unreadable: tuple[str, ...]
    """Accounts that this version cannot read, the first of them; they are in no count."""


async def list_accounts(
    settings: Settings, policy: Policy, question: ListQuestion, now_ns: int
) -> AccountList:
    """The first accounts by what was asked for; equal ones by name. Raises `Problem`."""
    finding = _Finding(policy, question)
    async with open_counted_shelf(settings) as shelf:
        for shard in range(await shelf.shard_count()):
            known = await shelf.risks(shard)
            prices = believed(await shelf.marks(shard), policy, now_ns)
            async for account, state in shelf.accounts(shard):
                finding.take(account, state, known, shard, prices)
    return AccountList(
        currency=policy.account_currency,
        policy=policy.name,
        policy_digest=policy.digest,
        read_at_ns=now_ns,
        sort=question.sort,
        total=finding.total,
        in_all=finding.in_all,
        accounts=tuple(finding.first()),
        unreadable=tuple(finding.unreadable),
    )


class _Finding:
    """The first so many of what it is given, one account after the other."""

    def __init__(self, policy: Policy, question: ListQuestion) -> None:
        self._policy, self._question = policy, question
        self._key = _KEYS[question.sort]
        self._held: list[ListedAccount] = []
        self._names: set[str] = set()
        self._passed_over: set[str] = set()
        self._in_band: Counter[int] = Counter()
        """Accounts that were valued, by the severity of their bands."""
        self.unreadable: list[str] = []

    @property
    def total(self) -> int:
        return len(self._names)

    @property
    def in_all(self) -> int:
        return len(self._names) + len(self._passed_over)

    def take(
        self, account: str, data: bytes, known: Mapping[str, AccountRisk], shard: int, prices: Prices
    ) -> None:
        if account in self._names:  # a scan may give an account twice
            return
        try:
            state = read_state(account, data)
        except Problem as problem:
            if len(self.unreadable) < UNREADABLE_NAMED_MAX:
                self.unreadable.append(str(problem))
            return
        risk = known.get(account) or AccountRisk(account)
        if not self._passes(state, worst_band(risk)):
            self._passed_over.add(account)
            return
        self._names.add(account)
        severity = SEVERITY[worst_band(risk)]
        ahead = sum(count for other, count in self._in_band.items() if other > severity)
        if self._question.sort is Sort.RISK and ahead >= self._question.limit:
            return
        self._in_band[severity] += 1
        self._held.append(self._row(state, risk, shard, prices))
        if len(self._held) >= CHUNK_ACCOUNTS + self._question.limit:
            self._held = self.first()

    def first(self) -> list[ListedAccount]:
        return nsmallest(self._question.limit, self._held, key=self._key)

    def _passes(self, state: AccountState, band: Band) -> bool:
        asked = self._question
        return (
            (not asked.stopped or state.stopped)
            and (asked.band is None or band is asked.band)
            and (asked.symbol is None or asked.symbol in _held_symbols(state))
        )

    def _row(self, state: AccountState, risk: AccountRisk, shard: int, prices: Prices) -> ListedAccount:
        row = risk_row(state, risk, shard, prices, self._policy)
        fields = msgspec.structs.asdict(row)
        if self._question.sort is not Sort.DISTANCE:
            return ListedAccount(**fields)
        return ListedAccount(
            **fields,
            distance_to_call=distance_to_line(
                state, row.position, self._policy.ladder.margin_call, prices, self._policy
            ),
        )


def distance_to_line(
    state: AccountState, position: str | None, line: Decimal, prices: Prices, policy: Policy
) -> Decimal | None:
    """The least move of the whole market, as a fraction, that brings the pool to a line of the ladder; 0 where it is below."""
    state = listed_part(state, policy)
    if position is not None and position not in judged_isolated(state):
        return None
    (move,) = line_moves(state, prices, policy, [line], position)
    if move.crossed:
        return Decimal(0)
    return min((abs(it) for it in (move.down, move.up) if it is not None), default=None)


def _held_symbols(state: AccountState) -> Iterable[str]:
    return set(map(symbol_of, (*state.positions, *state.isolated)))


def _risk(row: ListedAccount) -> tuple[Any, ...]:
    return -SEVERITY[row.band], comparable(row.ratio), row.account


def _distance(row: ListedAccount) -> tuple[Any, ...]:
    distance = row.distance_to_call if isinstance(row.distance_to_call, Decimal) else None
    return comparable(distance), *_risk(row)


_KEYS: dict[Sort, Callable[[ListedAccount], tuple[Any, ...]]] = {
    Sort.RISK: _risk,
    Sort.RATIO: lambda row: (comparable(row.ratio), *_risk(row)),
    Sort.SHORTFALL: lambda row: (-row.shortfall_to_call, *_risk(row)),
    Sort.EQUITY: lambda row: (row.equity, *_risk(row)),
    Sort.DISTANCE: _distance,
}
