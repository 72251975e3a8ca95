"""The how-tos that can be followed without anybody else's service, followed as printed."""

import json
import re
import shutil
import tomllib
from pathlib import Path

import httpx2
import pytest

from media_inference.models.clip import MEAN, STD
from media_inference.models.custom import FITS, CustomModel
from media_inference.models.custom_text import CustomTextTower
from media_inference.models.kinds import Kind
from tests.stands.documents import blocks, document, reader_environment, run_blocks, started, table
from tests.stands.free_port import free_port
from tests.stands.running_service import BUILT_IN, running_service, until
from tests.stands.vit_b_32 import vit_b_32_graph

pytestmark = pytest.mark.flow


def test_a_model_of_ones_own_is_taken_as_described(tmp_path: Path, shared: Path) -> None:
    shutil.copy(shared / "models" / "mobilefacenet_512.onnx", tmp_path / "my-faces.onnx")
    (tmp_path / "my-clip.onnx").write_bytes(vit_b_32_graph(layers=1))
    commands = blocks(document("docs/how-to/bring-your-own-model.md"), "bash")
    environment = reader_environment(tmp_path)
    *_, verified, examined, listed = run_blocks(
        [*commands, "media-inference models list --json"], tmp_path, environment
    )
    assert verified.splitlines() == ["my-faces/my-faces.onnx: ok", "my-clip/my-clip.onnx: ok"]
    assert "my-faces (MIT), runs on cpu" in examined
    assert "my-clip (not stated), runs on cpu" in examined
    mine = {row["name"]: row for row in json.loads(listed) if row["origin"] == "yours"}
    assert {name: row["kind"] for name, row in mine.items()} == {
        "my-clip": "image_embedder",
        "my-faces": "face_embedder",
    }
    assert all((row["dimension"], row["on_disk"], row["chosen"]) == (512, True, True) for row in mine.values())


def test_the_numbers_of_clip_are_those_of_the_catalogue() -> None:
    (toml,) = re.findall(r"<<END\n(name = \"my-clip\".*?)END", _commands(), re.DOTALL)
    described = tomllib.loads(toml.replace('$(sha256sum my-clip.onnx | cut -d " " -f 1)', "0" * 64))
    assert described["mean"] == pytest.approx(MEAN, abs=1e-7)
    assert described["std"] == pytest.approx(STD, abs=1e-7)


def _commands() -> str:
    return "\n".join(blocks(document("docs/how-to/bring-your-own-model.md"), "bash"))


def test_every_resize_of_a_photo_is_explained() -> None:
    rows = table(document("docs/how-to/bring-your-own-model.md"), "`resize`", "makes of a photo")
    assert [name for name, _ in rows] == list(FITS[Kind.IMAGE_EMBEDDER])


def test_a_service_is_backed_up_restored_and_audited_as_described(tmp_path: Path, shared: Path) -> None:
    backup, restore, start = blocks(document("docs/how-to/back-up-and-restore.md"), "bash")
    home, port = tmp_path / "service", free_port()
    home.mkdir()
    with running_service(home) as service:
        job_id = service.submit("face_embedding", service.add_media(shared / "photos" / "obama_1.jpg"))
        assert service.finished(job_id)["status"] == "completed"
        environment = reader_environment(tmp_path, **BUILT_IN)
        counted, *_ = run_blocks(
            [backup, restore, "(cd ../backup-1 && sha256sum -c --quiet SHA256SUMS)"], home, environment
        )
        assert "jobs      1" in counted
        assert "--port 8002" in start
        with (
            started(start.replace("8002", str(port)), home, environment) as said,
            httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client,
        ):
            until(said.read_text, lambda text: "up.started" in text)
            assert client.get(f"/job/{job_id}").json() == service.job(job_id)


def test_every_key_of_a_description_is_explained() -> None:
    text = document("docs/how-to/bring-your-own-model.md")
    for keys in (CustomModel.model_fields, CustomTextTower.model_fields):
        assert {name for name in keys if f"`{name}`" in text} == set(keys)


def test_workers_run_apart_as_described(tmp_path: Path, shared: Path) -> None:
    keys, migrate, serve, worker = blocks(document("docs/how-to/run-workers-apart.md"), "bash")
    environment = reader_environment(tmp_path, **BUILT_IN)
    port = free_port()
    assert "--port 8001" in serve
    run_blocks([keys, migrate], tmp_path, environment)
    with (
        started(serve.replace("8001", str(port)), tmp_path, environment) as said,
        started(worker, tmp_path, environment),
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client,
    ):
        until(said.read_text, lambda text: "serve.started" in text)
        (token,) = run_blocks(
            ["media-inference token --sub me --permission ai_inference_support"], tmp_path, environment
        )
        client.headers["Authorization"] = f"Bearer {token}"
        with (shared / "photos" / "obama_1.jpg").open("rb") as photo:
            media = client.post("/media", files={"file": photo}).json()
        job = client.post("/job/face_embedding", json=media).json()
        address = f"/job/{job['job_id']}"
        done = until(lambda: client.get(address).json(), lambda now: now["status"] in {"completed", "failed"})
        assert (done["status"], done["result"]["face_count"]) == ("completed", 1)
        until(lambda: client.get("/health").json()["checks"]["workers"]["alive"], lambda alive: alive == 2)
