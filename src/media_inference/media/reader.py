"""From a media id to pictures. Jobs on one item that run at the same time share its bytes and all that is made of them.

A job must see its item as it was when the job was claimed, or newer: it may have been replaced just before the job was
asked for. So a fetch serves those jobs only that were claimed before it began. A later job fetches again; if the bytes
are the same, it still shares what was decoded and found.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from media_inference.failpoints import Failpoint, failpoint
from media_inference.media.decoder import Decoder
from media_inference.media.picture import Picture
from media_inference.media.store import MediaStore

KEPT_BYTES = 64 << 20
"""Of items that nobody uses now, for jobs that are a little behind; at most half of what pictures may take at all."""

ITEM_BYTES = 64 << 10
"""What an item is counted with besides its bytes and pictures: what else was made of it."""

Made = TypeVar("Made")


class Media:
    """One media item: its bytes, the pictures decoded so far, and what else was made of it. Safe for several threads.

    Whoever asks for what another is just making waits for it.
    """

    def __init__(self, content: bytes, decoder: Decoder) -> None:
        self.content = content
        self._decoder = decoder
        self._pictures: list[Picture] = []  # each finer than the one before
        self._decoding = threading.Lock()
        self._made: dict[Hashable, Any] = {}
        self._making: dict[Hashable, threading.Lock] = {}

    def picture(self, *, short_side: int | None = None, long_side: int | None = None) -> Picture:
        """The picture with at least these sides in pixels, as far as it has them; without any, in full size.

        Of those that are there the coarsest that will do: it is the quickest to work with. Raises what `Decoder.decode`
        raises.
        """
        with self._decoding:
            for picture in self._pictures:
                if picture.serves(short_side, long_side):
                    return picture
            picture = self._decoder.decode(self.content, short_side=short_side, long_side=long_side)
            failpoint(Failpoint.DECODE_AFTER)
            self._pictures.append(picture)
            return picture

    def once(self, what: Hashable, make: Callable[[], Made]) -> Made:
        """What ``make`` makes of this item, made once for all who ask for the same; an error is not kept."""
        with self._making.setdefault(what, threading.Lock()):
            if what not in self._made:
                self._made[what] = make()
            made: Made = self._made[what]
            return made

    @property
    def size(self) -> int:
        """Bytes of memory: the item's and its pictures', and `ITEM_BYTES` for the rest."""
        return ITEM_BYTES + len(self.content) + sum(picture.pixels.nbytes for picture in list(self._pictures))


@dataclass(slots=True)
class _Fetch:
    begun: float
    content: Future[bytes] = field(default_factory=Future)


@dataclass(slots=True)
class _Item:
    """What is known of one media_store_id. ``users``: jobs that have it open; ``kept``: bytes when there are none."""

    users: int = 0
    kept: int = 0
    fetch: _Fetch | None = None
    media: Media | None = None


class MediaReader:
    """Fetches media items and decodes them when asked. Safe for several threads."""

    def __init__(self, store: MediaStore, decoder: Decoder, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._decoder = decoder
        self._kept_bytes = min(KEPT_BYTES, decoder.most_decoded // 2)  # or who waits for room would wait for nobody
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._items: OrderedDict[str, _Item] = OrderedDict()  # those last used at the end
        self._kept = 0

    @contextmanager
    def open(self, media_store_id: str, since: float | None = None) -> Iterator[Media]:
        """The item, as it was at the monotonic time ``since`` (now) or later, until the block ends.

        Raises what `MediaStore.fetch` raises.
        """
        item = self._take(media_store_id)
        try:
            yield self._media(item, self._fetched(item, media_store_id, since))
        finally:
            self._put(media_store_id, item)

    def forget(self) -> None:
        """Lets go of all that nobody uses now."""
        with self._lock:
            self._shrink(0)
        self._decoder.forget()

    def _take(self, media_store_id: str) -> _Item:
        with self._lock:
            item = self._items.setdefault(media_store_id, _Item())
            item.users += 1
            self._keep(item, 0)
            return item

    def _put(self, media_store_id: str, item: _Item) -> None:
        with self._lock:
            item.users -= 1
            self._items.move_to_end(media_store_id)
            if not item.users:
                if item.media is None:
                    del self._items[media_store_id]
                else:
                    self._keep(item, item.media.size)
            self._shrink(self._kept_bytes)

    def _keep(self, item: _Item, size: int) -> None:
        self._kept += size - item.kept
        item.kept = size

    def _shrink(self, most: int) -> None:
        """Lets go of what was used longest ago. Call it with the lock."""
        gone = []
        for key, item in self._items.items():
            if self._kept <= most:
                break
            if not item.users:
                self._keep(item, 0)
                gone.append(key)
        for key in gone:
            del self._items[key]

    def _fetched(self, item: _Item, media_store_id: str, since: float | None) -> bytes:
        """The bytes of a fetch that began late enough: another's, or an own one."""
        now = self._monotonic()
        with self._lock:
            shared = item.fetch is not None and item.fetch.begun >= (now if since is None else since)
            fetch = item.fetch if item.fetch is not None and shared else _Fetch(now)
            item.fetch = fetch
        if not shared:
            self._fetch_into(fetch.content, media_store_id)
        return fetch.content.result()

    def _fetch_into(self, content: "Future[bytes]", media_store_id: str) -> None:
        try:
            content.set_result(self._store.fetch(media_store_id))
        except BaseException as error:  # noqa: BLE001  # whoever waits for it raises it
            content.set_exception(error)

    def _media(self, item: _Item, content: bytes) -> Media:
        """What was made of the same bytes, or a new start."""
        with self._lock:
            known = item.media
        if known is not None and known.content == content:
            return known
        media = Media(content, self._decoder)
        with self._lock:
            if item.media is known:
                item.media = media
            elif item.media is not None and item.media.content is content:
                media = item.media  # another job with the same fetch was quicker
        return media
