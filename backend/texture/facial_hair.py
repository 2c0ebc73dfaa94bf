"""Beard and moustache as guide strands, from the photos' labels and the finished texture; the skin below them.

Roots stand where photos label facial hair. Strands follow the way in which beards grow: outwards over the mouth, down
over cheeks and chin. How far the chin's hang is measured in the photos, below the chin's outline.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.optimize import nnls
from scipy.spatial import cKDTree

from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.template import Template
from backend.geometry.vectors import smoothstep, unit_vectors, vertex_normals
from backend.hair.attach import apart
from backend.hair.fit_hair import beside_skin, from_skin, is_skin, lab_beside_skin
from backend.hair.groom.grow import GroomHead
from backend.hair.hair_strands import FACIAL_GUIDES, MOST_GUIDES, HairStrands, resampled_to
from backend.photos.collection import CONTRADICTED_LABEL, FaceClass, PhotoFace
from backend.rendering import spherical_harmonics as sh
from backend.rendering.color import linear_from_srgb
from backend.rendering.interpolate import sample_image
from backend.texture.surface import HeadSurface, SurfaceAtlas, head_surface, texture_space
from backend.texture.unwrap import beard_region, sample_labels, view_surface

RADIUS = 6e-5
"""Metres, of a hair at its root: hairs of beards are 0.12 mm thick."""
SIZE = 512
"""Texels of map ``Head``, at each of which a root may stand: one in 0.8 mm."""
SPACING = 0.0034
"""Metres between guides: a full beard has 1,200."""
REACH = 0.03
"""Metres up to which skin that no photo shows, below the jaw, is as bearded as the nearest that one does."""
LEAST_SHARE = 0.5
"""Share of the photos that label a place as facial hair, from which on roots stand there."""
LEAST_AREA = 4e-4
"""Square metres by the roots' number: a moustache has 5 cm²; fewer are shade or a shaver's slip."""
HAND = 6.6
"""CIELAB units to the skin (``is_skin``) below which what is labelled as facial hair is a hand: a hand 4, beards
8 and more, a moustache that the flash has bleached 6 (23 photos of eight people)."""
HANGS = 0.0115
"""Metres by which a beard hangs below the chin's outline, from which on it is strands: in the middle between beards of
3 to 9 mm, through which skin shines and which look better in the texture alone (three people), and of 14 and 25."""
LENGTHS = {"cheek": (0.35, 0.005, 0.014), "lip": (0.5, 0.006, 0.011), "chin": (1.0, 0.008, 0.09)}
"""Length of a strand by its place: share of what the chin's hang, and its least and its most, metres."""
NOSTRILS = (0.75, 0.6)
"""Height between the lips' middle and the tip of the nose, from which on and below which the upper lip is no nose."""
THROAT = np.array([0.0, -0.6, 0.8])
"""Where skin below the jaw faces that may be bearded."""
NEAR, VARIES = 400, 0.6
"""Texels around a root that give its tone, 2.6 cm² of skin; share of the tone's variation that is not shadow."""
COVERED, DARKEST, OPEN = 0.75, 0.5, 0.92
"""Share of a labelled beard, with which five beards' greys are grey, that hairs cover; least albedo of hairs relative
to what hairs and skin have; share of the light that reaches drawn strands (0.91 to 0.93)."""
SURE = 0.3
"""Deviation of a channel's ratio of beard to skin over that of the share of skin in a labelled beard: assumed are 0.05
and 0.15."""
WIDER = 0.03
"""Metres of a strand's length over which its lock gets wider by ``SPACING``: hairs of long beards mingle."""
ABOVE = 0.0008
"""Metres: least distance of strands from the skin, more than its relief is deep (0.5 mm), and too small to see."""
RISE = 0.45
"""Tangent of the angle at which a strand leaves the skin."""
FALL = 18.0
"""Per metre: how fast a strand turns down."""


