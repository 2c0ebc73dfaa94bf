"""Screening: find texels labelled as skin that show something else (teeth, strands, deep cavities)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from backend.geometry.disc import disc
from backend.geometry.smoothstep import smoothstep
from backend.photos.collection import FaceClass
from backend.rendering.color import LUMINANCE
from backend.texture.unwrapping.atlas import SurfaceAtlas
from backend.texture.unwrapping.head_surface import HeadSurface
from backend.texture.unwrapping.settings import UNWRAPPING
from backend.texture.unwrapping.unwrap import SEEN, PhotoUnwrap

_DARK_CLASSES = (FaceClass.BROWS, FaceClass.FACIAL_HAIR, FaceClass.GLASSES)


@dataclass(frozen=True)
class TexelRegions:
    """Masks (P,) at the texels of the atlas of working size.

    Attributes
    ----------
    lips, lids, nose, plain, chin : regions. hairless : skin and brows above the mouth, where no beard grows.
    near_ears : ears and their immediate surroundings. openness : ``ambient_occlusion.openness``. scalp : the top.
    """

    lips: np.ndarray
    lids: np.ndarray
    nose: np.ndarray
    plain: np.ndarray
    hairless: np.ndarray
    chin: np.ndarray
    near_ears: np.ndarray
    openness: np.ndarray
    scalp: np.ndarray


def texel_regions(
    surface: HeadSurface,
    atlas: SurfaceAtlas,
    plain: np.ndarray,
    openness: np.ndarray,
    positions: np.ndarray,
    density: float,
) -> TexelRegions:
    """Sample vertex masks (V,) at an atlas's texels; neutral positions (V, 3) metres; density : texels per metre."""
    regions = surface.regions
    mouth = float(np.median(positions[regions["lips"] > 0.5, 1]))
    lids = np.maximum(regions["lids_left"], regions["lids_right"])
    eyes = float(np.median(positions[lids > 0.5, 1]))
    height = mouth + 0.5 * (eyes - mouth)
    hairless = np.maximum(plain, regions["brows"]) * (1.0 - regions["nose"])
    hairless = hairless * smoothstep(height - 0.006, height + 0.006, positions[:, 1])
    scalp = smoothstep(0.3, 0.7, regions["scalp"])
    masks = (regions["lips"], lids, regions["nose"], plain, hairless, regions["chin"], regions["ears"], openness, scalp)
    stacked = np.stack(masks, 1)
    sampled = TexelRegions(*atlas.sample(stacked).T)
    return replace(sampled, near_ears=_dilated(sampled.near_ears, atlas, UNWRAPPING.margin * density))


@dataclass(frozen=True)
class Screened:
    """Result of ``screen``: ``weight`` (P,), lowered at occluders; ``bare`` (P,) in [0, 1] where this person has no
    hair, so that dark texels there are strands."""

    weight: np.ndarray
    bare: np.ndarray


def screen(
    unwrap: PhotoUnwrap,
    shading: np.ndarray,
    regions: TexelRegions,
    monochrome: bool,
    atlas: SurfaceAtlas,
    density: float,
) -> Screened:
    """Find where a photo does not show the texture's own surface.

    Parameters
    ----------
    shading : (P, 3) the fit's shading, up to a factor.
    atlas : of these texels; density : its texels per metre. Screened texels are dilated.
    """
    lids = smoothstep(0.1, 0.5, regions.lids)
    weight = unwrap.weight * (1.0 - lids) + unwrap.near_eye * lids
    weight = weight * smoothstep(0.04, 0.2, np.maximum.reduce([regions.openness, lids, regions.nose]))
    lip = regions.lips > 0.6
    weight = weight * np.where(lip & (unwrap.labels != FaceClass.LIPS), 0.0, 1.0)
    elsewhere = (unwrap.labels == FaceClass.EARS) * smoothstep(0.3, 0.05, regions.near_ears) * (unwrap.seen > SEEN)
    weight = weight * (1.0 - _dilated(elsewhere, atlas, UNWRAPPING.margin * density))
    sure = (weight > 0.5) & (regions.plain > 0.8) & (unwrap.labels == FaceClass.SKIN)
    if sure.sum() < 200:
        return Screened(weight.astype(np.float32), regions.hairless)
    linear = np.maximum(unwrap.linear, 1e-3)
    luminance = np.array(LUMINANCE, np.float32)
    flat = np.log(linear @ luminance) - np.log(np.maximum(shading @ luminance, 1e-3))
    bad = np.zeros(len(weight), np.float32)
    if not monochrome:
        redness = np.log(linear[:, 0] / linear[:, 1])
        typical = float(np.median(redness[sure]))
        pale = smoothstep(typical - UNWRAPPING.tooth_redness, typical - 3.0 * UNWRAPPING.tooth_redness, redness)
        bad = pale * smoothstep(0.3, 0.6, regions.lips)
        # sclera at the rim of a lid
        bright = flat > float(np.median(flat[sure])) - 0.7
        white = smoothstep(typical - 0.08, typical - 0.20, redness) * bright
        bad = np.maximum(bad, np.where(unwrap.labels == FaceClass.EYES, bright, white * lids))
    shown_lip = (weight > 0.3) & (regions.lips > 0.8)
    if shown_lip.sum() > 100:
        contrast = flat - float(np.median(flat[shown_lip]))
        bad = np.maximum(bad, smoothstep(0.4, 0.6, contrast) * (regions.lips > 0.7))
        bad = np.maximum(bad, smoothstep(*UNWRAPPING.hollow, -contrast) * (unwrap.labels == FaceClass.LIPS))
    darker = float(np.median(flat[sure])) - flat
    chin = darker[(weight > 0.5) & (regions.chin > 0.7)]
    beard = len(chin) < 100 or float(np.median(chin)) > UNWRAPPING.bearded
    bare = regions.hairless if beard else np.maximum(regions.hairless, regions.plain)
    bare = smoothstep(0.2, 0.6, bare) * ~np.isin(unwrap.labels, _DARK_CLASSES)
    bare = bare * smoothstep(UNWRAPPING.strand_reach, 0.5 * UNWRAPPING.strand_reach, unwrap.away)
    strand = smoothstep(0.6 * UNWRAPPING.strand, UNWRAPPING.strand, darker) * bare
    seen = unwrap.seen > SEEN
    weight = weight * (1.0 - _dilated(bad * seen, atlas, 1.0))
    weight = weight * (1.0 - _dilated(strand * seen, atlas, UNWRAPPING.margin * density))
    return Screened(weight.astype(np.float32), bare.astype(np.float32))


def _dilated(bad: np.ndarray, atlas: SurfaceAtlas, margin: float) -> np.ndarray:
    """(P,) ``bad`` dilated by ``margin`` texels and softened; specks of one or two texels are ignored."""
    image = cv2.morphologyEx(atlas.image(bad.astype(np.float32)), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    radius = max(1, round(margin))
    return np.clip(atlas.gather(cv2.GaussianBlur(cv2.dilate(image, disc(radius)), (0, 0), 0.5 * radius)), 0.0, 1.0)
