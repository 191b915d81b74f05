"""Open orders stored apart from their account, against real servers: whoever reads the account has them."""

from decimal import Decimal

import msgspec
from redis.asyncio import Redis

from engine.inputs import OrderUpdate, Topic
from engine.ledger.accounts import AccountState, decode
from engine.ledger.applying import apply
from engine.ledger.orders_apart import INLINE_MAX, encode_stored, order_changes
from streams.contract.commit import Commit, merge
from streams.observe.metrics import Metrics
from streams.store.shard_follower import ShardFollower
from streams.store.shard_store import ShardStore
from streams.store.store_keys import ShardKeys
from streams.store.store_reader import StoreReader
from tests.support.builders import sample

POLICY = sample()


def updated(state: AccountState, *orders: tuple[str, str]) -> AccountState:
    for number, (name, quantity) in enumerate(orders):
        update = OrderUpdate(
            account=state.account,
            time_ns=number,
            update_id=f"{name}/{quantity}",
            order_id=name,
            symbol="BTC-PERP",
            side="buy",
            quantity=Decimal(quantity),
            price=Decimal(50_000),
        )
        after = apply(state, update, Topic.FILLS, state.fills.offset + 1, POLICY)
        assert isinstance(after, AccountState), after
        state = after
    return state


def step(before: AccountState, after: AccountState, *touched: str) -> Commit:
    changes = order_changes(before, after, set(touched))
    return Commit(
        accounts={after.account: encode_stored(after)},
        orders={} if changes is None else {after.account: changes},
    )


async def test_orders_when_read_in_any_way_then_those_of_the_newest_commit(
    store: ShardStore, client: Redis, metrics: Metrics
) -> None:
    await store.take_over()
    follower = ShardFollower(client, 3, "unimargin")
    plain = AccountState("bob", {"USDT": Decimal(1)})
    none = AccountState("alice ü", {"USDT": Decimal(9)})
    many = updated(none, *((f"o-{number} é", "1") for number in range(500)))
    await store.commit(Commit(accounts={"bob": encode_stored(plain)}))
    await store.commit(step(none, many))
    assert {name: decode(it) for name, it in (await follower.load()).accounts.items()} == {
        "bob": plain,
        "alice ü": many,
    }
    now = updated(many, ("o-3 é", "2"), ("o-4 é", "0"), ("new", "5"))
    moved = updated(now, ("o-5 é", "0"))
    await store.commit(step(many, now, "o-3 é", "o-4 é", "new"))
    await store.commit(step(now, moved, "o-5 é"))

    assert decode((await follower.follow()).accounts["alice ü"]) == moved
    reader = StoreReader(client)
    found = await reader.account("alice ü", 8)
    assert found is not None
    assert decode(found.state) == moved
    assert {name: decode(it) async for name, it in reader.accounts(3)} == {"bob": plain, "alice ü": moved}
    assert decode((await store.states(["alice ü"]))["alice ü"]) == moved
    image = await ShardStore(client, 3, "worker-b", metrics).take_over()
    assert {name: decode(it) for name, it in image.accounts.items()} == {"bob": plain, "alice ü": moved}


async def test_orders_when_they_go_and_come_back_within_one_commit_then_none_of_before_stays(
    store: ShardStore, client: Redis
) -> None:
    await store.take_over()
    none = AccountState("alice")
    many = updated(none, *((f"o-{number}", "1") for number in range(INLINE_MAX + 1)))
    await store.commit(step(none, many))
    few = updated(many, *((name, "0") for name in many.orders))
    again = updated(few, *((f"n-{number}", "1") for number in range(INLINE_MAX + 1)))
    await store.commit(merge([step(many, few), step(few, again)]))
    found = await StoreReader(client).account("alice", 8)
    assert found is not None
    assert decode(found.state) == again
    await store.commit(step(again, updated(again, *((name, "0") for name in again.orders))))
    assert not await client.exists(ShardKeys("unimargin", 3).orders("alice"))


async def test_state_when_an_old_edition_stored_it_whole_then_its_orders_go_apart_at_the_next_update(
    store: ShardStore, client: Redis
) -> None:
    await store.take_over()
    many = updated(AccountState("alice"), *((f"o-{number}", "1") for number in range(100)))
    old = msgspec.structs.replace(many, orders=dict(many.orders), orders_apart=False)
    await store.commit(Commit(accounts={"alice": encode_stored(old)}))
    reader = StoreReader(client)
    found = await reader.account("alice", 8)
    assert found is not None
    assert decode(found.state) == old
    now = updated(old, ("o-1", "0"))
    await store.commit(step(old, now, "o-1"))
    found = await reader.account("alice", 8)
    assert found is not None
    assert decode(found.state) == now
    assert await client.hlen(ShardKeys("unimargin", 3).orders("alice")) == 99
