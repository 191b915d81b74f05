"""Which input ids of an account were applied lately, so that a re-sent message is not applied twice."""

from collections import OrderedDict, deque
from collections.abc import Iterable

from engine.inputs import Topic
from streams.contract.commit import DEDUPE_WINDOW

IDS_MAX = 100_000
"""Ids that the windows of a shard keep in memory: 17 MB. Without a bound every account ever touched would keep its own;
a window that is needed again is read from Redis, together with those of its batch."""
WINDOW_IDS = 8
"""A window takes as much memory as so many ids, apart from those in it: about 1 KB."""


class RecentIds:
    """The newest `DEDUPE_WINDOW` ids of one account and topic, oldest forgotten first."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        """Start from `ids`, which the store has, oldest first."""
        self._order: deque[str] = deque()
        self._known: set[str] = set()
        for input_id in ids:
            self.add(input_id)

    def __contains__(self, input_id: str) -> bool:
        """Whether this id was applied within the window."""
        return input_id in self._known

    def __len__(self) -> int:
        """How many ids there are."""
        return len(self._order)

    def add(self, input_id: str) -> None:
        """Remember a newly applied id."""
        self._order.append(input_id)
        self._known.add(input_id)
        if len(self._order) > DEDUPE_WINDOW:
            self._known.discard(self._order.popleft())


class Windows:
    """The windows of one shard: those used last, and all that have an id which the store does not have yet."""

    def __init__(self, ids_max: int = IDS_MAX) -> None:
        """No windows."""
        self._ids_max = ids_max
        self._windows: OrderedDict[tuple[Topic, str], RecentIds] = OrderedDict()
        """Who was used last comes last."""
        self._applied_to: dict[tuple[Topic, str], int] = {}
        """Of each window with an id that was not fetched: the offset after that of its newest id's record."""
        self._ids = 0
        """Of all windows, each with `WINDOW_IDS` more."""
        self._stored_to = dict.fromkeys(Topic, 0)

    def __contains__(self, place: tuple[Topic, str]) -> bool:
        """Whether the window of this topic and account is here; one that is not must be fetched before it is used."""
        return place in self._windows

    def fetched(self, topic: Topic, account: str, ids: Iterable[str]) -> None:
        """Take a window from the store, oldest id first."""
        window = self._windows[topic, account] = RecentIds(ids)
        self._ids += WINDOW_IDS + len(window)

    def knows(self, topic: Topic, account: str, input_id: str) -> bool:
        """Whether this id was applied within the account's window; no window is an empty one."""
        place = topic, account
        if place not in self._windows:
            return False
        self._windows.move_to_end(place)
        return input_id in self._windows[place]

    def add(self, topic: Topic, account: str, input_id: str, applied_to: int) -> None:
        """Remember the id of a record that was just applied, after which the topic goes on at `applied_to`."""
        place = topic, account
        if place not in self._windows:
            self.fetched(topic, account, ())
        window = self._windows[place]
        self._ids -= len(window)
        window.add(input_id)
        self._ids += len(window)
        self._applied_to[place] = applied_to

    def stored(self, topic: Topic, to: int) -> None:
        """The store has the ids of all records of the topic below the offset `to`."""
        self._stored_to[topic] = to

    def shrink(self) -> None:
        """Forget the windows used longest ago that are above the bound, up to the first that the store does not have.

        Not between looking for missing windows and using them.
        """
        while self._ids > self._ids_max:
            place, window = next(iter(self._windows.items()))
            if self._applied_to.get(place, 0) > self._stored_to[place[0]]:
                return
            del self._windows[place]
            self._applied_to.pop(place, None)
            self._ids -= WINDOW_IDS + len(window)
