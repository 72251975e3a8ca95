"""One photo at a time, from its bytes to its vector, with nothing around it."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import cast

from PIL import Image

from benchmarks.child import answer_questions
from media_inference.models.catalog import find_model
from media_inference.models.custom import load_custom_models
from media_inference.models.kinds import ImageEmbedder, Kind
from media_inference.runtime.load import load_network
from tests.stands.pictures import picture


def main() -> None:
    """Answers ``files`` with the median of seconds for one."""
    models_dir, threads, name = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    model = find_model(name, Kind.IMAGE_EMBEDDER, load_custom_models(models_dir / "custom"))
    network = cast("ImageEmbedder", load_network(model, models_dir, threads).network)
    Image.init()

    def embed(files: list[str]) -> Mapping[str, float]:
        taken = []
        for file in files:
            begun = time.perf_counter()
            network.embed([picture(Path(file))])
            taken.append(time.perf_counter() - begun)
        return {"seconds": median(taken)}

    answer_questions(embed)


if __name__ == "__main__":
    main()
