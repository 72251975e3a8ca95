"""Clients repeat their requests, several at once, while the API is killed: each request makes one job, and only one."""

import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from media_inference.failpoints import Failpoint
from media_inference.tasks.catalog import TASKS
from tests.stands.running_service import until
from tests.storms.faults import Action, Fault
from tests.storms.ledger import Ledger, Verdict
from tests.storms.photos import Photo
from tests.storms.service import StormService, storm_service
from tests.storms.size import Size

pytestmark = [pytest.mark.storm, pytest.mark.timeout(1800)]

AT_ONCE = 5
"""How often each request is sent, at the same time."""
ITEMS = ("two", "one", "none")
STRIKES = (None, Failpoint.SUBMIT_BEFORE_COMMIT, Failpoint.SUBMIT_AFTER_COMMIT, Failpoint.SUBMIT_BEFORE_ANSWER)
"""Where the API is killed: anywhere, or as exactly as can be."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. Without a ``key``, the job that is under way for the same task and item is as good as a new one."""

    task_type: str
    media_store_id: str
    photo: str
    key: str | None


@dataclass(slots=True)
class Answers:
    """What came of every request: job id -> how often, and how many times each status was seen."""

    jobs: dict[Request, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, request: Request, answer: httpx2.Response) -> None:
        """A job was named."""
        with self.lock:
            self.jobs[request][str(answer.json()["job_id"])] += 1
            self.statuses[answer.status_code] += 1

    def note_silence(self) -> None:
        """The API died over a request."""
        with self.lock:
            self.unanswered += 1


def test_a_request_that_is_repeated_makes_one_job_however_often_the_api_dies(
    tmp_path: Path, known_photos: Mapping[str, Photo], size: Size
) -> None:
    keys, shared, kills = size.of((8, 3, 1), (500, 30, 30))
    verdict = storm(tmp_path, known_photos, size.seeds[0], keys=keys, shared=shared, kills=kills, broken=size.broken)
    verdict.keep()
    assert verdict.clean, verdict


def storm(
    folder: Path,
    known_photos: Mapping[str, Photo],
    seed: int,
    *,
    keys: int,
    shared: int,
    kills: int,
    broken: str | None = None,
) -> Verdict:
    """``shared``: requests without a key, sent while no worker is there that could end their jobs."""
    ledger, chance, begun = Ledger("submit", seed), random.Random(seed), time.monotonic()  # noqa: S311  # not a secret
    with storm_service(folder, ledger, known_photos, settings={"DEDUPE": "true"}, broken=broken) as service:
        service.start("serve")
        items = {photo: service.media(photo) for photo in ITEMS}
        without_key = [_unkeyed(service, chance) for _ in range(shared)]
        with_key = [_keyed(number, items, chance) for number in range(keys)]
        share = kills * shared // (shared + keys)
        answers = Answers()
        send_all(service, without_key, share, answers, chance)
        service.start("worker")
        send_all(service, with_key, kills - share, answers, chance)
        for request in [*without_key, *with_key]:
            for job_id in answers.jobs[request]:
                photo = known_photos[request.photo]
                ledger.acknowledge(job_id, request.task_type, request.media_store_id, photo)
        problems = list(_reused(service, with_key[: size_of_reuse(keys)]))
        service.wait_until_done(300)
        assert set(service.stop().values()) == {0}
        died = len(service.roles["serve"].exits)
        end = service.end_state()
    seconds = round(time.monotonic() - begun)
    verdict = ledger.judge(end, kills=died, sent=AT_ONCE * (keys + shared), seconds=seconds, **_figures(answers))
    verdict.unexpected += problems
    verdict.duplicated += [
        f"{request.key or 'a request without a key'} was answered with {len(jobs)} jobs: {', '.join(jobs)}"
        for request, jobs in answers.jobs.items()
        if len(jobs) != 1
    ]
    if len(end.jobs) != keys + shared:
        verdict.unexpected.append(f"{keys + shared} requests made {len(end.jobs)} jobs")
    return verdict


def size_of_reuse(keys: int) -> int:
    """How many of the keys come again with another body."""
    return min(keys, 50)


def send_all(
    service: StormService, requests: Sequence[Request], kills: int, answers: Answers, chance: random.Random
) -> None:
    """Sends every request `AT_ONCE` times at the same time; a kill of the API after each share of them."""
    due = {(number + 1) * len(requests) // (kills + 1) for number in range(kills)}
    api = service.roles["serve"]
    with ThreadPoolExecutor(AT_ONCE) as clients:
        for number, request in enumerate(requests):
            strike, exits = chance.choice(STRIKES), len(api.exits)
            if number in due and strike is not None:
                service.faults.arm(Fault(strike, Action.KILL, hit=chance.randint(1, AT_ONCE)))
            sent = [clients.submit(send, service, request, answers) for _ in range(AT_ONCE)]
            if number in due and strike is None:
                api.kill()
            for each in sent:
                each.result()
            if number in due:
                api.wait_for_exits(exits + 1)


def send(service: StormService, request: Request, answers: Answers) -> None:
    """Sends it until an answer comes, as a client that has not had one must."""
    while (answer := _post(service, request)) is None:
        answers.note_silence()
        until(service.answers, bool)
    assert answer.status_code in {200, 201}, answer.text
    answers.note(request, answer)


def _post(service: StormService, request: Request, priority: int = 5) -> httpx2.Response | None:
    body = {"media_store_id": request.media_store_id, "priority": priority}
    headers = {} if request.key is None else {"Idempotency-Key": request.key}
    try:
        return service.client.post(f"/job/{request.task_type}", json=body, headers=headers)
    except httpx2.TransportError:
        return None


def _keyed(number: int, items: Mapping[str, str], chance: random.Random) -> Request:
    photo = chance.choice(ITEMS)
    return Request(chance.choice(sorted(TASKS)), items[photo], photo, f"key-{number}")


def _unkeyed(service: StormService, chance: random.Random) -> Request:
    photo = chance.choice(ITEMS)
    return Request(chance.choice(sorted(TASKS)), service.media(photo), photo, None)


def _reused(service: StormService, requests: Sequence[Request]) -> Iterator[str]:
    """A key with another body is refused, and with the first one still answered."""
    for request in requests:
        other, again = _post(service, request, priority=6), _post(service, request)
        assert other is not None
        assert again is not None
        if (other.status_code, other.json().get("code")) != (422, "idempotency_key_reused"):
            yield f"{request.key} with another body was answered with {other.status_code}"
        if (again.status_code, again.headers.get("Idempotent-Replayed")) != (201, "true"):
            yield f"{request.key} was answered with {again.status_code} in the end, not with what it had before"


def _figures(answers: Answers) -> dict[str, int]:
    return {
        "answered_201": answers.statuses[201],
        "answered_200": answers.statuses[200],
        "without_answer": answers.unanswered,
    }
