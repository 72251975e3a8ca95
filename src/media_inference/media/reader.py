"""From a media id to pictures."""

from media_inference.failpoints import Failpoint, failpoint
from media_inference.media.decoder import Decoder
from media_inference.media.picture import Picture
from media_inference.media.store import MediaStore


class Media:
    """One media item: its bytes, and the finest picture that was decoded from them so far. For one thread."""

    def __init__(self, content: bytes, decoder: Decoder) -> None:
        self._content = content
        self._decoder = decoder
        self._finest: Picture | None = None

    def picture(self, *, short_side: int | None = None, long_side: int | None = None) -> Picture:
        """The picture with at least these sides in pixels, as far as it has them; without any, in full size.

        Raises what `Decoder.decode` raises.
        """
        if self._finest is None or not self._finest.serves(short_side, long_side):
            self._finest = self._decoder.decode(self._content, short_side=short_side, long_side=long_side)
            failpoint(Failpoint.DECODE_AFTER)
        return self._finest


class MediaReader:
    """Fetches media items and decodes them when asked. Safe for several threads."""

    def __init__(self, store: MediaStore, decoder: Decoder) -> None:
        self._store = store
        self._decoder = decoder

    def open(self, media_store_id: str) -> Media:
        """Fetches the item's bytes, once. Raises what `MediaStore.fetch` raises."""
        return Media(self._store.fetch(media_store_id), self._decoder)
