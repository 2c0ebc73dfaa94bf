"""Self-reenactment: identity and reflectance come from the first half of a clip, expression from the second half; the
error is measured on the second half."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from backend.geometry.normals import vertex_normals
from backend.models.learned_basis.encoder import FaceCode
from backend.models.learned_basis.network import LearnedBasisNet
from trainer.data.face_model import FaceBatch, FacePeopleConfig
from trainer.evaluate.basis_heads import HELD_OUT_SEED
from trainer.evaluate.basis_photometric import colour_errors
from trainer.stages.learned_basis_detector import encode_again
from trainer.stages.learned_basis_metrics import lip_figures
from trainer.stages.learned_basis_render import FaceMarks

_FRAMES, _SPAN = 8, 56
_BATCH = 4


@dataclass(frozen=True)
class HeldFrames:
    """The second half of every clip's frames (``batch``) with two kinds of codes. ``carried`` takes identity and
    reflectance from the first half; ``own`` encodes every frame alone."""

    carried: FaceCode
    own: FaceCode
    batch: FaceBatch


def chosen_photos(batch: FaceBatch, chosen: Tensor) -> FaceBatch:
    """Select the photos ``chosen`` (N,) bool, without truth; every set must keep at least one."""
    names = ("images", "labels", "landmarks", "landmark_weight", "slides", "is_grey", "neutral", "set_of")
    return FaceBatch(**{name: getattr(batch, name)[chosen] for name in names}, truth=None)


@torch.no_grad()
def held_frames(network: LearnedBasisNet, batch: FaceBatch, frames: int) -> HeldFrames:
    """Split clips of ``frames`` frames in the middle and encode both halves, with the same landmarks both ways."""
    late = torch.arange(len(batch.images)) % frames >= frames // 2
    code = encode_again(network, replace(batch, set_of=torch.arange(len(batch.images))))
    marks = encode_again(network, replace(batch, set_of=batch.set_of * 2 + late))  # both halves of every clip
    early_set = marks.set_of[~late][:: frames // 2]  # (G,) numbers of the first halves
    own = FaceCode(
        identity=code.identity[late],
        reflectance=code.reflectance[late],
        expression=code.expression[late],
        light=code.light[late],
        pose=code.pose.of(late),
        set_of=torch.arange(int(late.sum())),
    )
    carried = replace(
        own,
        identity=marks.identity[early_set],
        reflectance=marks.reflectance[early_set],
        set_of=batch.set_of[late],
    )
    held = chosen_photos(batch, late)
    return HeldFrames(network.lit(carried, held.images * 2 - 1), own, held)


@torch.no_grad()
def frame_errors(network: LearnedBasisNet, marks: FaceMarks, code: FaceCode, batch: FaceBatch) -> dict[str, Tensor]:
    """(N,) landmark error in per cent of the side, photometric error and lip IoU of codes against their photos."""
    size, bases = batch.images.shape[-1], network.bases
    face, cameras = network.face(code), code.pose.cameras(size)
    pixels = cameras.project(face.vertices)
    slid = marks.slid(face.vertices, vertex_normals(face.vertices, bases.faces), cameras, batch.slides)
    apart = (cameras.project(slid)[..., :2] - batch.landmarks).norm(dim=-1) * (100.0 / size)
    weight = (batch.landmark_weight > 0).float()
    errors = {
        "landmark": (apart * weight).sum(1) / weight.sum(1),
        "photometric": colour_errors(bases, face, pixels, code.light, batch),
    }
    return errors | lip_figures(network, pixels, batch)


def reenactment_figures(network: LearnedBasisNet, clips: int, folder: str = "") -> dict[str, float]:
    """``reenactment.*`` on frames of held-out synthetic people, with identity and reflectance from earlier frames of
    the clip; ``reenactment.own.*`` with those of every frame itself."""
    config = FacePeopleConfig(
        size=network.config.size,
        seed=HELD_OUT_SEED + 2,
        photos=_FRAMES,
        clips=True,
        span=_SPAN,
        keep=clips,
        folder=folder,
    )
    source, marks = config.build(), FaceMarks()
    found: dict[str, list[Tensor]] = {}
    for start in range(0, clips, _BATCH):
        batch = source.batch(range(start, min(start + _BATCH, clips)), torch.device("cpu"))
        held = held_frames(network, batch, _FRAMES)
        for prefix, code in (("reenactment", held.carried), ("reenactment.own", held.own)):
            for name, values in frame_errors(network, marks, code, held.batch).items():
                found.setdefault(f"{prefix}.{name}", []).append(values)
    return {name: float(torch.cat(values).nanmean()) for name, values in found.items()}
