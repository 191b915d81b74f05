"""Boxes of one book's accounts: asked for after each exact judgement, with a record of who has none and why."""

from collections import Counter
from collections.abc import Callable, Mapping

from engine.book.boxes.mark_facts import Facts
from engine.book.boxes.reach import Box, box
from engine.book.boxes.swing import UnboundedError
from engine.book.encode import Need
from engine.book.expressible import has_pool_orders
from engine.events.effects import AccountRisk
from engine.events.pools import CROSS, pool_figures
from engine.ladder import LadderState
from engine.ledger.accounts import AccountState
from engine.margin.dust import without_dust
from engine.margin.figures import Figures
from engine.margin.isolated_pool import judged_isolated
from engine.marks.mark_book import Prices
from engine.policy import Policy

_WELL = LadderState()
_NEAR = "near_a_line"
_LEAVING = "recovering_degraded"
_DOUBTED = "doubted_price"


class BoxKeeper:
    """Makes boxes; `facts` are the bands that they hold in."""

    def __init__(self, policy: Policy, need: Callable[[LadderState], Need | None]) -> None:
        """`need` is `Encoder.need`."""
        self.facts = Facts(policy)
        self._policy, self._need = policy, need
        self._missing: dict[int, str] = {}
        self._counts: Counter[str] = Counter()

    @property
    def missing(self) -> dict[str, int]:
        """Routed accounts that got no box when last judged, by reason."""
        return {reason: count for reason, count in self._counts.items() if count}

    def around(
        self, number: int, state: AccountState, risk: AccountRisk, cross: Figures, prices: Prices
    ) -> Box | None:
        """The account's box around `prices`, at which it was just judged; `cross` are the figures of its shared pool."""
        self.forget(number)
        found = None
        # what was judged: coins that count nothing may move against those that do
        state = without_dust(state, self._policy)
        try:
            pools = self._pools(state, risk, cross, prices)
            found = None if isinstance(pools, str) else box(state, pools, prices, self.facts, self._policy)
            missing = pools if isinstance(pools, str) else _NEAR
        except (UnboundedError, OverflowError, ZeroDivisionError) as unbounded:
            missing = str(unbounded) if isinstance(unbounded, UnboundedError) else "beyond_floats"
        if found is None:
            self._missing[number] = missing
            self._counts[missing] += 1
        return found

    def forget(self, number: int) -> None:
        """The account changed or gets a new box."""
        missing = self._missing.pop(number, None)
        if missing is not None:
            self._counts[missing] -= 1

    def _pools(
        self, state: AccountState, risk: AccountRisk, cross: Figures, prices: Prices
    ) -> Mapping[str, tuple[Need, Figures]] | str:
        """Of each pool whose figures can move: what it needs, and its figures now; or why there can be no box."""
        pools = {}
        # a pool without anything in it stays as it was just judged, until its hold timer runs out
        shared = state.balances or state.positions or has_pool_orders(state)
        for pool in (*((CROSS,) if shared else ()), *judged_isolated(state)):
            before = risk.pools.get(pool, _WELL)
            need = self._need(before)
            if need is None:
                return _LEAVING
            figures = cross if pool == CROSS else pool_figures(state, pool, prices, self._policy, before)
            if figures.doubted and not before.degraded:
                return _DOUBTED  # whether the verdict hangs on it depends on more than the figures
            pools[pool] = need, figures
        return pools
