"""Boxes of one book's accounts: asked for after each exact judgement, with a record of who has none and why."""

from collections import Counter
from collections.abc import Callable, Mapping

from engine.accounts import AccountState
from engine.book.boxes.facts import Facts
from engine.book.boxes.reach import Box, box
from engine.book.boxes.swing import UnboundedError
from engine.book.encode import Need
from engine.book.expressible import has_pool_orders
from engine.effects import AccountRisk
from engine.judgement import CROSS, pool_figures
from engine.ladder import LadderState
from engine.margin.figures import Figures
from engine.margin.isolated import judged_isolated
from engine.marks import Prices
from engine.policy import Policy

_WELL = LadderState()
_NEAR = "near_a_line"
_LEAVING = "recovering_degraded"


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
        try:
            pools = self._pools(state, risk, cross, prices)
            found = None if pools is None else box(state, pools, prices, self.facts, self._policy)
            missing = _LEAVING if pools is None else _NEAR
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
    ) -> Mapping[str, tuple[Need, Figures]] | None:
        """Of each pool whose figures can move: what it needs, and its figures now."""
        pools = {}
        # a pool without anything in it stays as it was just judged, until its hold timer runs out
        shared = state.balances or state.positions or has_pool_orders(state)
        for pool in (*((CROSS,) if shared else ()), *judged_isolated(state)):
            need = self._need(risk.pools.get(pool, _WELL))
            if need is None:
                return None
            figures = cross if pool == CROSS else pool_figures(state, pool, prices, self._policy)
            pools[pool] = need, figures
        return pools
