"""Strategies of the engine's properties.

Policies, prices and accounts are drawn from a seed by the generators of the second implementation, so that a property
ranges over every switch; what a property itself is about is drawn by Hypothesis, so that it shrinks.
"""

from random import Random

import msgspec
from hypothesis import settings
from hypothesis import strategies as st

from engine.ledger.accounts import AccountState
from engine.marks.mark_book import Prices
from engine.policy import Policy
from tests.engine.reference.draw_account import draw_account, draw_prices
from tests.engine.reference.draw_options import with_options
from tests.engine.reference.draw_policy import draw_policy

thorough = settings(max_examples=300, deadline=None)
"""Of properties over every switch: many examples, and no deadline for a busy machine to miss."""

seeds = st.integers(0, 2**32 - 1)


class Case(msgspec.Struct, frozen=True):
    """An account, the prices it is judged at, and the policy it is judged by."""

    state: AccountState
    prices: Prices
    policy: Policy


def drawn_case(seed: int, *, options: bool) -> Case:
    """The case of a seed."""
    random = Random(seed)
    policy = draw_policy(random)
    if options:
        policy = with_options(random, policy)
    prices = draw_prices(random, policy)
    return Case(draw_account(random, policy, prices), prices, policy)


cases = st.builds(drawn_case, seeds, options=st.booleans())
"""Under any policy, with prices that may be stale or missing."""


def entries(kind, **fields):
    """Ledger entries of one kind."""
    return st.builds(kind, account=st.just("alice"), entry_id=st.just("e"), time_ns=st.just(0), **fields)
