"""Who gets the next decoder, and how many pixels may be there at once."""

import gc
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from media_inference.jobs.urgency import urgency, working_at
from media_inference.media.picture import Picture
from media_inference.media.pixel_room import PixelRoom
from media_inference.media.turns import Turns


def waiting_threads(turns: Turns[str], count: int) -> None:
    for _ in range(3000):
        if turns.waiting == count:
            return
        threading.Event().wait(0.005)
    pytest.fail(f"never {count} waiting")


def test_the_most_urgent_comes_first_then_who_waited_longest() -> None:
    turns, order = Turns(["only"]), list[str]()

    def wait(name: str, priority: int) -> None:
        with working_at(priority), turns.one() as thing:
            assert thing == "only"
            order.append(name)

    with ThreadPoolExecutor(8) as threads, turns.one():
        for number, (name, priority) in enumerate([("a", 5), ("b", 5), ("c", 10), ("d", 0), ("e", 5)]):
            threads.submit(wait, name, priority)
            waiting_threads(turns, number + 1)
    assert order == ["c", "a", "b", "e", "d"]


def test_what_was_used_last_is_used_next_so_that_the_others_stay_idle() -> None:
    turns = Turns([1, 2, 3])
    used = []
    for _ in range(3):
        with turns.one() as thing:
            used.append(thing)
    assert used == [3, 3, 3]


def test_a_thread_without_a_job_is_as_urgent_as_can_be() -> None:
    assert urgency() == 10
    with working_at(3):
        assert urgency() == 3
    assert urgency() == 10


def picture(*, full: bool) -> Picture:
    side = 100 if full else 50
    return Picture(np.zeros((side, side, 3), np.uint8), 100, 100)


def test_who_wants_another_picture_waits_while_full_ones_take_too_much() -> None:
    room = PixelRoom(40_000)
    held = [picture(full=True), picture(full=True)]
    for one in held:
        room.count(one)
    with ThreadPoolExecutor(1) as threads:
        waiting: Future[None] = threads.submit(room.wait)
        with pytest.raises(TimeoutError):
            waiting.result(0.05)
        held.pop()
        del one
        gc.collect()
        waiting.result(30)


def test_pictures_that_were_decoded_smaller_do_not_count() -> None:
    room = PixelRoom(0)
    small = picture(full=False)
    room.count(small)
    room.wait()
