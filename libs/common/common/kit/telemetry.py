"""OpenTelemetry traces through HTTP and NATS headers (W3C Trace Context).

With no OTLP endpoint nothing is recorded, and an inbound `traceparent` is still passed on, so that a trace
never breaks at Tollway. With one, spans are made by hand at the places that matter instead of per message:
the automatic ASGI instrumentation makes a span of every SSE chunk.
"""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_PROPAGATOR = TraceContextTextMapPropagator()


class Telemetry:
    """The tracer of one service; `enabled` is what hot paths ask before they do anything."""

    def __init__(
        self,
        service: str,
        replica: str,
        endpoint: str,
        ratio: float,
        provider: "TracerProvider | None" = None,
    ) -> None:
        if endpoint and provider is None:
            provider = _exporting_provider(service, replica, endpoint, ratio)
        self.enabled = provider is not None
        self._provider = provider
        self._tracer = (provider or trace.NoOpTracerProvider()).get_tracer("tollway")

    @contextmanager
    def span(
        self, name: str, kind: SpanKind, traceparent: str | None = None, **attributes: str | int | bool
    ) -> Iterator[Span]:
        """A current span, child of `traceparent` when given, else of the current one."""
        parent = _PROPAGATOR.extract({"traceparent": traceparent}) if traceparent else context.get_current()
        with self._tracer.start_as_current_span(name, parent, kind=kind, attributes=attributes) as span:
            yield span

    def close(self) -> None:
        """Export what is buffered."""
        if self._provider is not None:
            self._provider.shutdown()


def inject(headers: MutableMapping[str, str]) -> None:
    """Add `traceparent` of the current span, if there is one."""
    _PROPAGATOR.inject(headers)


def _exporting_provider(service: str, replica: str, endpoint: str, ratio: float) -> "TracerProvider":
    # Loaded only when used: the SDK, the exporter and its protobuf cost every process memory and start time.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415

    resource = Resource.create({"service.name": f"tollway-{service}", "service.instance.id": replica})
    provider = TracerProvider(resource=resource, sampler=ParentBased(TraceIdRatioBased(ratio)))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
    return provider
