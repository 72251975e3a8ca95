"""The device that was asked for, what is told of it, and models that rest, in the running service."""

import json
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from media_inference.runtime.device import PROVIDERS
from tests.stands.running_service import Json, RunningService, running_service, service_environment, until

pytestmark = pytest.mark.flow

not_here = pytest.mark.parametrize(
    "device",
    [str(device) for device, name in PROVIDERS.items() if name not in onnxruntime.get_available_providers()],
)


def call(folder: Path, settings: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "media_inference", *arguments],
        cwd=folder,
        env=service_environment(folder / "data") | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@not_here
def test_up_does_not_start_on_a_device_that_is_not_here(tmp_path: Path, device: str) -> None:
    done = call(tmp_path, {"DEVICE": device}, "up", "--port", "0")
    assert done.returncode == 3, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("media-inference: ")]
    assert len(told) == 1, done.stderr
    assert told[0].startswith(f"media-inference: DEVICE={device}: onnxruntime ")
    assert "install" in told[0]
    assert not any("Traceback" in line or "EP Error" in line for line in done.stderr.splitlines())
    assert "worker.ready" not in done.stderr


@not_here
def test_the_doctor_says_that_the_device_is_not_here(tmp_path: Path, device: str) -> None:
    done = call(tmp_path, {"DEVICE": device}, "doctor", "--json")
    assert done.returncode == 1
    broken = {finding["what"]: finding["detail"] for finding in json.loads(done.stdout) if not finding["ok"]}
    assert set(broken) == {"image embedder", "face detector", "face embedder"}
    assert all(detail.startswith(f"DEVICE={device}: ") for detail in broken.values())


def test_a_device_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    done = call(tmp_path, {"DEVICE": "gpu"}, "up", "--port", "0")
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert all(device in line for device in ("DEVICE: expected", "auto", "cpu", "cuda", "openvino", "coreml", "'gpu'"))


def test_the_device_really_used_is_told_everywhere_and_idle_models_rest(tmp_path: Path, shared: Path) -> None:
    with running_service(tmp_path, {"DEVICE": "cpu", "MODEL_TTL": "0.5"}) as service:
        assert service.request("GET", "/health").json()["checks"]["workers"]["devices"] == ["cpu"]
        metrics = service.request("GET", "/metrics").text
        assert 'media_inference_workers{device="cpu"} 1.0' in metrics
        assert 'media_inference_model_info{kind="face_detector",model="mtcnn"} 1.0' in metrics
        (ready,) = until(lambda: told(service, "worker.ready"), bool)  # the line follows the entry in the database
        assert ready["device"] == "cpu"
        photo = service.add_media(shared / "photos" / "astronaut.png")
        first = service.run("face_detection", photo)
        # All five graphs, some of them perhaps in another round than the others, and no job meanwhile.
        until(lambda: sum(line["graphs"] for line in told(service, "models.unloaded")), lambda graphs: graphs >= 5)
        assert service.run("face_detection", photo) == first
        assert service.run("face_embedding", photo)["face_count"] == 1


def told(service: RunningService, event: str) -> list[Json]:
    """The lines of the log about an event."""
    lines = (line for line in service.log.read_text().splitlines() if line.startswith("{") and line.endswith("}"))
    return [line for line in map(json.loads, lines) if line.get("event") == event]
