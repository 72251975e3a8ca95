"""`up` and `worker` with model files that are not what they should be: exit code 3, and one line on how to mend it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

from media_inference.models.graphs.graph import Graph
from media_inference.models.yunet import YUNET_2023MAR
from media_inference.processes.database import open_database
from media_inference.settings import load_settings
from tests.stands.model_commands import run_command
from tests.stands.model_files import MOBILEFACENET_SHA256, MOBILEFACENET_TOML, sha256
from tests.stands.running_service import BUILT_IN

pytestmark = pytest.mark.flow

YUNET_FILE = YUNET_2023MAR.files[0].name
BY_PULLING = "`media-inference models pull yunet-2023mar`"


def damage_detector(folder: Path, shared: Path, damage: Callable[[bytes], bytes]) -> dict[str, str]:
    """The default detector with other bytes in its place."""
    target = folder / "models" / YUNET_2023MAR.name / YUNET_FILE
    target.parent.mkdir(parents=True)
    target.write_bytes(damage((shared / "models" / YUNET_FILE).read_bytes()))
    return {"FACE_DETECTOR": YUNET_2023MAR.name}


def describe_own(folder: Path, content: bytes) -> dict[str, str]:
    """A face embedder of one's own, with these bytes for a graph and their true hash."""
    custom = folder / "models" / "custom"
    custom.mkdir(parents=True)
    (custom / "mobilefacenet_512.onnx").write_bytes(content)
    toml = MOBILEFACENET_TOML.replace(MOBILEFACENET_SHA256, sha256(content))
    (custom / "mobilefacenet.toml").write_text(toml)
    return {"FACE_MODEL": "mobilefacenet"}


def face_graph(dimension: int) -> onnx.ModelProto:
    graph = Graph()
    graph.node("GlobalAveragePool", ["input.1"], "pooled")
    graph.node("Flatten", ["pooled"], "colour")
    graph.node("MatMul", ["colour", graph.constant(np.ones((3, dimension), np.float32))], "vector")
    made = graph.serialised({"input.1": ["n", 3, 112, 112]}, {"vector": ["n", dimension]})
    return onnx.load_model_from_string(made)


def changed_byte(folder: Path, shared: Path) -> dict[str, str]:
    return damage_detector(folder, shared, lambda content: content[:1000] + b"?" + content[1001:])


def truncated(folder: Path, shared: Path) -> dict[str, str]:
    return damage_detector(folder, shared, lambda content: content[:1000])


def missing(folder: Path, shared: Path) -> dict[str, str]:
    return {"FACE_DETECTOR": YUNET_2023MAR.name}


def wrong_shape(folder: Path, shared: Path) -> dict[str, str]:
    return describe_own(folder, face_graph(128).SerializeToString())


def no_onnx(folder: Path, shared: Path) -> dict[str, str]:
    return describe_own(folder, b"<html>please log in</html>")


def weights_elsewhere(folder: Path, shared: Path) -> dict[str, str]:
    """Its weights are said to lie in a file outside the models folder, which is there and of the right size."""
    (folder / "outside.bin").write_bytes(np.ones((3, 512), np.float32).tobytes())
    model = face_graph(512)
    tensor = next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [3, 512])
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../outside.bin")
    return describe_own(folder, model.SerializeToString())


def unaccepted_licence(folder: Path, shared: Path) -> dict[str, str]:
    return {"FACE_MODEL": "buffalo-l-face"}


@dataclass(frozen=True)
class Refusal:
    """What is set up, and what has to be in the line."""

    arrange: Callable[[Path, Path], dict[str, str]]
    told: tuple[str, ...]


REFUSALS = (
    Refusal(changed_byte, ("yunet-2023mar", "is not the file that was pinned", BY_PULLING)),
    Refusal(truncated, ("yunet-2023mar", "has 1000 bytes, expected 232589", BY_PULLING)),
    Refusal(missing, ("yunet-2023mar", "not in", BY_PULLING)),
    Refusal(wrong_shape, ("mobilefacenet", "one vector of 512 numbers", "vector [1, 128]")),
    Refusal(no_onnx, ("mobilefacenet", "is not an ONNX graph")),
    Refusal(weights_elsewhere, ("mobilefacenet", "weights in another file", "use one with the weights inside")),
    Refusal(unaccepted_licence, ("buffalo-l-face", "insightface-research forbids", "ACCEPT_MODEL_LICENSE=buffalo")),
)


@pytest.mark.parametrize("command", [("up", "--port", "0"), ("worker",)], ids=lambda command: str(command[0]))
@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: str(refusal.arrange.__name__))
def test_a_start_is_refused_with_exit_code_3_and_one_line(
    tmp_path: Path, shared: Path, refusal: Refusal, command: tuple[str, ...]
) -> None:
    settings = BUILT_IN | refusal.arrange(tmp_path, shared) | {"AUTH_DISABLED": "true", "LOG_FORMAT": "json"}
    open_database(load_settings(_env_file=None, database_dir=tmp_path / "data"), migrate=True).dispose()

    done = run_command(tmp_path, *command, settings=settings)

    assert done.returncode == 3, done.stderr
    (line,) = refusals_in(done.stderr)
    for told in refusal.told:
        assert told in line
    assert done.stdout == ""


@pytest.mark.parametrize("command", [("up", "--port", "0", "--workers", "3"), ("worker", "--processes", "3")])
def test_it_is_one_line_however_many_workers_there_are(tmp_path: Path, shared: Path, command: tuple[str, ...]) -> None:
    settings = BUILT_IN | wrong_shape(tmp_path, shared) | {"AUTH_DISABLED": "true", "LOG_FORMAT": "json"}
    open_database(load_settings(_env_file=None, database_dir=tmp_path / "data"), migrate=True).dispose()

    done = run_command(tmp_path, *command, settings=settings)

    assert done.returncode == 3, done.stderr
    assert len(refusals_in(done.stderr)) == 1


def test_the_doctor_names_it_too(tmp_path: Path, shared: Path) -> None:
    settings = BUILT_IN | changed_byte(tmp_path, shared) | unaccepted_licence(tmp_path, shared)

    done = run_command(tmp_path, "doctor", "--json", settings=settings)

    assert done.returncode == 1
    broken = {found["what"]: found["detail"] for found in json.loads(done.stdout) if not found["ok"]}
    assert "is not the file that was pinned" in broken.pop("face detector")
    assert "insightface-research forbids" in broken.pop("face embedder")
    assert broken == {}


def refusals_in(stderr: str) -> list[str]:
    """The lines for the operator; besides them there may be the log, and where the service is."""
    lines = [line for line in stderr.splitlines() if not line.startswith("{")]
    return [line for line in lines if not re.match(r"media-inference is at http://\S+ \(stop with Ctrl-C\)", line)]
