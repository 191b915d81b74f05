"""Which event a mistyped id may have meant."""

from streams.config.near_names import did_you_mean, near_names
from streams.config.terminal import printable

ACCOUNTS_MAX = 50_000
"""Names that are remembered of a log, to find one like a mistyped one."""


class NearIds:
    """Sees the ids of a log and remembers the nearest of the same account, or its accounts."""

    def __init__(self, event_id: str) -> None:
        """`event_id`: ACCOUNT/TOPIC/NUMBER."""
        self._account, self._stream, number = event_id.rsplit("/", 2)
        self._number = int(number)
        self._nearest: int | None = None
        self._last_of: dict[str, str] = {}
        """By account, the newest id."""

    def see(self, event_id: str) -> None:
        """One that the log holds."""
        account, _, rest = event_id.rpartition(f"/{self._stream}/")
        if not (rest.isascii() and rest.isdecimal()):
            return
        if account == self._account:
            number = int(rest)
            if self._nearest is None or abs(number - self._number) < abs(self._nearest - self._number):
                self._nearest = number
        elif account in self._last_of or len(self._last_of) < ACCOUNTS_MAX:
            self._last_of[account] = event_id

    def words(self) -> str:
        """A clause that ends a refusal; empty where nothing is near."""
        if self._nearest is not None:
            return f"; did you mean {printable(self._account)}/{self._stream}/{self._nearest}?"
        near = near_names(self._account, self._last_of)
        return f"; {did_you_mean((printable(self._last_of[it]) for it in near), '')}" if near else ""
