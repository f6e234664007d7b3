"""What Prometheus may ask of a node. No patient data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from pneumoscope.dicom.node.tally import Count

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_COUNTERS: Mapping[Count, tuple[str, str, str]] = {
    "received": ("films_received", "Radiographs taken in for the first time.", "way"),
    "known": ("films_known", "Radiographs that came again.", "way"),
    "rejected": ("rejected", "Associations, connections and objects refused.", "reason"),
    "films": ("films_finished", "What became of radiographs.", "outcome"),
    "sent": ("objects_sent", "Objects that the destination took.", "kind"),
    "retried": ("objects_retried", "Objects sent again.", "kind"),
    "failed": ("send_failures", "Failures of the destination.", "status"),
    "committed": ("objects_committed", "Answers about storage commitment.", "result"),
}
_AT_DESTINATION = ("sent", "retried", "failed", "committed")


class _Collector:
    """Turns a status into metrics when it is asked."""

    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        now = self._status()
        yield from _queue(now["waiting"])
        yield GaugeMetricFamily(
            "pneumoscope_node_free_bytes", "Free on the queue's disk.", now["free_bytes"]
        )
        yield GaugeMetricFamily(
            "pneumoscope_node_healthy", "Whether it works.", int(not now["problems"])
        )
        yield GaugeMetricFamily(
            "pneumoscope_node_destination_up",
            "Whether the last sending went well.",
            int(now["trouble"] is None),
        )
        for name, counts in now["counts"].items():
            yield _counter(name, counts, now["destination"] or "")


def _queue(waiting: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    films = GaugeMetricFamily(
        "pneumoscope_node_queue_films", "Radiographs that wait.", labels=["state"]
    )
    files = GaugeMetricFamily("pneumoscope_node_queue_files", "Files that wait.", labels=["state"])
    oldest = GaugeMetricFamily(
        "pneumoscope_node_queue_oldest_seconds", "Age of the oldest.", labels=["state"]
    )
    for state, value in waiting.items():
        films.add_metric([state], value["films"])
        files.add_metric([state], value["files"])
        oldest.add_metric([state], value["oldest_seconds"] or 0.0)
    yield from (films, files, oldest)


def _counter(name: Count, counts: Mapping[str, int], destination: str) -> Metric:
    title, words, label = _COUNTERS[name]
    far = name in _AT_DESTINATION
    labels = [label, "destination"] if far else [label]
    family = CounterMetricFamily(f"pneumoscope_node_{title}", words, labels=labels)
    for value, number in counts.items():
        family.add_metric([value, destination] if far else [value], number)
    return family


def metrics_text(status: Callable[[], Mapping[str, Any]]) -> bytes:
    """A node's status as Prometheus reads it.

    Args:
        status: gives it, as `survey.status` does.
    """
    registry = CollectorRegistry()
    registry.register(_Collector(status))
    return generate_latest(registry)
