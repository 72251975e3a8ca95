"""CLIP ViT-B/32 image towers: the meaning of a picture as a vector."""

from media_inference.models.embedder import Fit, Input, embedder
from media_inference.models.kinds import Kind
from media_inference.models.licence import MIT
from media_inference.models.model import HubFile, Model
from media_inference.models.self_test import SelfTest

MEAN = (0.48145466 * 255, 0.4578275 * 255, 0.40821073 * 255)
STD = (0.26862954 * 255, 0.26130258 * 255, 0.27577711 * 255)
"""Of the pictures that OpenAI trained on, kept by everybody since (openai/CLIP, ``clip.py``)."""

INPUT = Input(size=224, fit=Fit.SHORTEST_CROP, mean=MEAN, std=STD)
# Dynamic quantisation takes its scale from the whole batch, so a picture's vector would depend on its company.
INT8_INPUT = Input(size=224, fit=Fit.SHORTEST_CROP, mean=MEAN, std=STD, batch=1)
NEAR_DUPLICATE = 0.95

CLIP_VIT_B_32 = Model(
    name="clip-vit-b-32",
    kind=Kind.IMAGE_EMBEDDER,
    files=(
        HubFile(
            repo="Qdrant/clip-ViT-B-32-vision",
            revision="e0c24ed0fa57fa3e4f97f30de74c51d944036ace",
            path="model.onnx",
            sha256="c68d3d9a200ddd2a8c8a5510b576d4c94d1ae383bf8b36dd8c084f94e1fb4d63",
            size=351686194,
        ),
    ),
    network=embedder(INPUT),
    text_tower="clip-vit-b-32-text",
    licence=MIT,
    summary="finds pictures that show the same kind of thing, whatever they look like",
    source="ImageNet zero-shot 63.3 % (OpenAI); near-duplicates lie above 0.95",
    threshold=NEAR_DUPLICATE,
)

CLIP_VIT_B_32_INT8 = Model(
    name="clip-vit-b-32-int8",
    kind=Kind.IMAGE_EMBEDDER,
    files=(
        HubFile(
            repo="Xenova/clip-vit-base-patch32",
            revision="d15189d7028b43f1d3e65039190477f6af591c2a",
            path="onnx/vision_model_quantized.onnx",
            sha256="583fd1110a514667812fee7d684952aaf82a99b959760c8d7dca7e0ab9839299",
            size=89117001,
        ),
    ),
    network=embedder(INT8_INPUT),
    text_tower="clip-vit-b-32-text",
    licence=MIT,
    summary="clip-vit-b-32 at a quarter of the size; its vectors drift by up to 0.03 between kinds of processor",
    source="a quantised copy of OpenAI's weights",
    threshold=NEAR_DUPLICATE,
    notes=("pictures are run one by one, so that a vector does not depend on its batch",),
    self_test=SelfTest(cosine=0.97),
)

CLIP_VIT_B_32_LAION2B = Model(
    name="clip-vit-b-32-laion2b",
    kind=Kind.IMAGE_EMBEDDER,
    files=(
        HubFile(
            repo="immich-app/ViT-B-32__laion2b-s34b-b79k",
            revision="19a057a0fb927cf239541300e74237cd56c7ffe2",
            path="visual/model.onnx",
            sha256="b9ce24b91a8c62ef8d40ea786051709c93140104cbf2b6b4a2cc270df3838f9c",
            size=351613724,
        ),
    ),
    network=embedder(INPUT),
    text_tower="clip-vit-b-32-laion2b-text",
    licence=MIT,
    summary="as quick as clip-vit-b-32 and better at finding; its vectors don't mix with those of the other",
    source="ImageNet zero-shot 66.6 % (LAION)",
    threshold=NEAR_DUPLICATE,
)
