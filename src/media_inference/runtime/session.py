"""A graph in ONNX Runtime. This file and `helpers`, which knows its threads, are the only ones that know the engine."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import onnxruntime as ort
import structlog
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from media_inference.errors import CannotStart, ErrorCode, PermanentError, TransientError
from media_inference.models.session import Feed, Tensor
from media_inference.runtime.device import (
    OPTIONS,
    PROVIDERS,
    Device,
    candidates,
    devices_of,
    is_given,
    refuse_other_device,
)
from media_inference.runtime.external_data import refuse_external_data
from media_inference.runtime.helpers import Passes
from media_inference.runtime.mapped_file import MappedFile
from media_inference.runtime.matrices import without_matrices

_FATAL_ONLY = 4
_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
_INPUT_ERRORS = (ort_errors.InvalidArgument, ort_errors.NotImplemented, ort_errors.InvalidGraph)
_ENGINE_ERRORS = (
    ort_errors.DeviceReset,
    ort_errors.EPFail,
    ort_errors.EngineError,
    ort_errors.Fail,
    ort_errors.ModelLoadCanceled,
    ort_errors.NoModel,
    ort_errors.RuntimeException,
)
_LOAD_ERRORS = (
    *_INPUT_ERRORS,
    *_ENGINE_ERRORS,
    ort_errors.InvalidProtobuf,
    ort_errors.ModelLoaded,
    ort_errors.ModelRequiresCompilation,
    ort_errors.NoSuchFile,
    ort_errors.NotFound,
)

Shape = tuple[int | None, ...]

ENGINE = f"onnxruntime {ort.__version__}"

log = structlog.get_logger()


class OrtSession:
    """A loaded graph, ready to run on ``device``. Safe to run from several threads.

    ``threads``: how many work on a pass, less those that ``passes`` holds while others run. Of a file that is mapped
    the engine maps weights too, until this is built, and no longer. Raises `CannotStart` when the bytes are no graph
    that this engine can run, and when the device that was asked for is not the one that was given.
    """

    def __init__(
        self,
        graph: bytes | MappedFile,
        *,
        model: str,
        threads: int,
        device: Device = Device.CPU,
        passes: Passes | None = None,
    ) -> None:
        refuse_external_data(graph if isinstance(graph, bytes) else graph.content, model)
        ort.disable_telemetry_events()
        # What goes wrong with a device is told by our own line, not by the engine's on stderr.
        ort.set_default_logger_severity(_FATAL_ONLY)
        self.device, self._session = _open(graph, model, threads, device)
        self.provider: str = self._session.get_providers()[0]
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self._input_names = tuple(str(node.name) for node in inputs)
        self._input_shapes = tuple(_shape(node.shape) for node in inputs)
        self._input_types = tuple(_type(node.type) for node in inputs)
        self._output_names = tuple(str(node.name) for node in outputs)
        self._output_shapes = tuple(_shape(node.shape) for node in outputs)
        self._pass: Callable[[], AbstractContextManager[None]] = nullcontext
        if passes is not None and passes.held and self.device is Device.CPU:
            self._pass = passes.of(self._session, owner=self)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the graph's inputs, in its order."""
        return self._input_names

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the inputs; None where an axis is free."""
        return self._input_shapes

    @property
    def input_types(self) -> tuple[str, ...]:
        """Element types of the inputs in NumPy's words: ``float32``, ``int64``."""
        return self._input_types

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the graph's outputs, in its order."""
        return self._output_names

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the outputs; None where an axis is free."""
        return self._output_shapes

    def run(self, feeds: Mapping[str, Feed], *, together: int = 1) -> dict[str, Tensor]:  # noqa: ARG002  # others batch
        """All outputs by name.

        Raises `PermanentError` (`internal`) when the graph does not take these inputs and `TransientError`
        (`model_unavailable`) when the engine can't run now, out of memory for one.
        """
        try:
            with self._pass():
                outputs = self._session.run(None, dict(feeds))
        except _INPUT_ERRORS as error:
            raise PermanentError(ErrorCode.INTERNAL, "the model did not take its input") from error
        except (*_ENGINE_ERRORS, MemoryError) as error:
            raise TransientError(ErrorCode.MODEL_UNAVAILABLE, "the inference engine could not run the model") from error
        return {name: np.asarray(output) for name, output in zip(self._output_names, outputs, strict=True)}


def built_in_devices() -> list[Device]:
    """What the engine that is installed was built for, whether this machine has it or not."""
    return devices_of(ort.get_available_providers())


def _open(graph: bytes | MappedFile, model: str, threads: int, asked: Device) -> tuple[Device, ort.InferenceSession]:
    """The graph on the best device that can be had, which is also told."""
    *accelerators, last = candidates(asked, ort.get_available_providers(), ENGINE)
    for device in accelerators:
        try:
            session = _on(device, graph, threads)
        except _LOAD_ERRORS as error:
            log.warning("device.not_used", action="load", device=device, model=model, reason=_first_line(error))
            continue
        if is_given(device, session.get_providers()):
            return device, session
        log.warning("device.not_used", action="load", device=device, model=model, reason="this machine has none")
    try:
        session = _on(last, graph, threads)
    except _LOAD_ERRORS as error:
        raise CannotStart(f"model {model}: ONNX Runtime can't load its graph ({_first_line(error)})") from None
    refuse_other_device(last, session.get_providers(), ENGINE)
    return last, session


def _on(device: Device, graph: bytes | MappedFile, threads: int) -> ort.InferenceSession:
    provider = PROVIDERS[device], OPTIONS.get(device, {})
    options = _options(threads)
    if isinstance(graph, MappedFile):
        options.add_session_config_entry(_WEIGHTS_FOLDER, str(graph.path.parent))
        graph = _bytes_to_parse(graph, device)
    # Without a fallback a device that fails is an error, and not a line on stdout and a session on the CPU.
    session = ort.InferenceSession(graph, options, providers=[provider], enable_fallback=0)
    # The class keeps the file's bytes to open it again for a fallback: a second copy of all weights.
    session._model_bytes = None  # noqa: SLF001  # there is no other way to let go of them
    return session


def _bytes_to_parse(file: MappedFile, device: Device) -> bytes:
    slim = without_matrices(file.content, file.path.name) if device is Device.CPU else None
    content = slim or bytes(file.content)
    file.let_go_of_pages()
    return content


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    # The arena never gives memory back and a memory pattern is kept per input shape: with pictures of every size both
    # only grow. Without them a run takes 5 to 15 % longer (measured) and memory stays flat.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # Idle threads sleep instead of spinning: several workers share the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Bytes of the engine's own format would be taken too, which `refuse_external_data` can't read.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return options


def _shape(dimensions: list[int | str | None]) -> Shape:
    return tuple(size if isinstance(size, int) and size > 0 else None for size in dimensions)


def _type(described: str) -> str:
    """``tensor(float)`` is ``float32``; types that NumPy does not know stay as they are called."""
    name = described.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
