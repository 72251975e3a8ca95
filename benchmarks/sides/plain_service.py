"""What one writes on an afternoon: FastAPI, Pillow and ONNX Runtime, each request by itself."""

import io
import sys
from typing import Annotated

import numpy as np
import onnxruntime
import uvicorn
from fastapi import Body, FastAPI
from PIL import Image

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)

app = FastAPI()
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])


@app.post("/embed")
def embed(photo: Annotated[bytes, Body(media_type="application/octet-stream")]) -> list[float]:
    """A photo to its vector."""
    image = Image.open(io.BytesIO(photo)).convert("RGB")
    short = min(image.size)
    image = image.resize((224 * image.width // short, 224 * image.height // short), Image.Resampling.BICUBIC)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
    tensor = ((pixels - MEAN) / STD).transpose(2, 0, 1)[None]
    (vector,) = session.run(["image_embeds"], {"pixel_values": np.ascontiguousarray(tensor)})[0]
    return [float(number) for number in vector / np.linalg.norm(vector)]


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
