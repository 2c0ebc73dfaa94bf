"""LAP's tables on prepared sets: ``depth_errors`` (BFM), ``keypoint_depths`` (3DFAW), ``render_scores`` (CelebAMask).

``tables.py`` calls the three, each a ``Measure`` of that module: (model's folder, set, greatest number of entries, rows
of a sheet to add to) -> {row: {figure: a value per entry}}. LAP makes one canonical face of all photos
(aggregated) and then adapts it to each (personalised).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.errors import LikenessError
from backend.models.lap.apply import LapModel
from backend.models.lap.canonical_face import render_face, shaded_surface, view_of
from backend.models.lap.network import CanonicalMaps, LapNet, Scene
from backend.rendering.camera import CanonicalCamera
from backend.rendering.depth_surface import ViewedSurface, normals_from_depth
from trainer.engine.disk_cache import PreparedSet
from trainer.engine.sheets import NO_TRUTH, SHOWN, tile
from trainer.measures.harness import OURS, face_window
from trainer.measures.metrics import face_embedding
from trainer.methods.lap.data import FACE_CLASSES, class_mask
from trainer.methods.lap.stage import eroded, mad_per_photo, side_per_photo

AGGREGATED = f"{OURS}, before personalising"
"""Row of the aggregated face; ``OURS`` is that of the personalised one."""
_FRONTAL_DEGREES = 15.0
"""3DFAW: faces within this yaw of their own keypoints count as frontal; the paper gives no figure."""
_RIGHT_EYE, _LEFT_EYE = 36, 45
"""Outer corners of the eyes, of iBUG's 66."""
_EMBEDDED_SIDE = 256
"""Side in pixels of pictures for face embeddings."""


@dataclass(frozen=True)
class LapResult:
    """LAP's result for one picture: the personalised face's canonical maps, light and view, and its surface in the
    picture's view; ``aggregated`` is the surface of the aggregated face in that view."""

    face: CanonicalMaps
    scene: Scene
    surface: ViewedSurface
    aggregated: ViewedSurface


class LapReader:
    """LAP's networks of a folder (None: the shipped ones)."""

    def __init__(self, folder: Path | None) -> None:
        self.network: LapNet = LapModel.load(folder).network
        self.size = self.network.config.size

    @torch.no_grad()
    def __call__(self, picture: np.ndarray) -> LapResult:
        """Run LAP on one picture (H, H, 3) uint8 of any size."""
        image = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255
        small = resized(image, self.size) * 2 - 1
        aggregated, scene = self.network(small, torch.zeros(1, dtype=torch.int64))
        personal = self.network.personalize(small, aggregated)
        surfaces = (view_of(maps, scene.view, self.network.config) for maps in (personal, aggregated))
        return LapResult(personal, scene, *surfaces)


