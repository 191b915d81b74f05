"""Made-up accounts: wealth, style, leverage and the inputs that bring each of them about.

Rules
-----
* An account's inputs are a function of policy, start prices, seed and account number alone, so any account can be
  made again at any time and none needs to be kept.
* At the start prices every pool covers its initial margin and stands well above the warning line, except the
  `WEAK_SHARE` of accounts whose positions have already moved against them: those begin below it.
* Inputs commute by topic; within a topic they come in the order of `account_seq`, which counts from 1.

Sizes are chosen in float, because they are nobody's money yet; what is written is rounded to the instrument's step.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_DOWN, Decimal
from random import Random

import msgspec

from engine.inputs import AccountInput, Deposit, Fill, LeverageSetting, MarginMode
from engine.policy import Policy
from engine.policy.rules.policy_switches import InstrumentKind
from streams.exchange.traders.contracts import (
    MAKER_FEE,
    MONEY,
    TAKER_FEE,
    Contract,
    account_id,
    contracts,
    entry_id,
    trade_id,
)
from streams.exchange.traders.styles import STYLES, Style

WEAK_SHARE = 0.015
WEAK_RATIOS = (1.28, 1.44)
"""Portfolio margin ratio at which a weak account begins: between the sample policy's call and warning lines."""
IM_USED_MAX = 0.85
"""Initial margin at the start, at most this part of collateral value."""
RATIO_MIN = 1.9
"""Portfolio margin ratio at the start, at least."""
ISOLATED_BUDGET = (0.05, 0.25)
"""Part of the wallet that goes into one isolated position's margin."""
ISOLATED_LEVERAGES = (2, 3, 3, 5, 5, 10, 20)
LEVERAGES = (3, 5, 10, 20, 25, 50, 75, 100)
ENTRY_NOISE = 0.001
"""Standard deviation of an entry price around the start price."""
WEALTH_MAX = 30_000_000


class _Leg(msgspec.Struct, frozen=True):
    """A cross position to be opened; `notional` > 0 is long."""

    contract: Contract
    notional: float
    leverage: int


class Population:
    """`accounts` made-up accounts, numbered from 1."""

    def __init__(
        self,
        policy: Policy,
        accounts: int,
        seed: int,
        prices: Mapping[str, Decimal],
        styles: Sequence[Style] = STYLES,
        favoured: Mapping[str, float] | None = None,
    ) -> None:
        """Prepare the market. `prices`: start price of every price symbol of the policy; `favoured`: weights of some deposits."""
        self.policy = policy
        self.styles = styles
        self.favoured = favoured or {}
        self.accounts = accounts
        self.seed = seed
        self.contracts = contracts(policy, prices)
        self._popularity = [
            1 / rank for rank in range(1, len(self.contracts) + 1)
        ]  # Zipf, in the policy's order
        self._index = {
            name: float(prices[asset.index]) if asset.index else 1.0 for name, asset in policy.assets.items()
        }

    def inputs(self, time_ns: int) -> Iterator[AccountInput]:
        """The inputs of every account, all dated `time_ns`: account after account, ledger before fills."""
        for number in range(1, self.accounts + 1):
            yield from self.account_inputs(number, time_ns)

    def account_inputs(self, number: int, time_ns: int) -> list[AccountInput]:
        """The inputs that open account `number`, ledger entries before fills."""
        rng = self._dice(number)
        return _Account(self, number, time_ns, self._style(rng), rng).open()

    def style(self, number: int) -> Style:
        """What kind of trader account `number` is."""
        return self._style(self._dice(number))

    def pick(self, rng: Random, count: int) -> list[Contract]:
        """Up to `count` different perpetuals, the first listed most often."""
        return list(dict.fromkeys(rng.choices(self.contracts, self._popularity, k=count)))

    def index(self, asset: str) -> float:
        """Start price of `asset` in account currency."""
        return self._index[asset]

    def _dice(self, number: int) -> Random:
        return Random(f"{self.seed}:{number}")  # noqa: S311 - a demo's dice, not a secret

    def _style(self, rng: Random) -> Style:
        return rng.choices(self.styles, [style.share for style in self.styles])[0]


