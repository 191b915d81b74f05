"""How far the whole market may move until an account reaches a line of the ladder, and how that is said."""

from collections.abc import Mapping
from decimal import Decimal

from rich.text import Text

from engine.accounts import AccountState
from engine.analytics.uniform_move import LineMove, uniform_moves
from engine.ladder import Band
from engine.marks import Prices
from engine.policy import Ladder, Policy
from streams.commands.output import amount

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


def market_moves(state: AccountState, prices: Prices, policy: Policy) -> dict[Band, LineMove]:
    """The moves of the whole market that bring the shared pool to each line, by the band that begins below it."""
    lines = lines_of(policy.ladder)
    return dict(zip(lines, uniform_moves(state, prices, policy, list(lines.values())), strict=True))


def moves_line(moves: Mapping[Band, LineMove]) -> Text:
    """The moves in one line."""
    said = [f"{band} {percent(moves[band].down)} / {percent(moves[band].up)}" for band in _LINES_SHOWN]
    words = "whole market down / up until the shared pool is on the line of "
    return Text(words + ", ".join(said), style="dim")


def percent(fraction: Decimal | None) -> str:
    """A move for people, with its sign; "never" for None."""
    if fraction is None:
        return "never"
    return f"{'+' if fraction > 0 else ''}{amount(fraction * 100, _PERCENT_PLACES)} %"
