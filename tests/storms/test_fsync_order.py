"""No 201 leaves before its job is on disk: the kernel's own word for the order of log, fsync and answer."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.stands.running_service import until
from tests.storms.ledger import Ledger, Verdict
from tests.storms.photos import Photo
from tests.storms.service import storm_service
from tests.storms.size import Size
from tests.storms.trace import Seen, Step, command, steps

pytestmark = [pytest.mark.storm]

CLIENTS = 4


def need_strace() -> None:
    """Skips the test where `strace` is missing, or may not look at processes."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not there")
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"strace may not trace here: {tried.stderr.strip()}")


def test_no_answer_leaves_before_its_job_is_synced(
    tmp_path: Path, known_photos: Mapping[str, Photo], size: Size
) -> None:
    verdict = storm(tmp_path, known_photos, alone=size.of(20, 300), crowd=size.of(40, 600), broken=size.broken)
    verdict.keep()
    assert verdict.clean, verdict


def storm(
    folder: Path, known_photos: Mapping[str, Photo], *, alone: int, crowd: int, broken: str | None = None
) -> Verdict:
    """So many posts one by one, and then so many from several clients at once."""
    need_strace()
    of_alone, of_crowd = traced_posts(folder, known_photos, alone=alone, crowd=crowd, broken=broken)
    verdict = Verdict("fsync-order", None, acknowledged=alone + crowd, figures={"calls": len(of_alone) + len(of_crowd)})
    verdict.unexpected += [f"alone, {line}" for line in early_answers(of_alone)]
    verdict.unexpected += [f"in the crowd, {line}" for line in unsynced_answers(of_crowd)]
    return verdict


def traced_posts(
    folder: Path, known_photos: Mapping[str, Photo], *, alone: int, crowd: int, broken: str | None
) -> tuple[Sequence[Seen], Sequence[Seen]]:
    """What `serve` did for posts that came one by one, and then for more that came from several clients at once."""
    output = folder / "trace"
    with storm_service(folder / "service", Ledger("fsync-order"), known_photos, broken=broken) as service:
        service.start("serve", under=command(output))
        media_store_id = service.media("none")

        def post(_: int) -> None:
            assert service.submit("face_detection", media_store_id, "none")

        for number in range(alone):
            post(number)
        until(lambda: answers(output), lambda seen: seen == alone)
        first = len(list(steps(output)))
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(post, range(crowd)))
        assert service.stop() == {"serve": 0}
        until(lambda: answers(output), lambda seen: seen == alone + crowd)
        every = list(steps(output))
    return every[:first], every[first:]


def answers(output: Path) -> int:
    """How many have left."""
    return sum(seen.step is Step.ANSWERED for seen in steps(output))


def early_answers(seen: Sequence[Seen]) -> list[str]:
    """The answers between which and their requests nobody wrote to the log and then synced it, all by one thread."""
    early: list[str] = []
    asked: dict[int, int] = {}
    for index, step in enumerate(seen):
        if step.step is Step.ASKED:
            asked[step.descriptor] = index
        elif step.step is Step.ANSWERED:
            between = seen[asked.pop(step.descriptor) : index]
            writer = next((one.thread for one in reversed(between) if one.step is Step.LOGGED), None)
            last = [one.step for one in between if one.thread == writer and one.step in {Step.LOGGED, Step.SYNCED}]
            if last[-1:] != [Step.SYNCED]:
                early.append(f"answer {len(early)} at step {index}: {[one.step.value for one in between]}")
    return early


def unsynced_answers(seen: Sequence[Seen]) -> list[str]:
    """The answers between which and their requests no thread wrote to the log and then synced it.

    Requests that come together share a commit, and the next one may have begun when an answer of this one leaves.
    """
    unsynced: list[str] = []
    asked: dict[int, int] = {}
    for index, step in enumerate(seen):
        if step.step is Step.ASKED:
            asked[step.descriptor] = index
        elif step.step is Step.ANSWERED:
            between = seen[asked.pop(step.descriptor) : index]
            if not _was_committed(between):
                unsynced.append(f"answer {len(unsynced)} at step {index}: {[one.step.value for one in between]}")
    return unsynced


def _was_committed(between: Sequence[Seen]) -> bool:
    dirty: set[int] = set()
    for one in between:
        if one.step is Step.LOGGED:
            dirty.add(one.thread)
        elif one.step is Step.SYNCED and one.thread in dirty:
            return True
    return False
