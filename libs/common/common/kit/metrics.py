"""Prometheus metrics: the few that every service has. Service-specific ones live beside what they measure."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

REQUESTS = Counter("tollway_http_requests_total", "Requests answered.", ("route", "status"))
DURATION = Histogram(
    "tollway_http_request_seconds", "Time to the end of the answer.", ("route",), buckets=_SECONDS
)
IN_FLIGHT = Gauge("tollway_http_requests_in_flight", "Requests being answered.")
RPC = Counter("tollway_rpc_requests_total", "RPC calls answered.", ("method", "code"))
OUTBOX_PENDING = Gauge("tollway_outbox_pending", "Events written and not yet acknowledged by JetStream.")
EVENTS_PUBLISHED = Counter("tollway_events_published_total", "Events acknowledged by JetStream.")
CONSUMED = Counter("tollway_events_consumed_total", "Messages consumed.", ("consumer", "outcome"))
CONSUMER_LAG = Gauge("tollway_consumer_lag", "Messages waiting for this consumer.", ("consumer",))


class RequestMetrics:
    """`observe` with the label children kept, since looking them up costs more than counting."""

    def __init__(self) -> None:
        self._children: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request. `route` is a template of the route table, never a raw path."""
        pair = self._children.get((route, status))
        if pair is None:
            pair = (REQUESTS.labels(route, str(status)), DURATION.labels(route))
            self._children[route, status] = pair
        pair[0].inc()
        pair[1].observe(seconds)
