"""When an owner counts as gone: by the clock of who listens, and only for as long as it was listening."""

import pytest

from streams.shards.succession import GAP_SECONDS_MAX, Silence

ALIVE = ("token", "7", "41")


def test_silence_when_the_owner_beats_then_it_begins_anew():
    silence = Silence()
    for now_s, life in (
        (0.0, ALIVE),
        (0.25, ALIVE),
        (0.5, ("token", "7", "42")),
        (0.75, ("token", "7", "42")),
    ):
        silence.look(life, now_s)

    assert silence.seconds == 0.25  # since the beat seen at 0.5


def test_silence_when_only_a_commit_or_another_owner_is_seen_then_it_begins_anew():
    for life in (("token", "8", "41"), ("other", "7", "41")):
        silence = Silence()
        silence.look(ALIVE, 0.0)
        silence.look(ALIVE, 0.25)
        silence.look(life, 0.5)

        assert silence.seconds == 0.0


def test_silence_when_nothing_changes_then_it_grows_by_the_time_between_looks():
    silence = Silence()
    for look in range(5):
        silence.look(ALIVE, look * 0.25)

    assert silence.seconds == 1.0  # 4 * 0.25


def test_silence_when_the_listener_was_paused_then_the_pause_does_not_count():
    silence = Silence()
    silence.look(ALIVE, 0.0)
    silence.look(ALIVE, 600.0)

    assert silence.seconds == GAP_SECONDS_MAX


def test_silence_when_looks_are_not_answered_then_it_begins_anew():
    silence = Silence()
    silence.look(ALIVE, 0.0)
    silence.look(ALIVE, 0.25)
    silence.deafen()
    assert silence.seconds == 0.0
    silence.look(ALIVE, 0.5)
    silence.look(ALIVE, 0.75)

    assert silence.seconds == pytest.approx(0.25)
