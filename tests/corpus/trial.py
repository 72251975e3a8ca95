"""Bad files through the decoder, one after the other, and what is held against what each may end in."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from media_inference.errors import ErrorCode, PermanentError
from media_inference.media.decoder import Decoder
from media_inference.media.picture import Picture
from media_inference.models.kinds import Pixels
from tests.corpus.case import BadFile
from tests.corpus.good import generated

Ending = Picture | ErrorCode | Exception
GOOD = generated()["jpeg-baseline"]


@dataclass(slots=True)
class Verdict:
    """Of many files. ``wrong``: those that ended in what they must not, or harmed the good picture behind them."""

    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    endings: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)

    @property
    def slowest_but_one_percent(self) -> float:
        """The 99th percentile, in seconds."""
        return sorted(self.seconds)[len(self.seconds) * 99 // 100]


class Trial:
    """Tries files on one decoder."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._wholes: dict[int, Pixels] = {}
        self._good = decoder.decode(GOOD).pixels

    def run(self, cases: Iterable[BadFile], verdict: Verdict) -> None:
        """Each in turn, and a good picture behind each."""
        for case in cases:
            started = time.monotonic()
            ending = self._ending(case.content)
            verdict.seconds.append(time.monotonic() - started)
            verdict.endings["decoded" if isinstance(ending, Picture) else str(ending)] += 1
            verdict.kinds[case.kind] += 1
            verdict.names[f"{case.kind}: {case.name}"] += 1
            verdict.wrong += [f"{case.kind}: {case.name}: {fault}" for fault in self._faults(case, ending)]

    def _ending(self, content: bytes) -> Ending:
        try:
            return self._decoder.decode(content)
        except PermanentError as error:
            return error.code
        except Exception as error:  # noqa: BLE001  # is the fault that is looked for
            return error

    def _faults(self, case: BadFile, ending: Ending) -> Iterator[str]:
        if isinstance(ending, Picture):
            yield from self._faults_of_picture(case, ending)
        elif ending not in case.codes:
            yield f"ended in {ending!r}, not in {sorted(case.codes) or 'a picture'}"
        after = self._ending(GOOD)
        if not isinstance(after, Picture) or not np.array_equal(after.pixels, self._good):
            yield f"and the good picture behind it ended in {after!r}"

    def _faults_of_picture(self, case: BadFile, picture: Picture) -> Iterator[str]:
        size = picture.full_width, picture.full_height
        if size not in case.sizes:
            yield f"decoded to {size}, not to one of {sorted(case.sizes)}"
        if picture.pixels.shape != (size[1], size[0], 3):
            yield f"has pixels of {picture.pixels.shape} for {size}"
        if case.whole is not None and not np.array_equal(picture.pixels, self._whole(case.whole)):
            yield "decoded to half a picture"

    def _whole(self, content: bytes) -> Pixels:
        key = hash(content)
        if key not in self._wholes:
            self._wholes = {key: self._decoder.decode(content).pixels}
        return self._wholes[key]


def resident_bytes(pid: int) -> int:
    """Memory of a process that is its own: what it shares with files or with its parent is not counted."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) * 1024
