"""What was paid in is where the state says it is, to the last digit, whatever was rounded on the way."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from engine.inputs import MarginMode, Topic
from engine.ledger.accounts import AccountState
from engine.margin.cross.cross_pool import cross_positions
from engine.margin.position_margin import position_margin
from engine.numbers import ZERO, exact
from tests.support.builders import applied, deposit, prices, sample, trade

POLICY = sample()
MULTIPLIER = {"BTC-PERP": 1, "ADA-PERP": 10}

amounts = st.decimals(min_value="0.000001", max_value=1_000_000, places=6)
odd_amounts = st.decimals(min_value="1E-18", max_value="0.001", places=18)
quantities = st.one_of(st.integers(1, 9).map(Decimal), amounts, odd_amounts)
fills = st.builds(
    trade,
    st.sampled_from(sorted(MULTIPLIER)),
    st.builds(lambda quantity, sign: quantity.copy_sign(sign), quantities, st.sampled_from([1, -1])),
    amounts,
    fee=st.decimals(min_value=-5, max_value=5, places=4),
)
marks = st.fixed_dictionaries(dict.fromkeys(MULTIPLIER, amounts))


def worth(fill, marks):
    """What a fill has made or lost at `marks`: signed quantity * multiplier * (mark - price)."""
    signed = fill.quantity if fill.side == "buy" else -fill.quantity
    return signed * MULTIPLIER[fill.symbol] * (marks[fill.symbol] - fill.price)


@given(st.lists(fills, max_size=12), marks)
def test_cross_fills_when_at_any_mark_then_wallet_and_unrealised_are_the_deposit_less_fees_and_what_they_made(
    done, at
):
    state = applied(AccountState("alice"), POLICY, Topic.LEDGER, deposit(1_000, "USDT"))
    state = applied(state, POLICY, Topic.FILLS, *done)
    with exact():
        held, _ = cross_positions(state, prices(at), POLICY)
        unrealised = sum((margin.unrealised_pnl for margin in held), ZERO)
        fees = sum((fill.fee for fill in done), ZERO)
        made = sum((worth(fill, at) for fill in done), ZERO)
        assert state.balances.get("USDT", ZERO) + unrealised == 1_000 - fees + made


transfers = st.decimals(min_value=-50, max_value=50, places=6)


@given(st.lists(st.tuples(fills, transfers), max_size=12), marks)
def test_isolated_fills_when_at_any_mark_then_wallet_margin_and_unrealised_add_up_too(done, at):
    isolated = [
        trade(
            fill.symbol,
            fill.quantity if fill.side == "buy" else -fill.quantity,
            fill.price,
            fee=fill.fee,
            margin_mode=MarginMode.ISOLATED,
            margin_transfer=transfer,
        )
        for fill, transfer in done
    ]
    state = applied(AccountState("alice"), POLICY, Topic.FILLS, *isolated)
    with exact():
        pools = ZERO
        for symbol, pool in state.isolated.items():
            figures = position_margin(symbol, pool.position, at[symbol], Decimal(10), POLICY)
            pools += pool.margin + figures.unrealised_pnl
        fees = sum((fill.fee for fill in isolated), ZERO)
        made = sum((worth(fill, at) for fill in isolated), ZERO)
        assert state.balances.get("USDT", ZERO) + pools == made - fees


@given(st.lists(fills, max_size=12))
def test_cross_fills_when_applied_then_a_position_is_the_sum_of_its_quantities_or_absent(done):
    state = applied(AccountState("alice"), POLICY, Topic.FILLS, *done)
    for symbol in MULTIPLIER:
        with exact():
            signed = sum(
                (
                    fill.quantity if fill.side == "buy" else -fill.quantity
                    for fill in done
                    if fill.symbol == symbol
                ),
                ZERO,
            )
        assert (state.positions[symbol].quantity if symbol in state.positions else ZERO) == signed
        assert (symbol in state.positions) == bool(signed)
