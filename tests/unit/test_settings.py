"""Settings from the environment."""

from pathlib import Path

import pytest

from media_inference.errors import CannotStart
from media_inference.queue.engine import open_engine
from media_inference.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_the_defaults_are_those_of_the_contract(tmp_path: Path) -> None:
    settings = load_settings()
    data = tmp_path / "data"
    assert settings.database_dir == data
    assert settings.database_url == f"sqlite:///{data}/inference.db"
    assert settings.storage_dir == data / "inference" / "jobs"
    assert settings.key_path == data / "public_key.pem"
    assert settings.auth_disabled is False
    assert settings.worker_poll_interval == 1
    assert settings.worker_max_retries == 3
    assert settings.media_store_url is None
    assert settings.media_store_stub is False
    assert settings.media_store_token is None
    assert settings.qdrant_url is None
    assert settings.models_dir == Path.home() / ".cache" / "media-inference" / "models"
    assert settings.image_model == "clip-vit-b-32"
    assert settings.face_detector == "yunet-2023mar"
    assert settings.face_model == "auraface-v1"
    assert settings.log_level == "INFO"


def test_a_dotenv_file_is_read_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("IMAGE_MODEL=gabor-512\nWORKER_MAX_RETRIES=7\nUNKNOWN_NAME=1\n")
    monkeypatch.setenv("WORKER_MAX_RETRIES", "2")
    settings = load_settings()
    assert (settings.image_model, settings.worker_max_retries) == ("gabor-512", 2)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("AUTH_DISABLED", "perhaps", "valid boolean"),
        ("WORKER_MAX_RETRIES", "-1", "greater than or equal to 0"),
        ("WORKER_POLL_INTERVAL", "0", "greater than 0"),
        ("WORKER_POLL_INTERVAL", "inf", "less than or equal to 86400"),
        ("QDRANT_URL", "qdrant:6333", "expected http"),
        ("QDRANT_URL", "http://qdrant:99999", "expected http"),
        ("MEDIA_STORE_URL", "file://host/dir", "expected http"),
        ("MEDIA_STORE_URL", "http://[", "expected http"),
        ("MEDIA_STORE_URL", "http://store:port", "expected http"),
        ("DATABASE_DIR", "~nobody-of-that-name/data", "a folder"),
        ("MODELS_DIR", "~nobody-of-that-name/models", "a folder"),
        ("LOG_LEVEL", "loud", "'INFO'"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_with_what_was_expected_and_what_came(
    name: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(CannotStart) as refusal:
        load_settings()
    assert str(refusal.value).startswith(f"{name}: expected ")
    assert expected in str(refusal.value)
    assert repr(value) in str(refusal.value)


def test_a_dotenv_file_that_is_no_text_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("# café\n".encode("latin-1"))
    with pytest.raises(CannotStart, match=r"^the file \.env in this folder is not UTF-8 text: [^\n]+$"):
        load_settings()


@pytest.mark.parametrize("name", ["what? #1", "100%", "%41", "photos & faces", "Fotos für Ärzte", "a+b"])
def test_the_database_lies_in_its_folder_whatever_that_is_called(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_DIR", str(tmp_path / name))
    settings = load_settings()
    settings.database_dir.mkdir()
    with open_engine(settings.database_url).connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        connection.engine.dispose()
    assert [path.name for path in settings.database_dir.iterdir()] == ["inference.db"]


def test_settings_cannot_be_changed() -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.image_model = "other"


def test_a_child_process_gets_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_STORE_TOKEN", "secret")
    monkeypatch.setenv("MEDIA_STORE_URL", "http://store")
    settings = load_settings()
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    assert load_settings(_env_file=None) == settings
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "stub", "remote"),
    [
        ("http://store:8100", False, True),
        ("HTTP://store:8100", False, True),
        ("https://store", False, True),
        ("http://store:8100", True, False),
        ("file:///photos", False, False),
        (None, False, False),
    ],
)
def test_results_are_reported_to_a_media_store_service_only(url: str | None, *, stub: bool, remote: bool) -> None:
    assert load_settings(media_store_url=url, media_store_stub=stub).media_is_remote is remote
