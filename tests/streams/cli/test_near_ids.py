"""Which event a mistyped id may have meant."""

import pytest

from streams.cli.explain.near_ids import NearIds

LOG = (
    "alice/margin-events/1",
    "alice/margin-events/9",
    "a/b/margin-events/4",
    "bob/margin-events/7",
    "breaker/0",
    "",
)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("alice/margin-events/8", "; did you mean alice/margin-events/9?"),
        ("alice/margin-events/2", "; did you mean alice/margin-events/1?"),
        ("a/b/margin-events/99", "; did you mean a/b/margin-events/4?"),
        ("Alcie/margin-events/1", "; did you mean alice/margin-events/9?"),
        ("zzz/margin-events/1", ""),
    ],
)
def test_id_when_the_log_has_none_such_then_the_nearest(asked: str, said: str) -> None:
    near = NearIds(asked)
    for event_id in LOG:
        near.see(event_id)
    assert near.words() == said
