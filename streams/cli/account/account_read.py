"""One account with the prices it is valued at, as the workers left them in Redis."""

import time
from typing import NamedTuple

from engine.events.effects import AccountRisk
from engine.ledger.accounts import AccountState
from engine.marks.mark_book import Prices
from engine.policy import Policy
from streams.cli.account.account_report import believed, check_listed
from streams.config.problem import Problem
from streams.config.settings import Settings, load_policy
from streams.store.redis_access import open_redis, read_risk, read_state, saved_marks, shard_count
from streams.store.store_reader import StoredAccount, StoreReader


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
    policy = load_policy(settings.policy_file)
    async with open_redis(settings) as client:
        store = StoreReader(client, settings.redis_prefix)
        found = await find_account(store, account, await shard_count(client, settings.redis_prefix))
        marks = await saved_marks(store, found.shard)
    state, risk = read_state(account, found.state), read_risk(account, found.risk)
    now_ns = time.time_ns()
    check_listed(state, risk, policy)
    return AccountReading(state, risk, found.shard, believed(marks, policy, now_ns), policy, now_ns)


async def find_account(store: StoreReader, account: str, shards: int) -> StoredAccount:
    """The account as stored. Raises `Problem` where no shard holds it."""
    found = await store.account(account, shards) if shards else None
    if found is None:
        raise Problem(f"unknown account {account!r}: none of {shards} shards in Redis holds it")
    return found
