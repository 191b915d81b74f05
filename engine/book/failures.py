"""Accounts that the engine failed on: set apart one by one, so that all others are judged as if nothing had been.

Whatever is raised while one account is encoded, put in order, judged, explained or counted is taken for that account's alone: these are
pure functions of its state, its risk record and the prices. The account is stopped (`engine.ledger.applying.not_judged`), and neither
judged nor counted before it is resumed. What is raised elsewhere is a broken invariant, and is not caught.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from engine.events.effects import AccountRisk
from engine.ledger.accounts import AccountState

T = TypeVar("T")
_K = TypeVar("_K")
_K_contra = TypeVar("_K_contra", contravariant=True)


class Failure(NamedTuple):
    """An account that was set apart."""

    state: AccountState
    """As it was when the engine failed on it."""
    error: Exception


class SetsApart(Protocol[_K_contra]):
    """Whoever knows accounts by a key, and can set one apart."""

    def fail(self, key: _K_contra, error: Exception, risk: AccountRisk | None = None) -> None:
        """Set the account apart; `risk` is the record of before, where what failed may have changed it."""


def tried(
    book: SetsApart[_K], key: _K, attempt: Callable[[], T], risk: AccountRisk | None = None
) -> T | None:
    """What `attempt`, which concerns one account alone, returns; None where it failed, and the account was set apart."""
    try:
        return attempt()
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not be the end of all others
        book.fail(key, error, risk)
        return None
