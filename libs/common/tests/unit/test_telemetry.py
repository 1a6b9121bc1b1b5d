"""Traces: one trace through HTTP and NATS headers."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from common.kit.telemetry import Telemetry, inject

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
INBOUND = f"00-{TRACE_ID}-b7ad6b7169203331-01"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(exporter: InMemorySpanExporter) -> Telemetry:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Telemetry("sample", "r-1", "", 1.0, provider)


def test_an_inbound_trace_is_continued_and_passed_on(
    telemetry: Telemetry, exporter: InMemorySpanExporter
) -> None:
    outbound: dict[str, str] = {}
    relay = telemetry.span("relay", SpanKind.SERVER, INBOUND, model="gpt")
    with relay, telemetry.span("upstream", SpanKind.CLIENT):
        inject(outbound)
    child, parent = exporter.get_finished_spans()
    assert parent.parent is not None
    assert (f"{parent.context.trace_id:032x}", f"{parent.parent.span_id:016x}") == (
        TRACE_ID,
        "b7ad6b7169203331",
    )
    assert dict(parent.attributes or {}) == {"model": "gpt"}
    assert child.parent is not None
    assert child.parent.span_id == parent.context.span_id
    assert outbound["traceparent"] == f"00-{TRACE_ID}-{child.context.span_id:016x}-01"


def test_an_event_carries_its_trace_to_its_consumer(
    telemetry: Telemetry, exporter: InMemorySpanExporter
) -> None:
    message_headers: dict[str, str] = {}
    with telemetry.span("publish", SpanKind.PRODUCER):
        inject(message_headers)
    with telemetry.span("consume", SpanKind.CONSUMER, message_headers["traceparent"]):
        pass
    sent, received = exporter.get_finished_spans()
    assert received.context.trace_id == sent.context.trace_id


@pytest.mark.parametrize("inbound", [None, "", "nonsense", "00-0-0-01"])
def test_without_a_usable_parent_a_new_trace_begins(
    telemetry: Telemetry, exporter: InMemorySpanExporter, inbound: str | None
) -> None:
    with telemetry.span("relay", SpanKind.SERVER, inbound):
        pass
    (span,) = exporter.get_finished_spans()
    assert span.parent is None


def test_an_exception_marks_the_span_and_passes(telemetry: Telemetry, exporter: InMemorySpanExporter) -> None:
    with pytest.raises(KeyError), telemetry.span("relay", SpanKind.SERVER):
        raise KeyError
    (span,) = exporter.get_finished_spans()
    assert not span.status.is_ok


def test_without_an_endpoint_nothing_is_recorded_and_the_trace_does_not_break() -> None:
    telemetry = Telemetry("sample", "r-1", "", 1.0)
    assert not telemetry.enabled
    outbound: dict[str, str] = {}
    with telemetry.span("relay", SpanKind.SERVER, INBOUND) as span:
        assert not span.is_recording()
        inject(outbound)
    assert outbound["traceparent"].split("-")[1] == TRACE_ID
    telemetry.close()


def test_nothing_is_injected_outside_a_trace() -> None:
    outbound: dict[str, str] = {}
    inject(outbound)
    assert outbound == {}