@dataclass(frozen=True)
class FacialHair:
    """``strands`` : guides of beard and moustache, None where there are none; ``reason`` : why."""

    strands: HairStrands | None
    reason: str = ""

    def to_report(self) -> Mapping[str, object]:
        """For ``report.json``."""
        return {"guides": 0 if self.strands is None else len(self.strands.points), "reason": self.reason}


def without_false_beards(fitted: FittedFace, faces: Sequence[PhotoFace]) -> tuple[PhotoFace, ...]:
    """The faces with connected parts that are labelled as facial hair, but are hands by their colour, labelled
    ``CONTRADICTED_LABEL``; in all photos, in shade or not, where those together have the skin's colour."""
    shown = [own for face in faces if (own := _apart(face, face.labels == FaceClass.FACIAL_HAIR)) is not None]
    nearer_skin = 0.5 * float(np.median(shown)) if len(shown) > 1 else HAND
    hands = [_hands(face, min(HAND, nearer_skin)) for face in faces]
    if any(hand.any() for hand in hands) and is_skin(*beside_skin(fitted, faces, kind=FaceClass.FACIAL_HAIR)):
        hands = [face.labels == FaceClass.FACIAL_HAIR for face in faces]
    return tuple(
        replace(face, labels=np.where(hand, np.uint8(CONTRADICTED_LABEL), face.labels)) if hand.any() else face
        for face, hand in zip(faces, hands, strict=True)
    )


def _hands(face: PhotoFace, most: float) -> np.ndarray:
    """(H, W) bool parts of a photo's facial hair that differ from its skin by less than ``most``, CIELAB."""
    bearded = face.labels == FaceClass.FACIAL_HAIR
    count, part = cv2.connectedComponents(bearded.astype(np.uint8))
    apart = [_apart(face, part == number) for number in range(1, count)]
    return np.array([False, *(own is not None and own < most for own in apart)])[part]


def _apart(face: PhotoFace, where: np.ndarray) -> float | None:
    """CIELAB units by which what a photo shows ``where`` (H, W) differs from its skin; None without both in colour."""
    lab = lab_beside_skin(face) if where.any() else None
    if lab is None:
        return None
    light, *hue = np.median(lab[where], 0)
    return float(from_skin(np.hypot(*hue), light))


def grow_facial_hair(
    template: Template,
    fitted: FittedFace,
    faces: Sequence[PhotoFace],
    albedo: np.ndarray,
    scalp: np.ndarray | None = None,
) -> FacialHair:
    """Beard and moustache of a fitted face.

    Parameters
    ----------
    faces : (P,) in the order of ``fitted.photos``. albedo : (R, R, 3) uint8 sRGB of map ``Head``. scalp : (3,) linear
        albedo of the head's hair, None where it has none.
    """
    surface, atlas = head_surface(template), texture_space(template, SIZE).skin
    cage = fitted.neutral[: surface.count].astype(np.float64)
    normals = vertex_normals(cage, surface.cage_triangles)
    area = _beard_area(surface, cage, normals)[:, None]
    fields = atlas.sample(surface.lifted(np.concatenate([cage, normals, area], axis=1))).astype(np.float64)
    where, normal = fields[:, :3], unit_vectors(fields[:, 3:6])
    views = [_view(surface, atlas, face, photo) for face, photo in zip(faces, fitted.photos, strict=True)]
    bearded = _share(where, fields[:, 6], views)
    row, column = np.divmod(atlas.texel, SIZE)
    uv = np.stack([(column + 0.5) / SIZE, 1.0 - (row + 0.5) / SIZE], 1)
    pixel = (np.stack([1.0 - uv[:, 1], uv[:, 0]], 1) * len(albedo)).astype(int)
    logs = np.log(np.maximum(linear_from_srgb(albedo[pixel[:, 0], pixel[:, 1]]), 1e-3))  # (P, 3)
    bare = atlas.sample(surface.regions["face"][:, None])[:, 0] * (bearded < 0.1) > 0.5
    skin = np.median(logs[bare], axis=0)

    rooted = np.flatnonzero(bearded > LEAST_SHARE)
    roots = rooted[apart(where[rooted], SPACING)]
    if len(roots) * np.pi * (0.5 * SPACING) ** 2 < LEAST_AREA:
        return FacialHair(None, "The photos show no beard or moustache.")
    chins = [_hangs(surface, face, photo) for face, photo in zip(faces, fitted.photos, strict=True)]
    hangs = float(np.median([chin for chin in chins if np.isfinite(chin)] or [0.0]))
    if hangs < HANGS:
        return FacialHair(None, "The beard is short: the texture shows it.")
    if is_skin(*beside_skin(fitted, faces, kind=FaceClass.FACIAL_HAIR)):
        return FacialHair(None, "What is labelled as a beard has the skin's colour: a hand, or a chin in shade.")
    mouth = np.median(cage[surface.regions["lips"][: surface.count] > 0.5], axis=0)
    points = _strands(where[roots], normal[roots], mouth, hangs, np.random.default_rng(0))
    width = SPACING * (1.3 + np.linalg.norm(np.diff(points, axis=1), axis=-1).sum(1) / WIDER)
    known, relative = _ratios(views)
    hairs = _hairs(relative, where[known], where[roots], None if scalp is None else scalp / np.exp(skin))
    colour = np.float32(np.exp(skin) * hairs).clip(0.005, 0.9)
    loose = points[:, 1:].reshape(-1, 3)
    points[:, 1:] = GroomHead(template, fitted.neutral).pushed_out(loose, ABOVE)[0].reshape(points[:, 1:].shape)
    grown = HairStrands(
        points.astype(np.float32),
        uv[roots].astype(np.float32),
        width.astype(np.float32),
        colour,
        np.minimum(1.15 * colour, 1.0),
        RADIUS,
        "auto",
        {FACIAL_GUIDES: float(len(roots))},
    )
    return FacialHair(grown)


