"""The frozen description of a model: where its weights come from, what they may be used for, how to run them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from media_inference.models.kinds import DIMENSION, FaceDetector, FaceEmbedder, ImageEmbedder, Kind, TextEmbedder
from media_inference.models.licence import Licence
from media_inference.models.self_test import SelfTest
from media_inference.models.session import Session

Network = ImageEmbedder | FaceDetector | FaceEmbedder | TextEmbedder


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a hub repository, pinned by revision and hash; it lies in ``{MODELS_DIR}/{model}/{local name}``."""

    repo: str
    revision: str
    path: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """The file's name on disk: the last part of its path in the repository."""
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file that the user put there (``{MODELS_DIR}/custom/{name}``), pinned by its hash.

    ``described_in`` is the name of the TOML file beside it.
    """

    name: str
    sha256: str
    described_in: str


@dataclass(frozen=True, slots=True)
class BuiltFile:
    """A graph that this program writes itself; ``build`` returns the bytes of an ONNX file."""

    name: str
    build: Callable[[], bytes]


WeightsFile = HubFile | LocalFile | BuiltFile


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of the catalogue.

    ``network`` makes the network from one session per graph, by file name. ``threshold`` is the cosine above which two
    vectors of this model are likely the same thing (for a detector: the least confidence of a face); thresholds do not
    carry over between models. ``source`` says where its numbers were taken from. ``licence`` is that of the files with
    these hashes, not of their repositories. ``self_test`` says what its graphs are asked at load.
    """

    name: str
    kind: Kind
    files: tuple[WeightsFile, ...]
    network: Callable[[str, Mapping[str, Session]], Network]
    licence: Licence
    summary: str
    source: str
    threshold: float
    dimension: int | None = DIMENSION
    notes: tuple[str, ...] = field(default=())
    self_test: SelfTest = field(default=SelfTest())
    text_tower: str | None = None
    """For an image embedder: the text embedder whose vectors lie in the same space, by name."""
    tokenizer: str | None = None
    """For a text embedder: the one of its files that is no graph but turns text into tokens."""

    @property
    def graphs(self) -> tuple[WeightsFile, ...]:
        """The files that are ONNX graphs."""
        return tuple(file for file in self.files if file.name != self.tokenizer)

    @property
    def built_in(self) -> bool:
        """Whether it needs no file from anywhere."""
        return all(isinstance(file, BuiltFile) for file in self.files)
