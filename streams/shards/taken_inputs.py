"""What a batch of account inputs brought, for whoever has to say what condemned so many."""

from collections import Counter
from collections.abc import Mapping

from engine.inputs import AccountInput, Topic
from engine.ladder.breaker import InputsTaken


class TakenInputs:
    """By topic: the first and the last offset, and how many inputs of each type."""

    def __init__(self) -> None:
        """None yet."""
        self._kinds: dict[Topic, Counter[str]] = {}
        self._offsets: dict[Topic, tuple[int, int]] = {}

    def add(self, topic: Topic, offset: int, message: AccountInput) -> None:
        """One input was applied."""
        self._kinds.setdefault(topic, Counter())[str(message.__struct_config__.tag)] += 1
        first, _ = self._offsets.get(topic, (offset, offset))
        self._offsets[topic] = first, offset

    def end(self, names: Mapping[Topic, str]) -> tuple[InputsTaken, ...]:
        """What there was, with the topics' names; the next batch begins."""
        taken = tuple(
            InputsTaken(names[topic], *self._offsets[topic], dict(kinds.most_common()))
            for topic, kinds in sorted(self._kinds.items())
        )
        self._kinds, self._offsets = {}, {}
        return taken
