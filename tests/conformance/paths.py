"""By what a case was answered, as its adapter ran: the product's own path, one formula of it, or a rule that stands here.

Nobody declares it: the functions that are called while an adapter runs tell it.
"""

import sys
from enum import StrEnum
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from engine.events.judgement import judge, pool_figures
from engine.margin.isolated_pool import explain_isolated, isolated_figures
from engine.margin.margin_model import explain_shared, shared_figures

RULES = str(Path(__file__).parent / "rules")
POOL_FIGURES = frozenset(
    it.__code__
    for it in (shared_figures, isolated_figures, explain_shared, explain_isolated, pool_figures, judge)
)
"""What the product has figures of a pool from: each goes from an account's state, prices and a policy to the figures."""


class AnsweredBy(StrEnum):
    """By what a case was answered."""

    POOL = "a pool judged through the product's own path"
    FORMULA = "a formula of the product, without a pool"
    RULE = "a rule of another system, in tests/conformance/rules"


class Watch:
    """Sees which functions are called while it is entered."""

    def __init__(self) -> None:
        self._pool = self._rule = False

    def __enter__(self) -> Self:
        sys.setprofile(self._called)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.setprofile(None)

    @property
    def answered_by(self) -> AnsweredBy:
        """A case that needed a rule of another system counts as that, whatever pools it judged besides."""
        if self._rule:
            return AnsweredBy.RULE
        return AnsweredBy.POOL if self._pool else AnsweredBy.FORMULA

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            self._pool = self._pool or frame.f_code in POOL_FIGURES
            self._rule = self._rule or frame.f_code.co_filename.startswith(RULES)
