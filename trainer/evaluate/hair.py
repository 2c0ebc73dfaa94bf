"""``python -m trainer evaluate hair`` (``run``): hair that is fitted without one photo, compared with that photo; with
``--kind`` the reader of the hair's kind (``trainer/portraits/hair_kind.py``).

A view is a ``HairView``, one photo's evidence on hair. A look is the photos of a person with the same hair, and its
leading one the photo that decides (``backend/hair/look.py``). Begin with ``held_out_hair``.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
from rich.console import Console

from backend.errors import LikenessError
from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.closest import Closest
from backend.geometry.template import Template, boundary_edges, load_template, triangles_from_quads
from backend.geometry.vectors import disc, vertex_normals
from backend.hair.draw import DRAWN, draw_hair, finished_hairs
from backend.hair.fit_hair import HairResult, fit_hair
from backend.hair.groom.description import load_grooms
from backend.hair.groom.dress import groom_strands
from backend.hair.hair_strands import HairStrands, resampled_to
from backend.hair.hair_views import BEHIND, HairView, closed_head, hair_views
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import LUMINANCE, linear_from_srgb
from trainer.measures.estimate import fitted_person, without_photo
from trainer.measures.harness import Figures, found_faces, judged, means, people_folders
from trainer.portraits.hair_kind import JUDGED_PATH, kind_figures, read_kinds

FitHair = Callable[[Template, FittedFace, Sequence[PhotoFace]], HairResult]
_PIECES = 6
"""Points per segment of a drawn hair, closer together than a view's pixels."""
_HAIRS = 8000
"""Hairs in a silhouette, 3 mm apart on a scalp."""
_CLOSED = 0.007
"""Metres: smaller gaps between locks are closed."""
_LEAST_PIXELS, _LEAST_EDGE = 100, 20
"""Pixels of hair in both pictures, and of a hairline (3 cm), from which they are compared."""
_SIDE = 224
"""Pixels of the photo's longer side when tones are compared: two millimetres on a head, parts of a lock."""
_DARKEST = 0.002
"""Linear light at the level of a photo's noise, lower bound before logarithms."""
SKULL_DEPTH, EAR_DEPTH = 0.002, 0.001
"""Metres under the skin from which a point counts as in the skull (smaller depths are within the head shape's
accuracy) or in an ear (3 mm thick)."""
_ROOT_POINTS = 2
"""First points of a strand, which may lie in the skin."""
_EAR_WEIGHT, _BORDER_WEIGHT = 0.5, 0.999
"""Region weight above which skin is an ear's; weight of the mesh's border above which a point is outside the mesh."""


def held_out_hair(
    template: Template, fitted: FittedFace, faces: Sequence[PhotoFace], name: str, fit: FitHair = fit_hair
) -> dict[str, float]:
    """Fit the hair to all photos but ``name``, one of at least two, and measure it on that photo. Shape and cameras
    stay those of the fit to all.

    ``overlap`` : intersection over union of the fitted hair's silhouette and the photo's hair, without pixels that are
    occluded or outside the photo; hair that was not found has an empty silhouette. ``cap_overlap`` : the same of
    ``cap``; ``gain`` : the difference. ``seen_overlap``, ``lead_overlap`` : with the photos of the look that the hair
    was fitted to (mean), and with the leading one; ``hairline`` : ``hairline_distance`` in the leading one. ``missed``
    : share of the photo's hair outside the silhouette; ``beside`` : share of the silhouette without hair;
    ``face_hidden`` : share of the photo's facial skin that it covers. ``found`` : 1 or 0. ``seconds`` of the fit; and
    ``strands_inside``, ``hair_tone``. NaN where there is nothing to measure.
    """
    split = without_photo(fitted, faces, name)
    start = perf_counter()
    found = fit(template, split.rest, split.rest_faces)
    figures = {"found": float(found.strands is not None), "seconds": perf_counter() - start}
    view = hair_views(template, replace(fitted, photos=(split.photo,)), [split.face])[0]
    drawn, strands = np.zeros(view.depth.shape, np.uint8), found.strands
    if strands is not None:
        drawn = hair_outline(strands, view)
        figures |= look_figures(template, split.rest, faces, found)
        figures |= strands_inside(strands.points, template, fitted.neutral)
        figures |= hair_tone(strands, split.photo, split.face, template)
    skin = (split.face.labels == FaceClass.SKIN).astype(np.float32)
    skin = cv2.resize(skin, view.camera.size, interpolation=cv2.INTER_AREA)
    overlap, cap_overlap = (mask_overlap(mask, view) for mask in (drawn, cap(fitted.neutral, view)))
    return figures | {
        "overlap": overlap,
        "cap_overlap": cap_overlap,
        "gain": overlap - cap_overlap,
        "missed": share(1 - drawn, view.hair * view.visible),
        "beside": share(1 - view.hair, drawn * view.visible),
        "face_hidden": share(drawn, skin * view.visible),
    }


