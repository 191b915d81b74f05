"""One crash under several deleveraging policies: what each takes beyond what is needed, from how many, and that nothing is lost."""

import pytest

from engine.policy.rules.deleveraging_rules import DeleveragingRules
from engine.policy.rules.policy_switches import DeleveragedSize, Deleveraging
from streams.cli.simulate.adl_policies import adl_policies
from tests.support.cli import unimargin

MARKET = ("simulate", "--scenario", "cascade-and-adl", "--accounts", "150", "--seconds", "30", "--seed", "1")


def test_comparison_when_a_crash_is_played_by_each_policy_then_scored_side_by_side():
    said = unimargin(*MARKET, "--adl", "queue:position", "--adl", "queue,pro_rata_profit", "--json").json
    rows = {row["policy"]: row for row in said["rows"]}
    assert list(rows) == ["queue:position", "queue:deficit", "pro_rata_profit:deficit"]
    for row in rows.values():
        score = {name: float(value) for name, value in row["score"].items()}
        assert row["conserved"]
        assert score["takeovers"] > 0
        assert score["covered"] + score["uncovered"] == pytest.approx(score["needed"])
        assert score["covered"] + score["overshoot"] == pytest.approx(score["taken"])
        assert 0 < score["largest_share"] <= 1
        assert 0 < score["largest_haircut"] <= 1
    whole, queue, shared = (row["score"] for row in rows.values())
    # position for position takes what the fund could still have borne; counted in money at most a lot is too much
    assert float(whole["overshoot"]) > 100 * float(queue["overshoot"])
    assert float(whole["overshoot"]) > 100 * float(shared["overshoot"])
    # pro rata takes a little of many, the queue much of few
    assert float(shared["largest_haircut"]) < float(queue["largest_haircut"])
    assert shared["accounts"] > queue["accounts"]


def test_comparison_when_shown_to_a_person_then_one_table_of_all_policies():
    said = unimargin(*MARKET, "--adl", "per_contract:neutral_last")
    assert said.code == 0
    for name in (
        "per_contract",
        "neutral_last",
        "overshoot",
        "haircut",
        "accounts",
        "held exactly in each of 1 runs",
    ):
        assert name in said.out


def test_words_when_all_then_every_rule_by_either_size_over_the_rest_of_the_policy():
    found = adl_policies(["all"], DeleveragingRules(neutral_last=True))
    assert len(found) == len(Deleveraging) * len(DeleveragedSize)
    assert found["queue:position:neutral_last"] == DeleveragingRules(
        rule=Deleveraging.QUEUE, size=DeleveragedSize.POSITION, neutral_last=True
    )


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--adl", "fair"), "'fair' is no policy"),
        (("--adl", "queue:half"), "'half' is not known"),
        (("--adl", "queue", "--events", "x.jsonl"), "--events belongs to one run"),
    ],
)
def test_comparison_when_asked_for_what_there_is_not_then_told_and_code_2(words, complaint):
    said = unimargin(*MARKET, *words)
    assert said.code == 2
    assert complaint in said.err
