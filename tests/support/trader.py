"""Seeded accounts: what the exchange sends about them, from first deposit to any number of fills."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from engine.inputs import (
    AccountInput,
    Deposit,
    Fee,
    Fill,
    FundingPayment,
    IsolatedTransfer,
    LeverageSetting,
    MarginMode,
    Topic,
    Withdrawal,
)
from tests.support.market import Market
from tests.support.sender import topic_of

CONTRACTS = {"BTC-PERP": 1, "ETH-PERP": 1, "SOL-PERP": 10, "USD-PERP": 1, "ADA-PERP": 1}
"""Multipliers."""
MAINTENANCE_RATE = 0.05
RATIO_MIN, RATIO_MAX = 0.98, 2.0
"""Where accounts start, as collateral value / maintenance margin."""


class Trader:
    """One account. Every second one of them (`numbered`) sends `account_seq`."""

    def __init__(self, account: str, rng: random.Random, market: Market, *, numbered: bool) -> None:
        self.account = account
        self._rng, self._market, self._numbered = rng, market, numbered
        self._counts: Counter[Topic] = Counter()
        self._ids = 0
        self._targets: dict[tuple[str, MarginMode], Decimal] = {}
        self._held: dict[tuple[str, MarginMode], Decimal] = {}

    def opening(self) -> Iterator[AccountInput]:
        """Deposits, settings and first fills."""
        symbols = self._rng.sample(sorted(CONTRACTS), self._rng.randint(1, 3))
        notionals = {symbol: self._rng.uniform(5_000, 40_000) for symbol in symbols}
        ratio = self._rng.uniform(RATIO_MIN, RATIO_MAX)
        equity = ratio * MAINTENANCE_RATE * sum(notionals.values())
        in_coin = self._rng.choice((0.0, 0.0, 0.0, 0.4))
        yield self._deposit("USDT", equity * (1 - in_coin))
        if in_coin:
            yield self._deposit("BTC", equity * in_coin / float(self._market.price("BTC-USD")))
        yield self._ledger(LeverageSetting, symbol=symbols[0], leverage=Decimal(self._rng.randint(2, 20)))
        for symbol, notional in notionals.items():
            yield from self._open(symbol, MarginMode.CROSS, notional)
        if self._rng.random() < 0.5:
            symbol = self._rng.choice(sorted(CONTRACTS))
            notional = self._rng.uniform(2_000, 10_000)
            margin = notional * MAINTENANCE_RATE * self._rng.uniform(RATIO_MIN, RATIO_MAX)
            yield self._deposit("USDT" if symbol != "USD-PERP" else "USD", margin)
            yield from self._open(symbol, MarginMode.ISOLATED, notional, margin)

    def next(self) -> AccountInput:
        """One more message."""
        (symbol, mode), _ = self._rng.choice(sorted(self._targets.items()))
        kind = self._rng.random()
        if kind < 0.6:
            return self._trade(symbol, mode)
        if kind < 0.7:
            return self._ledger(FundingPayment, symbol=symbol, amount=self._around(0, 5), margin_mode=mode)
        if kind < 0.8:
            return self._ledger(Fee, asset="USDT", amount=self._around(0.5, 0.5))
        if kind < 0.9 and mode is MarginMode.ISOLATED:
            return self._ledger(IsolatedTransfer, symbol=symbol, amount=self._around(0, 20))
        if kind < 0.93:
            return self._ledger(LeverageSetting, symbol=symbol, leverage=Decimal(self._rng.randint(2, 20)))
        amount = abs(self._around(40, 15))
        return self._ledger(self._rng.choice((Deposit, Withdrawal)), asset="USDT", amount=amount)

    def _open(
        self, symbol: str, mode: MarginMode, notional: float, margin: float = 0.0
    ) -> Iterator[AccountInput]:
        price = float(self._market.price(symbol))
        quantity = Decimal(f"{notional / price / CONTRACTS[symbol]:.4f}")
        self._targets[symbol, mode] = quantity
        side = self._rng.choice((1, -1))
        yield self._fill(symbol, mode, side * quantity, Decimal(f"{margin:.2f}"))

    def _trade(self, symbol: str, mode: MarginMode) -> Fill:
        target, held = self._targets[symbol, mode], self._held[symbol, mode]
        part = self._rng.random()
        if part < 0.05:
            signed = -held  # close
        elif part < 0.1:
            signed = -2 * held  # flip
        else:
            size = target * Decimal(f"{self._rng.uniform(0.02, 0.2):.3f}")
            away = 1 if held >= 0 else -1
            signed = size * (away if abs(held) < target else -away)
        return self._fill(symbol, mode, signed or target)

    def _fill(self, symbol: str, mode: MarginMode, signed: Decimal, margin: Decimal = Decimal(0)) -> Fill:
        signed = signed.quantize(Decimal("0.000001"))
        self._held[symbol, mode] = self._held.get((symbol, mode), Decimal(0)) + signed
        price = self._market.price(symbol)
        return self._numbered_input(
            Fill,
            trade_id=self._id("t"),
            symbol=symbol,
            side="buy" if signed > 0 else "sell",
            quantity=abs(signed),
            price=price,
            fee=(abs(signed) * price / 10_000).quantize(Decimal("0.000001")),
            margin_mode=mode,
            margin_transfer=margin,
        )

    def _deposit(self, asset: str, amount: float) -> Deposit:
        digits = 6 if asset == "BTC" else 2
        return self._ledger(Deposit, asset=asset, amount=Decimal(f"{amount:.{digits}f}"))

    def _ledger(self, kind: type, **fields: object) -> AccountInput:
        return self._numbered_input(kind, entry_id=self._id("e"), **fields)

    def _numbered_input(self, kind: type, **fields: object) -> AccountInput:
        message = kind(account=self.account, time_ns=time.time_ns(), **fields)
        if not self._numbered:
            return message
        topic = topic_of(message)
        self._counts[topic] += 1
        return kind(account=self.account, time_ns=message.time_ns, account_seq=self._counts[topic], **fields)

    def _around(self, middle: float, spread: float) -> Decimal:
        return Decimal(f"{self._rng.gauss(middle, spread):.4f}")

    def _id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}-{self.account}-{self._ids}"
