"""The ledger of a storm: what clients were told, held against what the service left behind.

=============  =========================================================================================
acknowledged   jobs whose 201 a client has seen, less those whose 204 it has seen
lost           acknowledged, and not in the state that it must be in, or without its points or files
unexpected     what nobody asked for: a wrong ending, a row, a point or a file too many, a wrong content
duplicated     an effect that was there twice: ended, accepted or completed more than once
recovered      acknowledged, struck on the way, and all the same as if nothing had been
=============  =========================================================================================

It is read before anything is repaired, with all processes gone.
"""

import json
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.storms.effects import Effects, effects, same_file, same_vector
from tests.storms.end_state import EndState, Row
from tests.storms.photos import Photo

LEDGERS = Path(__file__).resolve().parents[2] / "storm-ledgers"

Answer = Photo | Collection[str]
"""What a job must come to: the outcome of a photo, or `failed` with one of these codes."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asked for."""

    task_type: str
    media_store_id: str
    answer: Answer


@dataclass(slots=True)
class Verdict:
    """What the ledger says. Everything but ``acknowledged`` and ``recovered`` is one line per finding."""

    storm: str
    seed: int | None
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    recovered: int = 0
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether not one job was lost, doubled or half done."""
        return not (self.lost or self.unexpected or self.duplicated)

    def __str__(self) -> str:
        figures = "".join(f", {name} {value}" for name, value in self.figures.items())
        seed = "" if self.seed is None else f" (seed {self.seed})"
        line = (
            f"{self.storm}{seed}: acknowledged {self.acknowledged}, lost {len(self.lost)}, unexpected "
            f"{len(self.unexpected)}, duplicated {len(self.duplicated)}, recovered {self.recovered}{figures}"
        )
        findings = [*self.lost, *self.unexpected, *self.duplicated]
        return "\n  ".join([line, *findings[:20], *(["…"] if len(findings) > 20 else [])])

    def keep(self) -> None:
        """Keeps it as JSON in a folder that git ignores; it is printed at the end of the run."""
        LEDGERS.mkdir(exist_ok=True)
        name = self.storm if self.seed is None else f"{self.storm}-{self.seed}"
        (LEDGERS / f"{name}.json").write_text(json.dumps(asdict(self), indent=2, default=str) + "\n")


class Ledger:
    """Written by the storm's clients, from any thread; `judge` closes it."""

    def __init__(self, storm: str, seed: int | None = None) -> None:
        self._storm = storm
        self._seed = seed
        self._lock = threading.Lock()
        self._acknowledged: dict[str, Asked] = {}
        self._unanswered: list[Asked] = []
        self._deleted: set[str] = set()
        self._maybe_deleted: set[str] = set()

    def acknowledge(self, job_id: str, task_type: str, media_store_id: str, answer: Answer) -> None:
        """A 201 arrived."""
        with self._lock:
            self._acknowledged[job_id] = Asked(task_type, media_store_id, answer)

    def unanswered(self, task_type: str, media_store_id: str, answer: Answer) -> None:
        """A job was posted and no answer arrived: it may be there, once."""
        with self._lock:
            self._unanswered.append(Asked(task_type, media_store_id, answer))

    def delete(self, job_id: str, *, answered: bool) -> None:
        """A job was deleted; without a 204 it may be there or not."""
        with self._lock:
            (self._deleted if answered else self._maybe_deleted).add(job_id)

    def jobs(self) -> list[str]:
        """The acknowledged jobs that nobody deleted."""
        with self._lock:
            return [job_id for job_id in self._acknowledged if job_id not in self._deleted | self._maybe_deleted]

    def asked(self) -> dict[str, Asked]:
        """What was asked for with every acknowledged job, deleted or not."""
        with self._lock:
            return dict(self._acknowledged)

    def judge(self, end: EndState, **figures: Any) -> Verdict:
        """The verdict; ``figures`` are printed and kept with it."""
        return _Judge(self, end, Verdict(self._storm, self._seed, figures=figures)).verdict()


