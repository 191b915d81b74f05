"""The example: what happens to a few accounts, so that every kind of message is sent or said at least once.

Nothing is typed by hand but the inputs and the prices; every event is what the engine says about them.
"""

from collections.abc import Callable
from decimal import Decimal
from itertools import count
from typing import Any

from engine.events.effects import EventType
from engine.inputs import (
    AccountInput,
    AccountSetting,
    Deposit,
    Fee,
    Fill,
    FundingPayment,
    Interest,
    IsolatedTransfer,
    LeverageSetting,
    MarginMode,
    OrderUpdate,
    Resume,
    Settlement,
    Topic,
    Withdrawal,
)
from engine.liquidation.fund_groups import FundBalance
from engine.liquidation.plan import CancelStep, ReduceStep, Step, TakeOverBalanceStep, TakeOverStep
from engine.policy import parse
from streams.asyncapi.example_shard import ExampleShard
from streams.config.settings import Settings
from streams.contract.operator_command import BreakerRelease, BreakerVoid

POLICY = """
name = "example"
account_currency = "USD"

[prices]
stale_after_seconds = 10
stale_haircut_per_minute = 0.6
future_tolerance_seconds = 2
jump_fraction = 0.1
jump_confirmations = 3

[ladder]
warning = 1.5
margin_call = 1.2
reduce_only = 1.05
liquidation = 1.0
exit_band = 0.02
exit_hold_seconds = 5
call_deadline_seconds = 60
update_check_seconds = 5

[liquidation]
partial = true
fee_rate = 0.0005
slippage_rate = 0.001
conversion_fee_rate = 0.001

[breaker]
accounts_min = 5

[links]
desk = "https://desk.example/accounts/{account}?event={event_id}"

[assets.USD]

[assets.USDT]
index = "USDT-USD"

[assets.BTC]
index = "BTC-USD"
tiers = [{ floor = 0, ratio = 0.95 }]

[[tiers.major]]
floor = 0
maintenance_rate = 0.01
initial_rate = 0.02

[instruments.BTC-USDT-PERP]
kind = "perpetual"
base = "BTC"
settle = "USDT"
tiers = "major"
quantity_step = 0.001

[instruments.ETH-USDT-PERP]
kind = "perpetual"
base = "ETH"
settle = "USDT"
tiers = "major"
quantity_step = 0.001

[instruments.BTC-USDT-261225]
kind = "future"
base = "BTC"
settle = "USDT"
tiers = "major"
quantity_step = 0.001
expiry = 2026-12-25T08:00:00Z
"""

PERP, ETH_PERP, FUTURE = "BTC-USDT-PERP", "ETH-USDT-PERP", "BTC-USDT-261225"

ALICE, BOB, CAROL = "a-1042", "a-2077", "a-3311"
"""Alice lives through every band; Bob holds more than he can pay for; Carol owes, and holds both legs of a contract."""


def example_day(settings: Settings) -> ExampleShard:
    """The shard with all that it took and said."""
    day = _Day(ExampleShard(parse(POLICY), settings))
    day.accounts_open()
    day.prices_fall_and_rise()
    day.prices_stop()
    day.liquidation()
    day.bankruptcy()
    day.a_bad_record()
    day.what_else_moves_an_account()
    day.hedged_and_in_debt()
    day.too_many_at_once()
    day.fund_is_stated()
    day.shard.copy(CAROL)
    return day.shard


