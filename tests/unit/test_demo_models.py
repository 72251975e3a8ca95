"""Which models the demo runs, and what its service is told."""

from pathlib import Path

import pytest

from media_inference.demo.environment import private_environment
from media_inference.demo.models_choice import BUILT_IN, choose_models
from media_inference.errors import CannotStart, DownloadFailed, HubUnreachable
from media_inference.models.catalog import MODELS
from media_inference.models.kinds import TASK_KINDS, Kind
from media_inference.models.model import Model
from media_inference.settings import load_settings

WANTED = {
    Kind.IMAGE_EMBEDDER: MODELS["clip-vit-b-32"],
    Kind.FACE_DETECTOR: MODELS["yunet-2023mar"],
    Kind.FACE_EMBEDDER: MODELS["auraface-v1"],
}


class Hub:
    """A hub that has some models, fails for others, or is not there at all."""

    def __init__(self, has: set[str] | None) -> None:
        self._has = has
        self.asked: list[str] = []

    def pull(self, model: Model) -> None:
        self.asked.append(model.name)
        if self._has is None:
            raise HubUnreachable("no hub")
        if model.name not in self._has:
            raise DownloadFailed("the hub answered 403")


def no_model(_model: Model) -> bool:
    return False


def test_models_on_disk_are_used_without_asking_the_hub() -> None:
    hub = Hub(None)
    choice = choose_models(WANTED, set(), on_disk=lambda _model: True, pull=hub.pull)
    assert choice.models == WANTED
    assert choice.notice is None
    assert hub.asked == []


def test_models_that_the_hub_has_are_pulled() -> None:
    hub = Hub({model.name for model in WANTED.values()})
    choice = choose_models(WANTED, set(), on_disk=no_model, pull=hub.pull)
    assert choice.models == WANTED
    assert choice.notice is None


def test_without_a_hub_it_is_asked_once_and_built_in_models_stand_in_with_one_line() -> None:
    hub = Hub(None)
    choice = choose_models(WANTED, set(), on_disk=no_model, pull=hub.pull)
    assert choice.models == BUILT_IN
    assert hub.asked == ["clip-vit-b-32"]
    assert choice.notice is not None
    assert "\n" not in choice.notice
    assert "models pull clip-vit-b-32 yunet-2023mar auraface-v1" in choice.notice


def test_only_the_missing_models_are_replaced() -> None:
    hub = Hub({"auraface-v1"})
    choice = choose_models(WANTED, set(), on_disk=lambda model: model.name == "yunet-2023mar", pull=hub.pull)
    assert [model.name for model in choice.models.values()] == ["gabor-512", "yunet-2023mar", "auraface-v1"]
    assert choice.notice is not None
    assert "gabor-512 for clip-vit-b-32" in choice.notice


def test_a_model_that_the_user_named_is_not_replaced() -> None:
    with pytest.raises(CannotStart, match="FACE_MODEL=auraface-v1") as caught:
        choose_models(WANTED, {Kind.FACE_EMBEDDER}, on_disk=no_model, pull=Hub(None).pull)
    assert "\n" not in str(caught.value)


def test_the_built_in_models_need_nothing_from_anywhere() -> None:
    assert {kind: model.kind for kind, model in BUILT_IN.items()} == {kind: kind for kind in TASK_KINDS}


def test_the_demos_service_shares_no_data_keys_or_stores_with_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    callers = {
        "DATABASE_DIR": "/srv/real",
        "DATABASE_URL": "sqlite:////srv/real.db",
        "Storage_Dir": "/srv/files",
        "AUTH_DISABLED": "true",
        "QDRANT_URL": "http://qdrant:6333",
        "MEDIA_STORE_URL": "http://media:8000",
        "MEDIA_STORE_TOKEN": "secret",
        "MAX_IMAGE_PIXELS": "1000000",
        "PATH": "/bin",
    }
    for name, value in callers.items():
        monkeypatch.setenv(name, value)
    told = private_environment(callers, load_settings(), BUILT_IN)
    assert told["PATH"] == "/bin"
    assert told["MAX_IMAGE_PIXELS"] == "1000000"
    assert (told["IMAGE_MODEL"], told["FACE_DETECTOR"], told["FACE_MODEL"]) == ("gabor-512", "mtcnn", "gabor-face-512")
    private = {"DATABASE_DIR", "DATABASE_URL", "STORAGE_DIR", "AUTH_DISABLED", "QDRANT_URL", "MEDIA_STORE_URL"}
    assert not private & {name.upper() for name in told}
    assert "secret" not in told.values()
