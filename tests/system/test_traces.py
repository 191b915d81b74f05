"""One trace from the batch that was read to the event that Kafka took, at a collector in this process."""

import pytest

from tests.support.cluster import Cluster
from tests.support.kafka_log import read_topic
from tests.support.otlp_receiver import OtlpReceiver
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system


def test_traces_when_asked_for_then_an_event_names_the_span_that_judged_and_its_commit_and_publication_go_on_with_it(
    cluster: Cluster, seed: int
) -> None:
    with OtlpReceiver() as collector:
        worker = cluster.worker(TRACES_ENDPOINT=collector.url, TRACES_SHARE="1")
        with Traffic(cluster.bootstrap, seed):
            worker.wait_ready()
            wait_for("events", lambda: worker.metric("margin_events_published_total") > 5)
        assert worker.terminate() == 0  # what is left is sent
        spans = {span.span_id: span for span in collector.spans}
        events = [record.headers for record in read_topic(cluster.bootstrap, "margin-events")]
    assert events
    traced = [headers["ce_traceparent"].split("-") for headers in events if "ce_traceparent" in headers]
    assert traced
    whole = 0
    for _, trace_id, span_id, _ in traced:
        origin = spans[bytes.fromhex(span_id)]
        assert origin.name in {"judge", "reasons"}
        assert origin.trace_id == bytes.fromhex(trace_id)
        after = {
            span.name
            for span in spans.values()
            if span.parent_span_id == origin.span_id
            or origin.span_id in {link.span_id for link in span.links}
        }
        assert after >= {"commit", "publish"}
        if origin.name == "judge":
            assert spans[origin.parent_span_id].name in {"prices.batch", "inputs.batch"}
            whole += 1
    assert whole