class _Day:
    """The chapters of the day, and the exchange that sends the inputs."""

    def __init__(self, shard: ExampleShard) -> None:
        self.shard = shard
        self._numbers = count(1)

    def accounts_open(self) -> None:
        """Alice buys 4 BTC on 15,400 USDT, and has an order resting."""
        self.shard.quote({"USDT-USD": "0.999", "BTC-USD": "60010", ETH_PERP: "3000", FUTURE: "60450"})
        self.shard.quote_one(PERP, "60000", funding_rate="0.0001", open_interest="18250.4")
        self._ledger(Deposit, ALICE, asset="USDT", amount=Decimal(15_400))
        self._ledger(LeverageSetting, ALICE, symbol=PERP, leverage=Decimal(20))
        self._fill(ALICE, PERP, "buy", "4", "60000", fee=Decimal("12.5"))
        self._order(ALICE, "o-881", ETH_PERP, "buy", "2", "2940")

    def prices_fall_and_rise(self) -> None:
        """Down into every band above liquidation and up again, in four episodes; the last call is not met in time."""
        warning, call, reduce_only, well = "56980", "56795", "56734", "58000"
        for bitcoin in (warning, "56900", call, reduce_only, "56725", call, warning, well):
            self._bitcoin(bitcoin)
        for bitcoin in (call, well, reduce_only, well):
            self._bitcoin(bitcoin)
        self._bitcoin(call, seconds=60)
        self._bitcoin(well)

    def prices_stop(self) -> None:
        """No price comes for longer than the policy allows, then they come again; then a single one stops for a while."""
        self.shard.pass_time(11)
        self.shard.quote()
        self.shard.hold_without(PERP, 40)
        self.shard.hold(20)

    def liquidation(self) -> None:
        """Alice is liquidated: half of the plan is executed, a minute passes, the newest plan is executed."""
        self._bitcoin("56650")
        self._execute(share=Decimal("0.5"))
        self.shard.hold(60)
        self._execute()
        self._bitcoin("58000")

    def bankruptcy(self) -> None:
        """Bob's equity is gone at one price; the exchange takes over his position and his bitcoin, and pays what he owes."""
        self._ledger(Deposit, BOB, asset="USDT", amount=Decimal(600))
        self._ledger(Deposit, BOB, asset="BTC", amount=Decimal("0.002"))
        self._fill(BOB, ETH_PERP, "sell", "5", "3000")
        self.shard.quote({ETH_PERP: "3190"})
        self._execute()
        self.shard.hold(10)

    def a_bad_record(self) -> None:
        """A fill that names no price is set aside and stops Bob, until an operator lets him go on."""
        self.shard.send_bytes(
            Topic.FILLS, BOB, b'{"type":"fill","account":"a-2077","trade_id":"t-x","symbol":"ETH-USDT-PERP"}'
        )
        resume = Resume(
            **self._common(BOB), entry_id=self._id("r"), reason="the exchange sent the fill again"
        )
        self.shard.send(Topic.FILLS, resume)

    def what_else_moves_an_account(self) -> None:
        """One of each other input."""
        self._fill(
            ALICE, ETH_PERP, "buy", "1", "3000", margin_mode=MarginMode.ISOLATED, margin_transfer=Decimal(300)
        )
        self._ledger(IsolatedTransfer, ALICE, symbol=ETH_PERP, amount=Decimal(50))
        self._ledger(FundingPayment, ALICE, symbol=PERP, amount=Decimal("-1.74"))
        self._ledger(Fee, ALICE, asset="USDT", amount=Decimal(2))
        self._ledger(Interest, ALICE, asset="USDT", amount=Decimal("0.031"))
        self._ledger(AccountSetting, BOB, collateral_off=("BTC",))
        self._ledger(Withdrawal, ALICE, asset="USDT", amount=Decimal(25))
        self._fill(ALICE, FUTURE, "buy", "0.01", "60450")
        settlement = Settlement(
            **self._common(ALICE), settlement_id=self._id("s"), symbol=FUTURE, price=Decimal(60_500)
        )
        self.shard.send(Topic.FILLS, settlement)

    def hedged_and_in_debt(self) -> None:
        """Carol owes 9,000 USDT on 0.2 BTC: her legs are to be netted and bitcoin sold before anything else is."""
        self._ledger(Deposit, CAROL, asset="BTC", amount=Decimal("0.2"))
        self._fill(CAROL, ETH_PERP, "buy", "80", "3190", leg="long")
        self._fill(CAROL, ETH_PERP, "sell", "5", "3190", leg="short")
        self._ledger(Withdrawal, CAROL, asset="USDT", amount=Decimal(9_000))

    def too_many_at_once(self) -> None:
        """One price would liquidate six accounts. It was wrong, and is voided; the next time it is right, and they are released."""
        for number in range(6):
            self._ledger(Deposit, f"b-{number}", asset="USDT", amount=Decimal(2_000))
            self._fill(f"b-{number}", PERP, "buy", "1", "58000")
        self._bitcoin("56300", seconds=0)
        self._bitcoin("58000", seconds=0)
        self.shard.operate(BreakerVoid(**self._decision("a source sent a wrong price, and is switched off")))
        self.shard.hold(10)
        self._bitcoin("56300", seconds=0)
        self.shard.operate(BreakerRelease(**self._decision("all sources agree: the market did fall")))

    def fund_is_stated(self) -> None:
        """The exchange says what the fund of its bitcoin contracts has; then one price leaves so much unpaid that it may not suffice."""
        self.shard.state_fund(FundBalance(
            group="bitcoin",
            symbols=(PERP,),
            balances={"USDT": Decimal(18_000), "BTC": Decimal("0.05")},
            time_ns=self.shard.now_ns,
        ))  # fmt: skip
        self._bitcoin("55000", seconds=0)
        self.shard.tell_adl()

    def _decision(self, why: str) -> dict[str, Any]:
        return {"id": self._id("op"), "who": "desk.night", "why": why, "time_ns": self.shard.now_ns}

    def _bitcoin(self, price: str, seconds: int = 10) -> None:
        """Quote bitcoin, then hold it, by default for longer than a pool must hold before it may leave its band."""
        self.shard.quote({PERP: price, "BTC-USD": price})
        self.shard.hold(seconds)

    def _execute(self, share: Decimal = Decimal(1)) -> None:
        """Execute the newest plan, or only a share of every order; fills come at the mark, and name the plan."""
        event = self.shard.newest(EventType.LIQUIDATION_REQUESTED)
        for step in event.plan.steps if event.plan else ():
            self._execute_step(event.account, step, share, event.liquidation_id)

    def _execute_step(self, account: str, step: Step, share: Decimal, liquidation_id: str | None) -> None:
        match step:
            case CancelStep():
                self._order(account, step.order_id, ETH_PERP, "buy", "0", "2940")
            case ReduceStep() | TakeOverStep():
                price = step.price if isinstance(step, TakeOverStep) else step.mark
                self._fill(
                    account, step.symbol, step.side, str(step.quantity * share), str(price),
                    liquidation_id=liquidation_id,
                )  # fmt: skip
            case TakeOverBalanceStep(asset=asset, amount=amount):
                kind = Withdrawal if amount > 0 else Deposit
                self._ledger(kind, account, asset=asset, amount=abs(amount), liquidation_id=liquidation_id)
            case _:
                raise AssertionError(f"the example has no use for {step}")

    def _ledger(self, kind: Callable[..., AccountInput], account: str, **fields: Any) -> None:
        self.shard.send(Topic.LEDGER, kind(**self._common(account), entry_id=self._id("e"), **fields))

    def _fill(self, account: str, symbol: str, side: Any, quantity: str, price: str, **fields: Any) -> None:
        fill = Fill(
            **self._common(account), trade_id=self._id("t"), symbol=symbol, side=side,
            quantity=Decimal(quantity), price=Decimal(price), **fields,
        )  # fmt: skip
        self.shard.send(Topic.FILLS, fill)

    def _order(self, account: str, order_id: str, symbol: str, side: Any, quantity: str, price: str) -> None:
        update = OrderUpdate(
            **self._common(account), update_id=self._id("u"), order_id=order_id, symbol=symbol, side=side,
            quantity=Decimal(quantity), price=Decimal(price),
        )  # fmt: skip
        self.shard.send(Topic.FILLS, update)

    def _common(self, account: str) -> dict[str, Any]:
        return {"account": account, "time_ns": self.shard.now_ns}

    def _id(self, prefix: str) -> str:
        return f"{prefix}-{next(self._numbers)}"
