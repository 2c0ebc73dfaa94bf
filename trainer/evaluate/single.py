"""Heads from one photograph alone: a smile left in a calm face, mouths, the outline, the drawn head, likeness.

Of each person two nearly frontal photos are chosen by the detector's landmarks alone: the one with the narrowest mouth
(calm) and the one with the widest (smiling). Each makes a head by itself.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from backend.detail.skin_detail import group_weights
from backend.exchange.asset_mesh import asset_mesh, neutral_light, portrait_camera
from backend.exchange.preview import photo_and_fit
from backend.fitting.detector_model import face_scale
from backend.fitting.landmark_targets import label_outline, landmark_model
from backend.geometry.surface_fields import compression
from backend.geometry.template import load_template
from backend.photos import faces as faces_of_photos
from backend.photos.collection import PhotoFace, PhotoSource
from backend.pipeline import Reconstruction, ReconstructOptions, reconstruct
from backend.rendering.color import LUMINANCE, linear_from_srgb
from backend.texture.surface import head_surface, masked_lowpass, texels_per_metre, texture_space
from backend.texture.unwrap import DARKEST, plain_skin
from trainer.engine.disk_cache import shared_folder
from trainer.engine.sheets import write_sheet
from trainer.evaluate.foreign import people_of
from trainer.evaluate.textures import COARSEST, FINEST
from trainer.heads.foreign import HALVES
from trainer.measures import metrics
from trainer.measures.harness import Figures, found_faces, judged, means

MOST_YAW = 20.0
"""Degrees, 10 to 30: photos turned further are left out, because the mouth's width is compared with the eyes'."""
LEAST_UNCOVERED = 0.9
"""``PhotoQuality.occlusion``, 0.8 to 0.98, below which hands or glasses cover a face."""
LEAST_SMILE = 1.08
"""Ratio of the widths of the smiling and the calm mouth, 1.05 to 1.2, from which a person smiles in one photo only."""
PARTED = 0.03
"""Share of the eyes' outer distance, 0.02 to 0.06, from which lips are parted."""
SIDE = 512
"""Pixels a side of photo and drawn head, which the detector and the recogniser look at."""
SEARCHED = 4
"""People looked at for one who smiles in one photo and not in another."""
FOLDING = ("smile", "squint")
"""Groups of keys (``KEY_GROUPS``) whose compression of the skin shows where a laugh folds it."""
PORTRAIT = (448, 560)
BACKDROP = (58, 60, 64)


@dataclass(frozen=True)
class Pair:
    """A person's calm and smiling photo, and further ones to compare likeness with."""

    calm: Path
    smiling: Path
    others: tuple[Path, ...]


@dataclass(frozen=True)
class OneHead:
    """What is measured of a head from one photo.

    Attributes
    ----------
    neutral : (V, 3) neutral vertices. folds : contrast of the albedo where a laugh folds the skin (``fold_contrast``).
    figures : of the head by itself. pictures : photo, drawn head, and the neutral head from the front.
    """

    neutral: np.ndarray
    folds: float
    figures: Mapping[str, float]
    pictures: tuple[np.ndarray, ...]


def mouth_width(face: PhotoFace) -> float:
    """Distance of the mouth's corners over that of the eyes' outer corners, from the detector's landmarks."""
    corners = (
        face.landmarks[[61, 291], :2],
        face.landmarks[[faces_of_photos.EYE_OUTER_LEFT, faces_of_photos.EYE_OUTER_RIGHT], :2],
    )
    mouth, eyes = (float(np.linalg.norm(pair[0] - pair[1])) for pair in corners)
    return mouth / eyes


def clear(face: PhotoFace) -> bool:
    """Whether a photo shows the face nearly from the front and uncovered."""
    return abs(face.yaw_degrees) < MOST_YAW and face.quality.occlusion > LEAST_UNCOVERED


