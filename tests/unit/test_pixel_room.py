"""How many full-size pictures there may be at once."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from media_inference.media import pixel_room
from media_inference.media.decoder import Decoder
from media_inference.media.picture import Picture
from media_inference.media.pixel_room import PixelRoom


def test_whoever_waited_for_a_decoder_looks_again_whether_there_is_room(shared: Path) -> None:
    content = (shared / "photos" / "cat.png").read_bytes()
    decoder = Decoder(2, most_decoded=1)
    lock, held, most = threading.Lock(), 0, 0

    def job(_number: int) -> None:
        nonlocal held, most
        picture = decoder.decode(content)
        with lock:
            held += 1
            most = max(most, held)
        threading.Event().wait(0.1)
        assert picture.is_full
        with lock:
            held -= 1

    try:
        decoder.warm()
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(job, range(8)))
    finally:
        decoder.close()
    assert most <= 2, "one for each decoder, while those that are there take more than there may be"


def test_a_picture_that_only_a_cycle_keeps_is_waited_for_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_room, "PATIENCE_SECONDS", 0.05)
    room = PixelRoom(1)
    picture = Picture(np.zeros((4, 4, 3), np.uint8), 4, 4)
    room.count(picture)
    cycle: list[object] = [picture]
    cycle.append(cycle)
    gc.disable()  # it comes when memory is taken, and here nobody takes any
    try:
        del picture, cycle
        assert not room.is_there
        waiter = threading.Thread(target=room.wait, daemon=True)
        waiter.start()
        waiter.join(20)
        assert not waiter.is_alive()
    finally:
        gc.enable()
