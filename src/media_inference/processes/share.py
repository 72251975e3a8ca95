"""What one worker may use of its machine, and how it divides it.

Measured with ViT-B/32 on two cores: two passes of one thread each do 22 pictures a second in batches of 4 and more, one
pass on two threads 21, and where other work shares the cores it falls behind further, for its threads wait for each
other. Batches of 8 do as many on one processor and 4 to 5 % more on another; but whoever is urgent waits for them, and
a worker that has more under way is larger.

Each network has threads of its own that help its passes, and two networks often run at once: the detector and the
embedder of faces, or faces beside pictures. So each has half of the cores that the passes leave, and the passes and
helpers of two networks are at most as many as there are cores; those of three may be more. One helper more than cores
left 14 % fewer pictures. All of that was measured on two cores only, where passes have no helpers; on more it is not.

Where passes have no helpers, one that is alone has all cores until another begins: 80 ms for a picture in place of 132.
"""

from dataclasses import dataclass

from media_inference.processes.cores import usable_cores
from media_inference.settings import Settings

MOST_PASSES = 4
BATCH_ON_CPU, BATCH_ON_ACCELERATOR = 4, 16


@dataclass(frozen=True, slots=True)
class Share:
    """``passes`` of all networks run at once, those of one network on ``threads`` and a thread more for each pass but
    the first; one that began alone runs on ``alone`` threads; ``decoders`` processes decode pictures.
    """

    passes: int
    threads: int
    alone: int
    decoders: int


def share_of(settings: Settings, workers: int) -> Share:
    """An equal share for each worker of the cores that may be used, or `WORKER_THREADS`."""
    cores = settings.worker_threads or max(1, usable_cores() // max(1, workers))
    passes = min(cores, MOST_PASSES)
    threads = 1 + (cores - passes) // 2
    return Share(passes, threads, cores if threads == 1 else threads, cores)


def batch_size(settings: Settings, device: str) -> int:
    """Most pictures in a pass that jobs share."""
    return settings.batch_size or (BATCH_ON_CPU if device == "cpu" else BATCH_ON_ACCELERATOR)


def jobs_at_once(settings: Settings, share: Share, batch: int) -> int:
    """As many jobs as are in the passes that run, and as many again that are fetched, decoded or settled meanwhile."""
    return settings.jobs_at_once or 2 * share.passes * batch
