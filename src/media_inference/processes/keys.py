"""The key pair of a service that was given none."""

import os
from pathlib import Path

from media_inference.api.tokens import create_key_pair
from media_inference.errors import CannotStart
from media_inference.settings import Settings


def ensure_key_pair(settings: Settings) -> bool:
    """Creates an ES256 key pair in the data folder unless there is one; returns whether it did.

    Does nothing when the settings name a public key or switch authentication off. Raises `CannotStart`.
    """
    if settings.auth_disabled or settings.public_key_path is not None or settings.key_path.exists():
        return False
    private_pem, public_pem = create_key_pair()
    try:
        _write(settings.private_key_path, private_pem, 0o600)
        _write(settings.key_path, public_pem, 0o644)
    except OSError as error:
        raise CannotStart(f"the key pair can't be written to {settings.database_dir} ({error.strerror})") from None
    return True


def _write(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def read_private_key(settings: Settings) -> bytes:
    """The private key that `up` made; raises `CannotStart` when there is none."""
    try:
        return settings.private_key_path.read_bytes()
    except OSError:
        raise CannotStart(
            f"there is no private key in {settings.database_dir}: `media-inference up` makes one when "
            "PUBLIC_KEY_PATH is not set; tokens for another key are signed by whoever owns it"
        ) from None