def ssim(first: np.ndarray, second: np.ndarray, mask: np.ndarray) -> float:
    """Mean structural similarity (SSIM) of the luminance of two uint8 sRGB pictures (H, W, 3) over a ``mask`` (H, W)
    bool (Wang et al. 2004: Gaussian window of 1.5 px, K1 = 0.01, K2 = 0.03).

    Raises
    ------
    ValueError : the mask is empty.
    """
    if not mask.any():
        raise ValueError("the mask is empty")
    a, b = (cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2GRAY) for picture in (first, second))

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (11, 11), 1.5)

    ma, mb = mean(a), mean(b)
    va, vb, both = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    value = (2 * ma * mb + 1e-4) * (2 * both + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
    return float(value[mask].mean())


def resized(maps: Tensor, size: int) -> Tensor:
    """Resize maps (N, C, H, W) to ``size`` pixels a side."""
    return functional.interpolate(maps, (size, size), mode="bilinear", antialias=True, align_corners=False)


def depth_errors(folder: Path | None, data: PreparedSet, most: int, sheet: list) -> dict[str, dict[str, np.ndarray]]:
    """SIDE (scale-invariant depth error, times 100) and MAD (mean angle of normals, degrees) in the picture's view,
    over truth and prediction eroded by a pixel (Unsup3D).

    ``mad`` is as Unsup3D's code has it, which divides normals by their length plus 1e-7: at 64 px equal surfaces are
    6.5 degrees apart. ``mad.exact`` is the angle.

    A row for the aggregated face, since a model may not be trained to personalise. Rows without a model: a constant
    depth, and the mean of the true depths. Pictures are used as the set crops them.
    """
    reader = LapReader(folder)
    size = reader.size
    true = torch.cat([_reduced_depth(sample["depth"], size) for sample in data.samples(most)])
    mean = torch.where((true > 0).any(0), true.sum(0) / (true > 0).sum(0).clamp(min=1), 1.0)
    rows: dict[str, list[tuple[float, ...]]] = {
        OURS: [],
        AGGREGATED: [],
        "constant depth": [],
        "mean of the true depths": [],
    }
    for number, sample in enumerate(data.samples(most)):
        result, truth = reader(sample["picture"]), true[number : number + 1]
        known = eroded(truth > 0)
        rows[OURS].append(_depth_errors(result.surface.depth, truth, known & eroded(result.surface.mask)))
        rows[AGGREGATED].append(_depth_errors(result.aggregated.depth, truth, known & eroded(result.aggregated.mask)))
        rows["constant depth"].append(_depth_errors(torch.ones_like(truth), truth, known))
        rows["mean of the true depths"].append(_depth_errors(mean[None], truth, known))
        if number < SHOWN:
            shown = (shaded_surface(torch.where(d > 0, d, 1.1)) for d in (result.surface.depth, truth))
            sheet.append([tile(sample["picture"]), *(tile(picture[0]) for picture in shown)])
    return {name: dict(zip(("side", "mad", "mad.exact"), np.array(one).T, strict=True)) for name, one in rows.items()}


def _depth_errors(depth: Tensor, truth: Tensor, known: Tensor) -> tuple[float, float, float]:
    """SIDE times 100, MAD as Unsup3D's code has it and exact, of depths (1, S, S) where ``known`` (1, S, S) bool."""
    camera = CanonicalCamera(tuple(truth.shape[-2:]))
    maps = [torch.where(one > 0, one, 1.0) for one in (depth, truth)]
    mad = (mad_per_photo(*(normals_from_depth(one, camera, guard) for one in maps), known) for guard in (1e-7, 0.0))
    return 100 * side_per_photo(depth, truth, known).item(), *(angle.item() for angle in mad)


def _reduced_depth(depth: np.ndarray, size: int) -> Tensor:
    """(1, S, S) of a depth (H, W), S = ``size``; 0 where any of the pixel is unknown."""
    whole = torch.from_numpy(depth)[None, None]
    share = resized((whole > 0).float(), size)
    return torch.where(share > 0.999, resized(whole, size), 0.0)[:, 0]


def keypoint_depths(folder: Path | None, data: PreparedSet, most: int, sheet: list) -> dict[str, dict[str, np.ndarray]]:
    """Depths (faces, 66) at 3DFAW's keypoints of frontal faces, relative to each face's mean: ours in LAP's unit (all
    faces fill its picture alike), true ones as a share of the eyes' distance (outer corners); NaN rows for faces that
    are not found or not frontal."""
    reader = LapReader(folder)
    ours, true = [], []
    for number, sample in enumerate(data.samples(most)):
        marks = sample["landmarks"].astype(np.float64)
        eyes = marks[_LEFT_EYE] - marks[_RIGHT_EYE]
        width = float(np.linalg.norm(eyes[:2]))
        window = face_window(sample["picture"])
        if window is None or abs(np.degrees(np.arctan2(eyes[2], eyes[0]))) > _FRONTAL_DEGREES:
            ours.append(np.full(len(marks), np.nan))
            true.append(np.full(len(marks), np.nan))
            continue
        crop = window.cut(sample["picture"], 2 * reader.size)
        result = reader(crop)
        grid = torch.from_numpy(window.from_picture(marks[:, :2], 2.0) - 1).float().view(1, 1, -1, 2)
        depth = torch.where(result.surface.mask, result.surface.depth, result.surface.depth[result.surface.mask].mean())
        depths = functional.grid_sample(depth[None], grid, padding_mode="border", align_corners=False)[0, 0, 0]
        ours.append((depths - depths.mean()).numpy().astype(np.float64))
        true.append((marks[:, 2] - marks[:, 2].mean()) / width)
        if number < SHOWN:
            surface = shaded_surface(torch.where(result.surface.mask, result.surface.depth, 1.1))
            sheet.append([tile(crop), tile(surface[0]), NO_TRUTH])
    return {OURS: {"ours": np.array(ours), "true": np.array(true)}}


def depth_correlation_sum(predicted: np.ndarray, true: np.ndarray) -> float:
    """3DFAW's score (Moniz et al. 2018): the sum over keypoints of the correlation, over faces, of their depths.

    predicted, true : (faces, keypoints), each face's depths relative to its mean, in one unit for all. The set's
    sign of depth is not documented, so the score is the absolute value of the sum. NaN rows are left out.
    """
    known = np.isfinite(predicted).all(1) & np.isfinite(true).all(1)
    a, b = (values[known] - values[known].mean(0) for values in (predicted, true))
    spread = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    return float(abs(((a * b).sum(0) / np.maximum(spread, 1e-12)).sum())) if known.sum() > 1 else float("nan")


def correlation_figures(values: Mapping[str, np.ndarray]) -> dict[str, float]:
    """3DFAW's score over all faces."""
    known = np.isfinite(values["ours"]).all(1)
    return {"correlation": depth_correlation_sum(values["ours"], values["true"]), "entries": float(known.sum())}


def render_scores(folder: Path | None, data: PreparedSet, most: int, sheet: list) -> dict[str, dict[str, np.ndarray]]:
    """Each picture with our render of its face over it, against the picture itself: cosine of their face embeddings
    (dlib's, where the paper has ArcFace's; NaN without the package ``face_recognition``), and SSIM inside the face. A
    second row has the set's mean picture in place of the render."""
    reader = LapReader(folder)
    total, count = np.zeros((_EMBEDDED_SIDE, _EMBEDDED_SIDE, 3)), 0
    for sample in data.samples(most):
        window = face_window(sample["picture"])
        if window is not None:
            total, count = total + window.cut(sample["picture"], _EMBEDDED_SIDE), count + 1
    mean = (total / max(count, 1)).astype(np.uint8)
    rows: dict[str, list[tuple[float, float]]] = {OURS: [], "mean picture": []}
    for sample in data.samples(most):
        window = face_window(sample["picture"])
        if window is None:
            for scores in rows.values():
                scores.append((np.nan, np.nan))
            continue
        crop = window.cut(sample["picture"], _EMBEDDED_SIDE)
        labels = torch.from_numpy(window.cut(sample["labels"], _EMBEDDED_SIDE).astype(np.int64))
        result = reader(crop)
        with torch.no_grad():
            render = render_face(result.face, result.scene, reader.network.config)
        large = functional.interpolate(render.image / 2 + 0.5, (_EMBEDDED_SIDE, _EMBEDDED_SIDE), mode="bilinear")
        large = (large[0].clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
        mask = cv2.resize(render.mask[0].float().numpy(), (_EMBEDDED_SIDE, _EMBEDDED_SIDE)) > 0.5
        mask &= class_mask(labels, FACE_CLASSES).numpy()
        for scores, picture in zip(rows.values(), (large, mean), strict=True):
            covered = np.where(mask[..., None], picture, crop)
            scores.append((_cosine(covered, crop), ssim(covered, crop, mask) if mask.any() else np.nan))
        if len(rows[OURS]) <= SHOWN:
            sheet.append([tile(crop), tile(np.where(mask[..., None], large, crop)), NO_TRUTH])
    return {name: dict(zip(("cosine", "ssim"), np.array(one).T, strict=True)) for name, one in rows.items()}


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine of two pictures' face embeddings; NaN without a face in one, or without the optional recogniser."""
    try:
        a, b = face_embedding(first), face_embedding(second)
    except LikenessError:
        return float("nan")
    if a is None or b is None:
        return float("nan")
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
