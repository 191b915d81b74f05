"""How `unimargin shadow` tells what it sees, and what it refuses."""

import pytest

from engine.ladder import Band
from streams.cli.shadow.shadow_run import Ended
from streams.cli.shadow.shadow_tables import Screen
from streams.replay.shadow import Differing, Tally
from tests.support.builders import sample_text, seconds
from tests.support.cli import NOWHERE, unimargin


def differing(number, at=1, shadow=Band.LIQUIDATION):
    return Differing(
        account=f"a-{number:03}",
        position=None,
        time_ns=seconds(at),
        band=Band.WARNING,
        shadow_band=shadow,
        ratio=None,
        shadow_ratio=None,
    )


TALLY = Tally(
    called_both=1,
    called_only_now=2,
    called_only_shadow=3,
    liquidated_both=4,
    liquidated_only_now=5,
    liquidated_only_shadow=6,
)


def test_screen_when_a_crowd_differs_in_one_second_then_the_first_are_named_and_the_others_counted(capsys):
    screen = Screen()
    for number in range(45):
        screen.changed(differing(number))
    screen.changed(differing(99, at=2, shadow=Band.WARNING))
    told = capsys.readouterr().out
    assert "a-019" in told
    assert "a-020" not in told
    # 45 - 20
    assert "and 25 more in that second" in told
    assert "alike again" in told.splitlines()[-1]


def test_screen_when_it_ends_then_counts_and_who_differs(capsys):
    crowd = tuple(differing(number) for number in range(25))
    Screen().ended(Ended(inputs=7, differing=crowd, tally=TALLY, judged=False))
    told = capsys.readouterr().out
    for words in ("nobody was judged", "7 records read", "25 pools differ at the end", "and 5 more"):
        assert words in told
    Screen().ended(Ended(inputs=7, differing=(), tally=TALLY, judged=True))
    assert "nobody differs at the end" in capsys.readouterr().out


def test_shadow_when_a_policy_or_redis_is_away_then_one_line(tmp_path):
    broken, good = tmp_path / "broken.toml", tmp_path / "good.toml"
    broken.write_text("name = ")
    good.write_text(sample_text())
    said = unimargin("shadow", "--policy", str(broken))
    assert (said.code, "not valid TOML" in said.err) == (2, True)
    away = unimargin(
        "shadow", "--policy", str(good), "--seconds", "1", env={"UNIMARGIN_REDIS_URL": f"redis://{NOWHERE}/0"}
    )
    assert (away.code, "Is the server running" in away.err) == (1, True)


@pytest.mark.system
def test_shadow_when_no_worker_has_run_yet_then_said(redis_env, tmp_path, real_kafka):
    good = tmp_path / "good.toml"
    good.write_text(sample_text())
    env = {**redis_env, "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": real_kafka.bootstrap_servers}
    said = unimargin("shadow", "--policy", str(good), "--seconds", "1", env=env)
    assert (said.code, "Redis holds no shard" in said.err) == (1, True)