def opening(landmarks: np.ndarray) -> float:
    """Mean distance of the lips' inner edges over the face's scale; landmarks (478, 2 or 3) in pixels."""
    apart = landmarks[list(faces_of_photos.LOWER_LIP_EDGE), :2] - landmarks[list(faces_of_photos.UPPER_LIP_EDGE), :2]
    return float(np.linalg.norm(apart, axis=1).mean()) / face_scale(landmarks)


def chosen_pair(photos: Sequence[Path]) -> Pair | None:
    """The calm and the smiling photo of a person; None where no two differ enough."""
    faces = {path: found_faces([path]) for path in photos}
    single = {path: detections[0] for path, detections in faces.items() if len(detections) == 1}
    widths = {path: mouth_width(face) for path, face in single.items() if clear(face)}
    if len(widths) < 2:
        return None
    calm, smiling = min(widths, key=lambda path: widths[path]), max(widths, key=lambda path: widths[path])
    if widths[smiling] < LEAST_SMILE * widths[calm]:
        return None
    return Pair(calm, smiling, tuple(path for path in photos if path not in (calm, smiling)))


@lru_cache(maxsize=1)
def folding() -> np.ndarray:
    """(V,) compression of plain skin in a laugh of the mean face."""
    template = load_template()
    surface = head_surface(template)
    rest = template.vertices[: surface.count].astype(np.float64)
    weights = np.max([group_weights(group) for group in FOLDING], axis=0)
    posed = rest + np.tensordot(weights, template.expressions[:, : surface.count].astype(np.float64), 1)
    return surface.lifted(compression(rest, posed, surface.cage_triangles)) * plain_skin(surface)


def fold_contrast(albedo: np.ndarray, neutral: np.ndarray) -> float:
    """Standard deviation of the log luminance of an albedo (R, R, 3) uint8 between ``FINEST`` and ``COARSEST``,
    weighted by ``folding``; neutral : (V, 3)."""
    template = load_template()
    surface, atlas = head_surface(template), texture_space(template, len(albedo)).skin
    density = texels_per_metre(surface, surface.lifted(neutral[: surface.count].astype(np.float64)), len(albedo))
    luminance = atlas.gather(linear_from_srgb(albedo)) @ np.array(LUMINANCE, np.float32)
    image = atlas.image(np.log(np.maximum(luminance, DARKEST))[:, None].astype(np.float32))
    inside = atlas.image(np.ones(len(atlas.texel), np.float32))
    fine, coarse = (masked_lowpass(image, inside, length * density)[0][..., 0] for length in (FINEST, COARSEST))
    weight = atlas.image(atlas.sample(folding()[:, None])[:, 0])
    band = fine - coarse
    mean = np.average(band, weights=weight)
    return float(np.sqrt(np.average((band - mean) ** 2, weights=weight)))


def lips_apart(one: np.ndarray, other: np.ndarray) -> float:
    """Root mean square distance in mm of the lips of two neutral heads (V, 3), their faces laid onto each other."""
    template = load_template()
    first, second = metrics.aligned_faces(template, [one, other])
    lips = template.regions["lips"][metrics.face_weights(template) > 0]
    return float(np.sqrt(np.average(((first - second) ** 2).sum(-1), weights=lips)))


def outline_error(face: PhotoFace, made: Reconstruction) -> float:
    """Mean distance of the drawn jaw from the photo's, per cent of the face's scale; NaN where no label shows it."""
    template, fit = load_template(), made.fitted.photos[0]
    edge = label_outline(template, landmark_model(template), face, fit.vertices, fit.camera)
    share = float(np.mean(np.abs(edge.distance))) / face_scale(face.landmarks) if len(edge.distance) else float("nan")
    return 100.0 * share


