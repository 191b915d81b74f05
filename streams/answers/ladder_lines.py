"""The lines of the ladder, and how far the whole market may move until an account reaches each."""

from decimal import Decimal

from engine.analytics.line_move import LineMove, line_moves
from engine.analytics.weighting import Weighting
from engine.ladder import Band
from engine.ledger.accounts import AccountState
from engine.marks.mark_book import Prices
from engine.policy import Ladder, Policy


def lines_of(ladder: Ladder) -> dict[Band, Decimal]:
    """The lines of the ladder, as ratios, by the band that begins below each."""
    return {
        Band.WARNING: ladder.warning,
        Band.MARGIN_CALL: ladder.margin_call,
        Band.REDUCE_ONLY: ladder.reduce_only,
        Band.LIQUIDATION: ladder.liquidation,
    }


def market_moves(
    state: AccountState, prices: Prices, policy: Policy, weighting: Weighting
) -> dict[Band, LineMove]:
    """The moves of the whole market that bring the shared pool to each line, by the band that begins below it."""
    lines = lines_of(policy.ladder)
    moves = line_moves(state, prices, policy, list(lines.values()), weighting=weighting)
    return dict(zip(lines, moves, strict=True))