_KNOWN = (FaceClass.FACIAL_HAIR, FaceClass.SKIN, FaceClass.LIPS)
"""Labels of a place where a beard may grow that say whether it does."""


def joined(hair: HairStrands | None, facial: HairStrands | None) -> HairStrands | None:
    """The hair of scalp and face as one; facial guides come last, get as many points as the scalp's, and grow without
    a scalp of their own (``HairStrands.free``). They are ``MOST_GUIDES`` at most."""
    if hair is None or facial is None:
        return facial if hair is None else hair
    count, room = hair.points.shape[1], MOST_GUIDES - len(hair.points)
    facial = replace(facial, points=resampled_to(facial.points, count).astype(np.float32))
    names = ("points", "root_uv", "width", "root_colour", "tip_colour")
    both = {name: np.concatenate([getattr(hair, name), getattr(facial, name)[:room]]) for name in names}
    added = len(both["points"]) - len(hair.points)
    free = None if hair.free is None else np.append(hair.free, np.ones(added, hair.free.dtype))
    return replace(hair, **both, free=free, parameters={**hair.parameters, FACIAL_GUIDES: float(added)})


@dataclass(frozen=True)
class _View:
    """A photo at an atlas's P texels. ``labels`` : (P,). ``shown`` : (P,) in [0, 1], how well the photo shows them.
    ``logs`` : (P, 3) log albedo by the photo's light."""

    labels: np.ndarray
    shown: np.ndarray
    logs: np.ndarray


def _view(surface: HeadSurface, atlas: SurfaceAtlas, face: PhotoFace, photo: FittedPhoto) -> _View:
    posed = photo.vertices[: surface.count].astype(np.float64)
    view = view_surface(posed, surface.cage_triangles, photo.camera)
    shading = sh.shade(vertex_normals(posed, surface.cage_triangles), photo.light)
    seen = atlas.sample(surface.lifted(np.column_stack([view.pixels, view.visible, shading])))
    light = sample_image(linear_from_srgb(face.pixels), seen[:, :2])
    logs = np.log(np.maximum(light, 1e-3)) - np.log(np.maximum(seen[:, 3:], 0.05))
    return _View(sample_labels(face.labels, seen[:, :2]), np.clip(seen[:, 2], 0.0, 1.0), logs)


