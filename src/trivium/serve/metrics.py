"""What Prometheus may read: requests, seconds, tokens, and what the engines do.

Labels are names that the server's owner chose, never what a client wrote: a series a name would fill the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trivium.types import Policy, Usage

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """The counters of one server."""

    def __init__(self, policies: Mapping[str, Policy], running: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "trivium_requests", "Requests, by route and by the status they got (499: the client left).",
            ["route", "status"], registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "trivium_request_seconds", "Seconds from a request to the end of its answer.", ["route"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self._tokens = Counter(
            "trivium_tokens", "Tokens, by policy and kind; cached ones are among the prompt's.", ["policy", "kind"],
            registry=self.registry,
        )  # fmt: skip
        gauge = Gauge("trivium_requests_running", "Requests under way.", registry=self.registry)
        gauge.set_function(running)
        self.registry.register(_Engines(policies))

    def answered(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def spent(self, policy: str, usage: Usage) -> None:
        kinds = (("prompt", usage.prompt_tokens), ("cached", usage.cached_tokens), ("sampled", usage.sampled_tokens))
        for kind, tokens in kinds:
            self._tokens.labels(policy, kind).inc(tokens)

    def text(self) -> bytes:
        """All series in Prometheus' text format."""
        return generate_latest(self.registry)


class _Engines(Collector):
    """Reads the counters that engines keep anyway, when asked."""

    def __init__(self, policies: Mapping[str, Policy]) -> None:
        self._policies = policies

    def collect(self) -> Iterable[Metric]:
        rows = GaugeMetricFamily("trivium_engine_rows", "Samples in the running batch.", labels=["policy"])
        queued = GaugeMetricFamily("trivium_engine_queued", "Samples that wait for a row.", labels=["policy"])
        steps = CounterMetricFamily("trivium_engine_steps", "Steps of the batch.", labels=["policy"])
        seconds = CounterMetricFamily("trivium_engine_seconds", "Seconds inside steps.", labels=["policy"])
        tokens = CounterMetricFamily("trivium_engine_tokens", "Tokens by what was done.", labels=["policy", "kind"])
        for name, policy in self._policies.items():
            engine: Any = getattr(policy, "engine", None)
            if engine is None:
                continue
            rows.add_metric([name], len(engine.rows))
            queued.add_metric([name], len(engine.queue))
            steps.add_metric([name], engine.counters.steps)
            seconds.add_metric([name], engine.counters.seconds)
            for kind in ("prefilled", "reused", "sampled"):
                tokens.add_metric([name, kind], getattr(engine.counters, kind))
        yield from (rows, queued, steps, seconds, tokens)
