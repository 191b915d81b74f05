"""The plain book: judge every holder exactly, one after the other. Obvious and slow; the specification."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from engine.accounts import AccountState, decode
from engine.analytics.heat_map import MarketPoint, heat_map
from engine.book.heat_map import Heat, exactly, pools_under_way
from engine.book.port import Totals, UnlistedHolding
from engine.effects import AccountRisk
from engine.inputs import Mark
from engine.judgement import CROSS, DETAILED_EVENTS_MAX, Judgement, judge, pool_figures, price_symbols_of
from engine.ladder import Band, LadderState
from engine.ledger import unlisted_holding
from engine.margin.isolated import open_isolated
from engine.marks import NANOSECONDS, Prices
from engine.numbers import exact
from engine.policy import Policy

_WELL = LadderState()


class PlainBook:
    """`AccountBook` by brute force."""

    def __init__(self, policy: Policy) -> None:
        """An empty book without prices: every price symbol is stale."""
        self._policy = policy
        self._states: dict[str, AccountState] = {}
        self._risks: dict[str, AccountRisk] = {}
        self._holders: defaultdict[str, set[str]] = defaultdict(set)
        self._marks: dict[str, Mark] = {}
        self._stale = frozenset(policy.price_symbols)
        self._stale_after_ns = {
            symbol: int(check.stale_after_seconds * NANOSECONDS)
            for symbol, check in policy.price_symbols.items()
        }
        self._time_ns = 0
        self._timed: set[str] = set()
        """Accounts that time alone can make speak."""
        self.screened = self.exact = self.exact_routed = self.boxed = 0
        self.routed: dict[str, int] = {}
        """Nobody: there is no shortcut to be kept from."""
        self.unboxed: dict[str, int] = {}

    def put(self, state: AccountState, risk: AccountRisk | None = None) -> None:
        """See `AccountBook.put`."""
        before = self._states.get(state.account)
        old = self._symbols(before) if before else set()
        new = self._symbols(state)
        for symbol in old - new:
            self._holders[symbol].discard(state.account)
        for symbol in new - old:
            self._holders[symbol].add(state.account)
        self._states[state.account] = state
        if risk is not None:
            self._remember(risk)

    def put_all(self, states: Iterable[AccountState]) -> None:
        """See `AccountBook.put_all`."""
        for state in states:
            self.put(state)

    def load(self, stored: Iterable[bytes], risks: Mapping[str, AccountRisk]) -> None:
        """See `AccountBook.load`."""
        for state in map(decode, stored):
            unlisted = unlisted_holding(state, self._policy)
            if unlisted is not None:
                raise UnlistedHolding(state.account, unlisted)
            self.put(state, risks.get(state.account))

    def state(self, account: str) -> AccountState | None:
        """See `AccountBook.state`."""
        return self._states.get(account)

    def risk(self, account: str) -> AccountRisk:
        """See `AccountBook.risk`."""
        return self._risks.get(account) or AccountRisk(account)

    def accounts(self) -> Iterator[str]:
        """See `AccountBook.accounts`."""
        return iter(sorted(self._states))

    def judge(self, accounts: Sequence[str]) -> list[Judgement]:
        """See `AccountBook.judge`."""
        return self._judge(accounts)

    def judge_all(self) -> list[Judgement]:
        """See `AccountBook.judge_all`."""
        return self._judge(self.accounts())

    def on_marks(self, marks: Sequence[Mark]) -> list[Judgement]:
        """See `AccountBook.on_marks`."""
        judgements: list[Judgement] = []
        for mark in marks:
            self._marks[mark.symbol] = mark
            self._time_ns = max(self._time_ns, mark.time_ns)
            # a mark dated long ago is believed, and stale at once
            too_old = self._time_ns - mark.time_ns > self._stale_after_ns[mark.symbol]
            self._stale = self._stale | {mark.symbol} if too_old else self._stale - {mark.symbol}
            self.screened += len(self._holders[mark.symbol])
            judgements += self._judge(sorted(self._holders[mark.symbol]), mark.time_ns)
        return judgements

    def prime(self, marks: Sequence[Mark], now_ns: int, stale: frozenset[str]) -> None:
        """See `AccountBook.prime`."""
        self._marks |= {mark.symbol: mark for mark in marks}
        self._time_ns, self._stale = max(self._time_ns, now_ns), stale

    def on_clock(self, now_ns: int, stale: frozenset[str]) -> list[Judgement]:
        """See `AccountBook.on_clock`."""
        self._time_ns = max(self._time_ns, now_ns)
        concerned = set(self._timed)
        for symbol in stale ^ self._stale:
            concerned |= self._holders[symbol]
        self._stale = stale
        return self._judge(sorted(concerned))

    def totals(self, edges: Sequence[Decimal]) -> Totals:
        """See `AccountBook.totals`."""
        bands: Counter[Band] = Counter()
        isolated: Counter[Band] = Counter()
        below = dict.fromkeys(edges, 0)
        degraded = stopped = 0
        equity = maintenance = 0.0
        prices = self._prices()
        for account, state in self._states.items():
            pools = self.risk(account).pools
            bands[pools.get(CROSS, _WELL).band] += 1
            isolated.update(pools.get(symbol, _WELL).band for symbol in open_isolated(state))
            degraded += any(pool.degraded for pool in pools.values())
            stopped += state.stopped
            figures = pool_figures(state, CROSS, prices, self._policy)
            equity += float(figures.equity)
            maintenance += float(figures.maintenance_margin)
            if not figures.requirement:
                continue
            with exact():
                for edge in edges:
                    below[edge] += figures.collateral_value < edge * figures.requirement
        return Totals(dict(bands), dict(isolated), degraded, stopped, below, equity, maintenance)

    def totals_in_parts(self, edges: Sequence[Decimal]) -> Iterator[Totals]:
        """See `AccountBook.totals_in_parts`."""
        yield self.totals(edges)

    def heat_map_in_parts(
        self,
        points: Sequence[MarketPoint],
        routed_max: int | None = None,  # noqa: ARG002 - nobody is routed
    ) -> Iterator[Heat]:
        """See `AccountBook.heat_map_in_parts`."""
        accounts = ((state, pools_under_way(self.risk(name))) for name, state in self._states.items())
        yield exactly(heat_map(accounts, points, self._policy), self._policy)

    def _judge(self, accounts: Iterable[str], cause_ns: int | None = None) -> list[Judgement]:
        prices = self._prices()
        judgements, detailed = [], 0
        for account in accounts:
            self.exact += 1
            risk = self.risk(account)
            judgement = judge(
                self._states[account], risk, prices, self._time_ns, self._policy, cause_ns,
                detailed=detailed < DETAILED_EVENTS_MAX,
            )  # fmt: skip
            self._remember(judgement.risk)
            if judgement.events:
                detailed += len(judgement.events)
                judgements.append(judgement)
        return judgements

    def _remember(self, risk: AccountRisk) -> None:
        self._risks[risk.account] = risk
        timed = any(pool.band is not Band.HEALTHY for pool in risk.pools.values())
        (self._timed.add if timed else self._timed.discard)(risk.account)

    def _prices(self) -> Prices:
        return Prices(self._marks, self._stale, self._time_ns)

    def _symbols(self, state: AccountState) -> set[str]:
        symbols = price_symbols_of(state, CROSS, self._policy)
        for symbol in state.isolated:
            symbols |= price_symbols_of(state, symbol, self._policy)
        return symbols
