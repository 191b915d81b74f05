"""The markets that a question about stress names: moves in percent, and days of history that ship with the package."""

from collections.abc import Sequence
from decimal import Decimal

from engine.analytics.stress_scenario import StressScenario
from engine.numbers import ZERO
from streams.config.market_moves import moves_of
from streams.config.stress_scenarios import shipped_scenarios
from streams.desk.problem_details import mistaken


def asked_moves(field: str, text: str) -> tuple[Decimal, ...]:
    """Moves as fractions, ascending. Raises `Refused`."""
    try:
        return moves_of(text)
    except ValueError as error:
        raise mistaken(f"{field}: {error}") from None


def fractions_of(field: str, text: str) -> tuple[Decimal, ...]:
    """The same and 0. Raises `Refused`."""
    return tuple(sorted({*asked_moves(field, text), ZERO}))


def chosen_scenarios(names: Sequence[str]) -> list[StressScenario]:
    """Those of these names, or all that ship: a client names no file of this machine. Raises `Refused`."""
    shipped = {it.name: it for it in shipped_scenarios()}
    unknown = [name for name in names if name not in shipped]
    if unknown:
        raise mistaken(f"scenario: {', '.join(map(repr, unknown))}: none of {', '.join(shipped)}")
    return [shipped[name] for name in names] if names else list(shipped.values())
