"""What a command cannot do although it was asked rightly."""

from collections.abc import Iterator
from contextlib import contextmanager

WRONG_POLICY = "Is UNIMARGIN_POLICY_FILE the policy in force (`unimargin doctor`)? If it is, the account is judged by the rest, and degraded"
"""What to ask where an account holds something that the policy does not list."""


class Problem(Exception):  # noqa: N818 - it names what a command found
    """The command cannot give what was asked for, and it is not the user's mistake. Commands exit with 1."""


def in_plain_words(message: str) -> str:
    """What pydantic says of a value, without the kind of its error."""
    return message.removeprefix("Value error, ")


@contextmanager
def desk_extra(what: str) -> Iterator[None]:
    """Around the import of what `what` takes. Raises `Problem` where a library of the extra `desk` is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise Problem(f"{error.name} is not installed; {what} needs `pip install unimargin[desk]`") from None
