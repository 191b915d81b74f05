"""How far the whole market may move until an account reaches a line of the ladder, and how that is said."""

from collections.abc import Mapping
from decimal import Decimal

from rich.text import Text

from engine.analytics.line_move import LineMove
from engine.ladder import Band
from streams.config.terminal import amount

_PERCENT_PLACES = 2
_LINES_SHOWN = (Band.MARGIN_CALL, Band.LIQUIDATION)


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
