"""How far the whole market may move until an account reaches a line of the ladder, and how that is said."""

from collections.abc import Mapping
from decimal import Decimal

from rich.text import Text

from engine.analytics.line_move import LineMove, line_moves
from engine.analytics.weighting import Weighting
from engine.ladder import Band
from engine.ledger.accounts import AccountState
from engine.marks.mark_book import Prices
from engine.policy import Ladder, Policy
from streams.config.terminal import amount

_PERCENT_PLACES = 2
_LINES_SHOWN = (Band.MARGIN_CALL, Band.LIQUIDATION)


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


def moves_lines(moves: Mapping[Band, LineMove], beta_moves: Mapping[Band, LineMove]) -> Text:
    """The moves in two lines."""
    words = "down / up until the shared pool is on the line of"
    text = f"whole market {words} {_said(moves)}\nthe same with every coin by its beta: {_said(beta_moves)}"
    return Text(text, style="dim")


def _said(moves: Mapping[Band, LineMove]) -> str:
    return ", ".join(
        f"{band} {percent(moves[band].down)} / {percent(moves[band].up)}" for band in _LINES_SHOWN
    )


def percent(fraction: Decimal | None) -> str:
    """A move for people, with its sign; "never" for None."""
    if fraction is None:
        return "never"
    return f"{'+' if fraction > 0 else ''}{amount(fraction * 100, _PERCENT_PLACES)} %"