class _Judge:
    """One comparison; each method looks at one thing."""

    def __init__(self, ledger: Ledger, end: EndState, verdict: Verdict) -> None:
        self._end = end
        self._verdict = verdict
        self._deleted = ledger._deleted
        self._maybe_deleted = ledger._maybe_deleted
        self._told = dict(ledger._acknowledged)
        self._asked = self._told | self._found_unanswered(list(ledger._unanswered))

    def verdict(self) -> Verdict:
        """Looks at everything."""
        expected = set(self._told) - self._deleted
        self._verdict.acknowledged = len(expected)
        self._verdict.unexpected += self._end.damage
        self._look_at_turns()
        self._look_at_events()
        self._look_at_leftovers()
        for job_id in expected - self._maybe_deleted - set(self._end.jobs):
            self._verdict.lost.append(f"{job_id} is not there")
        for job_id, row in self._end.jobs.items():
            self._look_at_job(job_id, row)
        self._look_at_points()
        self._look_at_files()
        bad = " ".join([*self._verdict.lost, *self._verdict.unexpected, *self._verdict.duplicated])
        self._verdict.recovered = sum(
            1 for job_id in expected if job_id not in bad and _was_struck(self._end.jobs.get(job_id))
        )
        return self._verdict

    def _found_unanswered(self, unanswered: list[Asked]) -> dict[str, Asked]:
        """The jobs that nobody was told of, each matched with one request that had no answer."""
        found = {}
        for job_id, row in self._end.jobs.items():
            if job_id in self._told:
                continue
            for asked in unanswered:
                if (asked.task_type, asked.media_store_id) == (row["task_type"], row["media_store_id"]):
                    unanswered.remove(asked)
                    found[job_id] = asked
                    break
            else:
                self._verdict.unexpected.append(f"{job_id} is there, and nobody asked for it")
        return found

    def _look_at_turns(self) -> None:
        """Each job ends once; nothing happens to it after that but that it is completed, once, or deleted."""
        turns = Counter((turn.job_id, turn.what) for turn in self._end.history)
        for (job_id, what), times in turns.items():
            if times > 1 and what != "claimed":
                self._verdict.duplicated.append(f"{job_id} was {what} {times} times")
            if what == "failed" and turns[job_id, "completed"]:
                self._verdict.duplicated.append(f"{job_id} was both completed and failed")
        endings = {turn.job_id: turn.attempt for turn in self._end.history if turn.what == "ended"}
        for line in self._end.log:
            if line.get("event") == "job.done" and line.get("action") in {"settled", "failed"}:
                job_id, attempt = line["job_id"], line["attempt"]
                if endings.get(job_id, attempt) != attempt:
                    self._verdict.unexpected.append(
                        f"{job_id} was {line['action']} by attempt {attempt}, which had lost it to {endings[job_id]}"
                    )

    def _look_at_events(self) -> None:
        """One set per job: `queued`, a `started` per attempt, and the ending that its row has, or `deleted`, last."""
        told: dict[str, list[Row]] = {}
        for event in self._end.events:
            told.setdefault(event["job_id"], []).append(event)
        for job_id in self._end.jobs.keys() | told.keys():
            types = [event["type"] for event in told.get(job_id, [])]
            started = [event["data"]["attempt"] for event in told.get(job_id, []) if event["type"] == "started"]
            row = self._end.jobs.get(job_id)
            ending = "deleted" if row is None else row["status"]
            once = Counter(type_ for type_ in types if type_ != "started")
            if any(times > 1 for times in once.values()) or len(set(started)) < len(started):
                self._verdict.duplicated.append(f"{job_id}: its events are {', '.join(types)}")
            elif types[:1] != ["queued"] or types[-1:] != [ending] or started != sorted(started):
                self._verdict.unexpected.append(f"{job_id} is {ending}, and its events are {', '.join(types)}")
            elif row is not None and started != list(range(1, row["attempts"] + 1)):
                self._verdict.unexpected.append(f"{job_id} was attempted {row['attempts']} times; told: {started}")

    def _look_at_leftovers(self) -> None:
        for name, rows in (("queue", self._end.queue), ("outbox", self._end.outbox)):
            for row in rows:
                self._verdict.lost.append(f"{row.get('job_id') or row['set_id']} is still in the {name}")
        for job_id, row in self._end.sync.items():
            if row["status"] != "synced":
                self._verdict.lost.append(f"{job_id}: its report to the media store is {row['status']}")

    def _look_at_job(self, job_id: str, row: Row) -> None:
        asked = self._asked.get(job_id)
        if job_id in self._deleted:
            self._verdict.unexpected.append(f"{job_id} is there, and its deletion was acknowledged")
        if asked is None:
            return
        ending = f"{row['status']} {row['error_code'] or ''}".strip()
        if isinstance(asked.answer, Photo):
            if row["status"] != "completed":
                finding = f"{job_id} ({asked.task_type} of {asked.media_store_id}) is {ending}"
                (self._verdict.unexpected if row["status"] == "failed" else self._verdict.lost).append(finding)
            elif not _same_result(row["result"], self._effects(job_id, asked).result):
                self._verdict.unexpected.append(f"{job_id} has another result than without faults")
        elif row["status"] != "failed" or row["error_code"] not in asked.answer:
            self._verdict.unexpected.append(f"{job_id} is {ending}, not failed with {' or '.join(asked.answer)}")

    def _effects(self, job_id: str, asked: Asked) -> Effects:
        assert isinstance(asked.answer, Photo)
        return effects(asked.task_type, asked.answer, asked.media_store_id, job_id)

    def _look_at_points(self) -> None:
        """The points are exactly those of the last accepted set of each media item."""
        newest: dict[tuple[str, str], Row] = {}
        for row in sorted(self._end.sets, key=lambda row: int(row["set_id"])):
            key = row["collection"], row["media_store_id"]
            if key in newest:
                self._verdict.duplicated.append(f"{key[1]} has more than one set in {key[0]}")
            newest[key] = row
        self._look_for_missing_sets(newest)
        if self._end.points is None:
            return
        wanted = {key: point for row in newest.values() for key, point in self._points_of(row)}
        for key in wanted.keys() - self._end.points.keys():
            self._verdict.lost.append(f"{wanted[key].payload['job_id']}: the point {key} is missing")
        for key in self._end.points.keys() - wanted.keys():
            self._verdict.unexpected.append(f"the point {key} is there, and nothing says so")
        for key in wanted.keys() & self._end.points.keys():
            one, other = wanted[key], self._end.points[key]
            if one.payload != other.payload or not same_vector(one.vector, other.vector):
                self._verdict.unexpected.append(f"the point {key} is not that of {one.payload['job_id']}")

    def _look_for_missing_sets(self, newest: dict[tuple[str, str], Row]) -> None:
        for job_id, row in self._end.jobs.items():
            asked = self._asked.get(job_id)
            if row["status"] != "completed" or asked is None or not isinstance(asked.answer, Photo):
                continue
            collection = self._effects(job_id, asked).collection
            if collection is not None and (collection, asked.media_store_id) not in newest:
                self._verdict.lost.append(f"{job_id}: its vectors are not in the database")

    def _points_of(self, row: Row) -> Iterator[tuple[Any, Any]]:
        asked = self._asked.get(row["job_id"])
        if asked is None:  # deleted, and nobody was told that it was there
            return
        if isinstance(asked.answer, Photo):
            yield from self._effects(row["job_id"], asked).points.items()

    def _look_at_files(self) -> None:
        """The files of completed jobs are exactly those that a fault-free run writes."""
        for job_id, row in self._end.jobs.items():
            asked, there = self._asked.get(job_id), self._end.files.get(job_id, {})
            if asked is None or row["status"] != "completed" or not isinstance(asked.answer, Photo):
                continue
            wanted = self._effects(job_id, asked).files
            for name in wanted.keys() - there.keys():
                self._verdict.lost.append(f"{job_id}: its file {name} is missing")
            for name in there.keys() - wanted.keys():
                self._verdict.unexpected.append(f"{job_id}: the file {name} is there, and not of it")
            for name in wanted.keys() & there.keys():
                if not same_file(name, wanted[name], there[name]):
                    self._verdict.unexpected.append(f"{job_id}: the file {name} has another content")
        for job_id in self._end.files.keys() - self._end.jobs.keys() - self._maybe_deleted:
            self._verdict.unexpected.append(f"{job_id} has files, and no row names them")


def _was_struck(row: Row | None) -> bool:
    return row is not None and bool(row["crashes"] or row["releases"] or row["failures"] or row["attempts"] > 1)


def _same_result(one: Any, other: Any) -> bool:
    """Equal as JSON; numbers but for their last digits."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same_result(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same_result, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 0.02
    return bool(one == other)
