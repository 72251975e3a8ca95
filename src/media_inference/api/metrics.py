"""The service in numbers for Prometheus, read from the database whenever somebody asks."""

from collections import Counter
from collections.abc import Iterator, Sequence

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from media_inference.api.openapi import ends_in
from media_inference.api.problems import ProblemCode
from media_inference.api.services import Services, Serving
from media_inference.errors import Dependency, TransientError
from media_inference.jobs.job import HIGHEST_PRIORITY, LOWEST_PRIORITY, JobStatus
from media_inference.queue.job_records import QueueStatistics
from media_inference.queue.worker_records import WorkerRecord
from media_inference.vectors.store import COLLECTIONS

PREFIX = "media_inference_"

Values = dict[tuple[str, ...], float]
"""Values of a metric's labels, in their order -> value."""

router = APIRouter(tags=["metrics"])


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={
        200: {"description": "Prometheus' text format; docs/metrics.md has the list."},
        **ends_in(ProblemCode.UNAVAILABLE),
    },
)
def get_metrics(services: Serving) -> PlainTextResponse:
    """The service in numbers, for Prometheus."""
    registry = CollectorRegistry()  # the library's own would add this process's memory and threads, and never end
    registry.register(ServiceCollector(services))
    return PlainTextResponse(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class ServiceCollector(Collector):
    """All metrics of one moment. Nearly all are gauges: what is counted can be removed again by a cleanup.

    `collect` raises `DatabaseUnavailable`; a vector store that is away only leaves its own metric without values.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> list[Metric]:
        """Nothing: to ask for the names would be to ask the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics, in the order of docs/metrics.md."""
        services = self._services
        counted, workers = services.records.statistics(), services.workers.alive()
        yield _gauge("build_info", "The release that answers", {(services.version,): 1}, "version")
        yield from _queue(counted, services)
        yield from _workers(workers)
        yield from self._outside(counted)

    def _outside(self, counted: QueueStatistics) -> Iterator[Metric]:
        """What lies outside the database, or is on its way there."""
        services = self._services
        away = {outage.dependency for outage in services.outages.current()}
        yield _gauge(
            "outbox_entries", "Accepted results that the vector store has yet to get", {(): counted.unpublished}
        )
        counts = {} if services.sync is None else services.sync.counts()
        reports: Values = {(status,): count for status, count in counts.items()}
        yield _gauge("reports", "Reports to the media_store service", reports, "status")
        yield _gauge("points", "Vectors that can be searched", self._points(), "collection")
        yield _gauge("artifact_bytes", "Size of the result files of all jobs", {(): counted.artifact_bytes})
        outages: Values = {(dependency,): dependency in away for dependency in Dependency}
        yield _gauge("outage", "1 while a dependency is away", outages, "dependency")

    def _points(self) -> Values:
        try:
            return {(collection,): self._services.vectors.count(collection) for collection in COLLECTIONS}
        except TransientError:  # `outage` and `/health` tell that; the other numbers are wanted most now
            return {}


def _queue(counted: QueueStatistics, services: Services) -> Iterator[Metric]:
    jobs: Values = {(status, task): 0 for task in services.task_types for status in JobStatus}
    jobs.update(counted.jobs.items())
    yield _gauge("jobs", "Jobs in the database", jobs, "status", "task_type")
    priorities = range(LOWEST_PRIORITY, HIGHEST_PRIORITY + 1)
    depth: Values = {(str(priority),): counted.waiting_by_priority.get(priority, 0) for priority in priorities}
    yield _gauge("queue_jobs", "Jobs that wait to be claimed", depth, "priority")
    oldest = (counted.oldest_waiting_ms or 0) / 1000
    yield _gauge("queue_oldest_seconds", "Age of the oldest job that waits, 0 when none does", {(): oldest})
    meaning = "Attempts that ended without effect, their job deleted or taken from them."
    yield CounterMetricFamily(PREFIX + "attempts_dropped", meaning, value=counted.attempts_dropped)


def _workers(alive: Sequence[WorkerRecord]) -> Iterator[Metric]:
    devices: Values = dict(Counter((worker.device,) for worker in alive))
    # A metric that is not there can't be alerted on.
    yield _gauge("workers", "Workers alive, by what their networks really run on", devices or {("none",): 0}, "device")
    models: Values = {(kind, model): 1 for worker in alive for kind, model in worker.models.items()}
    yield _gauge("model_info", "The models that the workers run", models, "kind", "model")


def _gauge(name: str, meaning: str, values: Values, *labels: str) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, meaning + ".", labels=labels)
    for of, value in values.items():
        family.add_metric(of, value)
    return family
