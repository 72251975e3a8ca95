"""The media store and the decoder of a process."""

import math

from media_inference.media.catalog import open_media_store, open_result_sink
from media_inference.media.decoder import Decoder
from media_inference.media.folder_inbox import FolderInbox
from media_inference.media.sandbox.protocol import Limits
from media_inference.media.store import MediaStore, ResultSink
from media_inference.media.store_kind import StoreOptions
from media_inference.settings import Settings


def open_inbox(settings: Settings) -> FolderInbox | None:
    """The built-in folder store, when that is the media store."""
    if settings.media_store_stub or settings.media_store_url is not None:
        return None
    return FolderInbox(settings.media_dir, settings.max_image_bytes)


def open_store(settings: Settings) -> MediaStore:
    """The media store that the settings name; raises `CannotStart`."""
    inbox = open_inbox(settings)
    return inbox if inbox is not None else open_media_store(_options(settings))


def open_sink(settings: Settings) -> ResultSink | None:
    """Where results are reported to, when the media store wants them; raises `CannotStart`."""
    return open_result_sink(_options(settings)) if settings.media_is_remote else None


def _options(settings: Settings) -> StoreOptions:
    token = settings.media_store_token
    return StoreOptions(
        url="stub:" if settings.media_store_stub or settings.media_store_url is None else settings.media_store_url,
        token=None if token is None else token.get_secret_value(),
        max_bytes=settings.max_image_bytes,
        total_timeout=settings.media_store_timeout,
        cache_dir=settings.media_cache_dir,
        cache_bytes=settings.media_cache_bytes,
    )


def open_decoder(settings: Settings, processes: int = 1) -> Decoder:
    """The guarded decoder with the limits of the settings."""
    return Decoder(
        processes,
        most_decoded=settings.decoded_bytes,
        max_bytes=settings.max_image_bytes,
        deadline=settings.decode_timeout,
        limits=Limits(
            max_pixels=settings.max_image_pixels,
            max_side=settings.max_image_side,
            memory_bytes=settings.decoder_memory_bytes,
            cpu_seconds=math.ceil(settings.decode_timeout),
        ),
    )
