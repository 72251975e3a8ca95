"""Networks of the ArcFace family: who a face is, as a vector."""

from media_inference.models.alignment import SIDE
from media_inference.models.embedder import Fit, Input, embedder
from media_inference.models.kinds import Kind
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
    licence="Apache-2.0",
    summary="recognises people; free for commercial use",
    source="LFW 99.65 % (fal); 0.45 as others use it, not measured here",
    threshold=0.45,
    notes=("other files of the same repository are for non-commercial research only: the licence goes by this hash",),
)
