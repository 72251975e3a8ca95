"""The device that was asked for is the one that is used, or nothing starts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from media_inference.errors import CannotStart
from media_inference.models.gabor import GABOR_512
from media_inference.models.graphs.gabor import gabor_graph
from media_inference.runtime.device import PROVIDERS, Device, candidates, is_given, refuse_other_device
from media_inference.runtime.load import load_network
from media_inference.runtime.session import ENGINE, OrtSession

GRAPH = gabor_graph(128)
CPU_BUILD = ["AzureExecutionProvider", "CPUExecutionProvider"]
GPU_BUILD = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
MAC_BUILD = ["CoreMLExecutionProvider", "AzureExecutionProvider", "CPUExecutionProvider"]

not_here = pytest.mark.parametrize(
    "device", [device for device, name in PROVIDERS.items() if name not in onnxruntime.get_available_providers()]
)


@pytest.mark.parametrize(
    ("built_in", "tried"),
    [
        (CPU_BUILD, [Device.CPU]),
        (GPU_BUILD, [Device.CUDA, Device.CPU]),
        (MAC_BUILD, [Device.COREML, Device.CPU]),
        (["OpenVINOExecutionProvider", "CPUExecutionProvider"], [Device.CPU]),
    ],
)
def test_auto_takes_cuda_or_coreml_and_else_the_cpu(built_in: list[str], tried: list[Device]) -> None:
    assert candidates(Device.AUTO, built_in, "engine") == tried


@pytest.mark.parametrize("device", [device for device in Device if device is not Device.AUTO])
def test_a_device_that_was_asked_for_is_tried_alone(device: Device) -> None:
    assert candidates(device, list(PROVIDERS.values()), "engine") == [device]


@pytest.mark.parametrize(
    ("device", "package"),
    [(Device.CUDA, "onnxruntime-gpu"), (Device.OPENVINO, "onnxruntime-openvino"), (Device.COREML, "macOS")],
)
def test_a_device_that_the_engine_lacks_is_refused_with_a_line_that_says_how_to_get_it(
    device: Device, package: str
) -> None:
    with pytest.raises(CannotStart) as refused:
        candidates(device, CPU_BUILD, "onnxruntime 1.2.3")
    line = str(refused.value)
    assert line.startswith(f"DEVICE={device}: onnxruntime 1.2.3, as it is installed here, runs on cpu only")
    assert package in line
    assert "never two of them" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("device", "given", "right"),
    [
        (Device.CUDA, ["CUDAExecutionProvider", "CPUExecutionProvider"], True),
        (Device.CUDA, ["CPUExecutionProvider"], False),
        (Device.COREML, ["CPUExecutionProvider", "CoreMLExecutionProvider"], False),
        (Device.CPU, ["CPUExecutionProvider"], True),
        (Device.CUDA, [], False),
    ],
)
def test_what_the_session_says_decides_and_not_what_was_asked(
    device: Device, given: Sequence[str], right: bool
) -> None:
    assert is_given(device, given) is right
    if right:
        refuse_other_device(device, given, "engine")
    else:
        with pytest.raises(CannotStart, match=f"DEVICE={device}: .*this machine can't.*DEVICE=cpu"):
            refuse_other_device(device, given, "engine")


@not_here
def test_a_session_on_a_device_that_is_not_here_does_not_start_on_the_cpu_in_silence(
    device: Device, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CannotStart, match=f"DEVICE={device}: {ENGINE}"):
        load_network(GABOR_512, Path("nowhere"), 1, device=device)
    assert capfd.readouterr() == ("", "")


def test_a_device_that_fails_is_not_replaced_by_another_in_silence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An engine that lists CUDA and can't open it: this one, made to believe that it was built with it."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: GPU_BUILD)
    with pytest.warns(UserWarning, match="not in available"), pytest.raises(CannotStart, match="this machine can't"):
        OrtSession(GRAPH, model="any", threads=1, device=Device.CUDA)
    assert capfd.readouterr() == ("", "")


def test_auto_goes_on_to_the_cpu_when_the_engines_cuda_has_no_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: GPU_BUILD)
    with pytest.warns(UserWarning, match="not in available"):
        session = OrtSession(GRAPH, model="any", threads=1, device=Device.AUTO)
    assert (session.device, session.provider) == (Device.CPU, "CPUExecutionProvider")


def test_on_this_machine_auto_runs() -> None:
    session = OrtSession(GRAPH, model="any", threads=1, device=Device.AUTO)
    assert session.run({"pictures": np.zeros((1, 3, 128, 128), np.float32)})["vectors"].shape == (1, 512)
    assert PROVIDERS[session.device] == session.provider


def test_a_broken_graph_is_called_that_on_every_device() -> None:
    with pytest.raises(CannotStart, match="model broken: ONNX Runtime can't load its graph"):
        OrtSession(b"", model="broken", threads=1, device=Device.AUTO)
