"""All accounts of one book in another one, under another policy. Pure."""

from collections.abc import Generator

from engine.book.account_book import AccountBook
from engine.events.effects import AccountRisk
from engine.ledger.accounts import AccountState, encode
from engine.policy import Policy
from streams.contract.commit import Commit

REBUILT_TOGETHER = 256
"""Accounts that are taken from one book to another without giving way: some milliseconds."""


def rebuilt(old: AccountBook, policy: Policy) -> Generator[list[Commit], None, AccountBook]:
    """The new book, without prices, after bounded pieces of work, each of which has nothing to say. The old one must not change meanwhile."""
    states: list[bytes] = []
    risks: dict[str, AccountRisk] = {}
    for account in old.accounts():
        state, risk = old.state(account), old.risk(account)
        states.append(encode(state or AccountState(account)))
        if risk != AccountRisk(account):
            risks[account] = risk
        if len(states) % REBUILT_TOGETHER == 0:
            yield []
    book = old.anew(policy)
    for _ in book.load_in_parts(states, risks):
        yield []
    return book
