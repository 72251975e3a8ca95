"""The key pair of a service that was given none."""

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from media_inference.api.key_file import KeyFile
from media_inference.api.key_set import KeySet
from media_inference.api.tokens import create_key_pair, sign
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


def sign_here(settings: Settings, *, subject: str, permissions: Collection[str], admin: bool, ttl_seconds: int) -> str:
    """A token that this service takes, signed with the private key that `up` made.

    Raises `CannotStart` when there is no such key, or the service would refuse the token.
    """
    key = read_private_key(settings)
    if ttl_seconds > settings.token_max_life:
        raise CannotStart(
            f"a token for {ttl_seconds} s would be refused: TOKEN_MAX_LIFE is {settings.token_max_life}; "
            "ask for a shorter one, or raise it"
        )
    checked_with = KeySet({})
    with suppress(CannotStart):  # `up` may be about to write it
        checked_with = KeyFile(settings.key_path).keys()
    return sign(
        key,
        subject=subject,
        permissions=permissions,
        admin=admin,
        ttl_seconds=ttl_seconds,
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        known_as=checked_with,
    )
