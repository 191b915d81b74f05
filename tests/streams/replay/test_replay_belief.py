"""Prices that must not be believed, through `unimargin replay --data`: what each did to an account, and does no more."""

from decimal import Decimal
from pathlib import Path

import pytest

from engine.inputs import Deposit, Fill, Mark
from engine.policy import Policy
from streams.config.settings import load_policy
from tests.support.builders import seconds
from tests.support.cli import unimargin
from tests.support.replay_files import events, line, written

D = Decimal
POLICIES = Path(__file__).parents[3] / "deploy" / "policies"
LARGEST = 2**63 - 1
T0_NS = seconds(1_790_000_000)
START = {"BTC": 60_000, "ETH": 3_000}


class Day:
    """A file of inputs under a shipped policy: every symbol quoted once a second, unless said otherwise."""

    def __init__(self, directory: Path, policy: str) -> None:
        self.directory, self.path = directory, POLICIES / f"{policy}.toml"
        self.policy: Policy = load_policy(self.path)
        self.lines: list[bytes] = []
        self.sequence = 0

    def start_price(self, symbol: str) -> Decimal:
        return D(next((price for coin, price in START.items() if symbol.startswith(coin)), 1))

    def all_quoted(self, at: int) -> None:
        for symbol in self.policy.price_symbols:
            self.quote(symbol, self.start_price(symbol), at)

    def quote(
        self,
        symbol: str,
        price: Decimal | int,
        at: Decimal | int,
        sequence: int | None = None,
        **facts: Decimal,
    ) -> None:
        self.sequence += 1
        number = self.sequence if sequence is None else sequence
        self.lines.append(line(Mark(symbol, D(price), number, T0_NS + seconds(at), **facts)))

    def holds(self, symbol: str, quantity: int, asset: str, amount: int) -> None:
        price = self.start_price(symbol)
        self.lines += [
            line(Deposit(account="alice", time_ns=T0_NS, entry_id="d", asset=asset, amount=D(amount))),
            line(
                Fill(
                    account="alice",
                    time_ns=T0_NS,
                    trade_id="f",
                    symbol=symbol,
                    side="buy",
                    quantity=D(quantity),
                    price=price,
                )
            ),
        ]

    def judged(self) -> tuple[list[dict], dict[str, int]]:
        """The events, and how many marks were refused by reason."""
        data = written(self.directory / "day.jsonl", self.lines)
        out = self.directory / "events.jsonl"
        said = unimargin(
            "replay", "--data", str(data), "--policy", str(self.path), "--events", str(out), "--json"
        )
        assert said.code == 0, said.err
        return events(out), said.json["marks_refused"]


def types(found: list[dict]) -> set[str]:
    return {str(it["type"]) for it in found} - {"engine.degraded", "engine.recovered"}


def test_replay_when_a_crash_goes_on_at_every_mark_then_the_account_is_liquidated(tmp_path: Path) -> None:
    day = Day(tmp_path, "default")
    day.all_quoted(0)
    day.holds("BTC-USDT-PERP", 1, "USDT", 20_000)
    for n in range(1, 31):
        for symbol in day.policy.price_symbols:
            fall = D("0.89") ** n if symbol == "BTC-USDT-PERP" else D(1)
            day.quote(symbol, (day.start_price(symbol) * fall).quantize(D("0.01")), n)
    found, refused = day.judged()
    assert "liquidation.requested" in types(found)
    assert refused == {"jump_unconfirmed": 20}


def test_replay_when_a_price_walks_down_in_nanoseconds_then_nobody_is_told_anything(tmp_path: Path) -> None:
    day = Day(tmp_path, "default")
    day.all_quoted(0)
    day.holds("BTC-USDT-PERP", 1, "USDT", 20_000)
    day.all_quoted(1)
    for n in range(1, 31):
        at = D(1) + D(n) / 10**9
        day.quote("BTC-USDT-PERP", (60_000 * D("0.901") ** n).quantize(D("0.01")), at)
    found, refused = day.judged()
    assert (types(found), refused) == (set(), {"jump_unconfirmed": 29})


