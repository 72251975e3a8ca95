"""Twenty times as many jobs are asked for as the service can do: it says so, and goes on for those who are in."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from media_inference.tasks.catalog import TASKS
from tests.storms.cpu_share import cpu_time, others_share
from tests.storms.ledger import Ledger, Verdict
from tests.storms.photos import Photo
from tests.storms.service import StormService, storm_service
from tests.storms.size import Size

pytestmark = [pytest.mark.storm, pytest.mark.timeout(900)]

TIMES = 20
CONNECTIONS = 480
READS_PER_SECOND = 50
SLOWEST_READ_MS, SLOWEST_READ_BESIDE_OTHERS_MS = 200, 10_000
"""Of 99 in 100 reads: when the machine has nothing else to do, and when other tests want it too."""
LEAST_SENT, LEAST_TIMES_BESIDE_OTHERS = 0.5, 3
"""How much makes a flood: of what was due, since what stands in line keeps others from being sent; and how many times
what the service can do, when others take the cores from who sends it."""
ALONE = 0.05
"""The part of the machine that others may use without being in the way."""
MOST_MEMORY_KB = 50 * 1024
ITEMS = {"1": "one", "2": "none"}


def test_a_service_asked_for_twenty_times_too_much_refuses_in_time_and_finishes_what_it_took(
    tmp_path: Path, known_photos: Mapping[str, Photo], size: Size
) -> None:
    verdict = storm(tmp_path, known_photos, size.of(12.0, 60.0), size.broken)
    verdict.keep()
    assert verdict.clean, verdict


def storm(folder: Path, known_photos: Mapping[str, Photo], seconds: float, broken: str | None = None) -> Verdict:
    """``seconds``: how long the flood lasts. What it takes is found out first."""
    ledger = Ledger("overload")
    settings = {"QUEUE_LIMIT": "200"}
    with storm_service(folder, ledger, known_photos, settings=settings, broken=broken) as service:
        service.start("up")
        for item, photo in ITEMS.items():
            service.media(photo, item)
        capacity, known = measured(service)
        before = memory_kb(service)
        rate, started = TIMES * capacity, cpu_time(service.folder)
        posting = "post", flood(service, "post", rate, seconds, CONNECTIONS, *ITEMS)
        reading = "read", flood(service, "read", READS_PER_SECOND, seconds, 8, known)
        posted, read = (told(service, role, process, seconds + 90) for role, process in (posting, reading))
        others = others_share(started, cpu_time(service.folder))
        for job_id, task_type, item in posted["admitted"]:
            ledger.acknowledge(job_id, task_type, item, known_photos[ITEMS[item]])
        service.wait_until_done(300)
        grown = memory_kb(service) - before
        stopped = service.stop()
        end = service.end_state()
    figures = {
        "capacity_per_s": round(capacity, 1),
        "offered_per_s": round(sum(posted["statuses"].values()) / seconds),
        "answers": posted["statuses"],
        "read_p99_ms": read["p99_ms"],
        "slowest_read_ms": read["slowest_ms"],
        "others_share": round(others, 2),
        "grown_mb": round(grown / 1024, 1),
    }
    verdict = ledger.judge(end, seconds=round(seconds), **figures)
    slowest = SLOWEST_READ_MS if others < ALONE else SLOWEST_READ_BESIDE_OTHERS_MS
    least = LEAST_SENT * posted["due"] if others < ALONE else LEAST_TIMES_BESIDE_OTHERS * capacity * seconds
    verdict.unexpected += trouble(posted, read, least=least, slowest_ms=slowest, grown_kb=grown)
    verdict.unexpected += [f"{name} exited with {code}" for name, code in stopped.items() if code]
    return verdict


def measured(service: StormService) -> tuple[float, str]:
    """Jobs a second that the service does when no more are asked for, and one of them."""
    (known, *_), _ = done(service, 1)  # to warm up
    jobs, seconds = done(service, 30)
    assert known is not None
    return len(jobs) / seconds, known


def done(service: StormService, rounds: int) -> tuple[list[str | None], float]:
    """So many rounds of all tasks on all items, and the seconds that they took."""
    begun = time.monotonic()
    jobs = [
        service.submit(task_type, item, photo)
        for _ in range(rounds)
        for item, photo in ITEMS.items()
        for task_type in TASKS
    ]
    service.wait_until_done()
    return jobs, time.monotonic() - begun


def flood(service: StormService, role: str, rate: float, seconds: float, *more: object) -> subprocess.Popen[bytes]:
    """A process of `tests/storms/flood.py`; see `told`."""
    words = [role, service.url, rate, seconds, *more]
    command = [sys.executable, "-m", "tests.storms.flood", *map(str, words)]
    # A file and not a pipe: what is written unbuffered to a pipe may be cut, and PYTHONUNBUFFERED is set here.
    with (service.folder / f"{role}.json").open("wb") as answer:
        return subprocess.Popen(command, cwd=service.folder, env=dict(service.environment), stdout=answer)


def told(service: StormService, role: str, process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
    """What came of a flood, when it has ended."""
    assert process.wait(timeout=seconds) == 0, f"the flood of {role} exited with {process.returncode}"
    answer: dict[str, Any] = json.loads((service.folder / f"{role}.json").read_bytes())
    return answer


def memory_kb(service: StormService) -> int:
    """Of the process with the API."""
    status = Path(f"/proc/{service.roles['up'].pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def trouble(
    posted: Mapping[str, Any], read: Mapping[str, Any], *, least: float, slowest_ms: float, grown_kb: int
) -> Iterator[str]:
    """What whoever posts, or reads meanwhile, should not have seen."""
    answers = Counter({int(status): times for status, times in posted["statuses"].items()})
    for status in answers.keys() - {201, 429, 503}:
        yield f"{answers[status]} requests for a job were answered with {status}"
    if answers.total() < least:
        yield f"of {posted['due']} requests {answers.total()} came to be sent: that was no flood"
    if answers[429] + answers[503] < answers.total() / 2:
        yield "most requests were let in: that was no flood"
    for name, told in (("posts", posted), ("reads", read)):
        if told["without_retry_after"]:
            yield f"{told['without_retry_after']} {name} were refused without a Retry-After"
        if told["broken"]:
            yield f"{told['broken']} connections of {name} broke"
    if set(read["statuses"]) != {"200"}:
        yield f"reads were answered with {read['statuses']}"
    if read["p99_ms"] > slowest_ms:
        yield f"the 99th percentile of reads is {read['p99_ms']} ms"
    if grown_kb > MOST_MEMORY_KB:
        yield f"the process with the API has grown by {grown_kb / 1024:.0f} MB"
