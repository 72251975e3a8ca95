"""Every knob, read once from the environment and ``.env``, frozen."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from media_inference.errors import CannotStart
from media_inference.room import LEAST_ROOM
from media_inference.runtime.device import Device

Seconds = Annotated[float, Field(gt=0, le=86_400)]
KeepSeconds = Annotated[float, Field(gt=0, le=365 * 86_400)]
Bytes = Annotated[int, Field(ge=1, le=1 << 40)]


def _media_store_url(value: str) -> str:
    if _is_http_url(value):
        return value.rstrip("/")
    if value.startswith("file:///"):
        return value
    raise ValueError("expected http(s)://host[:port][/path] or file:///folder")


def _http_url(value: str) -> str:
    if not _is_http_url(value):
        raise ValueError("expected http(s)://host[:port]")
    return value.rstrip("/")


def _is_http_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, half an IPv6 address
        return False


def _folder(value: Path) -> Path:
    try:
        return value.expanduser().resolve()
    except (RuntimeError, ValueError, OSError) as error:  # no such user, a NUL byte, a loop of links
        raise ValueError("expected a folder") from error


Folder = Annotated[Path, AfterValidator(_folder)]


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class Settings(BaseSettings):
    """The settings by their field names; the environment has the same names in capitals."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, case_sensitive=False
    )

    # Where things are kept
    database_dir: Folder = Path("data")
    database_url: str = ""
    storage_dir: Folder = Path()
    models_dir: Folder = Path("~/.cache/media-inference/models")
    min_free_bytes: Annotated[int, Field(ge=LEAST_ROOM, le=1 << 40)] = 128 * 1024 * 1024

    # Who may do what
    public_key_path: Path | None = None
    auth_disabled: bool = False
    token_issuer: str | None = None
    token_audience: str | None = None
    token_max_life: Annotated[int, Field(ge=1, le=10 * 366 * 86_400)] = 366 * 86_400

    # Working
    worker_poll_interval: Seconds = 1.0
    worker_max_retries: Annotated[int, Field(ge=0, le=100)] = 3
    worker_threads: Annotated[int, Field(ge=0, le=1024)] = 0
    jobs_at_once: Annotated[int, Field(ge=0, le=1024)] = 0
    batch_size: Annotated[int, Field(ge=0, le=256)] = 0
    batch_max_wait_ms: Annotated[float, Field(ge=0, le=10_000)] = 10.0
    lease_seconds: Annotated[float, Field(ge=3, le=3600)] = 30.0
    job_timeout: Seconds = 120.0
    shutdown_grace: Seconds = 20.0
    queue_limit: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1_000_000
    dedupe: bool = False
    idempotency_keep: KeepSeconds = 86_400.0

    # Telling
    events_keep: KeepSeconds = 7 * 86_400.0
    events_most: Annotated[int, Field(ge=1000, le=1_000_000_000)] = 1_000_000
    event_streams: Annotated[int, Field(ge=0, le=10_000)] = 100
    event_streams_per_client: Annotated[int, Field(ge=0, le=10_000)] = 25
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 512

    # Pictures
    media_store_url: Annotated[str, AfterValidator(_media_store_url)] | None = None
    media_store_stub: bool = False
    media_store_token: SecretStr | None = None
    media_store_timeout: Seconds = 30.0
    media_cache_bytes: Bytes = 512 * 1024 * 1024
    media_sync_max_age: KeepSeconds = 7 * 86_400.0
    max_image_bytes: Bytes = 100 * 1024 * 1024
    max_image_pixels: Annotated[int, Field(ge=1, le=1_000_000_000)] = 100_000_000
    max_image_side: Annotated[int, Field(ge=1, le=1_000_000)] = 65_535
    decode_timeout: Seconds = 30.0
    decoded_bytes: Bytes = 512 * 1024 * 1024
    decoder_memory_bytes: Annotated[int, Field(ge=512 << 20, le=1 << 40)] = 2 << 30

    # Vectors
    qdrant_url: Annotated[str, AfterValidator(_http_url)] | None = None
    qdrant_timeout: Seconds = 10.0
    text_timeout: Seconds = 30.0

    # Models
    image_model: str = "clip-vit-b-32"
    face_detector: str = "yunet-2023mar"
    face_tiles: bool = False
    face_model: str = "auraface-v1"
    accept_model_license: str | None = None
    device: Device = Device.AUTO
    model_ttl: Annotated[float, Field(ge=0, le=7 * 86_400)] = 0.0

    log_level: LogLevel = LogLevel.INFO
    log_format: Literal["auto", "text", "json"] = "auto"

    @model_validator(mode="after")
    def _fill_in(self) -> Self:
        """The defaults that follow from other settings."""
        data = self.database_dir
        in_url = str(data).replace("%", "%25").replace("?", "%3F")  # which would start the query of a database URL
        derived: dict[str, Any] = {"database_url": self.database_url or f"sqlite:///{in_url}/inference.db"}
        if "storage_dir" not in self.model_fields_set:
            derived["storage_dir"] = data / "inference" / "jobs"
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        return self

    def as_environment(self) -> dict[str, str]:
        """The environment that gives a child process these settings."""
        revealed = (
            (name, value.get_secret_value() if isinstance(value, SecretStr) else value)
            for name, value in self
            if value is not None
        )
        return {name.upper(): str(value) for name, value in revealed}

    @property
    def key_path(self) -> Path:
        """The public key that tokens are checked with."""
        return self.public_key_path or self.database_dir / "public_key.pem"

    @property
    def private_key_path(self) -> Path:
        """The private key that `up` made, if it did."""
        return self.database_dir / "private_key.pem"

    @property
    def qdrant_dir(self) -> Path:
        """The embedded vector store."""
        return self.database_dir / "qdrant"

    @property
    def media_is_remote(self) -> bool:
        """Whether a media_store service is in use, which wants the results reported back."""
        return not self.media_store_stub and _is_http_url(self.media_store_url or "")

    @property
    def media_cache_dir(self) -> Path:
        """Pictures of a remote media store that several jobs need."""
        return self.database_dir / "cache" / "media"

    @property
    def media_dir(self) -> Path:
        """The built-in media store."""
        return self.database_dir / "media"


def load_settings(**given: object) -> Settings:
    """The settings of this process; ``given`` ones win over the environment.

    Raises `CannotStart` with one line that says what was expected and what came.
    """
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        raise CannotStart("; ".join(_explain(dict(problem)) for problem in error.errors())) from None
    except UnicodeDecodeError:
        raise CannotStart("the file .env in this folder is not UTF-8 text: save it as such, or remove it") from None
    except PermissionError:
        raise CannotStart("the file .env in this folder may not be read: allow it, or remove it") from None


def _explain(problem: dict[str, Any]) -> str:
    name = ".".join(str(part) for part in problem["loc"][:1]).upper() or "settings"
    expected = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    expected = expected if expected.startswith("expected") else f"expected {expected}"
    return f"{name}: {expected}, got {problem['input']!r}"
