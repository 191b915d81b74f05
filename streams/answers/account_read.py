"""One account with the prices it is valued at, as the workers left them in Redis."""

from typing import NamedTuple

from engine.events.effects import AccountRisk
from engine.ledger.accounts import AccountState
from engine.margin.listed_part import listed_part
from engine.marks.mark_book import Prices
from engine.policy import Policy
from streams.answers.account_report import believed, check_listed
from streams.answers.shelf import Shelf, open_shelf
from streams.config.near_names import did_you_mean, near_names
from streams.config.problem import Problem
from streams.config.settings import Settings
from streams.config.terminal import printable
from streams.store.policy_store import policy_in_use
from streams.store.redis_access import read_risk, read_state
from streams.store.store_reader import StoredAccount

NEAR_ACCOUNTS_MAX = 50_000
"""Of which a mistyped name may be one: comparing them takes about a second."""


class UnknownAccount(Problem):
    """No shard holds the account that was asked for."""


class AccountReading(NamedTuple):
    """What a command computes from; all of it is listed in the policy."""

    state: AccountState
    risk: AccountRisk
    shard: int
    prices: Prices
    policy: Policy
    now_ns: int


async def read_account(settings: Settings, account: str) -> AccountReading:
    """Read an account and its shard's marks. Raises `Problem`."""
    policy = await policy_in_use(settings)
    async with open_shelf(settings) as shelf:
        return await account_reading(shelf, account, policy, NEAR_ACCOUNTS_MAX)


async def account_reading(shelf: Shelf, account: str, policy: Policy, near_max: int = 0) -> AccountReading:
    """Read an account and its shard's marks; `near_max` as of `find_account`. Raises `Problem`."""
    found = await find_account(shelf, account, near_max)
    marks = await shelf.marks(found.shard)
    state, risk = read_state(account, found.state), read_risk(account, found.risk)
    now_ns = shelf.now_ns()
    check_listed(state, risk, policy)
    state = listed_part(state, policy)  # without void orders, and dust of what left the policy
    return AccountReading(state, risk, found.shard, believed(marks, policy, now_ns), policy, now_ns)


async def find_account(shelf: Shelf, account: str, near_max: int = 0) -> StoredAccount:
    """The account as stored. Raises `UnknownAccount` where no shard holds it, with what a person may have meant among the first `near_max`
    names: each costs a read and 20 us.
    """  # noqa: D205 - one sentence
    found = await shelf.account(account)
    if found is None:
        shards = await shelf.shard_count()
        near = await _near_accounts(shelf, account, near_max)
        hint = f"; {did_you_mean(map(printable, near), '')}" if near else ""
        raise UnknownAccount(f"unknown account {account!r}: none of {shards} shards in Redis holds it{hint}")
    return found


async def _near_accounts(shelf: Shelf, account: str, names_max: int) -> list[str]:
    names: list[str] = []
    for shard in range(await shelf.shard_count() if names_max else 0):
        async for name, _ in shelf.accounts(shard):
            names.append(name)
            if len(names) >= names_max:
                return near_names(account, names)
    return near_names(account, names)
