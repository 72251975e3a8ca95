"""What networks run on, as the operator asks for it. Loads no engine, so the settings may name it."""

from collections.abc import Collection, Sequence
from enum import StrEnum

from media_inference.errors import CannotStart


class Device(StrEnum):
    """Where networks run. ``auto``: on CUDA or CoreML where one can be had, else on the CPU."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    OPENVINO = "openvino"
    COREML = "coreml"


PROVIDERS = {
    Device.CPU: "CPUExecutionProvider",
    Device.CUDA: "CUDAExecutionProvider",
    Device.OPENVINO: "OpenVINOExecutionProvider",
    Device.COREML: "CoreMLExecutionProvider",
}
"""ONNX Runtime's word for each device."""

OPTIONS: dict[Device, dict[str, str]] = {
    # The arena grows by what is asked for, not to the next power of two; and no search for the quickest convolution,
    # which would take seconds for every new size of picture.
    Device.CUDA: {"arena_extend_strategy": "kSameAsRequested", "cudnn_conv_algo_search": "HEURISTIC"},
}

_CHOSEN_BY_ITSELF = (Device.CUDA, Device.COREML)
_PACKAGES = {
    Device.CUDA: "onnxruntime-gpu",
    Device.OPENVINO: "onnxruntime-openvino",
    Device.COREML: "onnxruntime on macOS",
}
ENGINES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino")
"""Packages with the same files, of which one may be installed."""


def candidates(asked: Device, built_in: Collection[str], engine: str) -> list[Device]:
    """The devices to try, best first. ``built_in``: the providers that the engine was built with.

    Raises `CannotStart` when the device that was asked for is not one of them.
    """
    if asked is Device.AUTO:
        return [device for device in _CHOSEN_BY_ITSELF if PROVIDERS[device] in built_in] + [Device.CPU]
    if PROVIDERS[asked] in built_in:
        return [asked]
    there = ", ".join(devices_of(built_in))
    raise CannotStart(
        f"DEVICE={asked}: {engine}, as it is installed here, runs on {there} only; install {_PACKAGES[asked]} "
        "in place of the onnxruntime that is there (never two of them), or set DEVICE=auto"
    )


def devices_of(providers: Collection[str]) -> list[Device]:
    """The devices that some providers stand for, leaving out those that have no name here."""
    return [device for device, provider in PROVIDERS.items() if provider in providers]


def refuse_other_device(asked: Device, given: Sequence[str], engine: str) -> None:
    """Raises `CannotStart` when a session that was to run on ``asked`` has other providers than that device's."""
    if not is_given(asked, given):
        raise CannotStart(
            f"DEVICE={asked}: {engine} can run on it, but this machine can't: the device, its driver or its libraries "
            "are missing, or of another version than the engine needs; mend that, or set DEVICE=cpu"
        )


def is_given(asked: Device, given: Sequence[str]) -> bool:
    """Whether a session with these providers, best first, runs on the device."""
    return given[:1] == [PROVIDERS[asked]]
