"""Whether an account that uses its margin to the full is healthy, which every policy that is to be in force must see to."""

from engine.analytics.full_use import born_below
from engine.policy import Policy
from streams.config.settings import SettingsError
from streams.config.terminal import amount


def check_full_use(policy: Policy) -> None:
    """Raise `SettingsError` where a fully used account would stand below the first line."""
    below = born_below(policy)
    if below:
        worst = min(below, key=lambda it: it.ratio)
        where = (
            worst.item
            if worst.notional is None
            else f"{worst.item} at a notional of {amount(worst.notional)}"
        )
        raise SettingsError(
            f"ladder.warning: an account that uses its margin to the full would be born below it ({amount(policy.ladder.warning)}): "
            f"IM is {amount(worst.ratio)} times what is required in {where}, and too little in {len(below)} in all; "
            "lower the line, or raise the initial margin"
        )
