"""The runner of `tests.conformance` on small files of its own, and on the real case files where they are at hand."""

import json
import os
from decimal import Decimal
from pathlib import Path

import pytest

from engine.margin.isolated_pool import isolated_figures
from engine.margin.margin_model import shared_figures
from tests.conformance.__main__ import Outcome, load_topics, main, run_case
from tests.conformance.cases import read_cases
from tests.conformance.compare import Tolerance, same
from tests.conformance.registry import NotApplicable, adapter, number
from tests.conformance.rules.sizing import quantity_above
from tests.support.builders import account, prices, sample

CASES = Path(os.environ.get("UNIMARGIN_CASES", Path(__file__).parents[2] / "shared" / "cases"))
"""The real case files lie beside the checkout; they are no part of it."""


@adapter("test: double")
def double(inputs, _wanted):
    return {"double": number(inputs["x"]) * 2, "word": "even", "list": [number(inputs["x"]), True]}


@adapter("test: foreign")
def foreign(_inputs, _wanted):
    raise NotApplicable("no such rule here")


@adapter("test: broken")
def broken(inputs, _wanted):
    return {"x": inputs["no such key"]}


@adapter("test: pool")
def pool(inputs, _wanted):
    judge = isolated_figures if inputs["x"] == 2 else shared_figures
    state = account({"USD": 7}, isolated={"USD-PERP": (1, 100, 5)})
    at = prices({"USD-PERP": 100, "BTC-USD": 1})
    key = ("USD-PERP",) if judge is isolated_figures else ()
    return {"double": judge(state, *key, at, sample()).equity}


@adapter("test: rule of another system")
def foreign_rule(inputs, wanted):
    return {"double": quantity_above(pool(inputs, wanted)["double"], number(4))}


def venue_case(mode="test: double", expected=None, tolerance=None, **fields):
    return {
        "id": "own-1",
        "venue": "none",
        "mode": mode,
        "inputs": {"x": 1.5},
        "expected": {"double": 3} if expected is None else expected,
        "tolerance": {"abs": 0.01, "rel": 0} if tolerance is None else tolerance,
        **fields,
    }


@pytest.fixture
def run(tmp_path, capsys):
    """Write records (or raw text) to a file, run it, and return the exit code with what was printed."""

    def run(content, *options):
        path = tmp_path / "cases.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        code = main([str(path), *options])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


def test_runner_when_all_pass_then_exit_0_and_totals_by_mode(run):
    code, text = run([venue_case(), venue_case(id="own-2")])
    assert code == 0
    assert "pass  own-1  test: double" in text
    assert "   2     0     0  test: double" in text
    assert "   2     0     0  all modes" in text
    assert "expected" not in text


def test_runner_when_a_figure_differs_then_exit_1_and_both_values(run):
    code, text = run([venue_case(expected={"double": 3.02, "word": "even"})])
    assert code == 1
    assert "FAIL  own-1  test: double  differs in double" in text
    assert "! double: expected 3.02, got 3.0" in text


def test_runner_when_a_figure_is_missing_then_exit_1(run):
    code, text = run([venue_case(expected={"triple": 4.5})])
    assert code == 1
    assert "! triple: expected 4.5, got (no such figure)" in text


def test_runner_when_a_rule_is_foreign_then_not_applicable_with_its_reason(run):
    code, text = run([venue_case(mode="test: foreign")])
    assert code == 0
    assert "n/a   own-1  test: foreign  no such rule here" in text
    assert "   0     0     1  all modes" in text


def test_runner_when_adapters_have_run_then_the_report_tells_what_their_answers_rest_on(run):
    cases = [
        venue_case("test: pool", {"double": 7}),
        venue_case("test: pool", {"double": 5}, inputs={"x": 2}),
        venue_case("test: pool", {"double": 8}),  # fails
        venue_case("test: rule of another system", {"double": 3}),
        venue_case(),
        venue_case("test: foreign"),
        venue_case("nobody knows"),
    ]
    _, text = run(cases)
    assert text.splitlines()[-3:] == [
        "   3 answered,    2 passed: a pool judged through the product's own path",
        "   1 answered,    1 passed: a formula of the product, without a pool",
        "   1 answered,    1 passed: a rule of another system, in tests/conformance/rules",
    ]


def test_runner_when_no_adapter_knows_the_mode_then_exit_1(run):
    code, text = run([venue_case(mode="nobody knows")])
    assert code == 1
    assert "no adapter for this mode" in text


