"""The numbers for Prometheus."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa
import structlog
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from media_inference.api.services import Services
from media_inference.errors import Dependency, ErrorCode, PermanentError
from media_inference.jobs.job import JobStatus, NewJob
from media_inference.queue.job_records import JobRecords
from media_inference.queue.worker_records import WorkerRecord
from media_inference.vectors.store import FACES, Point
from tests.stands.documents import document, table

Complete = Callable[..., None]
Serve = Callable[[Services], TestClient]
Numbers = dict[str, dict[tuple[str, ...], float]]

TASK = "face_detection"


def scrape(client: TestClient) -> Numbers:
    """Metric without its prefix -> values of its labels -> value."""
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    numbers: Numbers = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.type == ("counter" if family.name.endswith("_dropped") else "gauge")
        of = numbers.setdefault(family.name.removeprefix("media_inference_"), {})
        for sample in family.samples:
            assert tuple(sample.labels.values()) not in of
            of[tuple(sample.labels.values())] = sample.value
    return numbers


@pytest.fixture
def busy(services: Services, complete: Complete) -> Services:
    """Jobs in every state, an attempt that was dropped, workers on two devices, an outage, and a vector."""
    services.queue.submit(NewJob(TASK, "1", 5))
    complete({"face_count": 0}, {"faces/0.jpg": b"12345"})
    services.queue.submit(NewJob(TASK, "2", 5))
    claim = services.queue.claim("worker-1")
    assert claim is not None
    for _ in range(2):  # the second finds the job taken from it
        services.queue.fail(claim, PermanentError(ErrorCode.IMAGE_CORRUPT, "cut short"))
    for priority in (5, 5, 9):
        services.queue.submit(NewJob("image_embedding", "3", priority))
    models = {"image_embedder": "gabor-512", "face_detector": "mtcnn"}
    for worker_id, device in (("a", "cpu"), ("b", "cpu"), ("c", "cuda")):
        services.workers.arrive(WorkerRecord(worker_id, device, models))
    services.outages.begin(Dependency.MEDIA_STORE, "it does not answer")
    services.vectors.upsert(FACES, [Point(1000, np.eye(1, 512, dtype=np.float32)[0], {})])
    return services


def test_the_metrics_tell_what_the_database_knows(busy: Services, stranger: TestClient) -> None:
    numbers = scrape(stranger)
    assert {of: n for of, n in numbers["jobs"].items() if n} == {
        ("completed", TASK): 1,
        ("failed", TASK): 1,
        ("pending", "image_embedding"): 3,
    }
    assert {of: n for of, n in numbers["queue_jobs"].items() if n} == {("5",): 2, ("9",): 1}
    assert numbers["workers"] == {("cpu",): 2, ("cuda",): 1}
    assert numbers["model_info"] == {("image_embedder", "gabor-512"): 1, ("face_detector", "mtcnn"): 1}
    assert numbers["outage"] == {("media_store",): 1, ("vector_store",): 0, ("storage",): 0}
    assert numbers["points"] == {("image_embeddings",): 0, ("faces",): 1}
    assert numbers["artifact_bytes"] == {(): 5}
    assert numbers["attempts_dropped"] == {(): 1}
    assert numbers["build_info"] == {("1.2.3",): 1}
    assert numbers["outbox_entries"] == {(): 0}
    assert numbers["reports"] == {("pending",): 0, ("synced",): 0, ("failed",): 0}


def test_an_idle_service_has_every_number_to_alert_on(services: Services, stranger: TestClient) -> None:
    numbers = scrape(stranger)
    assert numbers["jobs"] == {(status, task): 0 for task in services.task_types for status in JobStatus}
    assert numbers["queue_jobs"] == {(str(priority),): 0 for priority in range(11)}
    assert numbers["queue_oldest_seconds"] == {(): 0}
    assert numbers["attempts_dropped"] == {(): 0}
    assert numbers["workers"] == {("none",): 0}


def test_the_age_of_the_oldest_job_is_in_seconds(services: Services, serve: Serve, engine: sa.Engine) -> None:
    created = services.queue.submit(NewJob(TASK, "1", 5)).created_at
    later = replace(services, records=JobRecords(engine, clock=lambda: created + 90_500))
    assert scrape(serve(later))["queue_oldest_seconds"] == {(): 90.5}


def test_a_vector_store_that_is_away_leaves_the_other_metrics(busy: Services, stranger: TestClient) -> None:
    busy.vectors.close()
    numbers = scrape(stranger)
    assert numbers["points"] == {}
    assert numbers["workers"] == {("cpu",): 2, ("cuda",): 1}


def test_without_a_database_there_are_no_metrics_but_503(stranger: TestClient, engine: sa.Engine) -> None:
    with engine.begin() as tx:
        tx.exec_driver_sql("DROP TABLE jobs")
    with structlog.testing.capture_logs():
        answer = stranger.get("/metrics")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_the_metrics_are_prometheus_text_for_everybody(stranger: TestClient) -> None:
    answer = stranger.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert not re.search(r"python_|process_", answer.text), "the library's own registry"
    names = {name for family in REGISTRY.collect() for name in [family.name]}
    assert not any(name.startswith("media_inference") for name in names)


def test_no_id_of_a_job_photo_or_worker_is_told(busy: Services, stranger: TestClient) -> None:
    labels = {
        (name, value)
        for family in text_string_to_metric_families(stranger.get("/metrics").text)
        for sample in family.samples
        for name, value in sample.labels.items()
    }
    known = {"version", "status", "task_type", "priority", "device", "kind", "model", "collection", "dependency"}
    assert {name for name, _ in labels} == known
    assert not any(re.fullmatch(r"[abc]|worker-.*|[0-9a-f-]{36}", value) for _, value in labels)


def test_the_table_of_metrics_is_what_is_told(busy: Services, stranger: TestClient) -> None:
    rows = table(document("docs/metrics.md"), "metric", "labels", "means")
    told = {
        family.name + "_total" * (family.type == "counter"): sorted(
            {name for sample in family.samples for name in sample.labels}
        )
        for family in text_string_to_metric_families(stranger.get("/metrics").text)
    }
    assert {metric: [] if labels == "-" else sorted(labels.split(", ")) for metric, labels, _ in rows} == told
    assert [metric for metric, *_ in rows] == list(told)
    assert not [metric for metric in told if metric.endswith("_ms")]


def test_the_document_describes_the_metrics(stranger: TestClient) -> None:
    answers = stranger.get("/openapi.json").json()["paths"]["/metrics"]["get"]["responses"]
    assert answers["200"]["content"] == {"text/plain": {"schema": {"type": "string"}}}
    assert {"500", "503"} <= set(answers)
