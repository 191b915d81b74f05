"""Options added to a drawn policy; the second implementation leaves them out, the properties do not."""

from datetime import UTC, datetime
from decimal import Decimal
from random import Random

import msgspec

from engine.policy import Instrument, Policy
from engine.policy.reading.policy_checks import check
from engine.policy.rules.portfolio_rules import OptionRules, Rates
from tests.engine.reference.draw_policy import MULTIPLIERS, switches
from tests.engine.reference.draws import dec

_replace = msgspec.structs.replace

EXPIRIES = (datetime(2030, 6, 28, 8, tzinfo=UTC), datetime(2030, 9, 27, 8, tzinfo=UTC))


def with_options(random: Random, policy: Policy) -> Policy:
    """The policy with up to four options on a listed asset and on an unlisted underlying with forwards."""
    rules = _option_rules(random)
    margin = {name: _replace(it, option="options") for name, it in policy.margin.items()}
    options = {f"O{i}": _option(random, policy, tuple(margin)) for i in range(random.randint(1, 4))}
    wider = _replace(
        policy,
        margin=margin,
        option_margin={"options": rules},
        instruments=policy.instruments | options,
    )
    check(wider)
    return wider


def _option_rules(random: Random) -> OptionRules:
    named = {name: random.choice(choices) for name, choices in switches(OptionRules).items()}
    return OptionRules(
        **named,
        initial_rate=Decimal("0.15"),
        initial_floor_rate=Decimal("0.1"),
        call_maintenance_rate=Decimal("0.075"),
        put_maintenance_rate=Decimal("0.07"),
        put_maintenance_value_rate=random.choice(dec("0", "0.5")),
        liquidation_fee_rate=random.choice(dec("0", "0.002")),
        put_initial_of_maintenance=random.choice(dec("0", "1.1")),
        unpaired_calls=random.choice([Rates(), Rates(initial=Decimal("0.1"), maintenance=Decimal("0.05"))]),
    )


def _option(random: Random, policy: Policy, margin: tuple[str, ...]) -> Instrument:
    listed = [name for name in policy.assets if name != policy.account_currency]
    base = random.choice([*listed, "XYZ"])
    expiry = random.choice(EXPIRIES)
    return Instrument(
        kind="option",
        base=base,
        settle=random.choice(list(policy.assets)),
        multiplier=random.choice(MULTIPLIERS),
        margin=random.choice(margin),
        expiry=expiry,
        strike=random.choice(dec("1", "10", "95", "1000", "20000")),
        right=random.choice(["call", "put"]),
        forward=f"{base}-F{expiry.month}" if base == "XYZ" or random.random() < 0.5 else "",
    )
