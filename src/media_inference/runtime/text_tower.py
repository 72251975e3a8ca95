"""A text tower of the catalogue, ready to turn texts into vectors."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from media_inference.models.kinds import TextEmbedder, Vectors
from media_inference.models.model import Model
from media_inference.models.tokenizer import Tokenizer
from media_inference.runtime.device import Device
from media_inference.runtime.json_tokenizer import JsonTokenizer
from media_inference.runtime.load import load_network
from media_inference.runtime.weights import read


@dataclass(frozen=True, slots=True)
class TextTower:
    """Text to vector. ``provider``: what it really runs on, in ONNX Runtime's word."""

    tokenizer: Tokenizer
    network: TextEmbedder
    provider: str

    def embed(self, text: str) -> Vectors:
        """[1, 512]: the unit vector of a text of any length; what is longer than the network takes is cut off."""
        return self.network.embed(self.tokenizer.encode(text, self.network.longest))


def load_text_tower(model: Model, models_dir: Path, threads: int, *, device: Device = Device.CPU) -> TextTower:
    """The tower of a model of the kind `text_embedder`, run once; raises `CannotStart` as `load_network` does."""
    (file,) = (file for file in model.files if file.name == model.tokenizer)
    tokenizer = JsonTokenizer(read(model, file, models_dir), model=model.name)
    loaded = load_network(model, models_dir, threads, device=device)
    return TextTower(tokenizer, cast("TextEmbedder", loaded.network), loaded.provider)
