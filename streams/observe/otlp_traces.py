"""Spans to a collector, by OTLP over HTTP. What it needs comes with `unimargin[traces]`."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import msgspec
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from engine.edition import ENGINE_VERSION
from streams.contract.commit import Commit, OutboxEntry
from streams.observe.traces import NO_TRACES, TRACEPARENT, Traces

EXPORT_TIMEOUT_S = 2
"""A collector that is away costs the spans and never more: they are sent from a thread, and dropped where too many wait."""
LINKS_MAX = 32

_replace = msgspec.structs.replace


class OtlpTraces(Traces):
    """Sends the spans of a share of all batches."""

    def __init__(self, endpoint: str, share: float, worker_id: str) -> None:
        """`endpoint` is the address of the collector's traces, `share` of 1."""
        resource = Resource.create(
            {"service.name": "unimargin", "service.version": ENGINE_VERSION, "service.instance.id": worker_id}
        )
        self._provider = TracerProvider(
            resource=resource, sampler=ParentBased(TraceIdRatioBased(share)), shutdown_on_exit=False
        )
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_TIMEOUT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("unimargin", ENGINE_VERSION)
        self._carrier = TraceContextTextMapPropagator()

    def span(self, name: str, **attributes: int | str) -> AbstractContextManager[object]:
        """See `Traces.span`."""
        return self._tracer.start_as_current_span(name, attributes=attributes)

    def goes_on(
        self, name: str, entries: Sequence[OutboxEntry], **attributes: int | str
    ) -> AbstractContextManager[object]:
        """See `Traces.goes_on`. Events without a trace, of batches that were not in the share, make none."""
        texts = list(dict.fromkeys(text for it in entries if (text := dict(it.headers).get(TRACEPARENT))))
        origins = [self._origin(text) for text in texts[:LINKS_MAX]]
        if not origins:
            return NO_TRACES.span(name)
        around = trace.set_span_in_context(trace.NonRecordingSpan(origins[0]))
        links = [Link(origin) for origin in origins[1:]]
        return self._tracer.start_as_current_span(name, around, links=links, attributes=attributes)

    def stamped(self, parts: Sequence[Commit]) -> Sequence[Commit]:
        """See `Traces.stamped`."""
        if not trace.get_current_span().is_recording():
            return parts
        carried: dict[str, str] = {}
        self._carrier.inject(carried)
        header = (TRACEPARENT, carried["traceparent"].encode())
        return [
            _replace(part, outbox=tuple(_replace(it, headers=(*it.headers, header)) for it in part.outbox))
            if part.outbox
            else part
            for part in parts
        ]

    def close(self) -> None:
        """See `Traces.close`."""
        self._provider.shutdown()

    def _origin(self, text: bytes) -> SpanContext:
        found = self._carrier.extract({"traceparent": text.decode()})
        return trace.get_current_span(found).get_span_context()
