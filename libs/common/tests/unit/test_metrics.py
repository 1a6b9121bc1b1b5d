"""Request metrics: what Prometheus reads is what was observed."""

from prometheus_client import REGISTRY

from common.kit.metrics import RequestMetrics


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_counts_buckets_and_sums_are_cumulative_per_route() -> None:
    metrics = RequestMetrics()
    for status, seconds in ((200, 0.0005), (200, 0.03), (502, 1000.0)):
        metrics.observe("/test-route", status, seconds)
    assert sample("tollway_http_requests_total", route="/test-route", status="200") == 2
    assert sample("tollway_http_requests_total", route="/test-route", status="502") == 1
    bucket = "tollway_http_request_seconds_bucket"
    assert sample(bucket, route="/test-route", le="0.001") == 1
    assert sample(bucket, route="/test-route", le="0.05") == 2
    assert sample(bucket, route="/test-route", le="300.0") == 2
    assert sample(bucket, route="/test-route", le="+Inf") == 3
    assert sample("tollway_http_request_seconds_count", route="/test-route") == 3
    assert sample("tollway_http_request_seconds_sum", route="/test-route") == 1000.0305


def test_a_second_front_in_the_process_counts_into_the_same_metrics() -> None:
    RequestMetrics().observe("/shared", 200, 0.1)
    RequestMetrics().observe("/shared", 200, 0.1)
    assert sample("tollway_http_requests_total", route="/shared", status="200") == 2
