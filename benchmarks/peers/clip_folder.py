"""A CLIP model in a folder, as the transformers library keeps it: given weights for pictures, any for words.

Runs in the environment of the peers.
"""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

from benchmarks.child import answer_questions

_WORDS = ["<|startoftext|>", "<|endoftext|>", "a</w>"]


def make_folder(weights: str, layers: int, folder: str) -> dict[str, int]:
    """Writes it; says how many tensors were given."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    vision = {"num_hidden_layers": layers, "hidden_act": "quick_gelu", "projection_dim": 512}
    text = {"num_hidden_layers": 1, "vocab_size": len(_WORDS), "bos_token_id": 0, "eos_token_id": 1}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=512))
    with np.load(weights) as given:
        tensors = {name: torch.from_numpy(np.ascontiguousarray(given[name])) for name in given.files}
    missing, unknown = model.load_state_dict(tensors, strict=False)
    left = [name for name in missing if name.startswith("vis") and not name.endswith("position_ids")]
    assert not left, left
    assert not unknown, unknown
    model.save_pretrained(target)
    (target / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(_WORDS)}))
    (target / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(target / "vocab.json"), str(target / "merges.txt"))
    CLIPProcessor(CLIPImageProcessor(), tokenizer).save_pretrained(target)
    return {"tensors": len(tensors)}


if __name__ == "__main__":
    answer_questions(make_folder)