def look_figures(
    template: Template, fitted: FittedFace, faces: Sequence[PhotoFace], found: HairResult
) -> dict[str, float]:
    """Measure hair that ``fit_hair`` found in the photos that it follows, the leading one first."""
    photos = {photo.name: photo for photo in fitted.photos}
    names = photos if found.look is None else found.look.photos
    views = hair_views(template, replace(fitted, photos=tuple(photos[name] for name in names)), faces)
    drawn = [hair_outline(found.strands, view) for view in views]
    rows = [{"overlap": mask_overlap(outline, view)} for outline, view in zip(drawn, views, strict=True)]
    seen = {f"seen_{name}": value for name, value in means(rows).items()}
    return seen | {"lead_overlap": rows[0]["overlap"], "hairline": hairline_distance(drawn[0], views[0])}


def person_hair(photos: Sequence[Path], quality: str, most: int) -> dict[str, float]:
    """Hold out at most ``most`` photos of a person in turn, spread over those that the fit uses: the mean figures.

    Raises ``LikenessError`` if fewer than two photos are usable.
    """
    person, template = fitted_person(photos, quality, most), load_template()
    return means([held_out_hair(template, person.fitted, person.faces, name) for name in person.names])


def silhouette(points: np.ndarray, view: HairView) -> np.ndarray:
    """(H, W) uint8 mask of dense points (..., 3) of strands that the head does not hide; small gaps are closed.

    Points with a NaN are ignored.
    """
    height, width = view.depth.shape
    with np.errstate(invalid="ignore"):
        pixel = view.camera.project(points.reshape(-1, 3).astype(np.float64))
        column, row = (np.nan_to_num(np.floor(pixel[:, k]), nan=-1, posinf=-1, neginf=-1) for k in (0, 1))
        shown = (pixel[:, 2] > 0.01) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    row, column, away = row[shown].astype(int), column[shown].astype(int), pixel[shown, 2]
    front = away < view.depth[row, column] + BEHIND
    canvas = np.zeros(view.depth.shape, np.uint8)
    canvas[row[front], column[front]] = 1
    return cv2.morphologyEx(canvas, cv2.MORPH_CLOSE, disc(max(1, round(_CLOSED * view.pixels_per_metre))))


def hair_outline(strands: HairStrands, view: HairView) -> np.ndarray:
    """(H, W) uint8 silhouette in a view of a head's hairs."""
    hairs = finished_hairs(strands, _HAIRS).points
    return silhouette(resampled_to(hairs, _PIECES * hairs.shape[1]), view)


def cap(neutral: np.ndarray, view: HairView) -> np.ndarray:
    """(H, W) uint8 silhouette of the baseline that fitted hair has to beat, on a head of ``neutral``
    (V, 3): a crew cut within the usual hairline."""
    return hair_outline(groom_strands(load_grooms()["crew"], neutral), view)


def mask_overlap(drawn: np.ndarray, view: HairView) -> float:
    """Intersection over union of a silhouette (H, W) and the view's hair where known; NaN if both are empty."""
    seen, known = view.hair * view.visible, drawn * view.visible
    both = float((drawn * seen).sum())
    either = float(known.sum() + seen.sum()) - both
    return both / either if either > 1.0 else np.nan


def share(part: np.ndarray, whole: np.ndarray) -> float:
    """Mean of ``part`` weighted by ``whole``; NaN if the weights sum to at most a pixel."""
    total = float(whole.sum())
    return float((part * whole).sum()) / total if total > 1.0 else np.nan