class _Account:
    """Writes down the inputs of one account."""

    def __init__(self, population: Population, number: int, time_ns: int, style: Style, rng: Random) -> None:
        self._style = style
        self._population, self._number, self._time_ns, self._rng = population, number, time_ns, rng
        self._account = account_id(number)
        self._ledger: list[AccountInput] = []
        self._fills: list[AccountInput] = []
        self._collateral = 0.0
        """Collateral value in account currency, before positions."""

    def open(self) -> list[AccountInput]:
        rng, style = self._rng, self._style
        wealth = min(
            style.wealth_median * math.exp(rng.gauss(0, style.wealth_sigma)) * rng.paretovariate(2.5),
            WEALTH_MAX,
        )
        legs = self._legs(style, wealth)
        isolated = style.isolated_share > rng.random()
        weak = rng.random() < WEAK_SHARE
        if weak or isolated:
            self._deposit(legs[0].contract.settle, wealth)
        else:
            self._deposit_mixed(style, wealth, legs)
        if isolated:
            self._open_isolated(wealth)
        if weak:  # the highest leverage leaves initial margin to the tiers
            legs = [_Leg(leg.contract, leg.notional, LEVERAGES[-1]) for leg in legs]
        self._open_cross(style, legs, weak=weak)
        return self._ledger + self._fills

    def _legs(self, style: Style, wealth: float) -> list[_Leg]:
        """Positions as the style wants them; `_open_cross` cuts them to what the collateral bears."""
        rng = self._rng
        wanted = self._population.pick(rng, rng.randint(*style.positions))
        gross = wealth * min(style.leverage_median * math.exp(rng.gauss(0, style.leverage_sigma)), 60)
        parts = [rng.expovariate(1) + 0.1 for _ in wanted]
        first_side = 1 if rng.random() < style.long_share else -1
        legs = []
        for i, contract in enumerate(wanted):
            if style.alternating:
                side = first_side * (-1) ** i
            else:
                side = 1 if rng.random() < style.long_share else -1
            notional = side * gross * parts[i] / sum(parts) / self._population.index(contract.settle)
            legs.append(_Leg(contract, notional, rng.choice(LEVERAGES[style.leverage_from :])))
        return legs

    def _deposit_mixed(self, style: Style, wealth: float, legs: list[_Leg]) -> None:
        """Wealth in one asset or two; a carry trader holds the coin it is short of."""
        rng, policy = self._rng, self._population.policy
        assets = list(policy.assets)
        if style.carries and (base := policy.instruments[legs[0].contract.symbol].base) in policy.assets:
            self._carry(wealth, base, legs[0].contract)
            return
        settled = {leg.contract.settle for leg in legs}
        favoured = self._population.favoured
        weights = [favoured.get(asset, 6.0 if asset in settled else 1.0) for asset in assets]
        first = rng.choices(assets, weights)[0]
        second = rng.choices(assets, weights)[0]
        part = 1.0 if first == second or rng.random() < 0.6 else rng.uniform(0.4, 0.9)  # noqa: PLR2004 - six in ten hold one asset
        self._deposit(first, wealth * part)
        if part < 1:
            self._deposit(second, wealth * (1 - part))

    def _carry(self, wealth: float, coin: str, contract: Contract) -> None:
        """Coins against the short: deposited, or bought with settle asset on the spot market where there is one."""
        policy, rng = self._population.policy, self._rng
        spot = next(
            (
                symbol
                for symbol, instrument in policy.instruments.items()
                if (instrument.kind, instrument.base, instrument.settle)
                == (InstrumentKind.SPOT, coin, contract.settle)
            ),
            None,
        )
        if spot is None or rng.random() < 0.5:  # noqa: PLR2004 - a coin toss
            self._deposit(coin, wealth)
            return
        bought = wealth * 0.8
        self._deposit(contract.settle, wealth)
        factor = self._ratio(coin) - self._ratio(contract.settle)
        self._collateral += bought * factor
        quantity = contract.quantity(bought / self._population.index(contract.settle), contract.price)
        if quantity:
            self._fill(spot, quantity, contract.price, TAKER_FEE)

    def _ratio(self, asset: str) -> float:
        # The last tier has the smallest ratio: a cautious guess for any amount.
        tiers = self._population.policy.assets[asset].tiers
        return float(tiers[-1].ratio)

    def _deposit(self, asset: str, value: float) -> None:
        amount = Decimal(value / self._population.index(asset)).quantize(MONEY, ROUND_DOWN)
        self._ledger.append(
            Deposit(
                account=self._account,
                time_ns=self._time_ns,
                account_seq=len(self._ledger) + 1,
                entry_id=entry_id(self._number, len(self._ledger) + 1),
                asset=asset,
                amount=max(amount, MONEY),
            )
        )
        self._collateral += value * self._ratio(asset)

    def _set_leverage(self, symbol: str, leverage: int) -> None:
        self._ledger.append(
            LeverageSetting(
                account=self._account,
                time_ns=self._time_ns,
                account_seq=len(self._ledger) + 1,
                entry_id=entry_id(self._number, len(self._ledger) + 1),
                symbol=symbol,
                leverage=Decimal(leverage),
            )
        )

    def _open_isolated(self, wealth: float) -> None:
        """One position with ring-fenced margin = notional / leverage, paid from the wallet."""
        rng = self._rng
        (contract,) = self._population.pick(rng, 1)
        margin = wealth / self._population.index(contract.settle) * rng.uniform(*ISOLATED_BUDGET)
        leverage = rng.choice(ISOLATED_LEVERAGES)
        quantity = contract.quantity(margin * leverage, contract.price)
        notional = float(quantity * contract.multiplier * contract.price)
        initial, _ = contract.margin(notional, leverage)
        if not quantity or initial > margin * 1.001:  # a tier that does not allow the leverage
            return
        self._set_leverage(contract.symbol, leverage)
        side = 1 if rng.random() < 0.8 else -1  # noqa: PLR2004 - most are long
        self._collateral -= margin * self._population.index(contract.settle)
        self._fill(
            contract.symbol,
            quantity * side,
            contract.price,
            TAKER_FEE,
            margin_transfer=Decimal(margin).quantize(MONEY, ROUND_DOWN),
        )

    def _open_cross(self, style: Style, legs: list[_Leg], *, weak: bool) -> None:
        scale = self._affordable(legs, weak=weak)
        margins = [leg.contract.margin(abs(leg.notional) * scale, leg.leverage) for leg in legs]
        maintenance = self._in_account_currency(legs, [mm for _, mm in margins])
        gross = self._in_account_currency(legs, [abs(leg.notional) * scale for leg in legs])
        # A weak account entered at worse prices: its loss is what leaves it at the ratio drawn.
        loss = self._collateral - self._rng.uniform(*WEAK_RATIOS) * maintenance if weak and gross else 0.0
        for leg in legs:
            quantity = leg.contract.quantity(abs(leg.notional) * scale, leg.contract.price)
            if not quantity:
                continue
            side = 1 if leg.notional > 0 else -1
            if leg.leverage != self._population.policy.leverage_default:
                self._set_leverage(leg.contract.symbol, leg.leverage)
            worse = side * loss / gross if weak else self._rng.gauss(0, ENTRY_NOISE)
            price = (leg.contract.price * Decimal(1 + worse)).quantize(leg.contract.price)
            fee = MAKER_FEE if style.alternating else TAKER_FEE
            self._fill(leg.contract.symbol, quantity * side, price, fee)

    def _affordable(self, legs: list[_Leg], *, weak: bool) -> float:
        """By how much to shrink the legs so that the account may open them; a weak one uses all it may."""
        margins = [leg.contract.margin(abs(leg.notional), leg.leverage) for leg in legs]
        initial = self._in_account_currency(legs, [im for im, _ in margins])
        maintenance = self._in_account_currency(legs, [mm for _, mm in margins])
        scale = self._collateral * min(IM_USED_MAX / initial, 1 / (RATIO_MIN * maintenance))
        return scale if weak else min(1.0, scale)

    def _in_account_currency(self, legs: list[_Leg], amounts: list[float]) -> float:
        return sum(
            amount * self._population.index(leg.contract.settle)
            for leg, amount in zip(legs, amounts, strict=True)
        )

    def _fill(
        self,
        symbol: str,
        signed: Decimal,
        price: Decimal,
        fee_rate: Decimal,
        margin_transfer: Decimal | None = None,
    ) -> None:
        multiplier = self._population.policy.instruments[symbol].multiplier
        sequence = len(self._fills) + 1
        self._fills.append(
            Fill(
                account=self._account,
                time_ns=self._time_ns,
                account_seq=sequence,
                trade_id=trade_id(self._number, sequence),
                symbol=symbol,
                side="buy" if signed > 0 else "sell",
                quantity=abs(signed),
                price=price,
                fee=(abs(signed) * multiplier * price * fee_rate).quantize(MONEY),
                margin_mode=MarginMode.CROSS if margin_transfer is None else MarginMode.ISOLATED,
                margin_transfer=margin_transfer or Decimal(0),
            )
        )
