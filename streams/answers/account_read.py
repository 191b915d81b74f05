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
        try:
            return await account_reading(shelf, account, policy)
        except UnknownAccount as unknown:
            raise await with_near_names(unknown, shelf, account) from None


async def with_near_names(unknown: UnknownAccount, shelf: Shelf, account: str) -> UnknownAccount:
    """The same refusal with the names that a person may have meant. It reads many accounts: not for what programs ask."""
    near = await _near_accounts(shelf, account)
    return UnknownAccount(f"{unknown}; {did_you_mean(map(printable, near), '')}") if near else unknown


async def _near_accounts(shelf: Shelf, account: str) -> list[str]:
    """Names like this one, among the first `NEAR_ACCOUNTS_MAX`."""
    names: list[str] = []
    for shard in range(await shelf.shard_count()):
        async for name, _ in shelf.accounts(shard):
            names.append(name)
            if len(names) >= NEAR_ACCOUNTS_MAX:
                return near_names(account, names)
    return near_names(account, names)


async def account_reading(shelf: Shelf, account: str, policy: Policy) -> AccountReading:
    """Read an account and its shard's marks. Raises `Problem`."""
    found = await find_account(shelf, account)
    marks = await shelf.marks(found.shard)
    state, risk = read_state(account, found.state), read_risk(account, found.risk)
    now_ns = shelf.now_ns()
    check_listed(state, risk, policy)
    state = listed_part(state, policy)  # without void orders, and dust of what left the policy
    return AccountReading(state, risk, found.shard, believed(marks, policy, now_ns), policy, now_ns)


async def find_account(shelf: Shelf, account: str) -> StoredAccount:
    """The account as stored. Raises `UnknownAccount` where no shard holds it."""
    found = await shelf.account(account)
    if found is None:
        shards = await shelf.shard_count()
        raise UnknownAccount(f"unknown account {account!r}: none of {shards} shards in Redis holds it")
    return found