def hairline_distance(drawn: np.ndarray, view: HairView) -> float:
    """Median millimetres from the border of a photo's hair against the face to that of a silhouette (H, W) there."""
    face = cv2.dilate((view.face > 0.5).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    wide = (
        (hair, cv2.dilate(hair.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
        for hair in (view.hair > 0.5, drawn > 0)
    )
    seen, made = (near & ~hair & face for hair, near in wide)
    if seen.sum() < _LEAST_EDGE or made.sum() < _LEAST_EDGE:
        return np.nan
    away = cv2.distanceTransform((~made).astype(np.uint8), cv2.DIST_L2, 5)[seen]
    return float(np.median(away)) / view.pixels_per_metre * 1000


def hair_tone(strands: HairStrands, photo: FittedPhoto, face: PhotoFace, template: Template) -> Mapping[str, float]:
    """Compare hair, rendered in a photo's camera and light, with the photo where both show hair; empty where too
    little does.

    ``brightness`` : natural logarithm of the ratio of median luminances, rendered hair to photo. ``contrast`` : ratio
    of the standard deviations of log luminance. ``redder``, ``bluer`` : difference of the medians of log red over green
    and of log blue over green, rendered minus photo. ``brightness_off``, ``red_off``, ``blue_off`` : their sizes, of
    which photos of one person do not cancel each other in a mean.
    """
    camera = photo.camera.scaled(_SIDE / max(face.labels.shape))
    small = cv2.resize(face.pixels, camera.size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    hair = cv2.resize((face.labels == FaceClass.HAIR).astype(np.uint8), camera.size, interpolation=cv2.INTER_NEAREST)
    hair = cv2.erode(hair, np.ones((3, 3), np.uint8)) > 0  # the mask's edge is half background
    drawn = draw_hair(finished_hairs(strands, DRAWN), camera, *closed_head(photo.vertices, template), photo.light)
    both = hair & (drawn.alpha > 0.9)
    if both.sum() < _LEAST_PIXELS:
        return {}
    lights = drawn.color[both] / drawn.alpha[both, None], linear_from_srgb(small[both])  # (N, 3) each
    made, seen = (np.log(np.maximum(light @ np.array(LUMINANCE), _DARKEST)) for light in lights)
    red, green, blue = np.subtract(*(np.median(np.log(np.maximum(light, _DARKEST)), 0) for light in lights))
    tone = {"brightness": np.median(made) - np.median(seen), "redder": red - green, "bluer": blue - green}
    sizes = {"brightness_off": tone["brightness"], "red_off": tone["redder"], "blue_off": tone["bluer"]}
    tone |= {name: abs(value) for name, value in sizes.items()}
    tone["contrast"] = made.std() / seen.std() if seen.std() > 0 else np.nan
    return {name: float(value) for name, value in tone.items()}


def strands_inside(points: np.ndarray, template: Template, neutral: np.ndarray) -> Mapping[str, float]:
    """Locate strands of points (G, P, 3) in a head of ``neutral`` (V, 3), both metres in the head frame: ``in_skull``
    and ``in_ear``, shares of their points, without the first two of each, which may lie in the skin; ``in_eyes``, share
    of strands with a point in an eyeball.

    A point is assigned to the ear or the skull by its nearest skin. Points whose nearest skin is the mesh's border,
    below the neck, are in neither. Eye sockets are empty, so eyes are not in the skull.
    """
    head, points = template.head, points[:, _ROOT_POINTS:].astype(np.float64)
    triangles = triangles_from_quads(template.quads[: head.face_stop])
    vertices = neutral[: head.vertex_stop].astype(np.float64)
    places = points.reshape(-1, 3)
    hit, weights, _ = Closest(vertices, triangles)(places)
    corners = triangles[hit]  # (N, 3)

    def there(values: np.ndarray) -> np.ndarray:
        """Interpolate values (V_head, ...) at the nearest skin (N, ...)."""
        return np.einsum("nk,nk...->n...", weights, values[corners])

    normal = there(vertex_normals(vertices, triangles))
    depth = ((there(vertices) - places) * normal).sum(-1) / np.maximum(np.linalg.norm(normal, axis=-1), 1e-9)
    border = np.zeros(head.vertex_stop)
    border[boundary_edges(triangles)] = 1.0
    under = there(border) < _BORDER_WEIGHT
    ear = there(template.regions["ears"][: head.vertex_stop].astype(np.float64)) > _EAR_WEIGHT
    return {
        "in_skull": float((under & ~ear & (depth > SKULL_DEPTH)).mean()),
        "in_ear": float((under & ear & (depth > EAR_DEPTH)).mean()),
        "in_eyes": float(_in_eyes(points, template, neutral).any(1).mean()),
    }


def _in_eyes(points: np.ndarray, template: Template, neutral: np.ndarray) -> np.ndarray:
    """(G, P) bool, points (G, P, 3) that lie in an eyeball, approximated by a sphere."""
    inside = np.zeros(points.shape[:2], bool)
    for name in ("eye_left", "eye_right"):
        part = template.parts[name]
        vertices = neutral[part.vertex_start : part.vertex_stop]
        centre = 0.5 * (vertices.min(0) + vertices.max(0))
        radius = np.median(np.linalg.norm(vertices - centre, axis=1))
        inside |= np.linalg.norm(points - centre, axis=-1) < radius
    return inside


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate hair``."""
    parser.add_argument("people", type=Path, nargs="*", help="folders of a person's photos, or of such folders")
    parser.add_argument(
        "--kind", type=Path, help="folder of the photos of judged_hair_kinds.csv: what is read of their hair"
    )
    parser.add_argument("--quality", default="standard", choices=("fast", "standard", "best"))
    parser.add_argument("--most", type=int, default=2, help="photos left out in turn per person (default 2)")
    parser.add_argument("--photos", type=int, help="photos used of each person, the first by name (default: all)")


def run(arguments: argparse.Namespace, console: Console) -> Figures:
    """Flat figures ``hair.…`` over people, the same per person under ``person.NAME.``, or with ``--kind``
    ``kind.…``."""
    if arguments.kind:
        told = read_kinds(JUDGED_PATH)
        faces = {name: face for name in told for face in found_faces([arguments.kind / name])[:1]}
        return kind_figures(faces, told)
    folders = {name: photos for folder in arguments.people for name, photos in people_folders(folder).items()}
    if not folders:
        raise LikenessError("usage", "No people were given.", "Name folders of photos, or --kind FOLDER.")

    def person(photos: Sequence[Path]) -> dict[str, float]:
        return person_hair(photos[: arguments.photos], arguments.quality, arguments.most)

    return judged(folders, person, console, "hair")