@pytest.mark.parametrize("happens", ["leap", "restart"])
def test_replay_when_one_sequence_is_absurd_or_a_feed_restarts_then_the_symbol_goes_on(
    tmp_path: Path, happens: str
) -> None:
    day = Day(tmp_path, "default")
    day.all_quoted(0)
    day.holds("BTC-USDT-PERP", 1, "USDT", 6_000)
    restart = happens == "restart"
    if not restart:
        day.quote("BTC-USDT-PERP", 60_000, 1, sequence=LARGEST)
    for n in range(1, 6):
        for symbol in day.policy.price_symbols:
            own = symbol == "BTC-USDT-PERP"
            day.quote(
                symbol, 54_100 if own else day.start_price(symbol), n, sequence=n if own and restart else None
            )
    found, refused = day.judged()
    assert "liquidation.requested" in types(found)
    assert refused == ({"old_sequence": 2} if restart else {"sequence_unconfirmed": 1})


@pytest.mark.parametrize(
    ("policy", "symbol", "quantity", "asset", "facts"),
    [
        ("deribit-standard", "BTC-PERPETUAL", 1, "USDC", {"funding_rate": D(50)}),
        ("deribit-standard", "BTC-PERPETUAL", 1, "USDC", {"funding_rate": D(-50)}),
        ("deribit-portfolio", "BTC-PERPETUAL", 1, "USDC", {"volatility": D(80)}),
        ("hyperliquid-cross", "BTC-USDT-PERP", 1, "USDT", {"average_price": D(0)}),
        ("weex-cross", "BTC-USDT-PERP", 1, "USDT", {"average_price": D(-1)}),
    ],
)
def test_replay_when_a_fact_is_absurd_then_every_such_mark_is_refused_and_nobody_is_told(
    tmp_path: Path, policy: str, symbol: str, quantity: int, asset: str, facts: dict[str, Decimal]
) -> None:
    day = Day(tmp_path, policy)
    asset = asset if asset in day.policy.assets else day.policy.account_currency
    symbol = next(
        it for it in day.policy.instruments if it == symbol or day.policy.instruments[it].kind == "perpetual"
    )
    day.all_quoted(0)
    day.holds(symbol, quantity, asset, 60_000)
    for n in range(1, 6):
        day.all_quoted(n)
        for it in day.policy.price_symbols:
            day.quote(it, day.start_price(it), n, **facts)
    found, refused = day.judged()
    assert types(found) == set()
    assert refused == {
        "fact_out_of_range" if min(facts.values()) != -1 else "not_positive": 5
        * len(day.policy.price_symbols)
    }


@pytest.mark.parametrize("average", [0, 1, 400_000])
def test_replay_when_a_policy_values_by_the_average_then_an_absurd_one_is_refused_and_nobody_is_told(
    tmp_path: Path, average: int
) -> None:
    day = Day(tmp_path, "default")
    day.path = tmp_path / "conservative.toml"
    day.path.write_text((POLICIES / "default.toml").read_text() + "\n[pool]\nconservative_price = true\n")
    day.all_quoted(0)
    day.holds("BTC-USDT-PERP", 1, "BTC", 1)
    for n in range(1, 6):
        day.all_quoted(n)
        day.quote("BTC-USD", 60_000, n, average_price=D(average))
    found, refused = day.judged()
    assert (types(found), refused) == (set(), {"fact_out_of_range": 5})


@pytest.mark.parametrize("unit", [10**3, 10**6, 10**9, LARGEST])
def test_replay_when_times_are_in_another_unit_then_marks_and_account_inputs_are_refused(
    tmp_path: Path, unit: int
) -> None:
    day = Day(tmp_path, "default")
    day.all_quoted(0)
    wrong_ns = (T0_NS + seconds(1)) // unit
    day.lines += [
        line(Mark("BTC-USDT-PERP", D(60_000), 10**6, wrong_ns)),
        line(Deposit(account="alice", time_ns=wrong_ns, entry_id="d", asset="USDT", amount=D(5))),
        line(
            Fill(
                account="bob",
                time_ns=wrong_ns,
                trade_id="f",
                symbol="BTC-USDT-PERP",
                side="buy",
                quantity=D(1),
                price=D(1),
            )
        ),
    ]
    data = written(tmp_path / "day.jsonl", day.lines)
    told = unimargin("replay", "--data", str(data), "--policy", str(day.path), "--json").json
    assert told["marks_refused"] == {"time_implausible": 1}
    assert told["quarantined"] == {"time_implausible": 2}
    assert told["inputs_applied"] == 0
