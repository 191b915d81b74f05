"""Messages of named accounts, as plain as they get."""

import itertools
import time
from decimal import Decimal

from engine.inputs import Deposit, Fill, Mark, Resume

_ids = itertools.count(1)
MARKS = {"BTC-PERP": "50000", "ETH-PERP": "3000", "BTC-USD": "50000", "USDT-USD": "1"}
"""Enough for accounts that hold USDT, BTC and these two contracts."""


def deposit(account: str, amount: str = "1000", asset: str = "USDT", **fields: object) -> Deposit:
    """A credit."""
    made = {"entry_id": f"d-{next(_ids)}", "time_ns": time.time_ns(), **fields}
    return Deposit(account=account, asset=asset, amount=Decimal(amount), **made)


def fill(
    account: str, signed: str = "0.1", symbol: str = "BTC-PERP", price: str = "50000", **fields: object
) -> Fill:
    """A cross fill."""
    quantity = Decimal(signed)
    made = {"trade_id": f"t-{next(_ids)}", "time_ns": time.time_ns(), **fields}
    return Fill(
        account=account,
        symbol=symbol,
        side="buy" if quantity > 0 else "sell",
        quantity=abs(quantity),
        price=Decimal(price),
        **made,
    )


def resume(account: str, **fields: object) -> Resume:
    """An operator's word."""
    return Resume(
        account=account, entry_id=f"r-{next(_ids)}", time_ns=time.time_ns(), reason="looked into", **fields
    )


def mark(symbol: str, price: str | None = None, *, ahead_s: float = 0, sequence: int | None = None) -> Mark:
    """A mark, newer than every one before."""
    now_ns = time.time_ns()
    return Mark(
        symbol=symbol,
        price=Decimal(MARKS[symbol] if price is None else price),
        sequence=now_ns // 1000 if sequence is None else sequence,
        time_ns=now_ns + int(ahead_s * 1e9),
    )