def _ratios(views: Sequence[_View]) -> tuple[np.ndarray, np.ndarray]:
    """(K,) texels that photos show as a beard, and (K, 3) log ratio of their albedo to that of bare
    skin, the mean of the photos', each to its own skin."""
    total, weight = np.zeros_like(views[0].logs), np.zeros(len(views[0].logs))
    for view in views:
        hair, bare = (view.shown * (view.labels == label) for label in _KNOWN[:2])
        if (bare > 0.5).any():
            total += hair[:, None] * (view.logs - np.median(view.logs[bare > 0.5], axis=0))
            weight += hair
    known = np.flatnonzero(weight > 0.3)
    return known, total[known] / weight[known, None]


def _hairs(ratios: np.ndarray, places: np.ndarray, roots: np.ndarray, hue: np.ndarray | None = None) -> np.ndarray:
    """(G, 3) albedo relative to bare skin of hairs at ``roots`` (G, 3), without the skin that shows between them, from
    the log ``ratios`` (K, 3) at ``places`` (K, 3). hue : (3,) the head's hair, relative
    to skin, up to a factor; with it what is seen is a mixture of hair of that hue and of skin."""
    near = cKDTree(places).query(roots, k=min(NEAR, len(places)))[1]
    tone = np.median(ratios.mean(1)[near.reshape(len(roots), -1)], axis=1, keepdims=True)
    usual = np.median(ratios, axis=0)  # of one hue: light bounced from clothes tints parts of a beard
    varies = np.exp(VARIES * (tone - usual.mean()))
    mixed = np.exp(usual)
    if hue is None:
        hairs = np.maximum((mixed * varies - 1.0) / COVERED + 1.0, DARKEST * mixed * varies) / OPEN
        hairs[:, 0] = np.minimum(hairs[:, 0], hairs[:, 1])  # no hair is redder than skin, whose pigment is blood, too
        return hairs
    hue = hue / hue.mean()
    system = np.stack([np.append(hue, 0.0), np.append(np.ones(3), SURE)], 1)
    amount, bare = nnls(system, np.append(mixed, SURE * (1.0 - COVERED)))[0]
    light = max(amount / max(1.0 - bare, 1.0 - COVERED), DARKEST * mixed.mean())
    return light * hue * varies / OPEN


