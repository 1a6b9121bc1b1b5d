"""Prometheus metrics: the few that every service has. Service-specific ones live beside what they measure."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

IN_FLIGHT = Gauge("tollway_http_requests_in_flight", "Requests being answered.")
RPC = Counter("tollway_rpc_requests_total", "RPC calls answered.", ("method", "code"))
OUTBOX_PENDING = Gauge("tollway_outbox_pending", "Events written and not yet acknowledged by JetStream.")
EVENTS_PUBLISHED = Counter("tollway_events_published_total", "Events acknowledged by JetStream.")
CONSUMED = Counter("tollway_events_consumed_total", "Messages consumed.", ("consumer", "outcome"))
CONSUMER_LAG = Gauge("tollway_consumer_lag", "Messages waiting for this consumer.", ("consumer",))


class _Requests(Collector):
    """Counts of answered requests. prometheus_client's own Histogram costs ten times as much a request."""

    def __init__(self) -> None:
        self.answered: dict[tuple[str, int], int] = {}
        self.buckets: dict[str, list[int]] = {}
        self.seconds: dict[str, float] = {}

    def collect(self) -> Iterable[Metric]:
        """`tollway_http_requests_total` by route and status, `tollway_http_request_seconds` by route."""
        answered = CounterMetricFamily(
            "tollway_http_requests", "Requests answered.", labels=("route", "status")
        )
        for (route, status), count in self.answered.items():
            answered.add_metric((route, str(status)), count)
        yield answered
        durations = HistogramMetricFamily(
            "tollway_http_request_seconds", "Time to the end of the answer.", labels=("route",)
        )
        for route, counts in self.buckets.items():
            bounds = [*(str(float(bound)) for bound in _SECONDS), "+Inf"]
            durations.add_metric(
                (route,), list(zip(bounds, accumulate(counts), strict=True)), self.seconds[route]
            )
        yield durations


_REQUESTS = _Requests()
REGISTRY.register(_REQUESTS)


class RequestMetrics:
    """Counts the answered requests of this process."""

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request. `route` is a template of the route table, never a raw path."""
        answered, buckets = _REQUESTS.answered, _REQUESTS.buckets
        key = (route, status)
        answered[key] = answered.get(key, 0) + 1
        if route not in buckets:
            buckets[route] = [0] * (len(_SECONDS) + 1)
            _REQUESTS.seconds[route] = 0.0
        buckets[route][bisect_left(_SECONDS, seconds)] += 1
        _REQUESTS.seconds[route] += seconds