def test_runner_when_an_adapter_raises_then_its_case_fails_and_the_next_runs(run):
    code, text = run([venue_case(mode="test: broken"), venue_case(id="own-2")])
    assert code == 1
    assert "KeyError: 'no such key' (test_conformance_runner.py:" in text
    assert "pass  own-2" in text


def test_runner_when_the_file_holds_vectors_then_the_convention_is_the_mode(run):
    vector = {"id": "v-1", "convention": "test: double", "inputs": {"x": "2"}, "tolerance": 1e-9}
    code, text = run({"conventions": {}, "vectors": [{**vector, "expected": {"double": 4}}]})
    assert code == 0
    assert "pass  v-1  test: double" in text


def test_runner_when_verbose_then_passing_figures_are_printed(run):
    _, text = run([venue_case()], "--verbose")
    assert "  double: expected 3, got 3.0" in text


def test_runner_when_only_is_given_then_id_or_mode_must_contain_it(run):
    cases = [venue_case(), venue_case(id="own-2", mode="test: foreign")]
    assert "own-2" not in run(cases, "--only", "own-1")[1]
    assert "own-1" not in run(cases, "--only", "foreign")[1]
    assert run(cases, "--only", "nothing") == (2, "error: no case to run\n")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{", "Expecting property name"),
        ('{"vectors": 1}', "neither a list of cases"),
        ("[1]", "case 0 is not an object"),
        ([{"id": "a"}], "case 0 (a): 'mode' must be text"),
        ([venue_case(mode=3)], "case 0 (own-1): 'mode' must be text"),
        ([venue_case(inputs=[])], "'inputs' must be an object"),
        ([venue_case(tolerance={"abs": "wide"})], "'wide' is not a number"),
        ("[NaN]", "NaN is not a finite number"),
    ],
)
def test_runner_when_a_file_is_malformed_then_exit_2_naming_file_and_fault(run, content, fault):
    code, text = run(content)
    assert code == 2
    assert text.startswith("error: ")
    assert "cases.json: " in text
    assert fault in text


def test_runner_when_a_file_is_missing_then_exit_2(tmp_path, capsys):
    assert main([str(tmp_path / "absent.json")]) == 2
    assert "absent.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("expected", "got", "equal"),
    [
        (Decimal(100), Decimal("100.6"), True),  # 0.1 + 0.005 * 100 = 0.6
        (Decimal(100), Decimal("100.601"), False),
        (Decimal(-100), Decimal("-100.6"), True),
        ("3402823669209384634264811192843492", Decimal(3402823669209384634264811192843492), True),
        ("error", "error", True),
        ("error", Decimal(1), False),
        (True, True, True),
        (1, True, False),
        (False, Decimal(0), False),
        (None, None, True),
        (None, Decimal(0), False),
        ([1, [2, "a"]], (Decimal("1.1"), [Decimal(2), "a"]), True),
        ([1, 2], [Decimal(1)], False),
        ({"a": 1}, {"a": Decimal(1), "b": Decimal(2)}, True),
        ({"a": 1}, {"b": Decimal(1)}, False),
        (Decimal(1), 1.0, False),  # a float has no place in an answer
        (Decimal(1), Decimal("NaN"), False),
    ],
)
def test_same_when_values_are_compared_then_only_numbers_have_a_tolerance(expected, got, equal):
    assert same(expected, got, Tolerance(abs=Decimal("0.1"), rel=Decimal("0.005"))) is equal


def test_number_when_digits_exceed_a_float_then_none_is_lost(tmp_path):
    path = tmp_path / "cases.json"
    path.write_text(json.dumps([venue_case()]).replace("1.5", "0.1000000000000000055511151231257827"))
    (case,) = read_cases(path)
    assert number(case.inputs["x"]) == Decimal("0.1000000000000000055511151231257827")


def test_adapter_when_a_name_is_taken_then_it_is_refused():
    with pytest.raises(ValueError, match="two adapters for 'test: double'"):
        adapter("test: double")(double)


REAL_CASES = [case for path in sorted(CASES.glob("*.json")) for case in read_cases(path)]

if REAL_CASES:  # not collected without the files: a skipped test fails the build

    @pytest.mark.parametrize("case", REAL_CASES, ids=lambda case: case.id)
    def test_engine_when_a_published_case_is_run_then_it_answers_as_published(case):
        load_topics()
        result = run_case(case)
        assert result.outcome is not Outcome.FAIL, f"{result.reason} {result.figures}"
