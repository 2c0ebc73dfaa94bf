"""Evaluate LAP on real people with several photos: re-render each held-out photo from the person's other photos.

The canonical face comes from the other photos, light and view from the photo itself. SSIM compares render and photo
over the face. Identity is compared by face-embedding distances; photos at LAP's resolution give the reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from backend.errors import LikenessError
from backend.models.landmarks.apply import marks_in
from backend.models.lap.network import CanonicalMaps, Codes, LapNet
from backend.models.lap.render import render_face
from backend.photos.collect import collect
from backend.photos.collection import PhotoFace
from backend.photos.faces.crop import upright_square
from backend.photos.reading.source import PhotoSource
from trainer.evaluate.likeness import people_folders
from trainer.evaluate.metrics.identity import face_embedding
from trainer.evaluate.metrics.pictures import ssim

_SHOWN = 300
"""Side in pixels of the pictures for the face-recognition network; a grey border of a third of it surrounds them."""


@dataclass(frozen=True)
class HeldOutRender:
    """A held-out photo and its render, (S, S, 3) uint8 both, and a mask (S, S) bool of the face in both renders."""

    photo: np.ndarray
    render: np.ndarray
    mask: np.ndarray
    mean_render: np.ndarray
    """The render with the mean of all people's canonical faces instead."""


@torch.no_grad()
def held_back(network: LapNet, people: Mapping[str, Sequence[PhotoFace]]) -> dict[str, list[HeldOutRender]]:
    """Re-render every photo of every person with at least two from this person's other photos."""
    network.eval()
    size, found = network.config.size, {}
    pictures = {
        name: np.stack([upright_square(face.landmarks).cut(face.pixels, size) for face in faces])
        for name, faces in people.items()
    }  # (N, S, S, 3) uint8
    tensors = {name: torch.from_numpy(cut).permute(0, 3, 1, 2).float() / 127.5 - 1 for name, cut in pictures.items()}
    marks: dict[str, torch.Tensor | None] = dict.fromkeys(people)
    if network.landmarks is not None:
        marks = {
            name: marks_in(faces, [upright_square(face.landmarks) for face in faces]) for name, faces in people.items()
        }
    everybody = {name: network.encode(given, marks[name]) for name, given in tensors.items()}
    mean = _mean_face(network, list(everybody.values()))
    for name, given in tensors.items():
        if len(given) < 2:
            continue
        codes = everybody[name]
        scene = network.scene(given, codes)  # light and view of the photo alone; the face comes from the others
        other = ~torch.eye(len(given), dtype=torch.bool)
        rows = other.nonzero()[:, 1]
        set_of = other.nonzero()[:, 0]
        chosen = codes.of(rows)
        rendered = render_face(network.aggregate(chosen, set_of), scene, network.config)
        average = render_face(mean.of(torch.zeros(len(given), dtype=torch.int64)), scene, network.config)
        masks = (rendered.mask & average.mask).numpy()
        found[name] = [
            HeldOutRender(photo, _bytes(render), mask, _bytes(plain))
            for photo, render, mask, plain in zip(pictures[name], rendered.image, masks, average.image, strict=True)
        ]
    return found


def _mean_face(network: LapNet, codes: Sequence[Codes]) -> CanonicalMaps:
    """(1, ...) mean of the canonical faces of all photos."""
    faces = [network.aggregate(one, torch.arange(len(one.depth))) for one in codes]
    depth, albedo = torch.cat([face.depth for face in faces]), torch.cat([face.albedo for face in faces])
    return CanonicalMaps(depth.mean(0, keepdim=True), albedo.mean(0, keepdim=True))


def people_figures(found: Mapping[str, Sequence[HeldOutRender]]) -> dict[str, float]:
    """``people.ssim`` of the renders, ``people.ssim.mean_face`` of renders of the mean face. ``people.identity`` :
    embedding distance of renders to the person's photos; ``.others`` : to other people's photos; ``.mean_face`` : of
    renders of the mean face; ``.photo`` : of the person's photos among themselves at LAP's resolution; ``.found`` :
    share of renders in which the recogniser finds a face."""
    similar, plain = [], []
    own: dict[str, list[np.ndarray | None]] = {}
    renders: dict[str, list[np.ndarray | None]] = {}
    means: dict[str, list[np.ndarray | None]] = {}
    for name, photos in found.items():
        for one in photos:
            if one.mask.any():
                similar.append(ssim(one.render, one.photo, one.mask))
                plain.append(ssim(one.mean_render, one.photo, one.mask))
        own[name] = [face_embedding(_framed(one.photo, one.mask)) for one in photos]
        renders[name] = [face_embedding(_framed(one.render, one.mask)) for one in photos]
        means[name] = [face_embedding(_framed(one.mean_render, one.mask)) for one in photos]
    rendered = [one for some in renders.values() for one in some]
    return {
        "people.count": float(len(found)),
        "people.photos": float(sum(map(len, found.values()))),
        "people.ssim": float(np.mean(similar)),
        "people.ssim.mean_face": float(np.mean(plain)),
        "people.identity": _mean_distance(renders, own, same=True),
        "people.identity.others": _mean_distance(renders, own, same=False),
        "people.identity.mean_face": _mean_distance(means, own, same=True),
        "people.identity.photo": _mean_distance(own, own, same=True),
        "people.identity.found": float(np.mean([one is not None for one in rendered])),
    }


def collect_people(folder: Path, most: int) -> dict[str, tuple[PhotoFace, ...]]:
    """Collect the faces of all people in a folder with one folder per person, from at most ``most`` photos each."""
    people = {}
    for name, paths in people_folders(folder).items():
        try:
            people[name] = collect([PhotoSource.from_path(path) for path in paths[:most]]).faces
        except LikenessError:
            continue
    return people


def _mean_distance(
    first: Mapping[str, Sequence[np.ndarray | None]], second: Mapping[str, Sequence[np.ndarray | None]], same: bool
) -> float:
    """Mean distance between embeddings of the same person, or of different people.

    A set compared with itself skips pairs of the same photo.
    """
    values = [
        float(np.linalg.norm(a - b))
        for one, left in first.items()
        for other, right in second.items()
        if (one == other) == same
        for i, a in enumerate(left)
        for j, b in enumerate(right)
        if a is not None and b is not None and (one != other or i != j or first is not second)
    ]
    return float(np.mean(values)) if values else float("nan")


def _framed(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Enlarge a picture for the recogniser, grey outside the face and in a border."""
    shown = np.where(mask[..., None], picture, 128).astype(np.uint8)
    large = cv2.resize(shown, (_SHOWN, _SHOWN), interpolation=cv2.INTER_CUBIC)
    edge = _SHOWN // 3
    return cv2.copyMakeBorder(large, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=(128, 128, 128))


def _bytes(image: torch.Tensor) -> np.ndarray:
    """(3, H, W) in [-1, 1] to (H, W, 3) uint8."""
    return ((image.permute(1, 2, 0).numpy() + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
