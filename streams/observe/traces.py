"""Spans of the way from a batch of records to its published events. Off unless asked for, and then every call does nothing.

A batch is a span, and judging it one below. The events that it leads to carry the judging span in the header `ce_traceparent`, as CloudEvents'
extension for distributed tracing has it; so whoever commits them, publishes them (another worker too) or consumes them goes on with the same
trace. Many batches may end in one commit: it is below the first of them, and linked to the others.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from streams.contract.commit import Commit, OutboxEntry

TRACEPARENT = "ce_traceparent"

_NOTHING = nullcontext()


class Traces:
    """None are kept."""

    def span(self, name: str, **attributes: int | str) -> AbstractContextManager[object]:  # noqa: ARG002
        """What is done inside is a span, below the one around it."""
        return _NOTHING

    def goes_on(
        self,
        name: str,  # noqa: ARG002
        entries: Sequence[OutboxEntry],  # noqa: ARG002
        **attributes: int | str,  # noqa: ARG002
    ) -> AbstractContextManager[object]:
        """What is done inside with these events is a span of the traces that they come from."""
        return _NOTHING

    def stamped(self, parts: Sequence[Commit]) -> Sequence[Commit]:
        """The same parts, whose events name the span around."""
        return parts

    def close(self) -> None:
        """Send what is left."""


NO_TRACES = Traces()
