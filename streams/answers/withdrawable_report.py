"""How much of each asset may leave the account. Pure."""

import msgspec

from engine.analytics.withdrawable import Withdrawable, withdrawable
from streams.answers.account_read import AccountReading
from streams.config.settings import SettingsError


class WithdrawableReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the command shows."""

    account: str
    currency: str
    policy: str
    policy_digest: str
    assets: tuple[Withdrawable, ...]
    """Each as if the others stayed."""


def withdrawable_report(read: AccountReading, asked: tuple[str, ...] | list[str]) -> WithdrawableReport:
    """Of the assets `asked`, or of all held. Raises `SettingsError` for one that the policy does not have."""
    state, policy = read.state, read.policy
    for name in asked:
        if name not in policy.assets:
            known = ", ".join(policy.assets)
            raise SettingsError(f"--asset {name!r} is not in policy {policy.name!r}, which has {known}")
    return WithdrawableReport(
        account=state.account,
        currency=policy.account_currency,
        policy=policy.name,
        policy_digest=policy.digest,
        assets=withdrawable(state, read.risk.pools, read.prices, policy, asked or sorted(state.balances)),
    )