def one_head(photo: Path, gallery: Sequence[np.ndarray], options: ReconstructOptions) -> OneHead:
    """Make a head from one photo and measure it. gallery : embeddings (128,) of other photos of the person."""
    made = reconstruct([PhotoSource.from_path(photo)], options)
    face, mesh = made.collection.faces[0], asset_mesh(made.asset)
    shown, drawn = photo_and_fit(mesh, made.previews[0], SIDE)
    camera = portrait_camera(mesh.positions(), 0.0, PORTRAIT)
    front = mesh.render(camera, neutral_light(), BACKDROP)
    marks = [faces_of_photos.landmarks_of_largest(picture) for picture in (shown, drawn)]
    figures = {"outline": outline_error(face, made)}
    if marks[0] is not None and marks[1] is not None and opening(marks[0]) > PARTED:
        figures["mouth"] = opening(marks[1]) / opening(marks[0])
    embedded = [metrics.face_embedding(picture) for picture in (shown, drawn, front)]
    if embedded[0] is not None and embedded[1] is not None:
        figures["overlay"] = float(np.linalg.norm(embedded[0] - embedded[1]))
    if embedded[2] is not None and len(gallery):
        figures["likeness"] = float(np.mean([np.linalg.norm(embedded[2] - other) for other in gallery]))
    front = front[(PORTRAIT[1] - PORTRAIT[0]) // 2 :][: PORTRAIT[0]]
    front = np.pad(front, [((SIDE - PORTRAIT[0]) // 2,) * 2] * 2 + [(0, 0)])
    folds = fold_contrast(made.asset.albedo, made.fitted.neutral)
    return OneHead(made.fitted.neutral, folds, figures, (shown, drawn, front))


def person_heads(pair: Pair, options: ReconstructOptions) -> tuple[OneHead, OneHead]:
    """The heads from a person's calm and from the smiling photo."""
    pictures = (np.asarray(Image.open(path).convert("RGB")) for path in pair.others)
    gallery = [one for picture in pictures if (one := metrics.face_embedding(picture)) is not None]
    return one_head(pair.calm, gallery, options), one_head(pair.smiling, gallery, options)


def pair_figures(calm: OneHead, smiling: OneHead) -> dict[str, float]:
    """Figures of a person's two heads.

    ``smile.folds`` : ratio of the folds' contrast in the head from the smiling photo to that from the calm one.
    ``smile.lips_mm`` : distance of the two heads' lips. ``mouth`` : opening of the drawn mouth over the photo's, of
    photos with parted lips. ``outline`` : distance of the drawn jaw from the photo's, per cent of the face's scale.
    ``overlay`` : face-embedding distance between photo and drawn head. ``likeness`` : of the neutral head from the
    front to the person's other photos. The last four are means over both; ``.calm`` and ``.smiling`` are of one.
    """
    row = {"smile.folds": smiling.folds / calm.folds, "smile.lips_mm": lips_apart(calm.neutral, smiling.neutral)}
    row |= means([calm.figures, smiling.figures])
    for kind, head in (("calm", calm), ("smiling", smiling)):
        row |= {f"{key}.{kind}": value for key, value in head.figures.items()}
    return row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate single``."""
    parser.add_argument("--people", type=Path, help="a folder with a folder per person, by default LFW's")
    parser.add_argument("--most-people", type=int, default=12, help="people of the half, by default 12")
    parser.add_argument("--half", choices=HALVES, default=HALVES[0], help="count every look at the judgement half")
    parser.add_argument("--quality", default="standard", choices=("fast", "standard", "best"))
    parser.add_argument("--pictures", type=Path, help="write photo, drawn and neutral head of each into this folder")


def run(arguments: argparse.Namespace, console: Console) -> Figures:
    """Flat figures of ``evaluate single``."""
    folder = arguments.people or shared_folder() / "photos" / "research_only" / "lfw"
    pairs: dict[str, Pair] = {}
    for name, photos in people_of(folder, arguments.half, SEARCHED * arguments.most_people).items():
        pair = chosen_pair(photos) if len(pairs) < arguments.most_people else None
        if pair is not None:
            pairs[name] = pair
    options = ReconstructOptions(quality=arguments.quality)

    def person(name: str) -> dict[str, float]:
        heads = person_heads(pairs[name], options)
        if arguments.pictures:
            write_sheet(arguments.pictures / f"{name}.jpg", [one.pictures for one in heads])
        return pair_figures(*heads)

    return judged({name: name for name in pairs}, person, console)
