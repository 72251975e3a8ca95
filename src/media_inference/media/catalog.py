"""The media stores: one import line each."""

from urllib.parse import urlsplit

from media_inference.errors import CannotStart
from media_inference.media.folder_store import FILE
from media_inference.media.http_store import HTTP, HTTPS
from media_inference.media.store import MediaStore
from media_inference.media.store_kind import StoreKind, StoreOptions
from media_inference.media.stub_store import STUB
from media_inference.registry import Registry

STORE_KINDS = Registry.of(StoreKind, globals(), "scheme of a media store", lambda kind: kind.scheme)


def open_media_store(options: StoreOptions) -> MediaStore:
    """The store that ``options.url`` names by its scheme (``file:///dir``, ``http(s)://…``, ``stub:``).

    Raises `CannotStart` when there is none for it.
    """
    scheme = urlsplit(options.url).scheme
    if scheme not in STORE_KINDS:
        raise CannotStart(f"no media store for {options.url!r}: its scheme is none of {', '.join(STORE_KINDS)}")
    return STORE_KINDS[scheme].open(options)
