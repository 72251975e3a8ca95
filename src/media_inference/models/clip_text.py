"""CLIP ViT-B/32 text towers: the meaning of some words as a vector among those of pictures."""

from media_inference.models.kinds import Kind
from media_inference.models.licence import MIT
from media_inference.models.model import HubFile, Model
from media_inference.models.text_embedder import token_embedder
from media_inference.models.text_self_test import TextSelfTest

TOKENIZER = HubFile(
    repo="Qdrant/clip-ViT-B-32-text",
    revision="48ca1db27cb4063eb311ec2aa7f087a808112876",
    path="tokenizer.json",
    sha256="b68d571997a1f81bf521fb73806740ddb91e4ed6666cb6e996c066bb289cf55b",
    size=2224147,
)
"""LAION trained with OpenAI's vocabulary, so both towers read alike."""

MATCH = 0.25
_MATCHES = "a text and a picture that match lie at 0.25 to 0.35, far below two pictures that do"

CLIP_VIT_B_32_TEXT = Model(
    name="clip-vit-b-32-text",
    kind=Kind.TEXT_EMBEDDER,
    files=(
        HubFile(
            repo="Qdrant/clip-ViT-B-32-text",
            revision="48ca1db27cb4063eb311ec2aa7f087a808112876",
            path="model.onnx",
            sha256="4dbe762b11e36488304471e439cde89da053ad7acaddbf9e096745d142ec8d8b",
            size=254102519,
        ),
        TOKENIZER,
    ),
    tokenizer=TOKENIZER.name,
    network=token_embedder,
    self_test=TextSelfTest(),
    licence=MIT,
    summary="finds pictures by words, for clip-vit-b-32 and clip-vit-b-32-int8",
    source=_MATCHES,
    threshold=MATCH,
)

CLIP_VIT_B_32_LAION2B_TEXT = Model(
    name="clip-vit-b-32-laion2b-text",
    kind=Kind.TEXT_EMBEDDER,
    files=(
        HubFile(
            repo="immich-app/ViT-B-32__laion2b-s34b-b79k",
            revision="19a057a0fb927cf239541300e74237cd56c7ffe2",
            path="textual/model.onnx",
            sha256="48c25be37b352398f2533c9426dab6f9340535e14e46f884cc894236a5060722",
            size=254193396,
        ),
        TOKENIZER,
    ),
    tokenizer=TOKENIZER.name,
    network=token_embedder,
    self_test=TextSelfTest(),
    licence=MIT,
    summary="finds pictures by words, for clip-vit-b-32-laion2b",
    source=_MATCHES,
    threshold=MATCH,
)
