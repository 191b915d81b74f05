"""When an owner counts as gone for its fellow workers: only who was heard, and is silent in all that is its own."""

from streams.store.signs_of_life import Signs
from streams.worker.vigil import Vigil

PATIENCE_S = 3.0


def signs(owner: str, beats: int, token: str = "") -> Signs:
    token = token or f"token-of-{owner}"
    return Signs(owner, token, (token, "1", str(beats)))


class Listener:
    """A vigil that looks four times a second."""

    def __init__(self) -> None:
        self.vigil = Vigil("me", self._nobody, self._nothing, patience_seconds=PATIENCE_S)
        self.now_s = 100.0

    async def _nobody(self) -> list[Signs]:
        return []

    async def _nothing(self, _: object) -> list[str]:
        return []

    def hears(self, *shards: Signs, seconds: float = 0.25) -> frozenset[str]:
        gone: frozenset[str] = frozenset()
        for _ in range(int(seconds * 4)):
            gone |= self.vigil.gone(shards, self.now_s)
            self.now_s += 0.25
        return gone


def test_gone_when_an_owner_falls_silent_in_all_its_shards_then_after_the_patience():
    listener = Listener()
    for beats in range(4):
        assert not listener.hears(signs("a", beats), signs("a", beats), signs("me", 1))
    assert not listener.hears(signs("a", 3), signs("a", 3), signs("me", 1), seconds=PATIENCE_S - 0.5)
    assert listener.hears(signs("a", 3), signs("a", 3), signs("me", 1), seconds=1) == {"a"}


def test_gone_when_one_of_its_shards_still_beats_then_it_lives():
    listener = Listener()
    for beats in range(40):
        assert not listener.hears(signs("a", min(beats, 2)), signs("a", beats))


def test_gone_when_an_owner_was_never_heard_then_its_silence_says_nothing():
    """A shard that nobody takes: of a restore, or of an owner from before that ended long ago."""
    listener = Listener()
    assert not listener.hears(signs("a", 7), seconds=20)
    assert not listener.hears(signs("", 0), seconds=20)


def test_gone_when_another_has_taken_the_shard_meanwhile_then_what_was_heard_before_counts_no_more():
    listener = Listener()
    for beats in range(4):
        listener.hears(signs("a", beats))
    assert not listener.hears(signs("b", 0), seconds=20)


def test_gone_when_we_are_silent_ourselves_then_not_ours_to_say():
    listener = Listener()
    for beats in range(4):
        listener.hears(signs("me", beats))
    assert not listener.hears(signs("me", 3), seconds=20)
