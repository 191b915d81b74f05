"""Run case files: `python -m tests.conformance FILE... [--only TEXT] [--verbose]`.

Exit code 0: nothing failed; 1: a case failed (a mode without an adapter fails); 2: a file cannot be read, or
there is no case to run.
"""

import argparse
import importlib
import pkgutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path

import msgspec

import tests.conformance
from tests.conformance.cases import Case, CaseFileError, read_cases
from tests.conformance.compare import Difference, differences
from tests.conformance.paths import AnsweredBy, Watch
from tests.conformance.registry import NotApplicable, adapter_for

_MACHINERY = {"__main__", "build", "cases", "compare", "paths", "registry", "rules"}
"""Every other module of this package is a topic that registers adapters when it is imported."""


class Outcome(StrEnum):
    """How a case ended."""

    PASS = "pass"
    FAIL = "FAIL"
    NOT_APPLICABLE = "n/a"


class Result(msgspec.Struct, frozen=True):
    """One case that was run."""

    case: Case
    outcome: Outcome
    reason: str = ""
    figures: tuple[Difference, ...] = ()
    answered_by: AnsweredBy | None = None
    """None where there was no answer."""


def load_topics() -> None:
    """Import every topic module, so that its adapters are registered."""
    for module in pkgutil.iter_modules(tests.conformance.__path__):
        if module.name not in _MACHINERY:
            importlib.import_module(f"{tests.conformance.__name__}.{module.name}")


def run_case(case: Case) -> Result:
    """Answer one case by its adapter and compare. An adapter that raises has failed its case."""
    answer_by = adapter_for(case.mode)
    if answer_by is None:
        return Result(case, Outcome.FAIL, "no adapter for this mode")
    try:
        with Watch() as watch:
            answer = answer_by(case.inputs, frozenset(case.expected))
    except NotApplicable as reason:
        return Result(case, Outcome.NOT_APPLICABLE, str(reason))
    except Exception as error:  # noqa: BLE001 - whatever an adapter raises fails its own case, the others still run
        return Result(case, Outcome.FAIL, f"{type(error).__name__}: {error} ({_place(error)})")
    figures = tuple(differences(case.expected, answer, case.tolerance))
    wrong = [figure.key for figure in figures if not figure.same]
    if wrong:
        return Result(case, Outcome.FAIL, f"differs in {', '.join(wrong)}", figures, watch.answered_by)
    return Result(case, Outcome.PASS, "", figures, watch.answered_by)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, run, print; the exit code."""
    options = _options(arguments)
    load_topics()
    try:
        cases = [case for path in options.files for case in read_cases(path)]
    except CaseFileError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    chosen = [case for case in cases if options.only in case.id or options.only in case.mode]
    if not chosen:
        sys.stderr.write("error: no case to run\n")
        return 2
    results = [run_case(case) for case in chosen]
    for line in _report(results, verbose=options.verbose):
        sys.stdout.write(f"{line}\n")
    return 1 if any(result.outcome is Outcome.FAIL for result in results) else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description="Run case files.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose id or mode contains TEXT")
    parser.add_argument("--verbose", action="store_true", help="print expected and got for every case")
    return parser.parse_args(arguments)


def _report(results: Sequence[Result], *, verbose: bool) -> Iterator[str]:
    id_width = max((len(result.case.id) for result in results), default=0)
    for result in results:
        yield f"{result.outcome:4}  {result.case.id:{id_width}}  {result.case.mode}  {result.reason}".rstrip()
        if verbose or result.outcome is Outcome.FAIL:
            for figure in result.figures:
                sign = " " if figure.same else "!"
                yield f"    {sign} {figure.key}: expected {figure.expected}, got {figure.got}"
    yield ""
    yield from _totals(results)
    yield ""
    yield from _paths(results)


def _totals(results: Sequence[Result]) -> Iterator[str]:
    by_mode: dict[str, Counter[Outcome]] = {}
    for result in results:
        by_mode.setdefault(result.case.mode, Counter())[result.outcome] += 1
    by_mode["all modes"] = Counter(result.outcome for result in results)
    yield "  ".join(f"{outcome:>4}" for outcome in Outcome) + "  mode"
    for mode, counts in by_mode.items():
        yield "  ".join(f"{counts[outcome]:>4}" for outcome in Outcome) + f"  {mode}"


def _paths(results: Sequence[Result]) -> Iterator[str]:
    """How many of the cases that were answered rest on what."""
    passed = Counter(it.answered_by for it in results if it.outcome is Outcome.PASS)
    answered = Counter(it.answered_by for it in results if it.answered_by)
    for by in AnsweredBy:
        yield f"{answered[by]:>4} answered, {passed[by]:>4} passed: {by}"


def _place(error: Exception) -> str:
    """File and line of the innermost frame: where the adapter or the engine gave up."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"


if __name__ == "__main__":
    sys.exit(main())
