"""What inputs have done of a liquidation: how the engine learns that somebody executes its plan.

Rules
-----
* A liquidation id ends with a number that grows (`account/pool/number`): the higher number is the newer liquidation. Where the
  numbers cannot be compared, what comes later is newer.
* The first input of a newer one begins a count; what comes for an older one afterwards is late: it is named, and counted apart.
* Fills and ledger entries are counted each by themselves, because the two topics reach the account in no fixed order
  (`engine.inputs`); `execution_of` puts them together.
"""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from engine.inputs import Deposit, Fill, IsolatedTransfer, MarginMode, Withdrawal
from engine.ledger.accounts import AccountState, Execution, Late
from engine.numbers import ZERO, canonical
from engine.policy import Policy
from engine.position_keys import position_key, symbol_of

_replace = msgspec.structs.replace


def with_execution(state: AccountState, fill: Fill) -> AccountState:
    """Count a fill that names a liquidation. Inside `exact()`."""
    if fill.liquidation_id is None:
        return state
    pool = "" if fill.margin_mode is MarginMode.CROSS else position_key(fill.symbol, fill.leg)
    its = _begun(state.executions.get(pool), fill.liquidation_id)
    if its.liquidation_id == fill.liquidation_id:
        closed = _with(its.closed, fill.symbol, fill.quantity)
        its = _replace(its, fills=its.fills + 1, closed=closed)
    return _replace(state, executions={**state.executions, pool: its})


def with_conversion(
    state: AccountState, entry: Deposit | Withdrawal | IsolatedTransfer, policy: Policy
) -> AccountState:
    """Count a ledger entry that names a liquidation. Inside `exact()`."""
    if entry.liquidation_id is None:
        return state
    pool = _pool_of(entry.liquidation_id, state.account, policy)
    its = _begun(state.conversions.get(pool), entry.liquidation_id)
    if its.liquidation_id == entry.liquidation_id:
        moved = its.moved
        if not isinstance(entry, IsolatedTransfer):
            moved = _with(moved, entry.asset, entry.amount if isinstance(entry, Deposit) else -entry.amount)
        its = _replace(its, entries=its.entries + 1, moved=moved)
    return _replace(state, conversions={**state.conversions, pool: its})


def execution_of(state: AccountState, pool: str) -> Execution | None:
    """What has been done of the pool's newest liquidation, by fills and by ledger entries."""
    fills, entries = state.executions.get(pool), state.conversions.get(pool)
    if fills is None or entries is None:
        return fills or entries
    if fills.liquidation_id == entries.liquidation_id:
        return _replace(
            fills, entries=entries.entries, moved=entries.moved, late=_last(fills.late, entries.late)
        )
    return entries if _is_newer(entries.liquidation_id, fills.liquidation_id) else fills


def _begun(before: Execution | None, liquidation_id: str) -> Execution:
    """The count that an input naming this liquidation belongs to: its own, or that of a newer one, for which it is late."""
    if before is None or (
        before.liquidation_id != liquidation_id and _is_newer(liquidation_id, before.liquidation_id)
    ):
        return Execution(liquidation_id, 0, {})
    if before.liquidation_id == liquidation_id:
        return before
    same = before.late is not None and before.late.liquidation_id == liquidation_id
    count = before.late.inputs if before.late is not None and same else 0
    return _replace(before, late=Late(liquidation_id, count + 1))


def _last(one: Late | None, other: Late | None) -> Late | None:
    """The newer of two that were late, their counts added where they are one."""
    if one is None or other is None:
        return one or other
    if one.liquidation_id == other.liquidation_id:
        return Late(one.liquidation_id, one.inputs + other.inputs)
    return other if _is_newer(other.liquidation_id, one.liquidation_id) else one


def _is_newer(liquidation_id: str, other_id: str) -> bool:
    (pool, _, number), (other_pool, _, other) = liquidation_id.rpartition("/"), other_id.rpartition("/")
    if pool != other_pool or not (_is_number(number) and _is_number(other)):
        return True
    return int(number) > int(other)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _pool_of(liquidation_id: str, account: str, policy: Policy) -> str:
    """The pool that the id names; the shared one where it names none that there can be."""
    pool = liquidation_id.removeprefix(f"{account}/").rpartition("/")[0]
    return pool if symbol_of(pool) in policy.instruments else ""


def _with(counts: Mapping[str, Decimal], name: str, more: Decimal) -> dict[str, Decimal]:
    changed = dict(counts)
    amount = canonical(changed.pop(name, ZERO) + more)
    if amount:
        changed[name] = amount
    return changed
