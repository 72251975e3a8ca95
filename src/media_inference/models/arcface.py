"""Networks of the ArcFace family: who a face is, as a vector."""

from media_inference.models.alignment import SIDE
from media_inference.models.embedder import Fit, Input, embedder
from media_inference.models.kinds import Kind
from media_inference.models.licence import APACHE_2_0, INSIGHTFACE
from media_inference.models.model import HubFile, Model

AURAFACE_V1 = Model(
    name="auraface-v1",
    kind=Kind.FACE_EMBEDDER,
    files=(
        HubFile(
            repo="fal/AuraFace-v1",
            revision="af6d057c9b0ec4071d4c49c80e3539258798b609",
            path="glintr100.onnx",
            sha256="a7933ea5330113b01c9b60351d8f4c33003f145d8470ac5f0e52ee2effe25c60",
            size=260694151,
        ),
    ),
    network=embedder(Input(size=SIDE, fit=Fit.ALIGNED)),
    licence=APACHE_2_0,
    summary="recognises people; free for commercial use",
    source="LFW 99.65 % (fal); 0.45 as others use it, not measured here",
    threshold=0.45,
    notes=("other files of the same repository are for non-commercial research only: the licence goes by this hash",),
)

BUFFALO_L_FACE = Model(
    name="buffalo-l-face",
    kind=Kind.FACE_EMBEDDER,
    files=(
        HubFile(
            repo="immich-app/buffalo_l",
            revision="d09715916a0778919a770c343533641e250b8699",
            path="recognition/model.onnx",
            sha256="4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
            size=174383860,
        ),
    ),
    network=embedder(Input(size=SIDE, fit=Fit.ALIGNED)),
    licence=INSIGHTFACE,
    summary="recognises people (InsightFace's w600k_r50); for non-commercial research only",
    source="LFW 99.83 %, IJB-C 97.25 % (InsightFace); 0.5 as others use it, not measured here",
    threshold=0.5,
)

BUFFALO_S_FACE = Model(
    name="buffalo-s-face",
    kind=Kind.FACE_EMBEDDER,
    files=(
        HubFile(
            repo="immich-app/buffalo_s",
            revision="0ff1751885575e62e084dff70549ce24a11fa5dc",
            path="recognition/model.onnx",
            sha256="9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f",
            size=13616099,
        ),
    ),
    network=embedder(Input(size=SIDE, fit=Fit.ALIGNED)),
    licence=INSIGHTFACE,
    summary="recognises people with a small network (InsightFace's w600k_mbf); for non-commercial research only",
    source="0.5 as others use it, not measured here",
    threshold=0.5,
)
