"""fastembed on photos in files. Runs in the environment of the peers."""

import sys
import time
from pathlib import Path
from typing import Any

from fastembed import ImageEmbedding

from benchmarks.child import answer_questions

_PREPROCESSOR = """{"do_resize": true, "size": {"shortest_edge": 224}, "resample": 3, "do_center_crop": true,
"crop_size": {"height": 224, "width": 224}, "do_rescale": true, "rescale_factor": 0.00392156862745098,
"do_normalize": true, "image_mean": [0.48145466, 0.4578275, 0.40821073],
"image_std": [0.26862954, 0.26130258, 0.27577711], "image_processor_type": "CLIPImageProcessor"}"""


def main() -> None:
    """Answers ``files`` with photos per second, and with their vectors if asked."""
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    (folder / "preprocessor_config.json").write_text(_PREPROCESSOR)
    model = ImageEmbedding("Qdrant/clip-ViT-B-32-vision", specific_model_path=str(folder), threads=threads, cuda=False)

    def embed(files: list[str], *, vectors: bool = False) -> dict[str, Any]:
        begun = time.perf_counter()
        found = [vector.tolist() for vector in model.embed(files)]
        seconds = time.perf_counter() - begun
        return {"per_second": len(files) / seconds, "vectors": found if vectors else []}

    answer_questions(embed)


if __name__ == "__main__":
    main()
