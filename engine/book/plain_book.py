"""The plain book: judge every holder exactly, one after the other. Obvious and slow; the specification."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from functools import partial

from engine.analytics.heat_map import MarketPoint, heat_map
from engine.book.account_book import Concerned, PackedPart, Slices, Totals
from engine.book.failures import Failure, tried
from engine.book.hearing import hear
from engine.book.heat_map_parts import Heat, exactly, pools_now
from engine.book.reasons_queue import ReasonsQueue
from engine.book.stakes import Stakes
from engine.book.unpaid import Unpaid
from engine.book.urgency import UNCERTAIN, heading_for, worst_by_figures
from engine.events.dependencies import price_symbols_of
from engine.events.effects import AccountRisk
from engine.events.judgement import Judgement, judge
from engine.events.pools import CROSS, NOTHING, pool_figures
from engine.inputs import Mark
from engine.ladder import Band, LadderState
from engine.ladder.breaker import Breaker, InputsTaken, Occasion, Stake
from engine.ladder.episode import due_ns
from engine.ladder.table import Trigger
from engine.ledger.accounts import AccountState, decode
from engine.ledger.applying import not_judged
from engine.margin.figures import Figures
from engine.margin.isolated_pool import open_isolated
from engine.margin.listed_part import listed_part, nothing_of
from engine.marks.instants import Instant
from engine.marks.mark_book import Prices
from engine.marks.price_state import PriceState
from engine.numbers import exact
from engine.policy import Policy

_WELL = LadderState()


class PlainBook:
    """`AccountBook` by brute force."""

    def __init__(self, policy: Policy) -> None:
        """An empty book without prices: every price symbol is stale."""
        self._policy = policy
        self._states: dict[str, AccountState] = {}
        self._seen: dict[str, AccountState] = {}
        """What is judged of each."""
        self._risks: dict[str, AccountRisk] = {}
        self._holders: defaultdict[str, set[str]] = defaultdict(set)
        self._held: dict[str, set[str]] = {}
        """By account the symbols that it holds, or collateral priced by them."""
        self._view = PriceState(policy)
        self._timed: set[str] = set()
        """Accounts that time alone can make speak."""
        self._reasons = ReasonsQueue[str](policy)
        self._unpaid = Unpaid[str](policy)
        self.breaker, self.stakes = Breaker(policy.breaker), Stakes(policy)
        self._replaced: dict[str, AccountState] = {}
        """States before the inputs that nobody has judged yet."""
        self.screened = self.exact = self.exact_routed = self.boxed = 0
        self.routed: dict[str, int] = {}
        """Nobody: there is no shortcut to be kept from."""
        self.unboxed: dict[str, int] = {}
        self.failures: list[Failure] = []

    def anew(self, policy: Policy) -> "PlainBook":
        """See `AccountBook.anew`."""
        book = PlainBook(policy)
        book.breaker.load(self.breaker.state)
        book.screened, book.exact, book.exact_routed = self.screened, self.exact, self.exact_routed
        return book

    def put(self, state: AccountState, risk: AccountRisk | None = None) -> None:
        """See `AccountBook.put`."""
        account, before = state.account, self._seen.get(state.account)
        if before is not None and self.breaker.armed:
            self._replaced.setdefault(account, before)
        self._states[account] = state
        seen = nothing_of(state) if state.unjudged else listed_part(state, self._policy)
        new = tried(self, account, partial(self._symbols, seen))
        if new is None:
            return
        self._seen[account] = seen
        for symbol in self._held.get(account, set()) - new:
            self._holders[symbol].discard(account)
        for symbol in new:
            self._holders[symbol].add(account)
        self._held[account] = new
        if state.unjudged:
            self._forget(account)
        if risk is not None:
            self._remember(risk)

    def put_all(self, states: Iterable[AccountState]) -> None:
        """See `AccountBook.put_all`."""
        for state in states:
            self.put(state)

    def load(self, stored: Iterable[bytes], risks: Mapping[str, AccountRisk]) -> None:
        """See `AccountBook.load`."""
        for _ in self.load_in_parts(stored, risks):
            pass

    def load_in_parts(
        self,
        stored: Iterable[bytes],
        risks: Mapping[str, AccountRisk],
        parts: Sequence[bytes] = (),  # noqa: ARG002 - nothing is in them
        outdated: AbstractSet[str] = frozenset(),  # noqa: ARG002
    ) -> Iterator[None]:
        """See `AccountBook.load_in_parts`: one account each."""
        for state in map(decode, stored):
            self.put(state, risks.get(state.account))
            yield

    @property
    def edition(self) -> str:
        """See `AccountBook.edition`."""
        return "plain"

    def packed_in_parts(self) -> Iterator[PackedPart]:
        """See `AccountBook.packed_in_parts`: every account is left out."""
        yield PackedPart(b"", list(self._states))

    def state(self, account: str) -> AccountState | None:
        """See `AccountBook.state`."""
        return self._states.get(account)

    def set_apart(self, account: str, error: Exception) -> None:
        """See `AccountBook.set_apart`."""
        self.fail(account, error)

    def fail(self, key: str, error: Exception, risk: AccountRisk | None = None) -> None:
        """See `SetsApart.fail`."""
        state = self._states[key]
        if state.unjudged:
            raise error
        self.failures.append(Failure(state, error))
        if risk is not None:
            self._risks[key] = risk
        self.put(not_judged(state))

    def is_apart(self, key: str) -> bool:
        """See `Court.is_apart`."""
        return self._states[key].unjudged

    def risk(self, account: str) -> AccountRisk:
        """See `AccountBook.risk`."""
        return self._risks.get(account) or AccountRisk(account)

    def accounts(self) -> Iterator[str]:
        """See `AccountBook.accounts`."""
        return iter(sorted(self._states))

    def judge(self, accounts: Sequence[str], inputs: Sequence[InputsTaken] = ()) -> Slices:
        """See `AccountBook.judge`."""
        yield from self._judge(accounts, Occasion("batch", self._view.time_ns, inputs=tuple(inputs)))
        self._replaced.clear()

    def judge_all(self) -> Slices:
        """See `AccountBook.judge_all`."""
        yield from self._judge(self.accounts(), Occasion("start", self._view.time_ns))

    def judge_held(self) -> Slices:
        """See `AccountBook.judge_held`."""
        yield from self._judge(sorted(self.breaker.held), Occasion("void", self._view.time_ns))

    @property
    def reasons_due(self) -> dict[Trigger, int]:
        """See `AccountBook.reasons_due`."""
        return self._reasons.due

    def reasons(self, accounts_max: int) -> list[Judgement]:
        """See `AccountBook.reasons`."""
        said = []
        view = self._view
        for _, judgement in self._reasons.said(accounts_max, self, view.prices, view.time_ns):
            self._remember(judgement.risk)
            said.append(judgement)
        return said

    def on_instants(self, instants: Sequence[Instant]) -> Slices:
        """See `AccountBook.on_instants`."""
        for instant in instants:
            concerned = self._view.take(instant)
            for mark in instant.marks:
                self.screened += len(self._holders[mark.symbol])
                concerned.add(mark.symbol)
            occasion = Occasion("instant", instant.name.time_ns, instant.name)
            yield from self._judge(self._holding(concerned), occasion)

    def prime(self, marks: Sequence[Mark], prices: Prices) -> None:
        """See `AccountBook.prime`."""
        self._view.prime(marks, prices)
        self._replaced.clear()
        self.breaker.pass_time(self._view.time_ns, self.prices_now, anew=True)

    def on_clock(self, prices: Prices) -> Slices:
        """See `AccountBook.on_clock`."""
        changed = self._view.pass_time(prices)
        self.breaker.pass_time(self._view.time_ns, self.prices_now)
        concerned = sorted({*self._timed, *self._holding(changed)})
        yield from self._judge(concerned, Occasion("clock", self._view.time_ns))

    def concerned(self, symbol: str) -> Concerned:
        """See `AccountBook.concerned`."""
        holders = sorted(self._holders[symbol])
        pools = [figures for name in holders if (figures := self._cross(name)) is not None]
        return Concerned(len(pools), sum(float(figures.equity) for figures in pools))

    def look_at_unpaid(self, accounts_max: int) -> Iterator[None]:
        """See `AccountBook.look_at_unpaid`."""
        for name in self._unpaid.next(accounts_max):
            look = partial(self._unpaid.look, name, *self.called(name), self._view.prices)
            tried(self, name, look)
            yield

    @property
    def unpaid(self) -> Mapping[str, Decimal]:
        """See `AccountBook.unpaid`."""
        return self._unpaid.by_contract

    def totals(self, edges: Sequence[Decimal]) -> Totals:
        """See `AccountBook.totals`."""
        bands: Counter[Band] = Counter()
        isolated: Counter[Band] = Counter()
        below = dict.fromkeys(edges, 0)
        degraded = stopped = 0
        equity = maintenance = 0.0
        for account in list(self._states):
            pools = self.risk(account).pools
            bands[pools.get(CROSS, _WELL).band] += 1
            isolated.update(pools.get(symbol, _WELL).band for symbol in open_isolated(self._seen[account]))
            degraded += any(pool.degraded for pool in pools.values())
            figures = self._cross(account) or NOTHING
            stopped += self._states[account].stopped
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
        accounts = ((state, pools_now(self.risk(name))) for name, state in self._seen.items())
        yield exactly(heat_map(accounts, points, self._policy), self._policy)

    def called(self, key: str) -> tuple[AccountState, AccountRisk]:
        """See `Court.called`."""
        return self._seen[key], self.risk(key)

    def headings(self, keys: Sequence[str]) -> list[int]:
        """See `Court.headings`: always by exact figures."""
        return [UNCERTAIN] * len(keys)

    def heading(self, key: str) -> int:
        """See `Court.heading`."""
        worst = worst_by_figures(self._seen[key], self._view.prices, self._policy)
        return heading_for(worst, self.risk(key), self._view.time_ns, self._policy.ladder)

    def judged(
        self, _key: str, state: AccountState, risk: AccountRisk, occasion: Occasion, *, detailed: bool
    ) -> Judgement:
        """See `Court.judged`."""
        self.exact += 1
        judgement = judge(
            state, risk, self._view.prices, self._view.time_ns, self._policy,
            occasion.time_ns if occasion.instant else None, detailed=detailed, hold=self.breaker.hold,
        )  # fmt: skip
        self._remember(judgement.risk)
        return judgement

    def state_before(self, key: str) -> AccountState | None:
        """See `Court.state_before`."""
        return self._replaced.get(key)

    def whole(self) -> Stake:
        """See `Court.whole`."""
        prices, stake = self.breaker.before, self.stakes.stake
        accounts, interest, equity = 0, 0.0, 0.0
        for state in self._seen.values():
            holdings = self.stakes.holdings(state)
            accounts += any(it.exposed for it in holdings)
            interest += stake(holdings, (), prices).open_interest
            equity += sum(self.stakes.worth(it, prices) for it in holdings)
        return Stake(accounts, interest, equity)

    def prices_now(self) -> dict[str, float]:
        """See `Court.prices_now`."""
        return {symbol: float(mark.price) for symbol, mark in self._view.marks.items()}

    def _judge(self, accounts: Iterable[str], occasion: Occasion) -> Slices:
        return hear(self, accounts, occasion)

    def _cross(self, account: str) -> Figures | None:
        """Figures of the shared pool, for those who count them; None of one that is set apart, or is now."""
        if self.is_apart(account):
            return None
        state, prices = self._seen[account], self._view.prices
        return tried(self, account, lambda: pool_figures(state, CROSS, prices, self._policy))

    def _forget(self, account: str) -> None:
        """Nobody judges the account: it has nothing to say, and nothing counts of it."""
        self._timed.discard(account)
        self._reasons.drop(account)
        self._unpaid.drop(account)

    def _remember(self, risk: AccountRisk) -> None:
        self._risks[risk.account] = risk
        if self.is_apart(risk.account):
            return
        timed = any(due_ns(pool, self._policy) is not None for pool in risk.pools.values())
        (self._timed.add if timed else self._timed.discard)(risk.account)
        if not risk.held_pools:
            self.breaker.let_go(risk.account)
        self._reasons.put(risk.account, risk)
        self._unpaid.put(risk.account, risk)

    def _holding(self, symbols: Iterable[str]) -> list[str]:
        """The accounts that hold any of these symbols, or collateral priced by one, sorted."""
        return sorted(set().union(*(self._holders[symbol] for symbol in symbols)))

    def _symbols(self, state: AccountState) -> set[str]:
        symbols = price_symbols_of(state, CROSS, self._policy)
        for symbol in state.isolated:
            symbols |= price_symbols_of(state, symbol, self._policy)
        return symbols
