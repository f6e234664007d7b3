"""What Prometheus may ask for."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pneumoscope.serve.dispatcher import Dispatcher

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of one server, in a registry of their own.

    Args:
        dispatcher: whose queue and worker are shown.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self._requests = Counter(
            "pneumoscope_requests", "Requests.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "pneumoscope_request_seconds",
            "Time to answer.",
            ["route"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._films = Counter("pneumoscope_films", "Radiographs.", ["outcome"], registry=registry)
        gauges = {
            "pneumoscope_queue_films": ("Accepted, not finished.", lambda: dispatcher.queue.held),
            "pneumoscope_worker_resident_bytes": (
                "Of the workers.",
                lambda: dispatcher.tally.memory,
            ),
            "pneumoscope_worker_restarts": (
                "Workers that died.",
                lambda: dispatcher.tally.restarts,
            ),
            "pneumoscope_worker_recycled": (
                "Workers that grew.",
                lambda: dispatcher.tally.recycled,
            ),
            "pneumoscope_ready": ("Whether it serves.", lambda: int(dispatcher.ready)),
        }
        for name, (help_text, value) in gauges.items():
            Gauge(name, help_text, registry=registry).set_function(value)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; routes are templates, so that there are few."""
        known = method if method in ("GET", "HEAD", "POST", "PUT", "DELETE") else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def film(self, outcome: str) -> None:
        """Count a radiograph: `judged`, `unusable`, `refused` or `lost`."""
        self._films.labels(outcome).inc()

    def text(self) -> bytes:
        """All of them, as Prometheus reads it."""
        return generate_latest(self._registry)
