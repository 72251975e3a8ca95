"""Built-in descriptors without learning: what a picture looks like, not what it means. Nothing to download."""

from functools import partial

from media_inference.models.embedder import Fit, Input, embedder
from media_inference.models.kinds import Kind
from media_inference.models.licence import MIT
from media_inference.models.model import BuiltFile, Model
from media_inference.models.pixels import Interpolation
from media_inference.models.self_test import SelfTest

PICTURE_SIDE, FACE_SIDE = 128, 96
RAW = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def _graph(side: int) -> bytes:
    from media_inference.models.graphs import gabor

    return gabor.gabor_graph(side)


GABOR_512 = Model(
    name="gabor-512",
    kind=Kind.IMAGE_EMBEDDER,
    files=(BuiltFile("gabor.onnx", partial(_graph, PICTURE_SIDE)),),
    network=embedder(Input(PICTURE_SIDE, Fit.WHOLE, *RAW, interpolation=Interpolation.BILINEAR)),
    licence=MIT,
    summary="built in; finds near-duplicates and look-alikes by texture and colour, knows nothing of what is shown",
    source="measured on 30 pictures: copies 0.98, cut by a tenth 0.89, a stereo pair 0.96, unrelated ones below 0.82",
    threshold=0.9,
    self_test=SelfTest(low=0, high=255),
)

GABOR_FACE_512 = Model(
    name="gabor-face-512",
    kind=Kind.FACE_EMBEDDER,
    files=(BuiltFile("gabor-face.onnx", partial(_graph, FACE_SIDE)),),
    network=embedder(Input(FACE_SIDE, Fit.ALIGNED, *RAW)),
    licence=MIT,
    summary="built in; finds the same picture of a face again, does not recognise people",
    source="measured on 8 faces: copies 0.96 and more, other pictures of a person mostly as far as strangers",
    threshold=0.95,
    self_test=SelfTest(low=0, high=255),
)
