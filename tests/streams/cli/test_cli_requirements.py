"""`unimargin account requirements` against a real Redis."""

import pytest

from tests.support.builders import account, sample_text
from tests.support.cli import unimargin
from tests.support.cli_state import leave_state, marks_now

QUOTES = {"USDT-USD": 1, "BTC-USD": 100, "USD-PERP": 100}


@pytest.mark.system
def test_requirements_when_other_policies_are_given_then_side_by_side(redis_env, tmp_path):
    def written(name, *changes):
        path = tmp_path / f"{name}.toml"
        path.write_text(sample_text(('name = "sample"', f'name = "{name}"'), *changes))
        return str(path)

    files = [
        written("strict", ("maintenance_rate = 0.05", "maintenance_rate = 0.08")),
        # by contracts of 10, under another name
        written("venue", ("[instruments.USD-PERP]", "[instruments.X]\nmultiplier = 10")),
        written("odd", ('base = "BTC"\nsettle = "USD"\n', 'base = "DOT"\nsettle = "USD"\n')),
    ]
    state = account({"USD": 250}, {"USD-PERP": (10, 100)})
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [state], marks=marks_now(QUOTES))
    asked = ("account", "requirements", "alice", *(word for file in files for word in ("--policy", file)))
    shown = unimargin(*asked, "--explain", "--json", env=redis_env).json
    mm = {it["policy"]: [model["maintenance_margin"] for model in it["models"]] for it in shown["policies"]}
    # 5 % and 8 % of 1,000, segregated and cross
    assert mm == {"sample": ["50", "50"], "strict": ["80", "80"], "venue": ["50", "50"], "odd": []}
    own, _, venue, odd = shown["policies"]
    assert (shown["margin_model"], venue["names"], odd["unlisted"]) == (
        "cross",
        {"USD-PERP": "X"},
        ["USD-PERP"],
    )
    (line,) = [it for it in own["models"][1]["lines"] if it["figure"] == "maintenance_margin"]
    assert (line["item"], line["value"]) == ("USD-PERP", "50.00")
    text = unimargin(*asked, "--explain", env=redis_env).out
    for words in (
        "strict (USD)",
        "odd has nothing for USD-PERP",
        "venue takes USD-PERP as X",
        "cross (in force)",
    ):
        assert words in text