def _beard_area(surface: HeadSurface, cage: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """(C,) in [0, 1] on the cage (C, 3) where a beard may grow: the lower face, sideburns, and the neck below the
    jaw, but not its sides and its back."""
    names = ("lids_left", "face", "neck", "ears", "nose", "lips", "mouth_interior")
    regions = {name: surface.regions[name][: surface.count] for name in names}
    eyes = float(np.median(cage[regions["lids_left"] > 0.5, 1]))
    mouth, tip = (np.median(cage[regions["lips"] > 0.5, 1]), cage[(regions["nose"] * cage[:, 2]).argmax(), 1])
    lip = smoothstep(*NOSTRILS, (cage[:, 1] - mouth) / (tip - mouth)) * regions["nose"]  # the nose's region has it, too
    lip = lip * (1.0 - np.maximum(regions["lips"], regions["mouth_interior"]))
    below = np.maximum(beard_region(surface, cage), lip) * (
        1.0 - regions["neck"] * (1.0 - smoothstep(0.1, 0.4, normals @ THROAT))
    )
    sides = smoothstep(0.045, 0.055, np.abs(cage[:, 0])) * smoothstep(eyes, eyes - 0.01, cage[:, 1])
    return np.maximum(below, sides * regions["face"] * (1.0 - regions["ears"]))


def _share(where: np.ndarray, place: np.ndarray, views: Sequence[_View]) -> np.ndarray:
    """(P,) share of the photos that label a place (P, 3) as a beard, within the region ``place`` (P,)."""
    votes = sum(view.shown * (view.labels == FaceClass.FACIAL_HAIR) for view in views)
    known = sum(view.shown * np.isin(view.labels, _KNOWN) for view in views)
    share = votes / np.maximum(known, 1e-6)
    seen = known > 0.3
    if not seen.any():
        return np.zeros(len(where))
    hidden = np.flatnonzero(~seen & (place > 0.5))
    share[~seen] = 0.0
    far, near = cKDTree(where[seen]).query(where[hidden], distance_upper_bound=REACH)
    found = np.isfinite(far)
    share[hidden[found]] = share[seen][near[found]]
    return share * smoothstep(0.2, 0.6, place)


def _hangs(surface: HeadSurface, face: PhotoFace, photo: FittedPhoto) -> float:
    """Metres by which a photo's facial hair hangs below the chin's outline; nan where it shows no chin."""
    camera = photo.camera
    posed = photo.vertices[: surface.count].astype(np.float64)
    jaw = (surface.regions["face"][: surface.count] > 0.5) & (surface.regions["neck"][: surface.count] < 0.5)
    pixels = camera.project(posed[jaw])
    depth = float(np.median(pixels[:, 2]))
    per_pixel = depth / float(camera.intrinsics[1, 1])
    middle = np.median(pixels[surface.regions["lips"][: surface.count][jaw] > 0.5, 0])
    columns = np.arange(middle - 0.015 / per_pixel, middle + 0.015 / per_pixel)
    columns = columns[(columns >= 0) & (columns < face.labels.shape[1])].astype(int)
    if len(columns) < 3:
        return float("nan")
    near = cKDTree(pixels[:, :1]).query_ball_point(columns[:, None].astype(float), 0.004 / per_pixel)
    below = []
    for column, those in zip(columns, near, strict=True):
        hair = np.flatnonzero(face.labels[:, column] == FaceClass.FACIAL_HAIR)
        if len(those) and len(hair):
            below.append((hair.max() - pixels[those, 1].max()) * per_pixel)
    return float(np.median(below)) if 2 * len(below) > len(columns) else float("nan")


def _strands(
    roots: np.ndarray,
    normals: np.ndarray,
    mouth: np.ndarray,
    hangs: float,
    random: np.random.Generator,
    count: int = 12,
) -> np.ndarray:
    """(G, count, 3) strands from roots (G, 3) with the skin's normals (G, 3). mouth : (3,) its middle."""
    away = roots - mouth
    lip = smoothstep(0.040, 0.030, np.abs(away[:, 0])) * smoothstep(-0.002, 0.003, away[:, 1])
    chin = smoothstep(0.045, 0.025, np.abs(away[:, 0])) * smoothstep(-0.012, -0.030, away[:, 1]) * (1.0 - lip)
    shares = {"lip": lip, "chin": chin, "cheek": 1.0 - lip - chin}
    whole = max(hangs, 0.0) + 0.006
    length = sum(
        share * np.clip(part * whole, *limits) for name, share in shares.items() for part, *limits in [LENGTHS[name]]
    )
    length = length * random.uniform(0.75, 1.15, len(roots))
    aside = np.sign(away[:, 0]) * np.minimum(np.abs(away[:, 0]) / 0.01, 1.0)
    outwards = np.stack([aside, np.full(len(roots), -0.8), np.zeros(len(roots))], 1)
    down = np.stack([0.15 * np.sign(away[:, 0]) * (1.0 - chin), np.full(len(roots), -1.0), 0.3 * (1.0 - lip)], 1)
    way = lip[:, None] * outwards + (1.0 - lip[:, None]) * down + random.normal(0.0, 0.15, roots.shape)
    way = unit_vectors(way - (way * normals).sum(1, keepdims=True) * normals)
    points, step = [roots], (length / (count - 1))[:, None]
    heading = unit_vectors(way + RISE * random.uniform(0.6, 1.5, (len(roots), 1)) * normals)
    for _ in range(count - 1):
        points.append(points[-1] + step * heading)
        heading = unit_vectors(heading - step * (0.0, FALL, 0.0))
    return np.stack(points, axis=1)
