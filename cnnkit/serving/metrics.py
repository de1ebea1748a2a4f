"""Figures of a running server in the text format of Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
GONE = "gone"  # in place of a status: the client hung up before it had its answer
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """What one server counts; each has a registry of its own, so that several may live in a process.

    Args:
        count_waiting: the requests that are received, decoded or predicted now.
    """

    def __init__(self, count_waiting: Callable[[], int]) -> None:
        self._registry = own = CollectorRegistry()
        ProcessCollector(registry=own)
        self._requests = Counter("cnnkit_requests", "Answered requests", ["path", "status"], registry=own)
        told = "Seconds from the header of a request to its answer"
        self._seconds = Histogram("cnnkit_request_seconds", told, ["path"], buckets=_SECONDS, registry=own)
        self._images = Counter("cnnkit_images", "Predicted images", registry=own)
        self._batches = Histogram("cnnkit_batch_images", "Images of a batch", buckets=_IMAGES, registry=own)
        told = "Seconds that the net takes for a batch"
        self._predicting = Histogram("cnnkit_batch_seconds", told, buckets=_SECONDS, registry=own)
        told = "Requests that are received, decoded or predicted now"
        Gauge("cnnkit_waiting_requests", told, registry=own).set_function(count_waiting)

    def count_request(self, path: str, status: int | str, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def count_batch(self, images: int, seconds: float) -> None:
        """Count a batch that the net has predicted."""
        self._images.inc(images)
        self._batches.observe(images)
        self._predicting.observe(seconds)

    def render(self) -> bytes:
        """Return the figures as text."""
        return generate_latest(self._registry)
