"""A named scenario of stress: how far each coin and its implied volatility moved over a real window, read from TOML text.

price then        price * (1 + move)
volatility then   volatility * (1 + change)
realisable then   min(share that marks state, realisable share of the scenario)        of profits, where the policy caps them

A coin that the scenario does not name moves by `others` (currencies then stay); a named one that the policy does not price
is left out. Moves of all coins are taken at one moment of the window, so that they belong together.
"""

import tomllib
from datetime import datetime
from decimal import Decimal, InvalidOperation

import msgspec

from engine.analytics.what_if import EVERYTHING, Market, is_target
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO, amount_fault, exact
from engine.policy import Policy
from engine.policy.rules.requirements import amounts_of
from engine.policy.rules.tables import Table


class ScenarioError(ValueError):
    """The text is no scenario; the message names the key and the rule it breaks."""


class StressScenario(Table, frozen=True, kw_only=True):
    """Moves as fractions: -0.3 is a fall of 30 %."""

    name: str
    about: str
    """What happened, for people."""
    begins: datetime
    ends: datetime
    """The moment at which the moves are taken."""
    sources: tuple[str, ...]
    prices: dict[str, Decimal]
    """By coin, from `begins` to `ends`."""
    others: Decimal = ZERO
    """Of every coin that is not named."""
    volatilities: dict[str, Decimal] = msgspec.field(default_factory=dict)
    """By underlying: relative change of the implied volatility of its options."""
    volatility_others: Decimal = ZERO
    realisable_share: Decimal = ONE
    """Of all profits in a contract, the most that its losing side can still pay then, 0..1; 1 leaves what marks state."""


def parse_scenario(text: str) -> StressScenario:
    """Read and check a scenario. Raises `ScenarioError`."""
    try:
        found = msgspec.convert(tomllib.loads(text, parse_float=Decimal), StressScenario)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"not valid TOML: {error}") from None
    except (msgspec.ValidationError, ValueError, RecursionError, InvalidOperation) as error:
        raise ScenarioError(str(error)) from None
    for key, amount in amounts_of("", found):
        if amount_fault(amount) is not None:
            raise ScenarioError(f"{key}: must be finite and within the digit bounds")
        if not _falls_within(key, amount):
            raise ScenarioError(
                f"{key}: a price cannot fall by 100 % or more, a volatility not by more than that"
            )
    if not ZERO <= found.realisable_share <= ONE:
        raise ScenarioError("realisable_share: must lie in 0..1")
    if not found.prices:
        raise ScenarioError("prices: names no coin")
    if found.ends <= found.begins:
        raise ScenarioError("ends: must lie after begins")
    return found


def _falls_within(key: str, amount: Decimal) -> bool:
    return amount >= -ONE if key.startswith("volatilit") else amount > -ONE


def scenario_prices(scenario: StressScenario, prices: Prices, policy: Policy) -> Prices:
    """The prices after the scenario."""
    with exact():
        factors = {
            name: ONE + move
            for name, move in {EVERYTHING: scenario.others, **scenario.prices}.items()
            if is_target(name, policy)
        }
        named = {EVERYTHING: scenario.volatility_others, **scenario.volatilities}
        # a target has a factor of each kind: what is not named of it is as for the others
        volatilities = {name: ONE + named.get(name, scenario.volatility_others) for name in factors}
    moved = Market(factors, prices, policy).at(factors, volatilities)
    return _realisable(moved, scenario.realisable_share, policy)


def _realisable(prices: Prices, share: Decimal, policy: Policy) -> Prices:
    """The prices, of profits in each contract at most this share realisable."""
    if share == ONE:
        return prices
    capped = {
        symbol: msgspec.structs.replace(mark, realisable_share=share)
        for symbol in policy.profit_capped
        if (mark := prices.marks.get(symbol)) is not None
        and (mark.realisable_share is None or mark.realisable_share > share)
    }
    return msgspec.structs.replace(prices, marks={**prices.marks, **capped})


def left_out(scenario: StressScenario, policy: Policy) -> tuple[str, ...]:
    """Coins of the scenario that the policy does not price."""
    return tuple(sorted(name for name in scenario.prices if not is_target(name, policy)))
