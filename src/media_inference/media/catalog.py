"""The media stores: one import line each."""

from media_inference.errors import CannotStart
from media_inference.media.folder_store import FILE
from media_inference.media.http_store import HTTP, HTTPS
from media_inference.media.store import MediaStore, ResultSink
from media_inference.media.store_kind import StoreKind, StoreOptions
from media_inference.media.stub_store import STUB
from media_inference.registry import Registry

STORE_KINDS = Registry.of(StoreKind, globals(), "scheme of a media store", lambda kind: kind.scheme)


def open_media_store(options: StoreOptions) -> MediaStore:
    """The store that ``options.url`` names by its scheme (``file:///dir``, ``http(s)://…``, ``stub:``).

    Raises `CannotStart` when there is none for it.
    """
    return _kind(options.url).open(options)


def open_result_sink(options: StoreOptions) -> ResultSink | None:
    """The same store as a taker of results; None when it takes none. Raises `CannotStart` as `open_media_store`."""
    open_sink = _kind(options.url).open_sink
    return None if open_sink is None else open_sink(options)


def _kind(url: str) -> StoreKind:
    scheme = url.partition(":")[0].lower()
    if scheme not in STORE_KINDS:
        raise CannotStart(f"no media store for {url!r}: its scheme is none of {', '.join(STORE_KINDS)}")
    return STORE_KINDS[scheme]
